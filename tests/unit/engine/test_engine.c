/* The engine on a memory store, a clock that is turned by hand and kinds that do as they are told. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doc/json.h"
#include "engine/engine.h"
#include "engine/tags.h"
#include "store/store.h"

/* Last: it has a macro of the name of fail(). */
#undef fail
static int (*const fail_as)(struct err *, enum err_kind, const char *, ...) = fail;
#include <cmocka.h>

/* --- The world -------------------------------------------------------------------------------------------------- */

struct fake_clock {
    struct clock base;
    int64_t wall_ms, boot_ms;
};

static struct fixture {
    struct fake_clock clock;
    struct rand rand;
    struct store *store;
    struct engine *engine;
    struct arena *arena;
    struct err err;
    const struct doc *output;
    struct principal caller;
} f;

static int64_t wall(struct clock *c)
{
    return ((struct fake_clock *)c)->wall_ms;
}

static int64_t boot(struct clock *c)
{
    return ((struct fake_clock *)c)->boot_ms;
}

static void later(int64_t ms)
{
    f.clock.wall_ms += ms;
    f.clock.boot_ms += ms;
}

/* --- Kinds that do as they are told ------------------------------------------------------------------------------ */

static struct script { /* of reconcile */
    int visits;
    char last[64];
    char failing[64];      /* the name of a job whose pass fails */
    int64_t again_ms;      /* next look after so long; 0: never */
    const char *becomes;
    bool row_goes;
    const char *order[64]; /* who came, in order */
} script;

static int job_create(struct call *c, struct resource *r, struct err *err)
{
    if (doc_is(c->input, "HyperParameters.refuse", "yes"))
        return fail_code(err, ERR_INVALID, "ValidationException", "refused as told");
    doc_set_string(c->arena, r->status, "SecondaryStatus", "Starting");
    doc_set_string(c->arena, r->want, "Run", "yes");
    return 0;
}

static int job_stop(struct call *c, struct resource *r, struct err *err)
{
    if (!may_become(r, "Stopping"))
        return fail_code(err, ERR_INVALID, "ValidationException", "is %s", get_state(r));
    doc_set_boolean(c->arena, r->want, "Stop", true);
    set_state(r, "Stopping");
    return 0;
}

static bool job_listed(struct call *c, const struct resource *r)
{
    return !doc_has(c->input, "WarmPoolStatusEquals") || text_ends(r->row.name, "7");
}

static int job_reconcile(struct pass *p, struct resource *r, int64_t *ret_next_ms, bool *ret_row_goes, struct err *err)
{
    if (script.visits < 64)
        script.order[script.visits] = arena_strdup(f.arena, r->row.name);
    script.visits++;
    snprintf(script.last, sizeof script.last, "%s", r->row.name);
    if (strcmp(script.failing, r->row.name) == 0) {
        doc_set_string(p->arena, r->status, "SecondaryStatus", "must not be saved");
        usage_open(p->engine, "not saved either", p->now_ms, NULL, err);
        return fail_as(err, ERR_UNAVAILABLE, "failing as told");
    }
    if (script.again_ms)
        *ret_next_ms = p->now_ms + script.again_ms;
    if (script.becomes)
        set_state(r, script.becomes);
    *ret_row_goes = script.row_goes;
    return 0;
}

static const char *const job_states[][2] = {
    { "InProgress", "Completed Stopping" },
    { "Stopping", "Stopped" },
    { "Completed", "Deleting" },
    { "Stopped", "" },
    {},
};

static const struct kind job = {
    .name = "TrainingJob", .service = "sagemaker", .arn_type = "training-job", .name_member = "TrainingJobName",
    .arn_member = "TrainingJobArn", .state_member = "TrainingJobStatus", .states = job_states,
    .create = job_create, .stop = job_stop, .listed = job_listed, .reconcile = job_reconcile,
};

static const struct kind model_kind = {
    .name = "Model", .service = "sagemaker", .arn_type = "model", .name_member = "ModelName", .arn_member = "ModelArn",
    .missing_text = "Could not find model \"%s\".", .exists_text = "Cannot create already existing model \"%s\".",
};

static int pipeline_update(struct call *c, struct resource *r, struct err *err)
{
    (void)err;
    doc_set_string(c->arena, r->status, "PipelineDisplayName", doc_text(c->input, "PipelineDisplayName"));
    return 0;
}

static const struct kind pipeline = {
    .name = "Pipeline", .service = "sagemaker", .arn_type = "pipeline", .name_member = "PipelineName",
    .arn_member = "PipelineArn", .update = pipeline_update,
};

static const struct op ops[] = {
    { "CreateTrainingJob", NULL, OP_CREATE, &job, OP_WRITES },
    { "DescribeTrainingJob", NULL, OP_DESCRIBE, &job, OP_READS },
    { "ListTrainingJobs", NULL, OP_LIST, &job, OP_READS },
    { "StopTrainingJob", NULL, OP_STOP, &job, OP_WRITES },
    { "DeleteTrainingJob", NULL, OP_DELETE, &job, OP_WRITES },
    { "CreateModel", NULL, OP_CREATE, &model_kind, OP_WRITES },
    { "DescribeModel", NULL, OP_DESCRIBE, &model_kind, OP_READS },
    { "DeleteModel", NULL, OP_DELETE, &model_kind, OP_WRITES },
    { "ListModels", NULL, OP_LIST, &model_kind, OP_READS },
    { "CreatePipeline", NULL, OP_CREATE, &pipeline, OP_WRITES },
    { "UpdatePipeline", NULL, OP_UPDATE, &pipeline, OP_WRITES },
    { "DescribePipeline", NULL, OP_DESCRIBE, &pipeline, OP_READS },
    { "AddTags", tags_add, OP_RUN, NULL, OP_WRITES, NULL, "{ResourceArn}" },
    { "ListTags", tags_list, OP_RUN, NULL, OP_READS, NULL, "{ResourceArn}" },
    { "DeleteTags", tags_delete, OP_RUN, NULL, OP_WRITES, NULL, "{ResourceArn}" },
    {},
};

