#include "services/cloudwatch/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "doc/json.h"
#include "sign/digest.h"

enum { VALUES_AT_MOST = 150, SCAN_PAGE = 5000 };

static int by_name(const void *a, const void *b)
{
    return strcmp(doc_text(*(const struct doc *const *)a, "Name"), doc_text(*(const struct doc *const *)b, "Name"));
}

void series_identify(struct series *s)
{
    size_t count = doc_count(s->dimensions, "");
    const struct doc **sorted = arena_array_of(s->arena, const struct doc *, count);
    unsigned char digest[SHA256_SIZE];
    struct buf b = { 0 };

    for (size_t i = 0; i < count; i++)
        sorted[i] = s->dimensions->items[i];
    qsort(sorted, count, sizeof *sorted, by_name);
    for (const char *const *part = (const char *const[]) { s->account, s->region, s->space, s->metric, NULL }; *part;
         part++)
        buf_append(&b, *part, strlen(*part) + 1);
    for (size_t i = 0; i < count; i++) {
        buf_append_str(&b, doc_text(sorted[i], "Name"));
        buf_append_char(&b, '\1');
        buf_append_str(&b, doc_text(sorted[i], "Value"));
        buf_append_char(&b, '\1');
    }
    sha256(digest, b.data, b.size);
    memcpy(s->hash, digest, sizeof s->hash);
    s->key = (struct str){ arena_copy(s->arena, b.data, b.size), b.size };
    buf_free(&b);
}

static struct str data_key(struct series *s, int64_t at_ms)
{
    char *k = arena_alloc(s->arena, sizeof s->hash + 8);

    memcpy(k, s->hash, sizeof s->hash);
    store_key_int64(k + sizeof s->hash, at_ms);
    return (struct str){ k, sizeof s->hash + 8 };
}

/* --- Adding --- */

static int note_series(struct series *s, int64_t at_ms, struct err *err)
{
    struct doc *record = doc_map(s->arena);
    struct str text;

    if (store_get(s->arena, s->store, "metrics_series", s->key, &text, err) == 0) {
        if (json_parse(s->arena, text, &record, err) < 0)
            return -1;
        /* Once a minute is enough for "recently active". */
        if (doc_int(record, "last_ms", 0) > at_ms - 60000)
            return 0;
    } else if (err->kind != ERR_NOT_FOUND) {
        return -1;
    }
    doc_set_integer(s->arena, record, "last_ms", at_ms);
    doc_set(s->arena, record, "dimensions", s->dimensions ? doc_copy(s->arena, s->dimensions) : doc_list(s->arena));
    return store_put(s->store, "metrics_series", s->key, str_of(json_text(s->arena, record)), err);
}

static void add_value(struct arena *a, struct doc *values, double value, double count)
{
    struct doc *pair;

    for (uint32_t i = 0; i < values->count; i++) {
        pair = values->items[i];
        if (pair->items[0]->real == value) {
            pair->items[1] = doc_real(a, pair->items[1]->real + count);
            return;
        }
    }
    pair = doc_list(a);
    doc_append(a, pair, doc_real(a, value));
    doc_append(a, pair, doc_real(a, count));
    doc_append(a, values, pair);
}

/* A statistic of several different values has no values to keep. */
static void merge_values(struct arena *a, struct doc *record, const struct sample *sample)
{
    struct doc *values;

    if (doc_bool(record, "many", false))
        return;
    values = doc_member(a, record, "values", DOC_LIST);
    if (sample->minimum == sample->maximum && values->count < VALUES_AT_MOST) {
        add_value(a, values, sample->minimum, sample->n);
        return;
    }
    doc_set(a, record, "values", NULL);
    doc_set_boolean(a, record, "many", true);
}

static struct sample read_sample(const struct doc *record)
{
    return (struct sample) { doc_number(record, "n", 0), doc_number(record, "sum", 0),
                             doc_number(record, "min", INFINITY), doc_number(record, "max", -INFINITY) };
}

static void merge(struct sample *into, const struct sample *from)
{
    into->n += from->n;
    into->sum += from->sum;
    into->minimum = fmin(into->minimum, from->minimum);
    into->maximum = fmax(into->maximum, from->maximum);
}

int series_add(struct series *s, int64_t at_ms, bool each_second, const struct sample *samples, size_t count,
               const char *unit, struct err *err)
{
    int64_t width_ms = each_second ? 1000 : 60000, bucket = at_ms - at_ms % width_ms;
    struct str k = data_key(s, bucket), text;
    struct doc *record = doc_map(s->arena);
    struct sample total;

    if (store_get(s->arena, s->store, "metrics_data", k, &text, err) == 0) {
        if (json_parse(s->arena, text, &record, err) < 0)
            return -1;
    } else if (err->kind != ERR_NOT_FOUND) {
        return -1;
    }
    total = read_sample(record);
    for (size_t i = 0; i < count; i++) {
        merge(&total, &samples[i]);
        merge_values(s->arena, record, &samples[i]);
    }
    doc_set_real(s->arena, record, "n", total.n);
    doc_set_real(s->arena, record, "sum", total.sum);
    doc_set_real(s->arena, record, "min", total.minimum);
    doc_set_real(s->arena, record, "max", total.maximum);
    if (*unit)
        doc_set_string(s->arena, record, "unit", unit);
    if (store_put(s->store, "metrics_data", k, str_of(json_text(s->arena, record)), err) < 0)
        return -1;
    return note_series(s, at_ms, err);
}

