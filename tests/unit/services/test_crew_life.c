/* A job that does nothing: who notices, who is told, and that it works again. */
#include "services/sagemaker/crew_life.h"

#include "services/sagemaker/health_events.h"

#include "job_world.h"

enum { MOST = 6, LOOK_MS = 16000 /* nobody pokes here */ };

static struct mate mates[MOST];
static const char *const hosts[] = { "algo-1", "algo-2", "algo-3", "algo-4", "algo-5", "algo-6" };

static int begin(void **state)
{
    jobs_make();
    w.fleet = fleet_of_slots(w.arena, "local", 4, 0);
    jobs_start();
    return 0;
}

/* All of them train. */
static struct crew crew_of(int count)
{
    for (int i = 0; i < count; i++)
        mates[i] = (struct mate){ .host = hosts[i], .agent = hosts[i], .seen = true, .there = true,
                                  .report = { .phase = "Training", .outcome = "", .started_ms = 1 } };
    return (struct crew){ mates, count };
}

static struct doc *quiet_since(int64_t since_ms)
{
    struct doc *d = doc_map(w.arena);

    doc_set_integer(w.arena, d, "since_ms", since_ms);
    doc_set_string(w.arena, d, "why", "nothing");
    return d;
}

static void say_quiet(int i, int64_t since_ms)
{
    mates[i].report.quiet = quiet_since(since_ms);
}

static void a_job_is_quiet_when_all_of_it_is(void **state)
{
    struct crew crew = crew_of(3);

    assert_string_equal(crew_life_words(w.arena, &crew), "");
    say_quiet(0, 1000);
    say_quiet(1, 3000);
    assert_string_equal(crew_life_words(w.arena, &crew), "");
    say_quiet(2, 2000);
    assert_string_equal(crew_life_words(w.arena, &crew),
                        "The job has done nothing since 1970-01-01T00:00:03Z: algo-1: nothing; algo-2: nothing; "
                        "algo-3: nothing.");
    mates[1].report.phase = "Uploading"; /* it does something after all */
    assert_string_equal(crew_life_words(w.arena, &crew), "");
    mates[1].report.phase = "Ended"; /* it is the others that still have to do something */
    assert_string_equal(crew_life_words(w.arena, &crew),
                        "The job has done nothing since 1970-01-01T00:00:02Z: algo-1: nothing; algo-3: nothing.");
}

static void a_job_may_compute_and_say_nothing(void **state)
{
    struct crew crew = crew_of(2);

    mates[0].report.silent = quiet_since(1000);
    assert_string_equal(crew_life_words(w.arena, &crew), "");
    mates[1].report.silent = quiet_since(2000);
    assert_string_equal(crew_life_words(w.arena, &crew),
                        "The job has written no line since 1970-01-01T00:00:02Z: algo-1: nothing; algo-2: nothing.");
}

static void assert_patience(const struct doc *environment, int64_t quiet_s, int64_t silent_s)
{
    struct doc *order = doc_map(w.arena);

    order_set_patience(w.arena, order, &w.platform, environment);
    assert_int_equal(doc_int(order, "quiet_after_s", -1), quiet_s);
    assert_int_equal(doc_int(order, "silent_after_s", -1), silent_s);
}

static void the_jobs_own_word_counts_more_than_the_servers(void **state)
{
    struct doc *environment = doc_map(w.arena);
    struct err err;

    assert_patience(NULL, 1800, 7200);
    w.platform.hang_after_s = 600;
    w.platform.silent_after_s = 60;
    assert_patience(environment, 600, 60);
    doc_set_string(w.arena, environment, HANG_VARIABLE, "2m");
    doc_set_string(w.arena, environment, SILENT_VARIABLE, "3h");
    assert_patience(environment, 120, 3 * 3600);
    doc_set_string(w.arena, environment, HANG_VARIABLE, "off");
    doc_set_string(w.arena, environment, SILENT_VARIABLE, "off");
    assert_patience(environment, 1800, 7200);
    assert_int_equal(hang_check(environment, &err), 0);
    doc_set_string(w.arena, environment, SILENT_VARIABLE, "now and then");
    assert_int_equal(hang_check(environment, &err), -1);
    assert_non_null(strstr(err.text, SILENT_VARIABLE));
    w.platform.hang_after_s = w.platform.silent_after_s = 0;
}

