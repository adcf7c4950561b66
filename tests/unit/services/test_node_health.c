/* A training job on a fleet whose nodes fail: who goes where, who is taken out and comes back, and what a restart
 * remembers. */
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "fleet/gpu_bank.h"
#include "services/sagemaker/health_events.h"
#include "services/sagemaker/node_health.h"

#include "job_world.h"

enum { MINUTE_MS = 60000, LOOK_MS = 16000 /* nobody pokes here */ };

/* An ml.m5.large fills a node. */
static const char fleet_text[] = "[[pools]]\nname = \"all\"\n[[nodes]]\nname = \"n\"\ncount = 4\ncores = 2\n"
                                 "memory = \"8GiB\"\ndisk = \"100GB\"\n[failures]\nlemon_after = 2\n";

static int begin(void **state)
{
    jobs_make();
    jobs_fleet(fleet_text);
    jobs_start();
    return 0;
}

/* Once to see that one has failed and to end the others, and once to see that they have ended. */
static void look_twice(void)
{
    later(LOOK_MS);
    later(LOOK_MS);
}

static void create(const char *name, int count)
{
    call("CreateTrainingJob",
         arena_printf(w.arena,
                      "{'TrainingJobName':'%s','RoleArn':'" ROLE "','AlgorithmSpecification':{'TrainingImage':"
                      "'pytorch-training:1.13','TrainingInputMode':'File'},'OutputDataConfig':{'S3OutputPath':"
                      "'s3://b/o'},'ResourceConfig':{'InstanceType':'ml.m5.large','InstanceCount':%d,"
                      "'VolumeSizeInGB':1},'StoppingCondition':{'MaxRuntimeInSeconds':3600},"
                      "'RetryStrategy':{'MaximumRetryAttempts':5},'InfraCheckConfig':{'EnableInfraCheck':true}}",
                      name, count));
    settle();
}

static const struct doc *describe(const char *name)
{
    return call("DescribeTrainingJob", arena_printf(w.arena, "{'TrainingJobName':'%s'}", name));
}

/* Of an instance that is there. */
static const char *agent_of(const char *host)
{
    const char *agent = agent_with("host_name", host);

    if (!agent)
        fail_msg("%s is not there", host);
    return agent;
}

static const char *node_of(const char *host)
{
    return arena_strdup(w.arena, doc_text(sim_order(w.runtime, agent_of(host)), "node"));
}

static void report(const char *host, const char *phase)
{
    sim_report(w.runtime, agent_of(host), phase, "");
}

static const struct doc *find_node(const char *name)
{
    struct doc *nodes;

    assert_int_equal(node_health_list(w.arena, w.engine, &nodes, &w.err), 0);
    for (uint32_t i = 0; i < nodes->count; i++)
        if (doc_is(nodes->items[i], "name", name))
            return nodes->items[i];
    return NULL;
}

static const struct doc *node(const char *name)
{
    const struct doc *found = find_node(name);

    if (!found)
        fail_msg("there is no node %s", name);
    return found;
}

static bool is_out(const char *name)
{
    return doc_is(node(name), "state", "cordoned");
}

static int told(const char *what)
{
    struct doc *events;
    int64_t after;
    int count = 0;

    assert_int_equal(health_events(w.arena, w.engine, NULL, 0, &events, &after, &w.err), 0);
    for (uint32_t i = 0; i < events->count; i++)
        count += doc_is(events->items[i], "what", what);
    return count;
}

static void look_for_those_to_come_back(void)
{
    assert_int_equal(store_begin(w.store, &w.err), 0);
    assert_int_equal(node_health_look(w.engine, &w.err), 0);
    assert_int_equal(store_keep(w.store, &w.err), 0);
    settle();
}