static const struct service_ops sagemaker = { "sagemaker", ops };
static const struct service_ops *const services[] = { &sagemaker, NULL };
static const struct kind *const kinds[] = { &job, &model_kind, &pipeline, NULL };

static void start_engine(void)
{
    const struct engine_world world = {
        .store = f.store, .clock = &f.clock.base, .rand = &f.rand, .services = services, .kinds = kinds,
        .default_region = "eu-west-1", .account = "111122223333", .boot_id = "boot-1",
    };

    if (engine_new(&world, &f.engine, &f.err) < 0)
        fail_msg("%s", f.err.text);
}

static int set_up(void **state)
{
    f = (struct fixture){ .clock = { { wall, boot }, 1700000000000, 5000000 }, .rand = rand_seeded(1),
                          .arena = arena_new(), .store = store_new_memory() };
    f.caller = (struct principal){ .account = "111122223333", .arn = "arn:aws:iam::111122223333:user/ada",
                                   .user_id = "AIDAADA", .access_key_id = "AKIA", .trusted = true };
    script = (struct script){ 0 };
    start_engine();
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    engine_free(f.engine);
    store_free(f.store);
    arena_free(f.arena);
    return 0;
}

static void restart(void)
{
    engine_free(f.engine);
    store_memory_crash(f.store);
    start_engine();
}

/* As a client would: JSON in, committed at once. 0, or -1 with f.err. */
static int call(const char *operation, const char *input)
{
    struct doc *d, *output = NULL;

    f.err = (struct err){ 0 };
    assert_int_equal(json_parse(f.arena, str_of(input), &d, &f.err), 0);
    if (engine_call(f.arena, f.engine, &f.caller, "eu-west-1", "sagemaker", operation, d, &output, &f.err) < 0)
        return -1;
    f.output = output;
    return engine_commit(f.engine, &f.err);
}

#define answers(operation, input) \
    do { \
        if (call(operation, input) < 0) \
            fail_msg("%s: %s %s", operation, f.err.code, f.err.text); \
    } while (0)
#define refuses(operation, input, what, words) \
    do { \
        assert_int_equal(call(operation, input), -1); \
        assert_string_equal(f.err.code, what); \
        if (!strstr(f.err.text, words)) \
            fail_msg("%s", f.err.text); \
    } while (0)

static const char *job_input(const char *name, const char *more)
{
    return arena_printf(
        f.arena,
        "{\"TrainingJobName\":\"%s\",\"RoleArn\":\"arn:aws:iam::111122223333:role/train-it-well\","
        "\"AlgorithmSpecification\":{\"TrainingImage\":\"xgboost:1.7\",\"TrainingInputMode\":\"File\"},"
        "\"OutputDataConfig\":{\"S3OutputPath\":\"s3://b/p\",\"KmsKeyId\":null},\"Environment\":null,"
        "\"ResourceConfig\":{\"InstanceType\":\"ml.m5.large\",\"InstanceCount\":1,\"VolumeSizeInGB\":1},"
        "\"StoppingCondition\":{\"MaxRuntimeInSeconds\":60}%s}",
        name, more);
}

static const char *model_input(const char *name)
{
    return arena_printf(f.arena, "{\"ModelName\":\"%s\"}", name);
}

static int reconcile(int limit)
{
    int64_t next_ms;
    int count = engine_reconcile(f.engine, limit, &next_ms);

    assert_int_equal(engine_commit(f.engine, &f.err), 0);
    return count;
}

static int64_t next_look(void)
{
    int64_t next_ms;

    engine_reconcile(f.engine, 100, &next_ms);
    assert_int_equal(engine_commit(f.engine, &f.err), 0);
    return next_ms == INT64_MAX ? next_ms : next_ms - f.clock.wall_ms;
}

/* --- Verbs ------------------------------------------------------------------------------------------------------- */

