#include "services/events/events.h"
#include "services/logs/logs.h"
#include "services/s3/s3.h"
#include "services/sagemaker/node_health.h"

#include "job_world.h"

static bool ends_at_once(void *context, const char *name, const struct doc *order)
{
    return w.at_once;
}

static bool stops_at_once(void *context, const char *name)
{
    w.stops++;
    return !w.goes_on;
}

static int assume_role(struct call *c, struct err *err)
{
    return 0;
}

void jobs_make(void)
{
    static const struct op sts_ops[] = { { "AssumeRole", assume_role, OP_RUN, NULL, OP_OPEN }, {} };
    static const struct service_ops sts = { "sts", sts_ops }; /* there are no roles: whoever asks may */
    static const struct service_ops *const services[] = { &sagemaker_ops, &s3_ops, &logs_ops, &sts, NULL };

    world_make("111122223333", "us-east-1", 1700000000000);
    w.runtime = sim_runtime_new(&w.clock, &(struct sim_hooks){ .ends_at_once = ends_at_once,
                                                               .stops_at_once = stops_at_once });
    w.platform.api_socket = "/a";
    w.platform.admin_socket = "/b";
    w.platform.fleet = &w.fleet;
    w.platform.machine = (struct machine){ 2, (int64_t)8 << 30, 0 };
    w.parts.runtime = w.runtime;
    w.parts.services = services;
    w.parts.kinds = sagemaker_kinds;
}

void jobs_fleet(const char *file)
{
    w.platform.machine = (struct machine){ 8, (int64_t)32 << 30, 0 };
    if (fleet_read(w.arena, "fleet.toml", str_of(file), &w.fleet, &w.err) < 0)
        fail_msg("%s", w.err.text);
}

void jobs_start(void)
{
    w.platform.allocations = allocations_new(&w.fleet, &w.clock);
    w.platform.events_delivered = false;
    assert_int_equal(engine_new(&w.parts, &w.engine, &w.err), 0);
    assert_int_equal(node_health_recall(w.engine, &w.err), 0);
    assert_int_equal(allocations_restore(w.engine, &w.err), 0);
}

void jobs_stop(void)
{
    engine_free(w.engine);
    w.engine = NULL;
    allocations_free(w.platform.allocations);
}

int jobs_end(void **state)
{
    jobs_stop();
    runtime_free(w.runtime);
    return world_free(state);
}

void settle(void)
{
    for (int i = 0; i < 100; i++) {
        assert_int_equal(engine_commit(w.engine, &w.err), 0);
        assert_int_equal(events_deliver(w.engine, &w.err), 0);
        allocations_turn(w.engine);
        engine_reconcile(w.engine, 100, &w.next_ms);
        assert_int_equal(engine_commit(w.engine, &w.err), 0);
        if (w.is_at_rest && !w.is_at_rest())
            continue;
        if (w.next_ms > w.now_ms && w.platform.events_delivered && allocations_due_ms(w.engine) > w.now_ms)
            return;
    }
    fail_msg("it does not come to rest");
}

void later(int64_t ms)
{
    w.now_ms += ms;
    settle();
}

const struct doc *call(const char *operation, const char *text)
{
    return must("sagemaker", operation, json("%s", text));
}

void declined(const char *operation, const char *text)
{
    if (try("sagemaker", operation, json("%s", text)))
        fail_msg("%s %s: done", operation, text);
}

const char *const *agents(int *ret_count)
{
    const char *const *names;

    assert_int_equal(runtime_list(w.runtime, w.arena, &names, ret_count, &w.err), 0);
    return names;
}

const char *agent_with(const char *member, const char *value)
{
    int count;
    const char *const *names = agents(&count);

    for (int i = 0; i < count; i++)
        if (doc_is(sim_order(w.runtime, names[i]), member, value))
            return names[i];
    return NULL;
}

const char *only_agent(void)
{
    int count;
    const char *const *names = agents(&count);

    assert_int_equal(count, 1);
    return names[0];
}

void fail_instance(const char *agent, const char *check, const char *why)
{
    struct doc *d = doc_map(w.arena);

    doc_set_string(w.arena, d, "check", check);
    doc_set_string(w.arena, d, "why", why);
    sim_set(w.runtime, agent, "unhealthy", d);
    sim_end(w.runtime, agent, "Failed", "InternalServerError: instance unhealthy", 1);
}

const struct doc *usage(void)
{
    struct doc *d;

    assert_int_equal(usage_scan(w.arena, w.engine, 0, INT64_MAX, &d, &w.err), 0);
    return d;
}
