/* request.c - the body of an invocation into rows: text/csv, text/libsvm, application/x-recordio-protobuf as the
 * XGBoost container takes them, and beyond it the JSON forms that the other built-in algorithms share. */
#include "algo/request.h"

#include <math.h>
#include <string.h>

#include "algo/csv.h"
#include "algo/libsvm.h"
#include "algo/recordio.h"
#include "doc/json.h"

#define MAX_COLUMNS 10000000

static float number_of(const struct doc *v)
{
    switch (v->type) {
    case DOC_INTEGER:
        return (float)v->integer;
    case DOC_REAL:
        return (float)v->real;
    case DOC_BOOLEAN:
        return v->boolean;
    default:
        return NAN; /* null: missing; is_number() let nothing else through */
    }
}

static bool is_number(const struct doc *v)
{
    return v->type == DOC_INTEGER || v->type == DOC_REAL || v->type == DOC_BOOLEAN || v->type == DOC_NULL;
}

static int add_dense(const struct doc *list, struct matrix *m, struct err *err)
{
    if (m->rows && m->sparse)
        return fail(err, ERR_INVALID, "instance %zu is dense, those before it are sparse", m->rows + 1);
    if (m->rows && m->columns != list->count)
        return fail(err, ERR_INVALID, "instance %zu has %u features, those before it have %zu", m->rows + 1,
                    list->count, m->columns);
    if (list->count == 0)
        return fail(err, ERR_INVALID, "instance %zu has no features", m->rows + 1);
    m->columns = list->count;
    matrix_reserve(m, 1, false, false, false);
    for (uint32_t i = 0; i < list->count; i++) {
        if (!is_number(list->items[i]))
            return fail(err, ERR_INVALID, "feature %u of instance %zu is not a number", i, m->rows + 1);
        m->values[m->rows * m->columns + i] = number_of(list->items[i]);
    }
    m->rows++;
    return 0;
}

/* {"keys":[2,5],"shape":[9],"values":[1.5,2]} */
static int add_sparse(const struct doc *d, struct matrix *m, struct err *err)
{
    const struct doc *keys = doc_get(d, "keys"), *values = doc_get(d, "values");
    int64_t width = doc_int(d, "shape[0]", 0);

    if (!keys || !values || keys->type != DOC_LIST || values->type != DOC_LIST || keys->count != values->count ||
        width < 0 || width > MAX_COLUMNS)
        return fail(err, ERR_INVALID,
                    "instance %zu: sparse features need lists 'keys' and 'values' of one length, and 'shape'",
                    m->rows + 1);
    if (m->rows && !m->sparse)
        return fail(err, ERR_INVALID, "instance %zu is sparse, those before it are dense", m->rows + 1);
    m->sparse = true;
    matrix_reserve(m, 1, false, false, false);
    matrix_reserve_values(m, keys->count);
    size_t at = m->row_start[m->rows];
    for (uint32_t i = 0; i < keys->count; i++, at++) {
        const struct doc *key = keys->items[i];

        if (key->type != DOC_INTEGER || key->integer < 0 || key->integer >= MAX_COLUMNS || !is_number(values->items[i]))
            return fail(err, ERR_INVALID, "entry %u of instance %zu is no column number and value", i, m->rows + 1);
        m->column[at] = (uint32_t)key->integer;
        m->values[at] = number_of(values->items[i]);
        if (key->integer >= width)
            width = key->integer + 1;
    }
    if ((size_t)width > m->columns)
        m->columns = (size_t)width;
    m->row_start[++m->rows] = at;
    return 0;
}

/* A list of numbers, {"features": ...}, or {"data": {"features": {"values": ...}}}. */
static int add_instance(const struct doc *d, struct matrix *m, struct err *err)
{
    if (d->type == DOC_MAP && doc_get(d, "data"))
        d = doc_get(d, "data");
    if (d->type == DOC_MAP && doc_get(d, "features"))
        d = doc_get(d, "features");
    if (d->type == DOC_MAP && doc_get(d, "values"))
        return doc_get(d, "keys") ? add_sparse(d, m, err) : add_instance(doc_get(d, "values"), m, err);
    if (d->type == DOC_LIST)
        return add_dense(d, m, err);
    return fail(err, ERR_INVALID, "instance %zu is neither a list of numbers nor {\"features\": [...]}", m->rows + 1);
}