static void describe_gives_what_create_took(void **state)
{
    (void)state;
    answers("CreateTrainingJob", job_input("Job-1", ",\"Tags\":[{\"Key\":\"team\",\"Value\":\"red\"}]"));
    assert_string_equal(doc_text(f.output, "TrainingJobArn"),
                        "arn:aws:sagemaker:eu-west-1:111122223333:training-job/job-1");
    assert_int_equal(f.output->count, 1);
    answers("DescribeTrainingJob", "{\"TrainingJobName\":\"Job-1\"}");
    assert_string_equal(doc_text(f.output, "TrainingJobName"), "Job-1");
    assert_string_equal(doc_text(f.output, "TrainingJobStatus"), "InProgress");
    assert_string_equal(doc_text(f.output, "SecondaryStatus"), "Starting");
    assert_string_equal(doc_text(f.output, "AlgorithmSpecification.TrainingImage"), "xgboost:1.7");
    assert_int_equal(doc_int(f.output, "CreationTime", 0), 1700000000000);
    assert_int_equal(doc_int(f.output, "LastModifiedTime", 0), 1700000000000);
    assert_null(doc_get(f.output, "Tags"));        /* not in the output's shape */
    assert_null(doc_get(f.output, "Environment")); /* was sent as null */
    assert_null(doc_at(f.output, "OutputDataConfig.KmsKeyId"));
    answers("DescribeTrainingJob", "{\"TrainingJobName\":\"jOB-1\"}"); /* ARNs are compared in lower case */

    refuses(
        "CreateTrainingJob", job_input("job-1", ""), "ResourceInUse",
        "Training job names must be unique within an AWS account and region, and a training job with this name already "
        "exists (arn:aws:sagemaker:eu-west-1:111122223333:training-job/job-1)");
    assert_int_equal(f.err.http_status, 400);
    answers("CreateModel", model_input("m"));
    refuses("CreateModel", model_input("m"), "ValidationException",
            "Cannot create already existing model \"arn:aws:sagemaker:eu-west-1:111122223333:model/m\".");
    refuses("DescribeModel", model_input("Other"), "ValidationException",
            "Could not find model \"arn:aws:sagemaker:eu-west-1:111122223333:model/other\".");
    assert_int_equal(f.err.http_status, 400);
    refuses("DescribeTrainingJob", "{\"TrainingJobName\":\"x\"}", "ValidationException",
            "Requested resource not found.");
    answers("DeleteModel", model_input("m"));
    refuses("DescribeModel", model_input("m"), "ValidationException", "Could not find");
    answers("CreateModel", model_input("m"));

    f.caller.account = "444455556666"; /* another account has names of its own */
    refuses("DescribeModel", model_input("m"), "ValidationException", "Could not find");
    answers("CreateModel", model_input("m"));
}

static void refused_calls_write_nothing(void **state)
{
    struct doc *policy;

    (void)state;
    refuses("CreateTrainingJob", "{\"TrainingJobName\":\"-\"}", "ValidationException", "validation errors detected");
    refuses("CreateTrainingJob", job_input("a", ",\"HyperParameters\":{\"refuse\":\"yes\"}"), "ValidationException",
            "as told");
    refuses("DescribeTrainingJob", "{\"TrainingJobName\":\"a\"}", "ValidationException", "not found");
    refuses("CreateTrainingJob", job_input("a", ",\"Tags\":[{\"Key\":\"aws:x\",\"Value\":\"\"}]"),
            "ValidationException", "aws:");
    refuses("DescribeTrainingJob", "{\"TrainingJobName\":\"a\"}", "ValidationException", "not found");
    refuses("CreateEndpoint", "{}", "NotImplementedException",
            "Sagebrush does not implement SageMaker CreateEndpoint yet. `sagebrush operations --missing sagemaker` "
            "lists what it lacks.");
    assert_int_equal(f.err.http_status, 501);

    f.caller.trusted = false;
    assert_int_equal(
        json_parse(f.arena,
                   STR("[{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\","
                       "\"Action\":\"sagemaker:*Model\",\"Resource\":\"arn:aws:sagemaker:*:*:model/mine-*\"}]}]"),
                   &policy, &f.err),
        0);
    f.caller.policies = policy;
    answers("CreateModel", model_input("mine-1"));
    refuses("CreateModel", model_input("yours"), "AccessDeniedException",
            "is not authorized to perform: sagemaker:CreateModel on resource: "
            "arn:aws:sagemaker:eu-west-1:111122223333:model/yours");
    refuses("CreateTrainingJob", job_input("a", ""), "AccessDeniedException", "sagemaker:CreateTrainingJob");
    f.caller.trusted = true;
    refuses("DescribeModel", model_input("yours"), "ValidationException", "Could not find");
}

static const char *names_in(const char *list, const char *member)
{
    const struct doc *d = doc_get(f.output, list);
    char *text = arena_strdup(f.arena, "");

    for (size_t i = 0; i < doc_count(d, ""); i++)
        text = arena_printf(f.arena, "%s%s%s", text, *text ? "," : "", doc_text(d->items[i], member));
    return text;
}

