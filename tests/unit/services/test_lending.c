/* Who has an agent's name, and for how long, with a clock that the test moves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "doc/json.h"
#include "run/box.h"
#include "run/folder.h"
#include "services/admin/lending.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../held.h"

static int64_t now;

static int64_t boot_ms(struct clock *c)
{
    return now;
}

static struct clock test_clock = { .wall_ms = boot_ms, .boot_ms = boot_ms };

struct fixture {
    struct arena *arena;
    struct lending *lending;
    char data[32];
    const char *folder; /* of the agent "a-0" */
};

static struct doc *phase(struct arena *a, const char *name)
{
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "phase", name);
    return d;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct doc *order;
    struct err err;

    *state = f;
    now = 1000000;
    f->arena = arena_new();
    strcpy(f->data, "/tmp/sgb-lend-XXXXXX");
    assert_non_null(mkdtemp(f->data));
    f->folder = arena_printf(f->arena, "%s/agents/a-0", f->data);
    assert_int_equal(folder_make(f->folder, 0700, &err), 0);
    order = doc_map(f->arena);
    doc_set_string(f->arena, order, "name", "a-0");
    doc_set_string(f->arena, order, "job_name", "job");
    doc_set_string(f->arena, order, "account", "1");
    doc_set_string(f->arena, order, "region", "r");
    doc_set_string(f->arena, order, "log_group", "g");
    doc_set_string(f->arena, order, "log_stream", "job/algo-1");
    doc_set_string(f->arena, doc_member(f->arena, order, "remote", DOC_MAP), "token", "secret");
    assert_int_equal(folder_write(f->arena, f->folder, FOLDER_ORDER, order, false, &err), 0);
    f->lending = lending_new(&test_clock, f->data);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct err err;

    lending_free(f->lending);
    tree_remove(f->data, &err);
    arena_free(f->arena);
    free(f);
    return 0;
}

/* What is said to it: ERR_NONE where it may. */
static int admit_to(struct fixture *f, const char *bearer, enum lending_to to)
{
    const struct doc *order;
    struct err err = { 0 };

    return lending_admit(f->lending, f->arena, str_of(bearer), to, &order, &err) == 0 ? 0 : (int)err.kind;
}

static int admit(struct fixture *f, const char *bearer, bool asks)
{
    return admit_to(f, bearer, asks ? LENDING_ASKER : LENDING_HOLDER);
}

static int look(struct fixture *f, const char *bearer)
{
    struct err err = { 0 };

    return lending_look(f->lending, f->arena, str_of(bearer), &err) == 0 ? 0 : (int)err.kind;
}

static void who_has_no_token_is_nobody(void **state)
{
    static const char *const bad[] = { "", "Basic a-0:x:secret", "Bearer a-0", "Bearer a-0:x", "Bearer a-0:x:",
                                       "Bearer a-0:x:secreT", "Bearer a-0:x:secrets", "Bearer ../agents/a-0:x:secret",
                                       "Bearer .:x:secret", "Bearer a-0::secret", "Bearer :x:secret",
                                       "Bearer a-0:a place:secret" };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(look(f, bad[i]), ERR_DENIED);
        assert_int_equal(admit(f, bad[i], true), ERR_DENIED);
    }
    assert_int_equal(look(f, "Bearer b-0:x:secret"), ERR_NOT_FOUND);
    assert_int_equal(admit(f, "Bearer b-0:x:secret", true), ERR_NOT_FOUND);
    /* Who looks lends nothing. */
    assert_int_equal(look(f, "Bearer a-0:x:secret"), 0);
    assert_false(path_exists(arena_printf(f->arena, "%s/place.json", f->folder)));
}

static void a_name_is_lent_to_one_place(void **state)
{
    struct fixture *f = *state;

    /* Who does not ask for it has not got it. */
    assert_int_equal(admit(f, "Bearer a-0:x:secret", false), ERR_CONFLICT);
    assert_int_equal(admit(f, "Bearer a-0:x:secret", true), 0);
    assert_int_equal(admit(f, "Bearer a-0:x:secret", false), 0);
    now += LENDING_MS - 1;
    assert_int_equal(admit(f, "Bearer a-0:y:secret", true), ERR_CONFLICT);
    /* It was heard, and keeps it. */
    assert_int_equal(admit(f, "Bearer a-0:x:secret", false), 0);
    now += LENDING_MS - 1;
    assert_int_equal(admit(f, "Bearer a-0:y:secret", true), ERR_CONFLICT);
    now += 1;
    assert_int_equal(admit(f, "Bearer a-0:y:secret", false), ERR_CONFLICT);
    assert_int_equal(admit(f, "Bearer a-0:y:secret", true), 0);
    /* The first comes back, and is nobody. */
    assert_int_equal(admit(f, "Bearer a-0:x:secret", false), ERR_CONFLICT);
    assert_int_equal(admit(f, "Bearer a-0:x:secret", true), ERR_CONFLICT);
}

