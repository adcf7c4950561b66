/* get.c - metrics go out: statistics of one series, data of several, and which there are. */
#include <inttypes.h>
#include <string.h>

#include "doc/json.h"
#include "engine/engine.h"
#include "services/cloudwatch/series.h"

enum { DATAPOINTS_AT_MOST = 1440, QUERY_DATAPOINTS_AT_MOST = 100800, LIST_PAGE = 500, ACTIVE_MS = 3 * 3600 * 1000 };

static struct series series_of(struct call *c, const struct doc *metric)
{
    struct series s = {
        .arena = c->arena,
        .store = engine_world_of(c->engine)->store,
        .account = c->principal->account,
        .region = c->region,
        .space = doc_text(metric, "Namespace"),
        .metric = doc_text(metric, "MetricName"),
        .dimensions = doc_get(metric, "Dimensions"),
    };

    series_identify(&s);
    return s;
}

static int check_period(int64_t start_ms, int64_t end_ms, int64_t period_s, int64_t most, struct err *err)
{
    if (start_ms >= end_ms)
        return fail_code(err, ERR_INVALID, "InvalidParameterValue",
                         "The parameter StartTime must be less than the parameter EndTime.");
    if (period_s != 1 && period_s != 5 && period_s != 10 && period_s != 30 && (period_s < 60 || period_s % 60))
        return fail_code(err, ERR_INVALID, "InvalidParameterValue",
                         "The parameter Period must be a multiple of 60, or one of 1, 5, 10, 30.");
    if ((end_ms - start_ms) / (period_s * 1000) > most)
        return fail_code(
            err, ERR_INVALID, "InvalidParameterCombination",
            "You have requested up to %" PRId64 " datapoints, which exceeds the limit of %" PRId64
            ". You may reduce the datapoints requested by increasing Period, or decreasing the time range.",
            (end_ms - start_ms) / (period_s * 1000), most);
    return 0;
}

static struct doc *datapoint(struct call *c, const struct period *p, const struct doc *plain,
                             const struct doc *extended)
{
    struct doc *d = doc_map(c->arena);
    double value;

    doc_set_integer(c->arena, d, "Timestamp", p->start_ms);
    for (size_t i = 0; i < doc_count(plain, ""); i++)
        if (period_statistic(c->arena, p, doc_value_text(plain->items[i]), &value))
            doc_set_real(c->arena, d, doc_value_text(plain->items[i]), value);
    for (size_t i = 0; i < doc_count(extended, ""); i++)
        if (period_statistic(c->arena, p, doc_value_text(extended->items[i]), &value))
            doc_set_real(c->arena, doc_member(c->arena, d, "ExtendedStatistics", DOC_MAP),
                         doc_value_text(extended->items[i]), value);
    doc_set_string(c->arena, d, "Unit", p->unit);
    return d;
}

