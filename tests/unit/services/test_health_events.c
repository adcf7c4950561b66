/* What was decided is kept, so many and no more, over a restart, and found by its node. */
#include "services/sagemaker/health_events.h"

#include "services/sagemaker/node_health.h"

#include "job_world.h"

static const char fleet_text[] = "[[pools]]\nname = \"all\"\n[[nodes]]\nname = \"n\"\ncount = 4\ncores = 2\n"
                                 "memory = \"8GiB\"\ndisk = \"100GB\"\n";

static int begin(void **state)
{
    jobs_make();
    jobs_fleet(fleet_text);
    jobs_start();
    return 0;
}

static void tell(const char *what, const struct doc *detail)
{
    assert_int_equal(store_begin(w.store, &w.err), 0);
    assert_int_equal(health_tell(w.arena, w.engine, what, NULL, detail, &w.err), 0);
    assert_int_equal(store_keep(w.store, &w.err), 0);
}

/* All that are kept, and in how many pages. */
static struct doc *kept(const char *node, int *ret_pages)
{
    struct doc *all = doc_list(w.arena), *page;
    int64_t after = 0;

    *ret_pages = 0;
    do {
        assert_int_equal(health_events(w.arena, w.engine, node, after, &page, &after, &w.err), 0);
        for (uint32_t i = 0; i < page->count; i++)
            doc_append(w.arena, all, page->items[i]);
        ++*ret_pages;
    } while (after);
    return all;
}

static void the_newest_are_kept(void **state)
{
    struct doc *all;
    int pages;

    assert_int_equal(kept(NULL, &pages)->count, 0);
    for (int i = 1; i <= HEALTH_EVENTS_KEPT + 3; i++)
        tell("Node Cordoned", json("{'node':'n-%d'}", i % 2));
    jobs_stop();
    jobs_start();
    all = kept(NULL, &pages);
    assert_int_equal(all->count, HEALTH_EVENTS_KEPT);
    assert_true(pages > 1);
    assert_int_equal(doc_int(all->items[0], "number", 0), 4);
    assert_int_equal(doc_int(all->items[HEALTH_EVENTS_KEPT - 1], "number", 0), HEALTH_EVENTS_KEPT + 3);
    assert_int_equal(kept("n-1", &pages)->count, HEALTH_EVENTS_KEPT / 2);
    assert_int_equal(kept("n-2", &pages)->count, 0);
}

static void what_is_too_large_is_left_out(void **state)
{
    char *much = arena_alloc(w.arena, 80001);
    struct doc *all, *detail = json("{'node':'n-1','why':'short'}");
    int pages;

    memset(much, 'x', 80000);
    much[80000] = '\0';
    doc_set_string(w.arena, detail, "checks", much);
    tell("Infrastructure Check Passed", detail);
    all = kept(NULL, &pages);
    assert_int_equal(all->count, 1);
    assert_string_equal(json_text(w.arena, doc_get(all->items[0], "left_out")), "[\"checks\"]");
    assert_string_equal(json_text(w.arena, doc_get(all->items[0], "detail")),
                        "{\"node\":\"n-1\",\"why\":\"short\"}");
}

static void a_jobs_are_those_of_the_nodes_where_it_stood(void **state)
{
    const struct doc *all;
    const char *node;
    int pages;

    call("CreateTrainingJob", "{'TrainingJobName':'j','RoleArn':'" ROLE "','AlgorithmSpecification':{'TrainingImage':"
                              "'pytorch-training:1.13','TrainingInputMode':'File'},'OutputDataConfig':{'S3OutputPath':"
                              "'s3://b/o'},'ResourceConfig':{'InstanceType':'ml.m5.large','InstanceCount':1,"
                              "'VolumeSizeInGB':1},'StoppingCondition':{'MaxRuntimeInSeconds':3600},"
                              "'RetryStrategy':{'MaximumRetryAttempts':5}}");
    settle();
    node = arena_strdup(w.arena, doc_text(sim_order(w.runtime, only_agent()), "node"));
    sim_report(w.runtime, only_agent(), "Training", "");
    later(16000);
    fail_instance(only_agent(), "disk", "it forgets");
    later(16000);
    later(16000);
    all = kept(node, &pages);
    assert_int_equal(all->count, 2);
    assert_string_equal(doc_text(all->items[0], "what"), "Instance Unhealthy");
    assert_string_equal(doc_text(all->items[0], "detail.node"), node);
    assert_string_equal(doc_text(all->items[0], "detail.job-name"), "j");
    assert_string_equal(doc_text(all->items[0], "detail.nodes.algo-1"), node);
    assert_non_null(strstr(doc_text(all->items[0], "resource"), ":training-job/j"));
    assert_string_equal(doc_text(all->items[1], "what"), "Node Cordoned");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_newest_are_kept, begin, jobs_end),
        cmocka_unit_test_setup_teardown(what_is_too_large_is_left_out, begin, jobs_end),
        cmocka_unit_test_setup_teardown(a_jobs_are_those_of_the_nodes_where_it_stood, begin, jobs_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
