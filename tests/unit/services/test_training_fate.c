/* What the end of an attempt means for a training job: a table of ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "doc/json.h"
#include "services/sagemaker/kinds.h"
#include "services/sagemaker/training_fate.h"

#undef fail
#include <cmocka.h>

#define COMPLETED "{'phase':'Ended','outcome':'Completed'}"
#define STOPPED   "{'phase':'Ended','outcome':'Stopped'}"
#define FAILED    "{'phase':'Ended','outcome':'Failed','started_ms':1,'failure_reason':'AlgorithmError: x'}"
#define OURS      "{'phase':'Ended','outcome':'Failed','started_ms':1,'failure_reason':'InternalServerError: x'}"
#define UNFIT     "{'phase':'Ended','outcome':'Failed','failure_reason':'InternalServerError: x'," \
                  "'unhealthy':{'check':'disk','why':'it is full'}}"
#define LOST      "null"
#define CUT_OFF(host) "{'phase':'Ended','outcome':'Failed','failure_reason':'InternalServerError: x','unhealthy':{" \
                      "'check':'network between the instances','why':'no','blames':'algo-" #host "'}}"
#define SPOT      "'EnableManagedSpotTraining':true,"
#define RETRY     "'RetryStrategy':{'MaximumRetryAttempts':2},"
#define TAKEN     "{'Interrupt':{'Attempt':0,'NoticeMs':5}}"

/* "": the job goes on. A message is what the whole one begins with. */
static const struct end {
    const char *name, *spec, *state, *status, *want, *reports;
    const char *ends, *secondary, *message, *counts;
    bool waived, leave;
    const char *moves; /* 'x' for each instance that is to stand elsewhere */
} rows[] = {
    { "all is well", "", "InProgress", "{}", "{}", "[" COMPLETED "," COMPLETED "]", "Completed", "Completed",
      "Training job completed", "", false, false },
    { "one fails, the others are ended for it", "", "InProgress", "{}", "{}", "[" STOPPED "," FAILED "]", "Failed",
      "Failed", "AlgorithmError: x", "", false, false },
    { "the user's own fault is not tried again", RETRY, "InProgress", "{}", "{}", "[" FAILED "]", "Failed", "Failed",
      "AlgorithmError: x", "", false, false },
    { "ours is, and costs nothing", RETRY, "InProgress", "{}", "{}", "[" OURS "]", "", "Restarting",
      "Attempt 1 of 2 to restart the job: InternalServerError: x", "_Retries", true, false },
    { "as often as was asked for", RETRY, "InProgress", "{'_Retries':2}", "{}", "[" OURS "]", "Failed", "Failed",
      "InternalServerError: x", "", true, false },
    { "and not when it is to stop", RETRY, "Stopping", "{}", "{}", "[" OURS "]", "Failed", "Failed",
      "InternalServerError: x", "", true, false },
    { "a lost instance explains the others' errors", "", "InProgress", "{}", "{}", "[" LOST "," FAILED "]", "Failed",
      "Failed", "InternalServerError: instance unhealthy: algo-1", "", true, false, "x." },
    { "the one that is lost is to stand elsewhere", RETRY, "InProgress", "{}", "{}", "[" STOPPED "," LOST "]", "",
      "Restarting", "Attempt 1 of 2 to restart the job: InternalServerError: instance unhealthy: algo-2", "_Retries",
      true, false, ".x" },
    { "of two that cannot reach each other nobody knows which it is", RETRY, "InProgress", "{}", "{}",
      "[" CUT_OFF(2) "," CUT_OFF(1) "]", "", "Starting", "Launched instance was unhealthy", "_Replaced", true, false,
      "xx" },
    { "an instance that is not fit is replaced", "", "InProgress", "{}", "{}", "[" UNFIT "]", "", "Starting",
      "Launched instance was unhealthy, replacing it! it is full", "_Replaced", true, false, "x" },
    { "five times", "", "InProgress", "{'_Replaced':5}", "{}", "[" UNFIT "]", "Failed", "Failed",
      "InternalServerError: instance unhealthy: it is full", "", true, false, "x" },
    { "it was stopped", "", "Stopping", "{}", "{'Stop':true}", "[" STOPPED "," FAILED "]", "Stopped", "Stopped",
      "Training job stopped", "", false, false },
    { "it was stopped when all but the upload was done", "", "Stopping", "{}", "{'Stop':true}", "[" COMPLETED "]",
      "Stopped", "Stopped", "Training job stopped. It had ended by itself, and everything", "", false, false },
    { "and so did it as its time to wait was over", SPOT, "Stopping", "{'_Waited':1}", "{}", "[" COMPLETED "]",
      "Stopped", "MaxWaitTimeExceeded", "Training job exceeded MaxWaitTimeInSeconds. It had ended by itself", "", false,
      false },
    { "it was interrupted", SPOT, "InProgress", "{}", TAKEN, "[" STOPPED "," FAILED "]", "", "Interrupted",
      "Training job interrupted", "", false, true },
    { "interrupted and stopped is stopped", SPOT, "Stopping", "{}", "{'Stop':true,'Interrupt':{'Attempt':0}}",
      "[" STOPPED "]", "Stopped", "Stopped", "Training job stopped", "", false, false },
    { "a failure before the notice was heard is a failure", SPOT, "InProgress", "{}", TAKEN, "[" FAILED "]", "Failed",
      "Failed", "AlgorithmError: x", "", false, false },
    { "it has waited long enough", SPOT, "InProgress", "{'_Waited':1}", "{}", "[" STOPPED "]", "Stopped",
      "MaxWaitTimeExceeded", "Training job exceeded MaxWaitTimeInSeconds", "", false, false },
    { "it ran too long", "", "InProgress", "{}", "{}",
      "[{'phase':'Ended','outcome':'MaxRuntimeExceeded','message':'Killed'}," STOPPED "]", "Stopped",
      "MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds. Killed", "", false, false },
    { "the cluster took it back", "", "InProgress", "{}", "{}", "[{'phase':'Ended','outcome':'Interrupted'}]", "",
      "Interrupted", "Training job interrupted: the cluster", "", false, true },
    { "an end that nobody knows is no good one", RETRY, "InProgress", "{}", "{}",
      "[" COMPLETED ",{'phase':'Ended','outcome':'Complete'}]", "", "Restarting",
      "Attempt 1 of 2 to restart the job: InternalServerError: algo-2 ended as \"Complete\"", "_Retries", true, false },
    { "nor is one without a word", "", "InProgress", "{}", "{}", "[{'phase':'Ended'}]", "Failed", "Failed",
      "InternalServerError: algo-1 ended as \"\"", "", true, false },
    { "it hung", RETRY, "InProgress", "{'_Hung':'InternalServerError: hung'}", "{}", "[" STOPPED "]", "", "Restarting",
      "Attempt 1 of 2 to restart the job: InternalServerError: hung", "_Retries", false, false },
};

