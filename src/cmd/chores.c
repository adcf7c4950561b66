#include "cmd/chores.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/engine.h"
#include "route/counters.h"
#include "services/cloudwatch/cloudwatch.h"
#include "services/logs/logs.h"
#include "services/sagemaker/endpoint_metrics.h"
#include "services/sagemaker/node_health.h"
#include "store/store.h"

enum { MINUTE_MS = 60000, SETTLE_MS = 2000, MINUTES_AN_HOUR = 60 };

struct chores {
    struct loop *loop;
    struct engine *engine;
    struct store *store;
    struct clock *clock;
    char *counters_path;
    struct counters *counters;
    struct loop_timer timer;
    int64_t told_minute; /* the last one whose counters were published */
};

/* --- Metrics of endpoints --- */

static int publish_minute(struct chores *c, int64_t minute, struct err *err)
{
    struct counters_reading reading;

    for (int slot = 0; slot < COUNTERS_SLOTS; slot++) {
        _cleanup_arena_ struct arena *a = NULL;

        if (!counters_read(c->counters, slot, minute, &reading))
            continue;
        a = arena_new();
        if (metrics_append(a, c->store, endpoint_metrics(a, &reading, minute * MINUTE_MS), minute * MINUTE_MS, err) < 0)
            return -1;
    }
    return 0;
}

/* After a restart the file still has the last hour; what was published already is known by its id. */
static int publish(struct chores *c, int64_t over, struct err *err)
{
    int64_t first = over - COUNTERS_MINUTES + 2;

    if (!c->counters && counters_open(c->counters_path, false, &c->counters, err) < 0)
        return 0;
    for (int64_t m = c->told_minute >= first ? c->told_minute + 1 : first; m <= over; m++)
        if (publish_minute(c, m, err) < 0)
            return -1;
    c->told_minute = over;
    return 0;
}

/* --- The clock --- */

static int run(struct chores *c, int64_t now_ms, struct err *err)
{
    int64_t over = now_ms / MINUTE_MS - 1;

    if (publish(c, over, err) < 0 || node_health_look(c->engine, err) < 0)
        return -1;
    if (over % MINUTES_AN_HOUR != 0)
        return 0;
    return logs_expire(c->store, now_ms, err) < 0 ? -1 : metrics_expire(c->store, now_ms, err);
}

static void set_timer(struct chores *c)
{
    int64_t now_ms = clock_wall_ms(c->clock), next_ms = (now_ms / MINUTE_MS + 1) * MINUTE_MS + SETTLE_MS;

    loop_timer_set(c->loop, &c->timer, loop_now_ms(c->loop) + next_ms - now_ms);
}

static void tick(struct loop_timer *timer)
{
    struct chores *c = (struct chores *)(void *)((char *)timer - offsetof(struct chores, timer));
    struct err err = { 0 };
    int result = store_begin(c->store, &err);

    if (result == 0) {
        result = run(c, clock_wall_ms(c->clock), &err);
        if (result == 0)
            result = store_keep(c->store, &err);
        else
            store_drop(c->store);
    }
    if (result < 0)
        log_error("chores.failed", "error=\"%s\"", err.text);
    set_timer(c);
}

struct chores *chores_new(struct loop *loop, struct engine *engine, const char *counters_path)
{
    struct chores *c = calloc(1, sizeof *c);

    assert(c && "out of memory");
    *c = (struct chores) {
        .loop = loop, .engine = engine, .store = engine_world_of(engine)->store,
        .clock = engine_world_of(engine)->clock, .counters_path = strdup(counters_path), .timer.run = tick
    };
    assert(c->counters_path && "out of memory");
    set_timer(c);
    return c;
}

void chores_free(struct chores *c)
{
    if (!c)
        return;
    loop_timer_stop(c->loop, &c->timer);
    counters_close(c->counters);
    free(c->counters_path);
    free(c);
}
