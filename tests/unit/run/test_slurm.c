#include <stdio.h>
#include <string.h>

#include "run/slurm_batch.h"
#include "run/slurm_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static int setup(void **state)
{
    *state = arena_new();
    return 0;
}

static int teardown(void **state)
{
    arena_free(*state);
    return 0;
}

static int jobs_of(struct arena *a, const char *text, struct slurm_job **ret)
{
    struct err err = { 0 };
    int count;

    return slurm_read_jobs(a, str_of(text), ret, &count, &err) < 0 ? -1 : count;
}

static void jobs_are_found_by_name(void **state)
{
    static const char text[] = "12|RUNNING|None|n[1-3]|2026-01-02T10:00:00|b-0\n"
                               "11|PENDING|ReqNodeNotAvail, UnavailableNodes:n1||2026-01-02T09:00:00|a-0\n"
                               "13|NODE_FAIL|NodeDown|n2|2026-01-02T11:00:00|somebody's | job\n";
    struct slurm_job *jobs;
    const struct slurm_job *j;

    assert_int_equal(jobs_of(*state, text, &jobs), 3);
    j = slurm_job_find(jobs, 3, "a-0");
    assert_non_null(j);
    assert_string_equal(j->id, "11");
    assert_int_equal(j->fate, SLURM_WAITS);
    assert_string_equal(j->reason, "ReqNodeNotAvail, UnavailableNodes:n1");
    j = slurm_job_find(jobs, 3, "b-0");
    assert_string_equal(j->nodes, "n[1-3]");
    assert_int_equal(j->fate, SLURM_RUNS);
    assert_int_equal(slurm_job_find(jobs, 3, "somebody's | job")->fate, SLURM_LOST);
    assert_null(slurm_job_find(jobs, 3, "c-0"));
    assert_null(slurm_job_find(NULL, 0, "c-0"));
}

/* Numbers begin anew when slurmctld forgets, and an attempt can have been submitted more than once. */
static void the_one_that_goes_on_counts(void **state)
{
    static const char text[] = "7|FAILED|None|n1|2026-01-02T10:00:00|a-0\n"
                               "1|PENDING|Priority||2026-01-02T10:00:05|a-0\n"
                               "8|COMPLETED|None|n1|2026-01-02T10:00:03|a-0\n"
                               "3|COMPLETED|None|n1|2026-01-02T10:00:03|b-0\n"
                               "2|TIMEOUT|None|n1|2026-01-02T10:00:09|b-0\n"
                               "10|FAILED|None||2026-01-02T10:00:09|c-0\n" /* in the same second */
                               "9|FAILED|None|n1|2026-01-02T10:00:09|c-0\n"
                               "11|NODE_FAIL|None|n1|2026-01-02T10:00:01|d-0\n" /* and its twin's agents went home */
                               "12|COMPLETED|None|n1|2026-01-02T10:00:02|d-0\n";
    struct slurm_job *jobs;

    assert_int_equal(jobs_of(*state, text, &jobs), 4);
    assert_string_equal(jobs[2].id, "10");
    assert_string_equal(jobs[3].id, "11");
    assert_string_equal(jobs[0].id, "1");
    assert_string_equal(jobs[1].id, "2");
    assert_int_equal(jobs[1].fate, SLURM_LOST);
}

static void what_is_no_list_is_no_answer(void **state)
{
    static const char *const bad[] = { "nonsense\n", "1|RUNNING|None|n1|2026\n", "|RUNNING|None|n1|2026|a\n",
                                       "x|RUNNING|None|n1|2026|a\n", "1|RUNNING|None|n1|2026|\n",
                                       "1|RUNNING|None|n1|2026|a\nsqueue: error: cut off" };
    struct slurm_job *jobs;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(jobs_of(*state, bad[i], &jobs), -1);
    assert_int_equal(jobs_of(*state, "", &jobs), 0);
    assert_int_equal(jobs_of(*state, "\n \n", &jobs), 0);
    /* A state of a later Slurm: nothing is concluded. */
    assert_int_equal(jobs_of(*state, "1|LEVITATING|None|n1|2026|a", &jobs), 1);
    assert_int_equal(jobs[0].fate, SLURM_RUNS);
}