static void lists_filter_sort_and_page(void **state)
{
    const char *token;
    int pages = 1;

    (void)state;
    for (int i = 0; i < 25; i++) {
        answers("CreateTrainingJob", job_input(arena_printf(f.arena, "job-%02d", (i * 7) % 25), ""));
        later(1000);
    }
    answers("StopTrainingJob", "{\"TrainingJobName\":\"job-03\"}");
    answers("ListTrainingJobs", "{}");
    assert_int_equal(doc_count(f.output, "TrainingJobSummaries"), 10);
    assert_string_equal(doc_text(f.output, "TrainingJobSummaries[0].TrainingJobName"), "job-00"); /* the oldest first */
    assert_string_equal(doc_text(f.output, "TrainingJobSummaries[1].TrainingJobName"), "job-07");
    assert_string_equal(doc_text(f.output, "TrainingJobSummaries[0].TrainingJobStatus"), "InProgress");
    assert_int_equal(doc_int(f.output, "TrainingJobSummaries[1].CreationTime", 0), 1700000001000);
    while (*(token = doc_text(f.output, "NextToken"))) {
        answers("ListTrainingJobs", arena_printf(f.arena, "{\"NextToken\":\"%s\"}", token));
        pages++;
    }
    assert_int_equal(pages, 3);
    assert_int_equal(doc_count(f.output, "TrainingJobSummaries"), 5);
    answers("ListTrainingJobs", "{\"SortBy\":\"Name\",\"SortOrder\":\"Descending\",\"MaxResults\":3}");
    assert_string_equal(names_in("TrainingJobSummaries", "TrainingJobName"), "job-24,job-23,job-22");
    answers("ListTrainingJobs", "{\"SortBy\":\"Status\",\"SortOrder\":\"Descending\",\"MaxResults\":1}");
    assert_string_equal(names_in("TrainingJobSummaries", "TrainingJobName"), "job-03");
    answers("ListTrainingJobs", "{\"StatusEquals\":\"Stopping\"}");
    assert_string_equal(names_in("TrainingJobSummaries", "TrainingJobName"), "job-03");
    answers("ListTrainingJobs", "{\"NameContains\":\"OB-1\",\"MaxResults\":100,\"SortBy\":\"Name\"}");
    assert_string_equal(names_in("TrainingJobSummaries", "TrainingJobName"),
                        "job-10,job-11,job-12,job-13,job-14,job-15,job-16,job-17,job-18,job-19");
    answers("ListTrainingJobs", "{\"CreationTimeAfter\":1700000000000,\"CreationTimeBefore\":1700000003000}");
    assert_string_equal(names_in("TrainingJobSummaries", "TrainingJobName"), "job-07,job-14");
    answers("ListTrainingJobs", "{\"LastModifiedTimeAfter\":1700000024500}");
    assert_string_equal(names_in("TrainingJobSummaries", "TrainingJobName"), "job-03");
    answers("ListTrainingJobs", "{\"CreationTimeBefore\":0}");
    assert_int_equal(doc_count(f.output, "TrainingJobSummaries"), 0);
    answers("ListTrainingJobs", "{\"WarmPoolStatusEquals\":\"Available\",\"MaxResults\":1}");
    assert_string_equal(names_in("TrainingJobSummaries", "TrainingJobName"), "job-07");
    answers("ListTrainingJobs", arena_printf(f.arena, "{\"WarmPoolStatusEquals\":\"Available\",\"MaxResults\":5,"
                                                      "\"NextToken\":\"%s\"}", doc_text(f.output, "NextToken")));
    assert_string_equal(names_in("TrainingJobSummaries", "TrainingJobName"), "job-17");
    assert_null(doc_get(f.output, "NextToken"));
    refuses("ListTrainingJobs", "{\"NextToken\":\"nonsense\"}", "ValidationException", "NextToken");
    answers("ListModels", "{}");
    assert_int_equal(doc_count(f.output, "Models"), 0);
    assert_non_null(doc_get(f.output, "Models"));
    answers("CreateModel", model_input("first"));
    later(1);
    answers("CreateModel", model_input("second"));
    answers("ListModels", "{}");
    assert_string_equal(names_in("Models", "ModelName"), "second,first"); /* the newest first */
}

static void a_token_makes_create_once(void **state)
{
    static const char input[] = "{\"PipelineName\":\"%s\",\"ClientRequestToken\":\"%s\",\"PipelineDefinition\":\"{}\","
                                "\"RoleArn\":\"arn:aws:iam::111122223333:role/train-it-well\"}";
    const char *arn, *token = "0123456789-0123456789-0123456789-00";

    (void)state;
    answers("CreatePipeline", arena_printf(f.arena, input, "p", token));
    arn = doc_text(f.output, "PipelineArn");
    restart();
    answers("CreatePipeline", arena_printf(f.arena, input, "p", token));
    assert_string_equal(doc_text(f.output, "PipelineArn"), arn);
    refuses("CreatePipeline", arena_printf(f.arena, input, "q", token), "ValidationException", "ClientRequestToken");
    refuses("CreatePipeline", arena_printf(f.arena, input, "p", "0123456789-0123456789-0123456789-01"), "ResourceInUse",
            "Pipeline names must be unique");
    later((int64_t)25 * 3600 * 1000);
    answers("CreatePipeline", arena_printf(f.arena, input, "q", token)); /* long ago */
    answers("UpdatePipeline", "{\"PipelineName\":\"p\",\"PipelineDisplayName\":\"shown\"}");
    assert_string_equal(doc_text(f.output, "PipelineArn"), arn);
    answers("DescribePipeline", "{\"PipelineName\":\"p\"}");
    assert_string_equal(doc_text(f.output, "PipelineDisplayName"), "shown");
    assert_int_equal(doc_int(f.output, "LastModifiedTime", 0), f.clock.wall_ms);
    assert_null(doc_get(f.output, "ClientRequestToken"));
}