static void not_every_host_of_many_is_named(void **state)
{
    struct crew crew = crew_of(6);

    for (int i = 0; i < 6; i++)
        say_quiet(i, 1000);
    assert_non_null(strstr(crew_life_words(w.arena, &crew), ": algo-1: nothing; algo-2: nothing; algo-3: nothing; "
                                                            "algo-4: nothing; so do 2 more."));
}

/* --- The whole way --- */

#define USUAL "Training image download completed. Training in progress."

static void create(const char *more)
{
    call("CreateTrainingJob",
         arena_printf(w.arena,
                      "{'TrainingJobName':'j','RoleArn':'" ROLE "','AlgorithmSpecification':{'TrainingImage':"
                      "'pytorch-training:1.13','TrainingInputMode':'File'},'OutputDataConfig':{'S3OutputPath':"
                      "'s3://b/o'},'ResourceConfig':{'InstanceType':'ml.m5.large','InstanceCount':1,"
                      "'VolumeSizeInGB':1},'StoppingCondition':{'MaxRuntimeInSeconds':36000}%s}",
                      more));
    settle();
    sim_report(w.runtime, only_agent(), "Downloading", "");
    sim_report(w.runtime, only_agent(), "Training", "");
    later(LOOK_MS);
}

static const char *message(void)
{
    const struct doc *d = call("DescribeTrainingJob", "{'TrainingJobName':'j'}");
    const struct doc *all = doc_get(d, "SecondaryStatusTransitions");

    return arena_strdup(w.arena, doc_text(all->items[all->count - 1], "StatusMessage"));
}

static const char *log_line(void)
{
    const struct doc *o = try("logs", "GetLogEvents",
                              json("{'logGroupName':'/aws/sagemaker/TrainingJobs','logStreamName':"
                                   "'j/algo-1-1700000000','startFromHead':true}"));
    size_t count = doc_count(o, "events");

    return count ? doc_text(doc_get(o, "events")->items[count - 1], "message") : "";
}

static const char *last_event(size_t *ret_count)
{
    struct doc *events;
    int64_t after;

    assert_int_equal(health_events(w.arena, w.engine, NULL, 0, &events, &after, &w.err), 0);
    *ret_count = events->count;
    return events->count ? json_text(w.arena, events->items[events->count - 1]) : "";
}

static void a_quiet_job_is_seen_without_a_rule_and_seen_to_work_again(void **state)
{
    size_t count;

    create("");
    assert_string_equal(message(), USUAL);
    sim_set(w.runtime, only_agent(), "quiet", quiet_since(1700000000000));
    later(LOOK_MS);
    assert_string_equal(message(), USUAL " The job has done nothing since 2023-11-14T22:13:20Z: algo-1: nothing.");
    assert_string_equal(log_line(), "sagebrush: The job has done nothing since 2023-11-14T22:13:20Z: algo-1: nothing.");
    assert_non_null(strstr(last_event(&count), "\"what\":\"Job Quiet\""));
    assert_int_equal(count, 1);
    jobs_stop();
    jobs_start();
    later(LOOK_MS);
    last_event(&count);
    assert_int_equal(count, 1); /* told once */
    sim_set(w.runtime, only_agent(), "quiet", doc_map(w.arena));
    later(LOOK_MS);
    assert_string_equal(message(), USUAL);
    assert_string_equal(log_line(), "sagebrush: this job works again");
    assert_non_null(strstr(last_event(&count), "\"what\":\"Job Works Again\""));
}