static void sbatch_answers(void **state)
{
    assert_string_equal(slurm_read_id(*state, STR("17\n")), "17");
    assert_string_equal(slurm_read_id(*state, STR("17;cluster\n")), "17");
    assert_null(slurm_read_id(*state, STR("")));
    assert_null(slurm_read_id(*state, STR("Submitted batch job 17")));
    assert_null(slurm_read_id(*state, STR(";17")));
}

static void a_refusal_is_not_a_trouble(void **state)
{
    static const char refused[] = "sbatch: error: Memory specification can not be satisfied\n"
                                  "sbatch: error: Batch job submission failed: Requested node configuration is not "
                                  "available\n";
    static const char away[] = "sbatch: error: Batch job submission failed: Unable to contact slurm controller "
                               "(connect failure)\n";
    const char *words = slurm_complaint(*state, STR(refused));

    assert_string_equal(words, "Batch job submission failed: Requested node configuration is not available");
    assert_true(slurm_refuses(words));
    assert_false(slurm_refuses(slurm_complaint(*state, STR(away))));
    assert_false(slurm_refuses(slurm_complaint(*state, STR(""))));
}

static void a_reason_is_told_in_words(void **state)
{
    struct slurm_job j = { .id = "17", .reason = "Resources" };

    assert_string_equal(slurm_waiting_words(*state, &j),
                        "Slurm job 17 waits: no node of its partition has enough free cores, memory or GPUs "
                        "(Resources)");
    j.reason = "QOSMaxCpuPerUserLimit";
    assert_string_equal(slurm_waiting_words(*state, &j),
                        "Slurm job 17 waits: a limit of its quality of service is reached (QOSMaxCpuPerUserLimit)");
    j.reason = "FrontEndDown";
    assert_string_equal(slurm_waiting_words(*state, &j), "Slurm job 17 waits: FrontEndDown");
    j.reason = "None";
    assert_string_equal(slurm_waiting_words(*state, &j), "Slurm job 17 waits for its turn");
}

/* --- What sbatch is told --- */

static struct doc *order_of(struct arena *a)
{
    struct doc *order = doc_map(a), *limits = doc_member(a, order, "limits", DOC_MAP);

    doc_set_string(a, order, "name", "a-0");
    doc_set_string(a, order, "job_arn", "arn:aws:sagemaker:us-east-1:111122223333:training-job/x");
    doc_set_integer(a, order, "max_runtime_s", 90);
    doc_set_integer(a, limits, "cpus", 4);
    doc_set_integer(a, limits, "memory_bytes", (INT64_C(16) << 30) + 1);
    return order;
}

static bool told(const struct slurm_batch *b, const char *option)
{
    for (int i = 0; b->arguments[i]; i++)
        if (strcmp(b->arguments[i], option) == 0)
            return true;
    return false;
}

static void one_instance(void **state)
{
    const struct slurm_settings s = { .partition = "gpu", .spot_partition = "spot", .qos = "high",
                                      .options = " --nice=5  --exclude=n7 " };
    struct doc *order = order_of(*state);
    struct slurm_batch b = slurm_batch_of(*state, &s, order, "/data/agents", "/lib/agent");

    assert_string_equal(b.name, "a-0");
    assert_true(told(&b, "--job-name=a-0") && told(&b, "--nodes=1") && told(&b, "--cpus-per-task=4"));
    assert_true(told(&b, "--mem=16385M") && told(&b, "--time=62") && told(&b, "--partition=gpu"));
    assert_true(told(&b, "--qos=high") && told(&b, "--nice=5") && told(&b, "--exclude=n7"));
    assert_true(told(&b, "--comment=arn:aws:sagemaker:us-east-1:111122223333:training-job/x"));
    assert_non_null(strstr(b.script, "'/data/agents/a-0'"));
    doc_set_boolean(*state, order, "spot", true);
    doc_set_integer(*state, doc_member(*state, order, "limits", DOC_MAP), "gpus_wanted", 8);
    b = slurm_batch_of(*state, &s, order, "/data/agents", "/lib/agent");
    assert_true(told(&b, "--partition=spot") && told(&b, "--qos=high") && told(&b, "--gres=gpu:8"));
}