static int parse_json(struct arena *a, struct str body, struct matrix *m, struct err *err)
{
    struct doc *d;
    const struct doc *list;

    if (json_parse(a, body, &d, err) < 0)
        return -1;
    list = d->type == DOC_MAP && doc_get(d, "instances") ? doc_get(d, "instances") : d;
    if (list->type != DOC_LIST || (list->count && is_number(list->items[0])))
        return add_instance(list, m, err); /* one row by itself */
    for (uint32_t i = 0; i < list->count; i++)
        if (add_instance(list->items[i], m, err) < 0)
            return -1;
    return m->rows ? 0 : fail(err, ERR_INVALID, "there are no instances");
}

static int parse_json_lines(struct arena *a, struct str body, struct matrix *m, struct err *err)
{
    struct str line, rest = body;
    struct doc *d;

    while (rest.size) {
        if (!str_cut(rest, '\n', &line, &rest))
            line = rest, rest.size = 0;
        line = str_trim(line);
        if (line.size == 0)
            continue;
        arena_reset(a);
        if (json_parse(a, line, &d, err) < 0 || add_instance(d, m, err) < 0)
            return -1;
    }
    return m->rows ? 0 : fail(err, ERR_INVALID, "there are no instances");
}

enum form { CSV, LIBSVM, RECORDIO, JSON, JSON_LINES };

static const struct form_name {
    const char *type;
    enum form form;
    const char *name;
} forms[] = {
    { "text/csv", CSV, "csv" },
    { "csv", CSV, "csv" },
    { "text/libsvm", LIBSVM, "libsvm" },
    { "text/x-libsvm", LIBSVM, "libsvm" },
    { "libsvm", LIBSVM, "libsvm" },
    { "application/x-recordio-protobuf", RECORDIO, "recordio-protobuf" },
    { "recordio-protobuf", RECORDIO, "recordio-protobuf" },
    { "application/json", JSON, "json" },
    { "application/jsonlines", JSON_LINES, "json" },
    { "application/x-jsonlines", JSON_LINES, "json" },
};

static int parse(enum form form, struct str body, struct matrix *m, struct err *err)
{
    _cleanup_arena_ struct arena *a = form == JSON || form == JSON_LINES ? arena_new() : NULL;

    switch (form) {
    case CSV:
        return csv_parse(str_trim(body), &(struct csv_options){ 0 }, m, err);
    case LIBSVM:
        return libsvm_parse(str_trim(body), &(struct libsvm_options){ 0 }, m, err);
    case RECORDIO:
        return recordio_parse(body, &(struct recordio_options){ 0 }, m, err);
    case JSON:
        return parse_json(a, body, m, err);
    case JSON_LINES:
        return parse_json_lines(a, body, m, err);
    }
    return -1;
}

static int parse_as(const struct form_name *f, struct str body, struct matrix *ret, struct err *err)
{
    struct err inner = { 0 };
    struct matrix m = { 0 };

    if (parse(f->form, body, &m, &inner) < 0 ||
        (m.rows == 0 && fail(&inner, ERR_INVALID, "there are no rows") < 0)) {
        matrix_free(&m);
        return fail(err, ERR_INVALID, "Loading %s data failed with Exception, please ensure data is in %s format:\n %s",
                    f->name, f->name, inner.text);
    }
    *ret = m;
    return 0;
}

int request_parse(struct str content_type, struct str body, struct matrix *ret, const char **ret_format,
                  struct err *err)
{
    struct str type = content_type, parameters;

    str_cut(content_type, ';', &type, &parameters);
    type = str_trim(type);
    if (type.size == 0)
        type = STR("text/csv");
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (str_is_nocase(type, forms[i].type)) {
            if (parse_as(&forms[i], body, ret, err) < 0)
                return -1;
            *ret_format = forms[i].name;
            return 0;
        }
    return fail(err, ERR_INVALID,
                STR_FMT " is not an accepted ContentType: csv, libsvm, recordio-protobuf, text/csv, "
                        "text/libsvm, text/x-libsvm, application/x-recordio-protobuf, application/json, "
                        "application/jsonlines.",
                STR_ARG(type));
}