static void tags_go_with_the_row(void **state)
{
    static const char arn[] = "\"ResourceArn\":\"arn:aws:sagemaker:eu-west-1:111122223333:model/m\"";
    char *many = arena_strdup(f.arena, "");

    (void)state;
    answers("CreateModel",
            "{\"ModelName\":\"m\",\"Tags\":[{\"Key\":\"b\",\"Value\":\"2\"},{\"Key\":\"a\",\"Value\":\"\"}]}");
    answers(
        "AddTags",
        arena_printf(f.arena, "{%s,\"Tags\":[{\"Key\":\"b\",\"Value\":\"3\"},{\"Key\":\"c\",\"Value\":\"4\"}]}", arn));
    assert_string_equal(names_in("Tags", "Key"), "a,b,c");
    answers("ListTags", arena_printf(f.arena, "{%s}", arn));
    assert_string_equal(names_in("Tags", "Value"), "3,4"); /* the first is empty */
    answers("DeleteTags", arena_printf(f.arena, "{%s,\"TagKeys\":[\"a\",\"z\"]}", arn));
    answers("ListTags", arena_printf(f.arena, "{%s}", arn));
    assert_string_equal(names_in("Tags", "Key"), "b,c");
    for (int i = 0; i < 49; i++)
        many = arena_printf(f.arena, "%s%s{\"Key\":\"k%d\",\"Value\":\"\"}", many, i ? "," : "", i);
    refuses("AddTags", arena_printf(f.arena, "{%s,\"Tags\":[%s]}", arn, many), "ResourceLimitExceeded", "51");
    refuses("AddTags", "{\"ResourceArn\":\"arn:aws:sagemaker:eu-west-1:111122223333:model/no\",\"Tags\":[]}",
            "ValidationException", "not found");
    answers("DeleteModel", model_input("m"));
    answers("CreateModel", model_input("m"));
    answers("ListTags", arena_printf(f.arena, "{%s}", arn));
    assert_int_equal(doc_count(f.output, "Tags"), 0);
}