static void the_own_machine_needs_no_loan(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(admit_to(f, "Bearer a-0:here:secreT", LENDING_HERE), ERR_DENIED);
    assert_int_equal(admit_to(f, "Bearer a-0:here:secret", LENDING_HERE), 0);
    assert_false(path_exists(arena_printf(f->arena, "%s/place.json", f->folder)));
    /* Nor does it keep another machine from it, which then is the only one. */
    assert_int_equal(admit(f, "Bearer a-0:x:secret", true), 0);
    assert_int_equal(admit_to(f, "Bearer a-0:here:secret", LENDING_HERE), ERR_CONFLICT);
    assert_int_equal(admit_to(f, "Bearer a-0:x:secret", LENDING_HERE), 0);
}

/* A job that Slurm has begun on another machine, and begins here. */
static void the_own_machine_asks_as_any_other(void **state)
{
    struct fixture *f = *state;
    const char *ours = "Bearer a-0:" PLACE_SERVER ":secret", *box = arena_printf(f->arena, "%s/box", f->folder);
    const struct doc *place;
    pid_t init;
    struct err err;

    assert_int_equal(admit(f, "Bearer a-0:x:secret", true), 0);
    now += LENDING_MS - 1;
    assert_int_equal(admit(f, ours, true), ERR_CONFLICT);
    now += 1;
    /* The container that the last agent here has left is the next one's. */
    assert_int_equal(folder_make(box, 0700, &err), 0);
    init = hold(arena_printf(f->arena, "%s/" EXIT_LOCK, box));
    assert_int_equal(admit(f, ours, true), 0);
    assert_int_equal(folder_read(f->arena, f->folder, FOLDER_PLACE, &place, &err), 0);
    assert_true(doc_is(place, "place", PLACE_SERVER));
    assert_int_equal(admit_to(f, ours, LENDING_HERE), 0);
    assert_int_equal(kill(init, 0), 0);
    let_go(init);
    assert_int_equal(admit(f, "Bearer a-0:x:secret", true), ERR_CONFLICT);
    now += LENDING_MS;
    assert_int_equal(admit(f, "Bearer a-0:x:secret", true), 0);
}

static void who_works_on_the_own_machine_keeps_the_name(void **state)
{
    struct fixture *f = *state;
    const char *box = arena_printf(f->arena, "%s/box", f->folder);
    pid_t agent = hold(arena_printf(f->arena, "%s/" FOLDER_AGENT, f->folder)), init;
    struct err err;
    int how;

    now += 10 * LENDING_MS;
    assert_int_equal(admit(f, "Bearer a-0:x:secret", true), ERR_CONFLICT);
    assert_false(path_exists(arena_printf(f->arena, "%s/place.json", f->folder)));
    /* Slurm has killed the agent, and not its container. */
    assert_int_equal(folder_make(box, 0700, &err), 0);
    init = hold(arena_printf(f->arena, "%s/" EXIT_LOCK, box));
    let_go(agent);
    assert_int_equal(admit(f, "Bearer a-0:x:secret", true), ERR_CONFLICT);
    /* It was told to end; then there is nobody here. */
    assert_int_equal(waitpid(init, &how, 0), init);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGUSR2);
    assert_int_equal(admit(f, "Bearer a-0:x:secret", true), 0);
}

static void a_server_that_starts_knows_who_had_it(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(admit(f, "Bearer a-0:x:secret", true), 0);
    lending_free(f->lending);
    now += 10 * LENDING_MS;
    f->lending = lending_new(&test_clock, f->data);
    assert_int_equal(admit(f, "Bearer a-0:y:secret", true), ERR_CONFLICT);
    assert_int_equal(admit(f, "Bearer a-0:x:secret", false), 0);
}