static struct doc *parse(struct arena *a, const char *text)
{
    char *json = arena_strdup(a, text);
    struct doc *d;
    struct err err;

    for (char *p = json; *p; p++)
        if (*p == '\'')
            *p = '"';
    assert_int_equal(json_parse(a, str_of(json), &d, &err), 0);
    return d;
}

static struct crew crew_of_reports(struct arena *a, const struct doc *reports)
{
    struct crew crew = { arena_array_of(a, struct mate, reports->count), (int)reports->count };

    for (int i = 0; i < crew.count; i++) {
        const struct doc *report = reports->items[i];
        bool there = report->type == DOC_MAP;

        crew.mates[i] = (struct mate){ .host = crew_host(a, i), .agent = "agent", .seen = true, .there = there,
                                       .report = report_read(there ? report : doc_map(a)) };
    }
    return crew;
}

static void assert_begins(const char *row, const char *text, const char *begin)
{
    if (strncmp(text ? text : "", begin, strlen(begin)) != 0)
        fail_msg("%s: \"%s\" does not begin with \"%s\"", row, text ? text : "", begin);
}

static const char *moves_of(struct arena *a, const struct crew *crew, const struct fate *f)
{
    const char *text = "";

    for (int i = 0; f->moves && i < crew->count; i++)
        text = arena_printf(a, "%s%c", text, f->moves[i] ? 'x' : '.');
    return text;
}

static void each_end_has_its_meaning(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        _cleanup_arena_ struct arena *a = arena_new();
        const struct end *row = &rows[i];
        const char *spec = arena_printf(a, "{%s'TrainingJobName':'x'}", row->spec);
        struct crew crew = crew_of_reports(a, parse(a, row->reports));
        struct resource r = { .kind = &training_job, .status = parse(a, row->status), .want = parse(a, row->want) };
        struct fate f;

        r.row = (struct row){ .state = row->state, .spec = parse(a, spec), .status = r.status, .want = r.want };
        f = training_fate(a, &r, &crew, 10);
        assert_begins(row->name, f.state, row->ends);
        assert_begins(row->name, f.secondary, row->secondary);
        assert_begins(row->name, f.message, row->message);
        assert_string_equal(moves_of(a, &crew, &f), row->moves ? row->moves : "");
        if (!f.state != !*row->ends || !f.waived != !row->waived || f.leave != row->leave ||
            strcmp(f.counts ? f.counts : "", row->counts) != 0)
            fail_msg("%s: state %s waived %s leave %d counts %s", row->name, f.state, f.waived, f.leave, f.counts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_end_has_its_meaning) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