static void a_node_that_fails_a_check_is_replaced_and_stays_out(void **state)
{
    const char *bad;
    const struct doc *d;
    bool changed;

    create("j", 3);
    bad = node_of("algo-2");
    assert_int_equal(doc_count(node(bad), "runs"), 1);
    fail_instance(agent_of("algo-2"), "disk", "check of the disk failed: what was written is not what is read");
    look_twice();
    assert_true(is_out(bad));
    assert_string_equal(doc_text(node(bad), "cordoned"),
                        "check of the disk failed: what was written is not what is read");
    for (int i = 1; i <= 3; i++)
        assert_string_not_equal(node_of(arena_printf(w.arena, "algo-%d", i)), bad);
    assert_int_equal(told("Instance Replaced"), 1);
    /* It was found before the work began: RetryStrategy has nothing to count. */
    d = describe("j");
    assert_string_equal(doc_text(d, "SecondaryStatus"), "Starting");
    assert_non_null(strstr(json_text(w.arena, d), "Launched instance was unhealthy, replacing it! algo-2: check of the "
                                                  "disk failed"));
    later(60 * MINUTE_MS);
    look_for_those_to_come_back();
    assert_true(is_out(bad));
    jobs_stop();
    jobs_start();
    settle();
    assert_true(is_out(bad));
    assert_int_equal(node_health_return(w.arena, w.engine, bad, &changed, &w.err), 0);
    assert_false(is_out(bad));
}

static void a_node_that_was_only_seen_to_fail_comes_back(void **state)
{
    const char *bad;
    const struct doc *d;

    create("j", 3);
    for (int i = 1; i <= 3; i++) {
        report(arena_printf(w.arena, "algo-%d", i), "Downloading");
        report(arena_printf(w.arena, "algo-%d", i), "Training");
    }
    later(30000);
    bad = node_of("algo-1");
    fail_instance(agent_of("algo-1"), "container", "the container was lost");
    look_twice();
    assert_true(is_out(bad));
    assert_string_equal(doc_text(describe("j"), "SecondaryStatus"), "Restarting");
    look_for_those_to_come_back();
    assert_true(is_out(bad));
    later(11 * MINUTE_MS);
    look_for_those_to_come_back();
    assert_false(is_out(bad));
    assert_false(doc_bool(node(bad), "lemon", true));
    for (int i = 1; i <= 3; i++) {
        report(arena_printf(w.arena, "algo-%d", i), "Downloading");
        report(arena_printf(w.arena, "algo-%d", i), "Training");
    }
    later(20000);
    for (int i = 1; i <= 3; i++)
        sim_end(w.runtime, agent_of(arena_printf(w.arena, "algo-%d", i)), "Completed", "", 0);
    look_twice();
    d = describe("j");
    assert_string_equal(doc_text(d, "TrainingJobStatus"), "Completed");
    /* The 30 s of the first attempt were the node's. */
    assert_in_range(doc_int(d, "BillableTimeInSeconds", -1), 20, 21);
    assert_in_range(doc_int(d, "TrainingTimeInSeconds", -1) - doc_int(d, "BillableTimeInSeconds", -1), 30, 62);
}

/* The others are cordoned by hand; NULL: none is. */
static void only(const char *wanted)
{
    bool changed;

    for (int i = 1; i <= 4; i++) {
        const char *name = arena_printf(w.arena, "n-%d", i);

        if (!wanted || strcmp(name, wanted) == 0)
            assert_int_equal(node_health_return(w.arena, w.engine, name, &changed, &w.err), 0);
        else
            assert_int_equal(node_health_cordon(w.arena, w.engine, name, "by hand", &changed, &w.err), 0);
    }
    settle();
}

static void who_fails_often_is_used_last_and_no_restart_forgets_it(void **state)
{
    const char *bad = "n-1";

    for (int i = 0; i < 2; i++) {
        const char *job = arena_printf(w.arena, "j%d", i);

        only("n-1");
        create(job, 1);
        assert_string_equal(node_of("algo-1"), bad);
        report("algo-1", "Downloading");
        report("algo-1", "Training");
        later(1000);
        fail_instance(agent_of("algo-1"), "container", "the container was lost");
        look_twice();
        call("StopTrainingJob", arena_printf(w.arena, "{'TrainingJobName':'%s'}", job));
        look_twice();
    }
    only(NULL);
    assert_false(is_out(bad));
    assert_true(doc_bool(node(bad), "lemon", false));
    assert_int_equal(doc_count(node(bad), "failures"), 2);
    jobs_stop();
    jobs_start();
    settle();
    assert_true(doc_bool(node(bad), "lemon", false));
    create("three", 3);
    for (int i = 1; i <= 3; i++)
        assert_string_not_equal(node_of(arena_printf(w.arena, "algo-%d", i)), bad);
}

