/* control.c - the control plane: starts, turns and deaths in the order of src/cmd/sagebrushd.c, without its sockets.
 *
 * Once it is dying nothing it does reaches the world or the store: to those outside it died at that line. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "services/events/events.h"
#include "services/fis/fis.h"
#include "services/iam/identity.h"
#include "services/logs/logs.h"
#include "services/sagemaker/node_health.h"
#include "sim.h"

enum { STEPS_A_TURN = 64, PENDING = 8 };

/* An answer that waits for the commit. */
static struct pending {
    struct arena *arena;
    const struct doc *output;
    struct err err;
    void (*answered)(void *, const struct doc *output, const struct err *);
    void *context;
} pending[PENDING];
static int pending_count;

static int assume_role(struct call *c, struct err *err)
{
    (void)c, (void)err; /* every role here may be assumed */
    return 0;
}

static const struct op assume_ops[] = { { "AssumeRole", assume_role, OP_RUN, NULL, OP_OPEN }, {} };
static const struct service_ops sts = { "sts", assume_ops };
static const struct service_ops *const services[] = { &sagemaker_ops, &sts,     &events_ops, &fis_ops,
                                                      &iam_ops,       &logs_ops, NULL };
static const struct kind *kinds[16]; /* of all services */

/* Nearly full: some writes still fit, so that it also ends in the middle of a turn. */
static bool is_full(void *context)
{
    (void)context;
    return w.dying || (w.boot_ms < w.full_until_boot_ms && roll(3) > 0);
}

/* What is on disk after the commit: told once, in order, and each state a legal follower of the one before. */
static void check_events(void)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct event *events;
    struct err err;
    int count;

    if (store_event_scan(a, w.store, w.events_seen, 1000, &events, &count, &err) < 0)
        broken("events cannot be read: %s", err.text);
    for (int i = 0; i < count; i++) {
        const struct event *e = &events[i];
        char *before = map_get(w.states, str_of(e->uid));
        bool legal = strcmp(e->state_before, e->state_after) == 0;

        if (e->sequence != ++w.events_seen)
            broken("event %lld follows %lld", (long long)e->sequence, (long long)w.events_seen - 1);
        tell("event %lld: %s %s %s -> %s", (long long)e->sequence, e->name, e->what, e->state_before, e->state_after);
        if (strcmp(before ? before : "", e->state_before) != 0)
            broken("%s was %s and its next event says %s", e->name, before ? before : "not there", e->state_before);
        for (const struct kind *const *k = kinds; *k; k++)
            for (const char *const(*s)[2] = (*k)->states; s && (*s)[0] && strcmp((*k)->name, e->kind) == 0; s++)
                legal = legal || (strcmp((*s)[0], e->state_before) == 0 && strstr((*s)[1], e->state_after));
        if (!legal && strcmp(e->what, "created") != 0 && strcmp(e->what, "deleted") != 0)
            broken("%s went from %s to %s", e->name, e->state_before, e->state_after);
        if (strcmp(e->kind, "Endpoint") == 0 && strcmp(e->state_after, "InService") == 0 && !plane_serves(e->name))
            broken("%s is InService and the data plane does not know it", e->name);
        free(map_set(w.states, str_of(e->uid), strdup(e->state_after)));
    }
}

static void answer_all(const struct err *why_not)
{
    for (int i = 0; i < pending_count; i++) {
        struct pending *p = &pending[i];

        if (why_not)
            p->answered(p->context, NULL, why_not);
        else
            p->answered(p->context, p->output, p->output ? NULL : &p->err);
    }
}

static void forget_answers(void)
{
    for (int i = 0; i < pending_count; i++)
        arena_free(pending[i].arena);
    pending_count = 0;
}

/* The connection breaks: the user cannot tell what became of it. */
static void hang_up(void)
{
    const struct err gone = { .kind = ERR_UNAVAILABLE };

    answer_all(&gone);
    forget_answers();
}

static int commit(void)
{
    struct err err = { 0 };
    int result;

    if (!w.dying && chance(F_DIE, 8)) {
        tell("the control plane dies before a commit");
        w.dying = true;
    }
    if (w.dying)
        return -1;
    result = engine_commit(w.engine, &err);
    if (result == 0)
        check_events();
    else
        w.platform.events_delivered = false;
    if (!w.dying && chance(F_DIE, 8)) {
        tell("the control plane dies after a commit");
        w.dying = true;
        return -1;
    }
    answer_all(result < 0 ? &err : NULL);
    forget_answers();
    return result;
}

static void die(void)
{
    if (!w.dying)
        return;
    w.deaths++;
    w.dying = false;
    hang_up();
    engine_free(w.engine);
    identity_forget(&w.platform);
    w.engine = NULL;
    routes_free(w.platform.routes);
    allocations_free(w.platform.allocations);
    w.platform.routes = NULL;
    w.platform.allocations = NULL;
    store_memory_crash(w.store);
    w.down_until_boot_ms = w.boot_ms + roll(20) * 1000;
}