static void what_passes(void **state)
{
    struct fixture *f = *state;
    struct arena *a = f->arena;
    struct doc *told = doc_map(a), *stop = doc_map(a), *answer = doc_map(a);
    const struct doc *order, *report;
    struct err err;

    assert_int_equal(lending_admit(f->lending, a, STR("Bearer a-0:x:secret"), LENDING_ASKER, &order, &err), 0);
    doc_set(a, told, "report", phase(a, "Training"));
    assert_int_equal(lending_exchange(f->lending, a, order, told, answer, &err), 0);
    assert_int_equal(answer->count, 0);
    assert_int_equal(folder_read(a, f->folder, FOLDER_REPORT, &report, &err), 0);
    assert_true(doc_is(report, "phase", "Training"));
    /* A place that has no report of its own gets the last one, and whoever is to end is told. */
    doc_set_integer(a, stop, "grace_s", 5);
    assert_int_equal(folder_write(a, f->folder, FOLDER_STOP, stop, false, &err), 0);
    assert_int_equal(lending_exchange(f->lending, a, order, doc_map(a), answer, &err), 0);
    assert_true(doc_is(answer, "report.phase", "Training") && doc_int(answer, "stop.grace_s", 0) == 5);
    /* From its end on it says no more, and nobody is asked. */
    doc_set(a, told, "report", phase(a, "Ended"));
    assert_int_equal(lending_exchange(f->lending, a, order, told, answer, &err), 0);
    assert_int_equal(admit(f, "Bearer a-0:x:secret", true), ERR_NOT_FOUND);
    assert_int_equal(admit(f, "Bearer a-0:y:secret", true), ERR_NOT_FOUND);
    doc_set_string(a, told, "report", "no map");
    assert_int_equal(lending_exchange(f->lending, a, order, told, answer, &err), -1);
}

static const struct doc *kept_of(struct fixture *f, const char *report)
{
    struct doc *told, *answer = doc_map(f->arena);
    const struct doc *order, *kept;
    struct err err = { 0 };

    assert_int_equal(lending_admit(f->lending, f->arena, STR("Bearer a-0:x:secret"), LENDING_ASKER, &order, &err), 0);
    assert_int_equal(json_parse(f->arena, str_of(arena_printf(f->arena, "{\"report\":%s}", report)), &told, &err), 0);
    assert_int_equal(lending_bound(f->lending, f->arena, order, told, &err), 0);
    if (lending_exchange(f->lending, f->arena, order, told, answer, &err) < 0)
        assert_true(err.kind == ERR_LIMIT || err.kind == ERR_INVALID);
    assert_int_equal(folder_read(f->arena, f->folder, FOLDER_REPORT, &kept, &err), 0);
    return kept;
}

/* Whoever reads it adds up what it says, and multiplies it by prices. */
static void what_a_report_counts_can_be_counted_with(void **state)
{
    const struct timespec ordered[2] = { { .tv_sec = 500 }, { .tv_sec = 500 } };
    const int64_t most = INT64_C(1) << 53;
    struct fixture *f = *state;
    const struct doc *d;

    assert_int_equal(utimensat(AT_FDCWD, arena_printf(f->arena, "%s/" FOLDER_ORDER, f->folder), ordered, 0), 0);
    d = kept_of(f, "{\"started_ms\":-9223372036854775808, \"ended_ms\":9223372036854775807, \"overran_ms\":9e18,"
                   "\"exit_code\":-9223372036854775808, \"port\":1e300,"
                   "\"phases\":[{\"phase\":\"Training\",\"at_ms\":-1},{\"at_ms\":7},{\"at_ms\":600000}],"
                   "\"final_metrics\":[{\"name\":\"loss\",\"value\":-1e77}]}");

    assert_int_equal(doc_int(d, "started_ms", -1), 0);
    assert_int_equal(doc_int(d, "ended_ms", -1), now);
    assert_int_equal(doc_int(d, "overran_ms", -1), now);
    assert_int_equal(doc_int(d, "exit_code", 0), -most);
    assert_true(doc_number(d, "port", 0) == 1e300);
    assert_int_equal(doc_int(d, "phases[0].at_ms", -1), 0);
    assert_int_equal(doc_int(d, "phases[1].at_ms", -1), 500000); /* before that it had no order */
    assert_int_equal(doc_int(d, "phases[2].at_ms", -1), 600000);
    assert_true(doc_number(d, "final_metrics[0].value", 0) == -1e77);
}