static void every_option_is_passed_on(void **state)
{
    struct arena *a = *state;
    struct slurm_settings s = { .options = "" };
    struct slurm_batch b;

    for (int i = 0; i < 300; i++)
        s.options = arena_printf(a, "%s --licenses=l%d", s.options, i);
    s.options = arena_printf(a, "%s --exclude=n7", s.options);
    b = slurm_batch_of(a, &s, order_of(a), "/data/agents", "/lib/agent");
    assert_true(told(&b, "--licenses=l0") && told(&b, "--licenses=l299") && told(&b, "--job-name=a-0"));
    assert_string_equal(slurm_batch_exclude(a, s.options, (const char *const[]) { "n1" }, 1), "n7,n1");
}

static void gpus_of_a_type(void **state)
{
    static const struct {
        const char *instance_type, *option;
    } cases[] = {
        { "ml.p4d.24xlarge", "--gres=gpu:a100:2" },   { "ml.g5.xlarge", "--gres=gpu:a10g-small:2" },
        { "ml.g5.48xlarge", "--gres=gpu:a10g:2" },    { "ml.g4dn.xlarge", "--gres=gpu:2" },
        { "ml.p4de.24xlarge", "--gres=gpu:2" },       { "", "--gres=gpu:2" },
    };
    const struct slurm_settings s = { .gpu_types = " ml.g5:a10g ml.p4d:a100  ml.g5.xlarge:a10g-small" };
    struct doc *order = order_of(*state);

    doc_set_integer(*state, doc_member(*state, order, "limits", DOC_MAP), "gpus_wanted", 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slurm_batch b;

        doc_set_string(*state, order, "instance_type", cases[i].instance_type);
        b = slurm_batch_of(*state, &s, order, "/data/agents", "/lib/agent");
        assert_true(told(&b, cases[i].option));
    }
}

static void instances_in_the_order_of_hosts(void **state)
{
    struct arena *a = *state;
    struct doc *order = order_of(a), *hosts = doc_member(a, order, "hosts", DOC_LIST),
               *peers = doc_member(a, order, "peers", DOC_MAP);
    struct slurm_batch b;
    int count;
    const char *const *agents;

    for (int i = 1; i <= 11; i++) {
        doc_append(a, hosts, doc_string(a, arena_printf(a, "algo-%d", i)));
        doc_set_string(a, peers, arena_printf(a, "algo-%d", i), arena_printf(a, "agent-of-%d", i));
    }
    agents = slurm_batch_agents(a, order, &count);
    assert_int_equal(count, 11);
    assert_string_equal(agents[0], "agent-of-1");
    assert_string_equal(agents[10], "agent-of-11");
    b = slurm_batch_of(a, &(struct slurm_settings){ 0 }, order, "/data/agents", "/lib/agent");
    assert_string_equal(b.name, "agent-of-1");
    assert_true(told(&b, "--nodes=11") && told(&b, "--ntasks=11") && told(&b, "--ntasks-per-node=1"));
    assert_true(strstr(b.script, "agent-of-2'") < strstr(b.script, "agent-of-11'"));
}

/* Of several --exclude sbatch takes the last. */
static void what_is_excluded(void **state)
{
    static const char *const nodes[] = { "n1", "n2" };
    static const struct {
        const char *options, *all;
    } cases[] = {
        { NULL, "n1,n2" },
        { "--nice=5", "n1,n2" },
        { "--exclude=n7", "n7,n1,n2" },
        { "--exclude n[7-9] --nice=5", "n[7-9],n1,n2" },
        { "-x n7", "n7,n1,n2" },
        { "-xn7", "n7,n1,n2" },
        { "--exclude=n7 --exclude=n8", "n8,n1,n2" },
        { "-x", "n1,n2" },
        { "--exclusive", "n1,n2" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(slurm_batch_exclude(*state, cases[i].options, nodes, 2), cases[i].all);
    assert_string_equal(slurm_batch_exclude(*state, "", nodes, 0), "");
}

static void quotes(void **state)
{
    assert_string_equal(shell_quote(*state, "it's $(x)"), "'it'\\''s $(x)'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(jobs_are_found_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(the_one_that_goes_on_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_list_is_no_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(sbatch_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refusal_is_not_a_trouble, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reason_is_told_in_words, setup, teardown),
        cmocka_unit_test_setup_teardown(one_instance, setup, teardown),
        cmocka_unit_test_setup_teardown(every_option_is_passed_on, setup, teardown),
        cmocka_unit_test_setup_teardown(gpus_of_a_type, setup, teardown),
        cmocka_unit_test_setup_teardown(instances_in_the_order_of_hosts, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_excluded, setup, teardown),
        cmocka_unit_test_setup_teardown(quotes, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