/* --- Reading --- */

struct gather {
    struct period *periods;
    int count, capacity;
};

static struct period *period_at(struct arena *a, struct gather *g, int64_t start_ms)
{
    if (g->count && g->periods[g->count - 1].start_ms == start_ms)
        return &g->periods[g->count - 1];
    if (g->count == g->capacity) {
        struct period *more;

        g->capacity = g->capacity ? g->capacity * 2 : 64;
        more = arena_array_of(a, struct period, (size_t)g->capacity);
        if (g->count)
            memcpy(more, g->periods, (size_t)g->count * sizeof *more);
        g->periods = more;
    }
    g->periods[g->count] = (struct period){ .start_ms = start_ms, .total = { 0, 0, INFINITY, -INFINITY },
                                            .unit = "None", .values = doc_list(a) };
    return &g->periods[g->count++];
}

static int take(struct series *s, struct gather *g, const struct pair *pair, int64_t start_ms, int64_t period_ms,
                const char *unit, struct err *err)
{
    int64_t at_ms = store_int64_of_key(pair->key.data + sizeof s->hash);
    struct period *p;
    struct sample sample;
    struct doc *record;
    const struct doc *values;

    if (json_parse(s->arena, pair->value, &record, err) < 0)
        return -1;
    if (unit && strcmp(doc_text_or(record, "unit", "None"), unit) != 0)
        return 0;
    /* A bucket that began before the start is of the first period. */
    p = period_at(s->arena, g, at_ms < start_ms ? start_ms : at_ms - (at_ms - start_ms) % period_ms);
    sample = read_sample(record);
    merge(&p->total, &sample);
    p->unit = doc_text_or(record, "unit", p->unit);
    values = doc_get(record, "values");
    if (!values)
        p->values = NULL;
    for (uint32_t i = 0; p->values && i < values->count; i++)
        doc_append(s->arena, p->values, values->items[i]); /* sorted when a percentile is asked for */
    return 0;
}

int series_periods(struct series *s, int64_t start_ms, int64_t end_ms, int64_t period_ms, const char *unit,
                   struct period **ret, int *ret_count, struct err *err)
{
    struct range range = { .from = data_key(s, start_ms - start_ms % 60000),
                           .to = data_key(s, end_ms),
                           .limit = SCAN_PAGE };
    struct gather g = { 0 };
    struct pair *pairs;
    int count;

    do {
        if (store_scan(s->arena, s->store, "metrics_data", &range, &pairs, &count, err) < 0)
            return -1;
        for (int i = 0; i < count; i++)
            if (take(s, &g, &pairs[i], start_ms, period_ms, unit, err) < 0)
                return -1;
        if (count)
            range.from = data_key(s, store_int64_of_key(pairs[count - 1].key.data + sizeof s->hash) + 1);
    } while (count == SCAN_PAGE);
    *ret = g.periods;
    *ret_count = g.count;
    return 0;
}

static int by_value(const void *a, const void *b)
{
    double x = (*(struct doc *const *)a)->items[0]->real, y = (*(struct doc *const *)b)->items[0]->real;

    return (x > y) - (x < y);
}

/* Nearest rank. */
static bool percentile(struct arena *a, const struct period *p, double percent, double *ret)
{
    double rank = ceil(percent / 100 * p->total.n), seen = 0;
    struct doc **sorted;

    if (!p->values || !p->values->count)
        return false;
    sorted = arena_copy(a, p->values->items, p->values->count * sizeof *sorted);
    qsort(sorted, p->values->count, sizeof *sorted, by_value);
    for (uint32_t i = 0; i < p->values->count; i++) {
        *ret = sorted[i]->items[0]->real;
        seen += sorted[i]->items[1]->real;
        if (seen >= rank)
            break;
    }
    return true;
}

bool period_statistic(struct arena *a, const struct period *p, const char *statistic, double *ret)
{
    double percent;

    if (strcmp(statistic, "Average") == 0)
        *ret = p->total.n > 0 ? p->total.sum / p->total.n : 0;
    else if (strcmp(statistic, "Sum") == 0)
        *ret = p->total.sum;
    else if (strcmp(statistic, "Minimum") == 0)
        *ret = p->total.minimum;
    else if (strcmp(statistic, "Maximum") == 0)
        *ret = p->total.maximum;
    else if (strcmp(statistic, "SampleCount") == 0)
        *ret = p->total.n;
    else
        return *statistic == 'p' && str_to_double(str_of(statistic + 1), &percent) && percent >= 0 && percent <= 100 &&
               percentile(a, p, percent, ret);
    return true;
}