static void an_older_report_does_not_come_back(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(doc_text(kept_of(f, "{\"sequence\":7,\"phase\":\"Training\"}"), "phase"), "Training");
    assert_string_equal(doc_text(kept_of(f, "{\"sequence\":6,\"phase\":\"Downloading\"}"), "phase"), "Training");
    assert_string_equal(doc_text(kept_of(f, "{\"sequence\":7,\"phase\":\"Uploading\"}"), "phase"), "Uploading");
    assert_string_equal(doc_text(kept_of(f, "{\"sequence\":8,\"phase\":\"Ended\"}"), "phase"), "Ended");
}

/* What is printed of a number may be longer than what was read: nobody could read the file any more. */
static void a_report_that_is_too_large_is_not_kept(void **state)
{
    enum { NUMBERS = 400000 };
    struct fixture *f = *state;
    char *report = arena_alloc(f->arena, 16 + NUMBERS * 6), *end = report;

    assert_int_equal(doc_int(kept_of(f, "{\"sequence\":1}"), "sequence", 0), 1);
    end = stpcpy(end, "{\"many\":[0");
    for (int i = 0; i < NUMBERS; i++)
        end = stpcpy(end, ",1e-99");
    strcpy(end, "]}");
    assert_int_equal(doc_int(kept_of(f, report), "sequence", 0), 1);
    assert_int_equal(doc_int(kept_of(f, "[7]"), "sequence", 0), 1);
    assert_int_equal(doc_int(kept_of(f, "\"Ended\""), "sequence", 0), 1);
    assert_int_equal(doc_int(kept_of(f, "{\"sequence\":2}"), "sequence", 0), 2);
}

static void a_node_speaks_for_its_own_job(void **state)
{
    struct fixture *f = *state;
    struct arena *a = f->arena;
    struct doc *logs = doc_map(a), *metrics = doc_map(a), *datum = doc_map(a);
    const struct doc *order;
    struct err err;

    assert_int_equal(lending_admit(f->lending, a, STR("Bearer a-0:x:secret"), LENDING_ASKER, &order, &err), 0);
    doc_set_string(a, logs, "account", "1");
    doc_set_string(a, logs, "region", "r");
    doc_set_string(a, logs, "group", "g");
    doc_set_string(a, logs, "stream", "job/algo-1");
    assert_true(lending_owns_logs(order, logs));
    for (const char *const *m = (const char *const[]){ "account", "region", "group", "stream", NULL }; *m; m++) {
        struct doc *other = doc_copy(a, logs);

        doc_set_string(a, other, *m, "other");
        assert_false(lending_owns_logs(order, other));
    }
    assert_false(lending_owns_logs(order, NULL));
    doc_set_string(a, metrics, "account", "1");
    doc_set_string(a, metrics, "region", "r");
    doc_set_string(a, metrics, "namespace", "/aws/sagemaker/TrainingJobs");
    doc_set_string(a, metrics, "id", "a-0:17");
    doc_append(a, doc_member(a, metrics, "data", DOC_LIST), datum);
    assert_false(lending_owns_metrics(a, order, metrics));
    doc_set_string(a, doc_member(a, datum, "dimensions", DOC_MAP), "Host", "job/algo-1");
    assert_true(lending_owns_metrics(a, order, metrics));
    doc_set_string(a, metrics, "id", "b-0:17");
    assert_false(lending_owns_metrics(a, order, metrics));
    doc_set_string(a, metrics, "id", "a-0:17");
    doc_set_string(a, metrics, "namespace", "Mine");
    assert_false(lending_owns_metrics(a, order, metrics));
    doc_set_string(a, metrics, "namespace", "/aws/sagemaker/TrainingJobs");
    doc_set(a, metrics, "data", doc_map(a));
    doc_set(a, doc_member(a, metrics, "data", DOC_MAP), "0", datum);
    assert_false(lending_owns_metrics(a, order, metrics));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_has_no_token_is_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_is_lent_to_one_place, setup, teardown),
        cmocka_unit_test_setup_teardown(the_own_machine_needs_no_loan, setup, teardown),
        cmocka_unit_test_setup_teardown(the_own_machine_asks_as_any_other, setup, teardown),
        cmocka_unit_test_setup_teardown(who_works_on_the_own_machine_keeps_the_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_server_that_starts_knows_who_had_it, setup, teardown),
        cmocka_unit_test_setup_teardown(what_passes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_report_counts_can_be_counted_with, setup, teardown),
        cmocka_unit_test_setup_teardown(an_older_report_does_not_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_report_that_is_too_large_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_node_speaks_for_its_own_job, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
