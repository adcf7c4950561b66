#include "cmd/chores.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "doc/doc.h"
#include "route/counters.h"
#include "services/cloudwatch/cloudwatch.h"
#include "services/logs/logs.h"
#include "store/store.h"

enum { MINUTE_MS = 60000, SETTLE_MS = 2000, MINUTES_AN_HOUR = 60 };

struct chores {
    struct loop *loop;
    struct store *store;
    struct clock *clock;
    char *counters_path;
    struct counters *counters;
    struct loop_timer timer;
    int64_t told_minute; /* the last one whose counters were published */
};

/* --- Metrics of endpoints --- */

static void add(struct arena *a, struct doc *data, const char *name, const char *unit, int64_t at_ms,
                const struct doc *dimensions, double samples, double sum, double minimum, double maximum)
{
    struct doc *d = doc_map(a), *statistics = doc_map(a);

    if (samples <= 0)
        return;
    doc_set_real(a, statistics, "samples", samples);
    doc_set_real(a, statistics, "sum", sum);
    doc_set_real(a, statistics, "minimum", minimum);
    doc_set_real(a, statistics, "maximum", maximum);
    doc_set_string(a, d, "name", name);
    doc_set_string(a, d, "unit", unit);
    doc_set_integer(a, d, "at_ms", at_ms);
    doc_set(a, d, "dimensions", doc_copy(a, dimensions));
    doc_set(a, d, "statistics", statistics);
    doc_append(a, data, d);
}

/* Each invocation is one sample of each metric, as in SageMaker's own. */
static struct doc *batch_of(struct arena *a, const struct counters_reading *r, int64_t minute)
{
    struct doc *batch = doc_map(a), *data = doc_list(a), *dimensions = doc_map(a);
    int64_t at_ms = minute * MINUTE_MS;
    double n = (double)r->invocations, bad4 = (double)r->errors_4xx, bad5 = (double)r->errors_5xx;

    doc_set_string(a, dimensions, "EndpointName", r->endpoint);
    doc_set_string(a, dimensions, "VariantName", r->variant);
    add(a, data, "Invocations", "Count", at_ms, dimensions, n, n, 1, 1);
    add(a, data, "Invocation4XXErrors", "Count", at_ms, dimensions, n, bad4, bad4 >= n, bad4 > 0);
    add(a, data, "Invocation5XXErrors", "Count", at_ms, dimensions, n, bad5, bad5 >= n, bad5 > 0);
    add(a, data, "ModelLatency", "Microseconds", at_ms, dimensions, (double)r->model.count, (double)r->model.sum_us,
        (double)r->model.min_us, (double)r->model.max_us);
    add(a, data, "OverheadLatency", "Microseconds", at_ms, dimensions, (double)r->overhead.count,
        (double)r->overhead.sum_us, (double)r->overhead.min_us, (double)r->overhead.max_us);
    doc_set_string(a, batch, "account", r->account);
    doc_set_string(a, batch, "region", r->region);
    doc_set_string(a, batch, "namespace", "AWS/SageMaker");
    doc_set_string(a, batch, "id",
                   arena_printf(a, "serve:%" PRId64 ":%s:%s/%s", minute, r->region, r->endpoint, r->variant));
    doc_set(a, batch, "data", data);
    return batch;
}

static int publish_minute(struct chores *c, int64_t minute, struct err *err)
{
    struct counters_reading reading;

    for (int slot = 0; slot < COUNTERS_SLOTS; slot++) {
        _cleanup_arena_ struct arena *a = NULL;

        if (!counters_read(c->counters, slot, minute, &reading))
            continue;
        a = arena_new();
        if (metrics_append(a, c->store, batch_of(a, &reading, minute), minute * MINUTE_MS, err) < 0)
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

    if (publish(c, over, err) < 0)
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

struct chores *chores_new(struct loop *loop, struct store *store, struct clock *clock, const char *counters_path)
{
    struct chores *c = calloc(1, sizeof *c);

    assert(c && "out of memory");
    *c = (struct chores) {
        .loop = loop, .store = store, .clock = clock, .counters_path = strdup(counters_path), .timer.run = tick
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