int cloudwatch_get_statistics(struct call *c, struct err *err)
{
    int64_t start_ms = doc_int(c->input, "StartTime", 0), end_ms = doc_int(c->input, "EndTime", 0);
    int64_t period_s = doc_int(c->input, "Period", 60);
    const struct doc *plain = doc_get(c->input, "Statistics"), *extended = doc_get(c->input, "ExtendedStatistics");
    const char *unit = doc_has(c->input, "Unit") ? doc_text(c->input, "Unit") : NULL;
    struct doc *list = doc_list(c->arena);
    struct period *periods;
    struct series s = series_of(c, c->input);
    int count;

    if (!doc_count(plain, "") && !doc_count(extended, ""))
        return fail_code(err, ERR_INVALID, "MissingParameter",
                         "The parameter Statistics or ExtendedStatistics must be specified.");
    if (check_period(start_ms, end_ms, period_s, DATAPOINTS_AT_MOST, err) < 0)
        return -1;
    start_ms -= start_ms % (period_s < 60 ? 1000 : 60000);
    if (series_periods(&s, start_ms, end_ms, period_s * 1000, unit, &periods, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        doc_append(c->arena, list, datapoint(c, &periods[i], plain, extended));
    doc_set_string(c->arena, c->output, "Label", s.metric);
    doc_set(c->arena, c->output, "Datapoints", list);
    return 0;
}

static int answer_query(struct call *c, const struct doc *q, struct doc *results, struct err *err)
{
    const struct doc *stat = doc_get(q, "MetricStat");
    int64_t start_ms = doc_int(c->input, "StartTime", 0), end_ms = doc_int(c->input, "EndTime", 0);
    int64_t period_s = doc_int(stat, "Period", 60);
    bool upwards = doc_is(c->input, "ScanBy", "TimestampAscending");
    struct doc *r = doc_map(c->arena), *times = doc_list(c->arena), *values = doc_list(c->arena);
    struct period *periods;
    struct series s;
    double value;
    int count;

    if (!stat)
        return fail_code(err, ERR_INVALID, "ValidationError",
                         "Query %s: metric math (Expression) is not here yet; ask for a MetricStat.",
                         doc_text(q, "Id"));
    s = series_of(c, doc_get(stat, "Metric"));
    start_ms -= start_ms % (period_s * 1000);
    if (check_period(start_ms, end_ms, period_s, QUERY_DATAPOINTS_AT_MOST, err) < 0 ||
        series_periods(&s, start_ms, end_ms, period_s * 1000, doc_has(stat, "Unit") ? doc_text(stat, "Unit") : NULL,
                       &periods, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        const struct period *p = &periods[upwards ? i : count - 1 - i];

        if (!period_statistic(c->arena, p, doc_text(stat, "Stat"), &value))
            continue;
        doc_append(c->arena, times, doc_integer(c->arena, p->start_ms));
        doc_append(c->arena, values, doc_real(c->arena, value));
    }
    doc_set_string(c->arena, r, "Id", doc_text(q, "Id"));
    doc_set_string(c->arena, r, "Label", doc_text_or(q, "Label", s.metric));
    doc_set(c->arena, r, "Timestamps", times);
    doc_set(c->arena, r, "Values", values);
    doc_set_string(c->arena, r, "StatusCode", "Complete");
    if (doc_bool(q, "ReturnData", true))
        doc_append(c->arena, results, r);
    return 0;
}

int cloudwatch_get_data(struct call *c, struct err *err)
{
    const struct doc *queries = doc_get(c->input, "MetricDataQueries");
    struct doc *results = doc_list(c->arena);

    for (size_t i = 0; i < doc_count(queries, ""); i++)
        if (answer_query(c, queries->items[i], results, err) < 0)
            return -1;
    doc_set(c->arena, c->output, "MetricDataResults", results);
    doc_set(c->arena, c->output, "Messages", doc_list(c->arena));
    return 0;
}

/* Each dimension asked for is there, with that value when one is given. */
static bool has_dimensions(const struct doc *dimensions, const struct doc *filters)
{
    for (size_t i = 0; i < doc_count(filters, ""); i++) {
        const struct doc *f = filters->items[i];
        bool found = false;

        for (size_t j = 0; j < doc_count(dimensions, ""); j++)
            found = found || (doc_is(dimensions->items[j], "Name", doc_text(f, "Name")) &&
                              (!doc_has(f, "Value") || doc_is(dimensions->items[j], "Value", doc_text(f, "Value"))));
        if (!found)
            return false;
    }
    return true;
}

int cloudwatch_list(struct call *c, struct err *err)
{
    const char *space = doc_text(c->input, "Namespace"), *metric = doc_text(c->input, "MetricName");
    struct store *store = engine_world_of(c->engine)->store;
    struct doc *list = doc_list(c->arena);
    struct buf b = { 0 };
    struct range range = { .limit = LIST_PAGE };
    struct str prefix, token;
    struct pair *pairs;
    int count;

    buf_append(&b, c->principal->account, strlen(c->principal->account) + 1);
    buf_append(&b, c->region, strlen(c->region) + 1);
    if (*space)
        buf_append(&b, space, strlen(space) + 1);
    prefix = (struct str){ arena_copy(c->arena, b.data, b.size), b.size };
    buf_free(&b);
    range.from = prefix;
    range.to = store_after_prefix(c->arena, prefix);
    if (doc_has(c->input, "NextToken")) {
        /* Of this list: a key from elsewhere would lead through what others have. */
        if (!base64_decode(c->arena, doc_get(c->input, "NextToken")->text, &token) || token.size < prefix.size ||
            memcmp(token.data, prefix.data, prefix.size) != 0)
            return fail_code(err, ERR_INVALID, "InvalidParameterValue",
                             "The value for parameter NextToken is invalid.");
        range.from = token;
    }
    if (store_scan(c->arena, store, "metrics_series", &range, &pairs, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        /* account 0 region 0 namespace 0 metric 0 dimensions */
        const char *name = arena_strndup(c->arena, pairs[i].key.data, pairs[i].key.size), *in;
        struct doc *record, *m = doc_map(c->arena);

        in = name + strlen(name) + 1;
        in += strlen(in) + 1;
        name = in + strlen(in) + 1;
        if (json_parse(c->arena, pairs[i].value, &record, err) < 0)
            return -1;
        if ((*metric && strcmp(metric, name) != 0) ||
            !has_dimensions(doc_get(record, "dimensions"), doc_get(c->input, "Dimensions")) ||
            (doc_is(c->input, "RecentlyActive", "PT3H") && doc_int(record, "last_ms", 0) < c->now_ms - ACTIVE_MS))
            continue;
        doc_set_string(c->arena, m, "Namespace", in);
        doc_set_string(c->arena, m, "MetricName", name);
        doc_set(c->arena, m, "Dimensions", doc_copy(c->arena, doc_get(record, "dimensions")));
        doc_append(c->arena, list, m);
    }
    doc_set(c->arena, c->output, "Metrics", list);
    if (count == LIST_PAGE) {
        const struct str last = pairs[count - 1].key;
        char *after = arena_alloc(c->arena, last.size + 1);

        memcpy(after, last.data, last.size);
        doc_set_string(c->arena, c->output, "NextToken", base64_encode(c->arena, after, last.size + 1));
    }
    return 0;
}