static void a_warning_is_told_once_and_so_is_its_end(void **state)
{
    struct doc *warned = json("{'why':'GPU 0: it is hot'}");
    size_t count;

    create("");
    sim_set(w.runtime, only_agent(), "warned", warned);
    later(LOOK_MS);
    assert_string_equal(log_line(), "sagebrush: warning: algo-1: GPU 0: it is hot");
    assert_non_null(strstr(last_event(&count), "\"what\":\"Instance Warning\""));
    jobs_stop();
    jobs_start();
    later(LOOK_MS);
    last_event(&count);
    assert_int_equal(count, 1);
    sim_set(w.runtime, only_agent(), "warned", doc_map(w.arena));
    later(LOOK_MS);
    assert_string_equal(log_line(), "sagebrush: algo-1: what was warned of is over");
    assert_non_null(strstr(last_event(&count), "\"what\":\"Instance Warning Over\""));
    assert_int_equal(count, 2);
    assert_string_equal(message(), USUAL);
}

static void one_that_writes_nothing_is_told_of_and_goes_on(void **state)
{
    size_t count;

    create("");
    sim_set(w.runtime, only_agent(), "silent", quiet_since(1700000000000));
    later(LOOK_MS);
    assert_string_equal(message(), USUAL " The job has written no line since 2023-11-14T22:13:20Z: algo-1: nothing.");
    assert_non_null(strstr(last_event(&count), "\"what\":\"Job Silent\""));
    sim_set(w.runtime, only_agent(), "silent", doc_map(w.arena));
    later(LOOK_MS);
    assert_string_equal(message(), USUAL);
    assert_string_equal(log_line(), "sagebrush: this job writes again");
    assert_non_null(strstr(last_event(&count), "\"what\":\"Job Writes Again\""));
    assert_int_equal(count, 2);
}

/* The job's end, of one that may not be so for ten seconds. */
static const struct doc *ended_for(const char *variable, const char *member)
{
    const struct doc *d;
    size_t count;

    create(arena_printf(w.arena, ",'Environment':{'%s':'10s'}", variable));
    sim_set(w.runtime, only_agent(), member, quiet_since(1700000000000));
    later(LOOK_MS);
    later(LOOK_MS);
    assert_non_null(strstr(last_event(&count), "\"what\":\"Job Hung\""));
    d = call("DescribeTrainingJob", "{'TrainingJobName':'j'}");
    assert_string_equal(doc_text(d, "TrainingJobStatus"), "Failed");
    return d;
}

static void one_that_may_not_be_silent_is_ended(void **state)
{
    const struct doc *d = ended_for(SILENT_VARIABLE, "silent");

    assert_non_null(strstr(doc_text(d, "FailureReason"), "s it wrote no line (algo-1: nothing)"));
}

static void one_that_may_not_hang_is_ended(void **state)
{
    const struct doc *d = ended_for(HANG_VARIABLE, "quiet");

    assert_non_null(strstr(doc_text(d, "FailureReason"), "the job hung"));
    assert_non_null(strstr(json_text(w.arena, d), USUAL " The job has done nothing since "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_is_quiet_when_all_of_it_is, begin, jobs_end),
        cmocka_unit_test_setup_teardown(the_jobs_own_word_counts_more_than_the_servers, begin, jobs_end),
        cmocka_unit_test_setup_teardown(not_every_host_of_many_is_named, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_quiet_job_is_seen_without_a_rule_and_seen_to_work_again, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_warning_is_told_once_and_so_is_its_end, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_job_may_compute_and_say_nothing, begin, jobs_end),
        cmocka_unit_test_setup_teardown(one_that_writes_nothing_is_told_of_and_goes_on, begin, jobs_end),
        cmocka_unit_test_setup_teardown(one_that_may_not_be_silent_is_ended, begin, jobs_end),
        cmocka_unit_test_setup_teardown(one_that_may_not_hang_is_ended, begin, jobs_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
