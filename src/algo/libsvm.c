/* libsvm.c - "label[:weight] [qid:n] index:value ..." lines into a sparse matrix. Indices are taken as they stand, from
 * 0 or from 1, as XGBoost does. */
#include "algo/libsvm.h"

#include <math.h>
#include <string.h>

#include "algo/number.h"

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static const char *skip_blank(const char *p, const char *end)
{
    while (p < end && blank(*p))
        p++;
    return p;
}

/* A whole number and the byte after it; NULL: none, or beyond the limit. */
static const char *parse_whole(const char *p, const char *end, uint64_t limit, uint64_t *ret)
{
    const char *start = p;
    uint64_t v = 0;

    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        v = v * 10 + (uint64_t)(*p - '0');
        if (v > limit)
            return NULL;
    }
    *ret = v;
    return p > start ? p : NULL;
}

static int refuse(const struct libsvm_options *o, struct str line, size_t number, struct err *err)
{
    int size = line.size > 50 ? 50 : (int)line.size;

    if (!o->name)
        return fail(err, ERR_INVALID, "line %zu '%.*s' is not 'LIBSVM' format: <label> <index>:<value> ...", number,
                    size, line.data);
    if (number == 1)
        return fail(err, ERR_INVALID,
                    "First line '%.*s...' of file '%s' is not 'LIBSVM' format. Please ensure the file "
                    "is in 'LIBSVM' format.",
                    size, line.data, o->name);
    return fail(err, ERR_INVALID, "Line %zu '%.*s...' of file '%s' is not 'LIBSVM' format.", number, size, line.data,
                o->name);
}

struct start { /* of a line, before its values */
    float label, weight;
    uint64_t query;
    bool query_seen, weight_seen;
};

/* "label[:weight] [qid:n] ": NULL where it is neither that nor nothing. */
static const char *parse_start(const char *p, const char *end, bool labeled, struct start *ret)
{
    const char *after = number_parse(p, end, &ret->label);

    if (labeled || (after && (after == end || blank(*after)))) {
        if (!after)
            return NULL;
        p = after;
        if (p < end && *p == ':') {
            if (!(p = number_parse(p + 1, end, &ret->weight)))
                return NULL;
            ret->weight_seen = true;
        }
        if (p < end && !blank(*p))
            return NULL;
        p = skip_blank(p, end);
    }
    if (end - p > 4 && memcmp(p, "qid:", 4) == 0) {
        if (!(p = parse_whole(p + 4, end, UINT64_MAX / 10 - 10, &ret->query)))
            return NULL;
        ret->query_seen = true;
        p = skip_blank(p, end);
    }
    return p;
}

/* "index:value ..." to the end of the line. */
static bool parse_values(const char *p, const char *end, struct matrix *m, size_t *at)
{
    size_t start = *at;
    uint64_t index;

    while (p < end) {
        float value = 1;

        if (!(p = parse_whole(p, end, INT32_MAX - 1, &index)) || p == end || *p != ':')
            return false;
        if (!(p = number_parse(p + 1, end, &value)) || (p < end && !blank(*p)))
            return false;
        matrix_reserve_values(m, *at - start + 1);
        m->column[*at] = (uint32_t)index;
        m->values[(*at)++] = value;
        if (index >= m->columns)
            m->columns = index + 1;
        p = skip_blank(p, end);
    }
    return true;
}

static bool put_start(struct matrix *m, const struct start *s)
{
    size_t row = m->rows;

    if (isnan(s->label) || (row > 0 && s->query_seen != (m->queries != NULL)))
        return false; /* a query id stands on every line or on none */
    m->labels[row] = s->label;
    if (s->query_seen) {
        matrix_reserve(m, 1, false, false, true);
        m->queries[row] = s->query;
    }
    if (s->weight_seen && !m->weights) {
        matrix_reserve(m, 1, false, true, false);
        for (size_t r = 0; r < row; r++)
            m->weights[r] = 1;
    }
    if (m->weights)
        m->weights[row] = s->weight;
    return true;
}

static bool parse_line(const char *p, const char *end, const struct libsvm_options *o, struct matrix *m)
{
    struct start s = { .label = NAN, .weight = 1 };
    size_t at = m->row_start[m->rows];

    p = parse_start(skip_blank(p, end), end, o->labeled, &s);
    if (!p || !parse_values(p, end, m, &at) || (o->labeled && !put_start(m, &s)))
        return false;
    m->row_start[++m->rows] = at;
    return true;
}

int libsvm_parse(struct str text, const struct libsvm_options *o, struct matrix *m, struct err *err)
{
    const char *p = text.data, *end = p + text.size;
    size_t rows_before = m->rows, number = 0;

    m->sparse = true;
    matrix_reserve(m, 1, o->labeled, false, false);
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p)), *stop = newline ? newline : end, *hash;

        number++;
        if ((hash = memchr(p, '#', (size_t)(stop - p))))
            stop = hash;
        if (skip_blank(p, stop) < stop) {
            matrix_reserve(m, 1, o->labeled, false, false);
            if (!parse_line(p, stop, o, m)) {
                m->rows = rows_before;
                return refuse(o, (struct str){ p, (size_t)(stop - p) }, number, err);
            }
        }
        p = newline ? newline + 1 : end;
    }
    return 0;
}