static void restore_routes(void)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct row_filter all = { .kind = endpoint.name, .limit = 1000 };
    const char *after;
    struct row *rows;
    struct err err;
    int count;

    if (store_row_list(a, w.store, &all, &rows, &count, &after, &err) < 0)
        broken("endpoints cannot be listed: %s", err.text);
    for (int i = 0; i < count; i++)
        if (doc_has(rows[i].status, "_Routes"))
            routes_set(w.platform.routes, rows[i].uid, doc_get(rows[i].status, "_Routes"));
}

static void list_kinds(void)
{
    size_t count = 0;

    for (const struct kind *const *k = sagemaker_kinds; *k; k++)
        kinds[count++] = *k;
    for (const struct kind *const *k = fis_kinds; *k; k++)
        kinds[count++] = *k;
    assert(count < sizeof kinds / sizeof *kinds);
}

void control_start(void)
{
    const struct engine_world world = {
        .store = w.store, .clock = &w.clock, .rand = &w.rand, .runtime = w.runtime, .services = services,
        .kinds = kinds, .default_region = "us-east-1", .account = "111122223333", .boot_id = "boot",
        .changed = events_of_change, .context = &w.platform,
    };
    bool first = !w.deaths && !w.events_seen && !w.next_ms;
    struct err err = { 0 };

    list_kinds();
    if (!first)
        store_memory_full(w.store, is_full, NULL);
    w.platform.events_delivered = false;
    w.platform.allocations = allocations_new(&w.fleet, &w.clock);
    if (routes_new("/data", &w.platform.routes, &err) < 0 || engine_new(&world, &w.engine, &err) < 0 ||
        node_health_recall(w.engine, &err) < 0 || allocations_restore(w.engine, &err) < 0)
        broken("the control plane does not start: %s", err.text);
    if (first) {
        listener_begin();
        experiment_begin();
    }
    store_memory_full(w.store, is_full, NULL);
    restore_routes();
    w.next_ms = w.wall_ms;
    tell("the control plane is up");
}

void control_end(void)
{
    w.dying = true;
    die();
    w.deaths--;
}

int control_call(const char *operation, struct doc *(*input)(struct arena *, void *), void *of,
                 void (*answered)(void *, const struct doc *output, const struct err *), void *context)
{
    struct arena *a = arena_new();
    struct err err = { 0 };
    struct doc *output;

    if (!w.engine || pending_count == PENDING) {
        arena_free(a);
        return -1;
    }
    w.calls++;
    if (engine_call(a, w.engine, NULL, "us-east-1", "sagemaker", operation, input(a, of), &output, &err) < 0)
        output = NULL;
    pending[pending_count++] = (struct pending){ a, output, err, answered, context };
    return 0;
}

/* As the handler of the admin socket does it. */
void control_interrupt(const struct noun *n)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err = { 0 }, ignored;
    struct interruption i = { 0 }; /* at once, or some time after a recommendation */

    if (rand_below(&w.dice, 2))
        i = (struct interruption){ w.wall_ms, w.wall_ms + (int64_t)rand_below(&w.dice, 120000) };
    if (!w.engine || store_begin(w.store, &err) < 0)
        return;
    if (training_job_interrupt(a, w.engine, resource_arn(a, n->kind, "us-east-1", "111122223333", n->name),
                               &i, &err) < 0)
        store_drop(w.store);
    else if (store_keep(w.store, &ignored) == 0)
        tell("%s is to be interrupted", n->name);
}

static void turn(void)
{
    struct err err = { 0 };

    if (commit() < 0 && w.dying)
        return;
    listener_move();
    allocations_turn(w.engine);
    w.passes += engine_reconcile(w.engine, STEPS_A_TURN, &w.next_ms);
    if (w.dying || (store_dirty(w.store) && commit() < 0)) {
        w.next_ms = w.wall_ms + 1000;
        if (w.dying)
            return;
    } else {
        w.jump_unseen = false;
    }
    if (LISTENS && !w.platform.events_delivered && w.next_ms > w.wall_ms)
        w.next_ms = w.wall_ms + (w.boot_ms < w.full_until_boot_ms ? 1000 : 0);
    if (allocations_due_ms(w.engine) < w.next_ms)
        w.next_ms = allocations_due_ms(w.engine);
    if (routes_changed(w.platform.routes))
        routes_publish(w.platform.routes, &err);
}

void control_move(void)
{
    if (!w.engine && w.boot_ms >= w.down_until_boot_ms)
        control_start();
    if (!w.engine)
        return;
    if (routes_read_ack(w.platform.routes)) {
        for (int i = 0; i < w.agent_count; i++)
            if (w.agents[i].serves)
                engine_touch(w.engine, w.agents[i].owner);
    }
    /* The loop goes on as long as something is to be done now. */
    for (int i = 0; i < 50; i++) {
        turn();
        if (w.dying || w.next_ms > w.wall_ms)
            break;
        if (i == 49 && w.calm)
            broken("the loop does not come to rest");
    }
    die();
}
