/* put.c - metrics come in: from clients, from agents, from the control plane itself. */
#include <math.h>
#include <string.h>

#include "engine/engine.h"
#include "services/cloudwatch/cloudwatch.h"
#include "services/cloudwatch/series.h"

enum { EXPIRE_PAGE = 1000 };

static int invalid(struct err *err, const char *code, const char *text)
{
    return fail_code(err, ERR_INVALID, code, "%s", text);
}

/* Values and Counts, Value, or StatisticValues: exactly one of them. */
static int put_datum(struct series *s, const struct doc *d, int64_t now_ms, struct err *err)
{
    const struct doc *values = doc_get(d, "Values"), *counts = doc_get(d, "Counts"),
                     *set = doc_get(d, "StatisticValues");
    int64_t at_ms = doc_int(d, "Timestamp", now_ms);
    bool each_second = doc_int(d, "StorageResolution", 60) == 1;
    const char *unit = doc_text(d, "Unit");
    size_t count = values ? doc_count(values, "") : 1;
    struct sample *samples = arena_array_of(s->arena, struct sample, count + 1);

    if (!!values + !!set + doc_has(d, "Value") != 1)
        return invalid(err, "InvalidParameterCombination",
                       "Exactly one of the parameters MetricData.member.Value, MetricData.member.Values and "
                       "MetricData.member.StatisticValues must be specified.");
    if (values && counts && doc_count(counts, "") != count)
        return invalid(
            err, "InvalidParameterValue",
            "The parameters MetricData.member.Values and MetricData.member.Counts must be of the same size.");
    if (set) {
        samples[0] = (struct sample){ doc_number(set, "SampleCount", 0), doc_number(set, "Sum", 0),
                                      doc_number(set, "Minimum", 0), doc_number(set, "Maximum", 0) };
        return series_add(s, at_ms, each_second, samples, 1, unit, err);
    }
    for (size_t i = 0; i < count; i++) {
        double value = values ? doc_number(values->items[i], "", NAN) : doc_number(d, "Value", NAN);
        double times = counts ? doc_number(counts->items[i], "", 1) : 1;

        if (!isfinite(value) || fabs(value) > 0x1p360)
            return invalid(err, "InvalidParameterValue", "The value for parameter MetricData.member.Value is invalid.");
        samples[i] = (struct sample){ times, value * times, value, value };
    }
    return series_add(s, at_ms, each_second, samples, count, unit, err);
}

int cloudwatch_put(struct call *c, struct err *err)
{
    const char *space = doc_text(c->input, "Namespace");
    const struct doc *data = doc_get(c->input, "MetricData");

    if (text_starts(space, "AWS/"))
        return invalid(err, "InvalidParameterValue", "The value AWS/ for parameter Namespace is invalid.");
    if (doc_has(c->input, "EntityMetricData"))
        return invalid(err, "InvalidParameterValue", "EntityMetricData is not here yet.");
    for (size_t i = 0; i < doc_count(data, ""); i++) {
        struct series s = {
            .arena = c->arena,
            .store = engine_world_of(c->engine)->store,
            .account = c->principal->account,
            .region = c->region,
            .space = space,
            .metric = doc_text(data->items[i], "MetricName"),
            .dimensions = doc_get(data->items[i], "Dimensions"),
        };

        series_identify(&s);
        if (put_datum(&s, data->items[i], c->now_ms, err) < 0)
            return -1;
    }
    return 0;
}

/* {"EndpointName":"e"} as the list that clients send. */
static struct doc *dimensions_of(struct arena *a, const struct doc *map)
{
    struct doc *list = doc_list(a);

    for (uint32_t i = 0; map && map->type == DOC_MAP && i < map->count; i++) {
        struct doc *d = doc_map(a);

        doc_set_string(a, d, "Name", map->members[i].key);
        doc_set_string(a, d, "Value", doc_value_text(map->members[i].value));
        doc_append(a, list, d);
    }
    return list;
}

int metrics_append(struct arena *a, struct store *store, const struct doc *batch, int64_t now_ms, struct err *err)
{
    const char *id = doc_text(batch, "id");
    const struct doc *data = doc_get(batch, "data");
    struct str seen;
    char now[8];

    if (!*id || !*doc_text(batch, "account") || !*doc_text(batch, "namespace"))
        return fail(err, ERR_INVALID, "a batch of metrics needs account, namespace and id");
    if (store_get(a, store, "metrics_ids", str_of(id), &seen, err) == 0)
        return 0;
    if (err->kind != ERR_NOT_FOUND)
        return -1;
    for (size_t i = 0; i < doc_count(data, ""); i++) {
        const struct doc *d = data->items[i], *set = doc_get(d, "statistics");
        double value = doc_number(d, "value", 0);
        struct sample sample = { 1, value, value, value };
        struct series s = { .arena = a,
                            .store = store,
                            .account = doc_text(batch, "account"),
                            .region = doc_text(batch, "region"),
                            .space = doc_text(batch, "namespace"),
                            .metric = doc_text(d, "name"),
                            .dimensions = dimensions_of(a, doc_get(d, "dimensions")) };

        if (set)
            sample = (struct sample) { doc_number(set, "samples", 0), doc_number(set, "sum", 0),
                                       doc_number(set, "minimum", 0), doc_number(set, "maximum", 0) };
        series_identify(&s);
        if (series_add(&s, doc_int(d, "at_ms", now_ms), false, &sample, 1, doc_text(d, "unit"), err) < 0)
            return -1;
    }
    store_key_int64(now, now_ms);
    return store_put(store, "metrics_ids", str_of(id), (struct str){ now, sizeof now }, err);
}

/* A batch that was not acknowledged is sent again within seconds of the control plane's return. */
static const int64_t id_kept_ms = (int64_t)2 * 24 * 3600 * 1000;

int metrics_expire(struct store *store, int64_t now_ms, struct err *err)
{
    _cleanup_buf_ struct buf from = { 0 };
    int count;

    do {
        _cleanup_arena_ struct arena *a = arena_new();
        const struct range range = { .from = { from.data, from.size }, .limit = EXPIRE_PAGE };
        struct pair *pairs;

        if (store_scan(a, store, "metrics_ids", &range, &pairs, &count, err) < 0)
            return -1;
        for (int i = 0; i < count; i++)
            if (store_int64_of_key(pairs[i].value.data) < now_ms - id_kept_ms &&
                store_remove(store, "metrics_ids", pairs[i].key, err) < 0)
                return -1;
        if (count == 0)
            break;
        /* The smallest key after the last one seen. */
        buf_clear(&from);
        buf_append(&from, pairs[count - 1].key.data, pairs[count - 1].key.size);
        buf_append_char(&from, '\0');
    } while (count == EXPIRE_PAGE);
    return 0;
}