static void illegal_moves_abort(void **state)
{
    struct resource r = { .kind = &job, .row = { .state = "InProgress" } };
    pid_t child;
    int status;

    (void)state;
    assert_true(may_become(&r, "InProgress") && may_become(&r, "Stopping"));
    assert_false(may_become(&r, "Stopped") || may_become(&r, "Stop") || may_become(&r, ""));
    set_state(&r, "Stopping");
    assert_string_equal(get_state(&r), "Stopping");
    child = fork();
    if (child == 0) {
        fclose(stderr);
        signal(SIGABRT, SIG_DFL);
        set_state(&r, "Completed");
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void children_have_derived_names(void **state)
{
    const char *uid = child_uid(f.arena, "parent", "algo-1", 0);

    (void)state;
    assert_int_equal(strlen(uid), 26);
    assert_string_equal(uid, child_uid(f.arena, "parent", "algo-1", 0));
    assert_string_not_equal(uid, child_uid(f.arena, "parent", "algo-1", 1));
    assert_string_not_equal(uid, child_uid(f.arena, "parent", "algo-11", 0));
    assert_string_not_equal(uid, child_uid(f.arena, "parent\nalgo-1", "", 0));
}

/* --- Reconcile --------------------------------------------------------------------------------------------------- */

static void rows_are_looked_at_when_they_asked(void **state)
{
    (void)state;
    script.again_ms = 5000;
    answers("CreateTrainingJob", job_input("a", ""));
    assert_int_equal(next_look(), 5000);
    assert_int_equal(script.visits, 1);
    later(4999);
    assert_int_equal(reconcile(10), 0);
    later(1);
    script.again_ms = 0;
    assert_int_equal(reconcile(10), 1);
    assert_int_equal(next_look(), INT64_MAX);
    later(1000000);
    assert_int_equal(reconcile(10), 0);
    answers("StopTrainingJob", "{\"TrainingJobName\":\"a\"}");
    answers("DescribeTrainingJob", "{\"TrainingJobName\":\"a\"}");
    assert_string_equal(doc_text(f.output, "TrainingJobStatus"), "Stopping"); /* before any pass */
    assert_int_equal(reconcile(10), 1);
    refuses("StopTrainingJob", "{\"TrainingJobName\":\"b\"}", "ValidationException", "not found");
    script.becomes = "Stopped";
    engine_touch(f.engine, "");
    engine_touch(f.engine, "nobody");
    assert_int_equal(reconcile(10), 1); /* nobody, who is not there */
    answers("StopTrainingJob", "{\"TrainingJobName\":\"a\"}");
    assert_int_equal(reconcile(10), 1);
    refuses("StopTrainingJob", "{\"TrainingJobName\":\"a\"}", "ValidationException", "is Stopped");
}

static void crashes_forget_no_row(void **state)
{
    (void)state;
    answers("CreateTrainingJob", job_input("a", ""));
    restart(); /* the touch is gone, the row's time is not */
    assert_int_equal(reconcile(10), 1);
    assert_int_equal(next_look(), INT64_MAX);
    restart(); /* waits for a poke that may have come meanwhile */
    assert_int_equal(reconcile(10), 1);
    script.becomes = "Completed";
    restart();
    assert_int_equal(reconcile(10), 1);
    restart(); /* at its end: only the API moves it */
    assert_int_equal(reconcile(10), 0);
}

static void failing_passes_save_nothing_and_wait(void **state)
{
    struct doc *usage;

    (void)state;
    for (int i = 0; i < 5; i++)
        answers("CreateTrainingJob", job_input(arena_printf(f.arena, "job-%d", i), ""));
    snprintf(script.failing, sizeof script.failing, "job-0");
    script.again_ms = 1;
    assert_int_equal(reconcile(100), 5);
    answers("DescribeTrainingJob", "{\"TrainingJobName\":\"job-0\"}");
    assert_string_equal(doc_text(f.output, "SecondaryStatus"), "Starting");
    assert_int_equal(usage_scan(f.arena, f.engine, 0, INT64_MAX, &usage, &f.err), 0);
    assert_int_equal(usage->count, 0);
    for (int i = 0, at = script.visits; i < 4; i++) { /* the others are not kept waiting, even one at a time */
        later(1);
        assert_int_equal(reconcile(1), 1);
        assert_string_not_equal(script.order[at + i], "job-0");
    }
    script.again_ms = 0;
    later(900);
    reconcile(100);
    script.visits = 0;
    for (int64_t pause = 2000, total = 0; total < 400000;
         total += pause, pause = pause * 2 < 60000 ? pause * 2 : 60000) {
        later(total == 0 ? 100 : 1);
        assert_int_equal(reconcile(100), 1);
        assert_true(next_look() <= pause);
        later(pause - 1);
        assert_int_equal(reconcile(100), 0);
    }
    engine_touch(f.engine, "nobody"); /* a poke does not wait */
    script.failing[0] = '\0';
    later(1);
    assert_int_equal(reconcile(100), 2);
    assert_int_equal(next_look(), INT64_MAX);
}

static void pokes_and_timers_share(void **state)
{
    struct row_filter all = { .limit = 100 };
    const char *after;
    struct row *rows;
    int count;

    (void)state;
    for (int i = 0; i < 10; i++)
        answers("CreateTrainingJob", job_input(arena_printf(f.arena, "job-%d", i), ""));
    script.again_ms = 10;
    reconcile(100);
    assert_int_equal(store_row_list(f.arena, f.store, &all, &rows, &count, &after, &f.err), 0);
    later(10); /* all are due, and one is poked all the time */
    script.visits = 0;
    for (int turn = 0; turn < 20; turn++) {
        engine_touch(f.engine, rows[0].uid);
        engine_touch(f.engine, rows[0].uid);
        script.again_ms = 1000;
        assert_true(reconcile(2) <= 2);
    }
    for (int i = 0; i < 10; i++) {
        int seen = 0;

        for (int j = 0; j < script.visits && j < 64; j++)
            seen += strcmp(script.order[j], arena_printf(f.arena, "job-%d", i)) == 0;
        assert_true(seen > 0);
    }
}

static bool is_full;

static bool says_full(void *context)
{
    (void)context;
    return is_full;
}

static void a_lost_turn_comes_again(void **state)
{
    int64_t next_ms;

    (void)state;
    store_memory_full(f.store, says_full, NULL);
    answers("CreateTrainingJob", job_input("a", ""));
    reconcile(10);
    engine_touch(f.engine, "");
    answers("StopTrainingJob", "{\"TrainingJobName\":\"a\"}");
    script.becomes = "Stopped";
    is_full = true;
    assert_int_equal(engine_reconcile(f.engine, 10, &next_ms), 1); /* uses the touch up */
    assert_int_equal(engine_commit(f.engine, &f.err), -1);
    assert_int_equal(f.err.kind, ERR_UNAVAILABLE);
    assert_int_equal(call("StopTrainingJob", "{\"TrainingJobName\":\"a\"}"), -1);
    is_full = false;
    assert_int_equal(engine_commit(f.engine, &f.err), -1); /* the turn of that call */
    answers("DescribeTrainingJob", "{\"TrainingJobName\":\"a\"}");
    assert_string_equal(doc_text(f.output, "TrainingJobStatus"), "Stopping");
    later(2000);
    assert_int_equal(reconcile(10), 1);
    answers("DescribeTrainingJob", "{\"TrainingJobName\":\"a\"}");
    assert_string_equal(doc_text(f.output, "TrainingJobStatus"), "Stopped");
}

static void a_clock_that_goes_back_stops_nobody(void **state)
{
    (void)state;
    script.again_ms = 1000;
    answers("CreateTrainingJob", job_input("a", ""));
    reconcile(10);
    f.clock.wall_ms -= 3600 * 1000;
    assert_int_equal(next_look(), 1000);
    assert_int_equal(script.visits, 2);
    later(1000);
    assert_int_equal(reconcile(10), 1);
}

/* Who waits may go by other tags now. */
static void tags_that_change_are_looked_at(void **state)
{
    static const char arn[] = "\"ResourceArn\":\"arn:aws:sagemaker:eu-west-1:111122223333:training-job/a\"";

    (void)state;
    answers("CreateTrainingJob", job_input("a", ""));
    assert_int_equal(reconcile(10), 1);
    assert_int_equal(reconcile(10), 0);
    answers("AddTags", arena_printf(f.arena, "{%s,\"Tags\":[{\"Key\":\"a\",\"Value\":\"b\"}]}", arn));
    assert_int_equal(reconcile(10), 1);
    answers("ListTags", arena_printf(f.arena, "{%s}", arn));
    assert_int_equal(reconcile(10), 0);
    answers("DeleteTags", arena_printf(f.arena, "{%s,\"TagKeys\":[\"a\"]}", arn));
    assert_int_equal(reconcile(10), 1);
}

static void rows_go_when_they_say_so(void **state)
{
    (void)state;
    answers("CreateTrainingJob", job_input("a", ",\"Tags\":[{\"Key\":\"a\",\"Value\":\"\"}]"));
    script.row_goes = true;
    assert_int_equal(reconcile(10), 1);
    refuses("DescribeTrainingJob", "{\"TrainingJobName\":\"a\"}", "ValidationException", "not found");
    script.row_goes = false;
    answers("CreateTrainingJob", job_input("a", ""));
}

/* --- Usage ------------------------------------------------------------------------------------------------------- */

static int64_t used_ms(const char *uid)
{
    struct doc *list;

    assert_int_equal(usage_scan(f.arena, f.engine, 0, INT64_MAX, &list, &f.err), 0);
    for (uint32_t i = 0; i < list->count; i++)
        if (doc_is(list->items[i], "uid", uid))
            return doc_int(list->items[i], "to_ms", 0) - doc_int(list->items[i], "from_ms", 0);
    return -1;
}

static void look_at_clock(void)
{
    reconcile(1);
}

static void usage_opens_and_closes_once(void **state)
{
    struct doc *attributes = doc_map(f.arena), *list;
    int64_t start = f.clock.wall_ms;

    (void)state;
    doc_set_string(f.arena, attributes, "instance_type", "ml.m5.large");
    assert_int_equal(usage_close(f.engine, "u", start, &f.err), 0); /* never ran */
    assert_int_equal(used_ms("u"), -1);
    assert_int_equal(usage_open(f.engine, "u", start, attributes, &f.err), 0);
    later(10000);
    assert_int_equal(usage_open(f.engine, "u", start + 5000, NULL, &f.err), 0);
    assert_int_equal(used_ms("u"), 10000);
    assert_int_equal(usage_close(f.engine, "u", start + 9000, &f.err), 0);
    later(5000);
    assert_int_equal(usage_close(f.engine, "u", start + 12000, &f.err), 0);
    assert_int_equal(usage_open(f.engine, "u", start + 14000, NULL, &f.err), 0);
    assert_int_equal(used_ms("u"), 9000);
    assert_int_equal(usage_scan(f.arena, f.engine, start + 9000, INT64_MAX, &list, &f.err), 0);
    assert_int_equal(list->count, 0);
    assert_int_equal(usage_scan(f.arena, f.engine, start + 8999, start + 9100, &list, &f.err), 0);
    assert_int_equal(list->count, 1);
    assert_true(doc_is(list->items[0], "instance_type", "ml.m5.large"));
    assert_false(doc_bool(list->items[0], "open", true));
    assert_int_equal(usage_scan(f.arena, f.engine, 0, start, &list, &f.err), 0);
    assert_int_equal(list->count, 0);
}

static void usage_comes_in_pages(void **state)
{
    int64_t start = f.clock.wall_ms, after_ms = start - 1;
    int closed = 0, open = 0, pages = 0;

    (void)state;
    later(10000);
    for (int i = 0; i < 2500; i++) {
        const char *uid = arena_printf(f.arena, "u%04d", i);

        assert_int_equal(usage_open(f.engine, uid, start, NULL, &f.err), 0);
        /* Three end at a time, and a page with two of them has the third. */
        if (i != 7)
            assert_int_equal(usage_close(f.engine, uid, start + 1 + i / 3, &f.err), 0);
    }
    for (bool first = true; after_ms != INT64_MAX; first = false, pages++) {
        struct doc *list;

        assert_int_equal(usage_page(f.arena, f.engine, after_ms, first, &after_ms, &list, &f.err), 0);
        for (uint32_t i = 0; i < list->count; i++)
            ++*(doc_bool(list->items[i], "open", false) ? &open : &closed);
        assert_true(list->count <= 1003);
    }
    assert_int_equal(pages, 3);
    assert_int_equal(open, 1);
    assert_int_equal(closed, 2499);
}

static struct doc *tagged(const char *value)
{
    struct doc *attributes = doc_map(f.arena), *tag = doc_map(f.arena);

    doc_set_string(f.arena, tag, "Key", "team");
    doc_set_string(f.arena, tag, "Value", value);
    doc_append(f.arena, doc_member(f.arena, attributes, "tags", DOC_LIST), tag);
    return attributes;
}

/* "red 3600000, blue 7200000 open": of what ended after 'from_ms'. */
static const char *tags_used(int64_t from_ms)
{
    const char *said = "";
    struct doc *list;

    assert_int_equal(usage_scan(f.arena, f.engine, from_ms, INT64_MAX, &list, &f.err), 0);
    for (uint32_t i = 0; i < list->count; i++)
        said = arena_printf(f.arena, "%s%s%s %d%s", said, i ? ", " : "",
                            doc_text(doc_get(list->items[i], "tags")->items[0], "Value"),
                            (int)(doc_int(list->items[i], "to_ms", 0) - doc_int(list->items[i], "from_ms", 0)),
                            doc_bool(list->items[i], "open", false) ? " open" : "");
    return said;
}

static void open_as(const char *value)
{
    assert_int_equal(usage_open(f.engine, "u", 0, tagged(value), &f.err), 0);
}

static void usage_has_the_tags_of_its_time(void **state)
{
    const int minute = 60 * 1000, hour = 60 * minute;
    int64_t start = f.clock.wall_ms;

    (void)state;
    assert_int_equal(usage_open(f.engine, "u", start, tagged("none"), &f.err), 0);
    later(59 * minute);
    open_as("red");
    open_as("red");
    later(minute);
    assert_string_equal(tags_used(0), "red 3600000 open"); /* within the hour */
    open_as("blue");
    later(30 * minute);
    open_as("green");
    assert_string_equal(tags_used(0), "red 3600000, green 1800000 open");
    assert_int_equal(usage_open(f.engine, "u", start, NULL, &f.err), 0);
    assert_int_equal(usage_open(f.engine, "u", start, doc_map(f.arena), &f.err), 0);
    later(30 * minute);
    open_as("green");
    open_as("blue");
    assert_int_equal(usage_waive(f.engine, "u", "why", &f.err), 0);
    later(hour);
    assert_int_equal(usage_close(f.engine, "u", start + 2 * hour + 1, &f.err), 0);
    open_as("red"); /* it has ended */
    assert_string_equal(tags_used(0), "red 3600000, green 3600000, blue 1");
    assert_string_equal(tags_used(start + hour), "green 3600000, blue 1");
    assert_string_equal(tags_used(start + 2 * hour), "blue 1");
    assert_string_equal(tags_used(start + 2 * hour + 1), "");
}

/* A change that came after the end of which nobody knew yet changes nothing. */
static void tags_of_what_had_ended_stay(void **state)
{
    const int hour = 3600 * 1000;
    int64_t start = f.clock.wall_ms;

    (void)state;
    assert_int_equal(usage_open(f.engine, "u", start, tagged("red"), &f.err), 0);
    later(2 * hour);
    open_as("blue");
    assert_int_equal(usage_close(f.engine, "u", start + hour, &f.err), 0);
    assert_string_equal(tags_used(0), "red 3600000");
}

/* What an older version wrote names only who ended when. */
static void an_older_record_of_an_end_is_read(void **state)
{
    int64_t start = f.clock.wall_ms;
    char key[9] = "";

    (void)state;
    later(10000);
    assert_int_equal(usage_open(f.engine, "u", start, NULL, &f.err), 0);
    assert_int_equal(usage_close(f.engine, "u", start + 9000, &f.err), 0);
    store_key_int64(key, start + 9000);
    key[8] = 'u';
    assert_int_equal(store_put(f.store, "core_usage_by_end", (struct str){ key, 9 }, STR(""), &f.err), 0);
    assert_int_equal(used_ms("u"), 9000);
}

static void what_is_waived_stays_and_says_why(void **state)
{
    struct doc *list;

    assert_int_equal(usage_waive(f.engine, "never ran", "why", &f.err), 0);
    assert_int_equal(usage_open(f.engine, "u", f.clock.wall_ms, NULL, &f.err), 0);
    later(10000);
    assert_int_equal(usage_waive(f.engine, "u", "the disk was full", &f.err), 0);
    assert_int_equal(usage_close(f.engine, "u", f.clock.wall_ms, &f.err), 0);
    assert_int_equal(usage_waive(f.engine, "u", "its disk was full", &f.err), 0);
    assert_int_equal(used_ms("u"), 10000);
    assert_int_equal(usage_scan(f.arena, f.engine, 0, INT64_MAX, &list, &f.err), 0);
    assert_int_equal(list->count, 1);
    assert_true(doc_is(list->items[0], "waived", "its disk was full"));
}

static void jumps_bill_nobody(void **state)
{
    static const int64_t jumps[] = { 3600 * 1000, -3600 * 1000, 7 * 24 * 3600 * (int64_t)1000, -5000 };

    (void)state;
    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        const char *early = arena_printf(f.arena, "early-%zu", i), *across = arena_printf(f.arena, "across-%zu", i);
        int64_t seen;

        /* Opened before the jump, closed after it by a stamp from after it. */
        look_at_clock();
        assert_int_equal(usage_open(f.engine, across, f.clock.wall_ms, NULL, &f.err), 0);
        later(60000);
        look_at_clock();
        seen = f.clock.wall_ms;
        f.clock.wall_ms += jumps[i];
        look_at_clock();
        /* Opened after the jump with a stamp from before it. */
        assert_int_equal(usage_open(f.engine, early, seen, NULL, &f.err), 0);
        later(60000);
        assert_int_equal(usage_close(f.engine, across, f.clock.wall_ms, &f.err), 0);
        assert_int_equal(usage_close(f.engine, early, f.clock.wall_ms, &f.err), 0);
        assert_int_equal(used_ms(across), 120000);
        assert_true(used_ms(early) >= 0 && used_ms(early) <= 60000);
    }
}

static void jumps_while_nobody_looked_bill_nobody(void **state)
{
    (void)state;
    assert_int_equal(usage_open(f.engine, "u", f.clock.wall_ms, NULL, &f.err), 0);
    assert_int_equal(engine_commit(f.engine, &f.err), 0);
    later(60000);
    f.clock.wall_ms += 3600 * 1000;
    restart(); /* same boot */
    later(60000);
    assert_int_equal(usage_close(f.engine, "u", f.clock.wall_ms, &f.err), 0);
    assert_int_equal(used_ms("u"), 120000);
}

#define with_engine(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_engine(describe_gives_what_create_took),
        with_engine(refused_calls_write_nothing),
        with_engine(lists_filter_sort_and_page),
        with_engine(a_token_makes_create_once),
        with_engine(tags_go_with_the_row),
        with_engine(illegal_moves_abort),
        with_engine(children_have_derived_names),
        with_engine(rows_are_looked_at_when_they_asked),
        with_engine(crashes_forget_no_row),
        with_engine(failing_passes_save_nothing_and_wait),
        with_engine(pokes_and_timers_share),
        with_engine(a_lost_turn_comes_again),
        with_engine(a_clock_that_goes_back_stops_nobody),
        with_engine(rows_go_when_they_say_so),
        with_engine(tags_that_change_are_looked_at),
        with_engine(usage_opens_and_closes_once),
        with_engine(usage_comes_in_pages),
        with_engine(usage_has_the_tags_of_its_time),
        with_engine(tags_of_what_had_ended_stay),
        with_engine(an_older_record_of_an_end_is_read),
        with_engine(what_is_waived_stays_and_says_why),
        with_engine(jumps_bill_nobody),
        with_engine(jumps_while_nobody_looked_bill_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