static void not_all_are_taken_out(void **state)
{
    int out = 0;

    create("j", 3);
    for (int i = 0; i < 3; i++) {
        fail_instance(agent_of("algo-3"), "disk", "check of the disk failed: it is full");
        look_twice();
    }
    for (int i = 1; i <= 4; i++)
        out += is_out(arena_printf(w.arena, "n-%d", i));
    assert_int_equal(out, 1);
}

static void by_hand(void **state)
{
    bool changed;
    int64_t since_ms;

    create("j", 1);
    assert_int_equal(node_health_cordon(w.arena, w.engine, node_of("algo-1"), "a fan is loud", &changed, &w.err), 0);
    assert_true(changed);
    settle();
    assert_true(is_out(node_of("algo-1")));
    since_ms = doc_int(node(node_of("algo-1")), "cordoned_ms", 0);
    later(1000);
    assert_int_equal(node_health_cordon(w.arena, w.engine, node_of("algo-1"), "no reason", &changed, &w.err), 0);
    assert_false(changed);
    assert_string_equal(doc_text(node(node_of("algo-1")), "cordoned"), "a fan is loud");
    assert_int_equal(doc_int(node(node_of("algo-1")), "cordoned_ms", 0), since_ms);
    assert_string_equal(doc_text(describe("j"), "TrainingJobStatus"), "InProgress"); /* it stays where it is */
    assert_int_equal(node_health_cordon(w.arena, w.engine, "nobody", "", &changed, &w.err), -1);
    assert_int_equal(w.err.kind, ERR_NOT_FOUND);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(node_health_return(w.arena, w.engine, node_of("algo-1"), &changed, &w.err), 0);
        assert_int_equal(changed, i == 0);
        assert_false(is_out(node_of("algo-1")));
    }
    assert_int_equal(node_health_return(w.arena, w.engine, "nobody", &changed, &w.err), -1);
    assert_int_equal(w.err.kind, ERR_NOT_FOUND);
}

/* --- Nodes of a cluster --- */

static const char *avoided; /* what the runtime was told last */

static void cluster_avoids(struct runtime *rt, const char *const *nodes, int count)
{
    avoided = "";
    for (int i = 0; i < count; i++)
        avoided = arena_printf(w.arena, "%s%s%s", avoided, *avoided ? "," : "", nodes[i]);
}

static int cluster_size;

static int cluster_nodes(struct runtime *rt, struct arena *a, const char *const **ret)
{
    static const char *const names[] = { "c1", "c2", "c3" };

    *ret = names;
    return cluster_size;
}

static int begin_cluster(void **state)
{
    begin(state);
    w.runtime->avoid = cluster_avoids;
    w.runtime->nodes = cluster_nodes;
    cluster_size = 3;
    avoided = "";
    return 0;
}

static void fail_on(const char *cluster_node, const char *check)
{
    sim_set(w.runtime, agent_of("algo-1"), "node", doc_string(w.arena, cluster_node));
    fail_instance(agent_of("algo-1"), check, "it is bad");
    look_twice();
}

static void a_node_of_a_cluster_is_avoided(void **state)
{
    const char *fleet_node;
    bool changed;

    create("j", 1);
    fleet_node = node_of("algo-1");
    fail_on("c1", "network interface");
    assert_string_equal(avoided, "c1");
    assert_true(is_out("c1") && doc_has(node("c1"), "back_ms") && !doc_has(node("c1"), "runs"));
    assert_int_equal(doc_count(node("c1"), "failures"), 1);
    assert_false(is_out(fleet_node)); /* which stands for the whole cluster */
    fail_on("c2", "container");
    assert_false(is_out("c2")); /* not more than one of three */
    assert_int_equal(doc_count(node("c2"), "failures"), 1);
    jobs_stop();
    avoided = "";
    jobs_start();
    assert_string_equal(avoided, "c1");
    later(11 * MINUTE_MS);
    look_for_those_to_come_back();
    assert_string_equal(avoided, "");
    /* Slurm gives the GPUs: nothing else keeps that one from the next job. Nobody sees from here that it is mended. */
    fail_on("c3", "GPU");
    assert_string_equal(avoided, "c3");
    later(60 * MINUTE_MS);
    look_for_those_to_come_back();
    assert_true(is_out("c3"));
    assert_int_equal(node_health_cordon(w.arena, w.engine, "c1", "a fan is loud", &changed, &w.err), 0);
    assert_string_equal(avoided, "c1,c3");
    assert_int_equal(node_health_return(w.arena, w.engine, "c3", &changed, &w.err), 0);
    assert_true(changed);
    assert_string_equal(avoided, "c1");
    assert_int_equal(node_health_cordon(w.arena, w.engine, "c17", "", &changed, &w.err), -1);
    assert_int_equal(w.err.kind, ERR_NOT_FOUND);
}

/* It has taken the node out itself, and of several nobody knows which it was. */
static void what_slurm_knows_is_left_to_it(void **state)
{
    create("j", 1);
    fail_on("c1", "Slurm");
    assert_string_equal(avoided, "");
}

/* Slurm would keep every job off all of the first's, and take none for the others'. */
static void what_is_no_node_of_the_cluster_is_not_avoided(void **state)
{
    static const char *const names[] = { "c[1-3]", "c1,c2,c3", "ALL", "c17", "c1 --uid=0", "c1\n" };

    create("j", 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fail_on(names[i], "disk");
        assert_string_equal(avoided, "");
        assert_null(find_node(names[i]));
    }
    fail_on("c3", "disk");
    assert_string_equal(avoided, "c3");
    cluster_size = 2; /* it has left the cluster */
    assert_int_equal(node_health_look(w.engine, &w.err), 0);
    assert_string_equal(avoided, "");
}

/* --- GPUs of this machine --- */

static void break_gpu(const char *uuid)
{
    struct doc *d = doc_map(w.arena);

    doc_set_string(w.arena, d, "uuid", uuid);
    doc_set_string(w.arena, d, "why", "XID 79");
    doc_set_boolean(w.arena, d, "broken", true);
    sim_set(w.runtime, agent_of("algo-1"), "gpu_fault", d);
    look_twice();
}

static void an_agent_cordons_no_gpu_that_serves_another(void **state)
{
    char path[] = "/tmp/sagebrush-gpus-XXXXXX";
    int file = mkstemp(path);
    struct gpu_bank *bank;

    close(file);
    unlink(path);
    assert_int_equal(gpu_bank_new(path, &bank, &w.err), 0);
    gpu_bank_add(bank, 0, "GPU-a", "H200");
    gpu_bank_add(bank, 1, "GPU-b", "H200");
    w.platform.gpus = bank;
    create("j", 1);
    gpu_bank_hold(bank, "somebody", 1);
    gpu_bank_hold(bank, agent_of("algo-1"), 2);
    break_gpu("GPU-a");
    assert_false(gpu_bank_seat(bank, 0)->cordoned);
    for (int i = 0; i < 3; i++)
        break_gpu(arena_printf(w.arena, "GPU-of-another-machine-%d", i));
    assert_false(path_exists(path)); /* where they would gather */
    break_gpu("GPU-b");
    assert_true(gpu_bank_seat(bank, 1)->cordoned);
    w.platform.gpus = NULL;
    gpu_bank_free(bank);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_node_that_fails_a_check_is_replaced_and_stays_out, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_node_that_was_only_seen_to_fail_comes_back, begin, jobs_end),
        cmocka_unit_test_setup_teardown(who_fails_often_is_used_last_and_no_restart_forgets_it, begin, jobs_end),
        cmocka_unit_test_setup_teardown(not_all_are_taken_out, begin, jobs_end),
        cmocka_unit_test_setup_teardown(by_hand, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_node_of_a_cluster_is_avoided, begin_cluster, jobs_end),
        cmocka_unit_test_setup_teardown(what_slurm_knows_is_left_to_it, begin_cluster, jobs_end),
        cmocka_unit_test_setup_teardown(an_agent_cordons_no_gpu_that_serves_another, begin, jobs_end),
        cmocka_unit_test_setup_teardown(what_is_no_node_of_the_cluster_is_not_avoided, begin_cluster, jobs_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
