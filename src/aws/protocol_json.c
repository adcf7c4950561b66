/* protocol_json.c - documents as JSON in the dialects of AWS: JSON 1.0, JSON 1.1 and the bodies of REST-JSON.
 *
 * A body is parsed once into a document and then corrected in place by its shape, so that a request of 2 KB costs a few
 * microseconds. The same correction serves CBOR, whose parser leaves the same kinds of values behind. */
#include "aws/protocols.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "doc/json.h"

static int refuse(struct err *err, const struct doc *d, const char *wanted)
{
    static const char *const found[] = { "NULL_VALUE", "BOOLEAN_VALUE", "NUMBER_VALUE", "NUMBER_VALUE",
                                         "STRING_VALUE", "BLOB_VALUE",  "START_ARRAY",  "START_OBJECT" };

    return fail_code(err, ERR_INVALID, "SerializationException", "%s can not be converted to %s", found[d->type],
                     wanted);
}

bool is_simple(const struct shape *shape)
{
    return shape->type >= SHAPE_STRING;
}

enum time_format time_format_of(const struct member *m, enum time_format otherwise)
{
    if (m->time_format != TIME_BY_PROTOCOL)
        return m->time_format;
    return m->shape->time_format != TIME_BY_PROTOCOL ? m->shape->time_format : otherwise;
}

/* Members are sorted by name, and a name on the wire that differs from it is rare. */
const struct member *member_by_wire_name(const struct shape *shape, struct str name)
{
    const struct member *m = model_member(shape, name);

    if (m && str_is(name, m->wire_name))
        return m;
    for (uint16_t i = 0; i < shape->member_count; i++)
        if (str_is(name, shape->members[i].wire_name))
            return &shape->members[i];
    return NULL;
}

static int conform_time(struct doc *d, enum time_format format, struct err *err)
{
    int64_t ms;

    if (d->type == DOC_INTEGER && !__builtin_mul_overflow(d->integer, 1000, &ms)) {
        d->integer = ms;
        return 0;
    }
    if (d->type == DOC_REAL && fabs(d->real) < 9e15) {
        *d = (struct doc){ .type = DOC_INTEGER, .integer = llround(d->real * 1000) };
        return 0;
    }
    if (d->type == DOC_STRING &&
        (time_parse_iso8601(d->text, &ms) || (format == TIME_HTTP && time_parse_http(d->text, &ms)))) {
        *d = (struct doc){ .type = DOC_INTEGER, .integer = ms };
        return 0;
    }
    return refuse(err, d, "milliseconds since epoch");
}

static int conform_integer(struct doc *d, const struct shape *shape, struct err *err)
{
    const char *wanted = shape->type == SHAPE_INTEGER ? "an Integer" : "a Long";

    if (d->type == DOC_REAL && d->real >= -0x1p63 && d->real < 0x1p63 && trunc(d->real) == d->real)
        *d = (struct doc){ .type = DOC_INTEGER, .integer = (int64_t)d->real };
    if (d->type != DOC_INTEGER)
        return refuse(err, d, wanted);
    if (shape->type == SHAPE_INTEGER && (d->integer < INT32_MIN || d->integer > INT32_MAX))
        return refuse(err, d, wanted);
    return 0;
}

static int conform_real(struct doc *d, struct err *err)
{
    static const struct {
        const char *text;
        double value;
    } words[] = { { "NaN", NAN }, { "Infinity", INFINITY }, { "-Infinity", -INFINITY } };

    if (d->type == DOC_REAL)
        return 0;
    if (d->type == DOC_INTEGER) {
        *d = (struct doc){ .type = DOC_REAL, .real = (double)d->integer };
        return 0;
    }
    for (size_t i = 0; d->type == DOC_STRING && i < 3; i++)
        if (str_is(d->text, words[i].text)) {
            *d = (struct doc){ .type = DOC_REAL, .real = words[i].value };
            return 0;
        }
    return refuse(err, d, "a Double");
}

static int conform_value(struct arena *a, const struct member *m, struct doc *d, struct err *err);

static int conform_structure(struct arena *a, const struct shape *shape, struct doc *d, struct err *err)
{
    uint32_t kept = 0;

    if (d->type != DOC_MAP)
        return refuse(err, d, "a structure");
    for (uint32_t i = 0; i < d->count; i++) {
        struct doc_item item = d->members[i];
        const struct member *m = member_by_wire_name(shape, str_of(item.key));

        if (!m || m->location != IN_BODY || item.value->type == DOC_NULL)
            continue;
        if (conform_value(a, m, item.value, err) < 0)
            return -1;
        d->members[kept++] = (struct doc_item){ m->name, item.value };
    }
    d->count = kept;
    return 0;
}

static int conform_list(struct arena *a, const struct shape *shape, struct doc *d, struct err *err)
{
    if (d->type != DOC_LIST)
        return refuse(err, d, "a list");
    for (uint32_t i = 0; i < d->count; i++)
        if (d->items[i]->type != DOC_NULL && conform_value(a, model_item(shape), d->items[i], err) < 0)
            return -1;
    return 0;
}

static int conform_map(struct arena *a, const struct shape *shape, struct doc *d, struct err *err)
{
    if (d->type != DOC_MAP)
        return refuse(err, d, "a map");
    for (uint32_t i = 0; i < d->count; i++)
        if (d->members[i].value->type != DOC_NULL && conform_value(a, model_value(shape), d->members[i].value, err) < 0)
            return -1;
    return 0;
}

static int conform_value(struct arena *a, const struct member *m, struct doc *d, struct err *err)
{
    const struct shape *shape = m->shape;

    switch (shape->type) {
    case SHAPE_STRUCTURE:
        return conform_structure(a, shape, d, err);
    case SHAPE_LIST:
        return conform_list(a, shape, d, err);
    case SHAPE_MAP:
        return conform_map(a, shape, d, err);
    case SHAPE_STRING:
        return d->type == DOC_STRING ? 0 : refuse(err, d, "a String");
    case SHAPE_INTEGER:
    case SHAPE_LONG:
        return conform_integer(d, shape, err);
    case SHAPE_FLOAT:
    case SHAPE_DOUBLE:
        return conform_real(d, err);
    case SHAPE_BOOLEAN:
        return d->type == DOC_BOOLEAN ? 0 : refuse(err, d, "a Boolean");
    case SHAPE_BLOB:
        if (d->type == DOC_STRING && base64_decode(a, d->text, &d->text))
            d->type = DOC_BYTES;
        return d->type == DOC_BYTES ? 0 : refuse(err, d, "a Blob");
    case SHAPE_TIMESTAMP:
        return conform_time(d, time_format_of(m, TIME_EPOCH), err);
    }
    assert(!"no such shape");
    return -1;
}

int conform(struct arena *a, const struct shape *shape, struct doc *d, struct err *err)
{
    return conform_structure(a, shape, d, err);
}

int json_decode(struct arena *a, const struct shape *shape, struct str body, struct doc **ret, struct err *err)
{
    struct doc *d;
    struct err why;

    if (str_trim(body).size == 0) {
        *ret = doc_map(a);
        return 0;
    }
    if (json_parse(a, body, &d, &why) < 0)
        return fail_code(err, ERR_INVALID, "SerializationException", "The body is not valid JSON: %s", why.text);
    if (conform(a, shape, d, err) < 0)
        return -1;
    *ret = d;
    return 0;
}

static void print_integer(struct buf *b, int64_t value)
{
    char text[24], *at = text + sizeof text;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;

    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        *--at = '-';
    buf_append(b, at, (size_t)(text + sizeof text - at));
}

/* Seconds since 1970, with as many digits as it takes. */
static void print_epoch(struct buf *b, int64_t ms)
{
    uint64_t rest = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
    unsigned thousandths = (unsigned)(rest % 1000);

    if (ms < 0)
        buf_append_char(b, '-');
    print_integer(b, (int64_t)(rest / 1000));
    if (thousandths) {
        char text[4] = { '.', (char)('0' + thousandths / 100), (char)('0' + thousandths / 10 % 10),
                         (char)('0' + thousandths % 10) };
        size_t size = 4;

        while (text[size - 1] == '0')
            size--;
        buf_append(b, text, size);
    }
}

static void print_time(struct buf *b, int64_t ms, enum time_format format)
{
    _cleanup_arena_ struct arena *a = NULL;

    if (format == TIME_EPOCH) {
        print_epoch(b, ms);
        return;
    }
    a = arena_new();
    buf_append_char(b, '"');
    buf_append_str(b, format == TIME_HTTP ? time_http(a, ms) : time_iso8601(a, ms, ms % 1000 != 0));
    buf_append_char(b, '"');
}

static void encode_value(struct buf *b, const struct member *m, const struct doc *d);

/* A verb's answer has the model's own names in the model's order: then the next one is found without reading it. */
static const struct member *member_by_own_name(const struct member **next, const struct member *end, const char *name)
{
    for (const struct member *m = *next; m < end; m++)
        if (m->name == name) {
            *next = m + 1;
            return m;
        }
    return NULL;
}

static void encode_structure(struct buf *b, const struct shape *shape, const struct doc *d)
{
    const struct member *next = shape->members, *end = next + shape->member_count;
    bool first = true;

    buf_append_char(b, '{');
    for (uint32_t i = 0; i < d->count; i++) {
        const struct doc_item *item = &d->members[i];
        const struct member *m = member_by_own_name(&next, end, item->key);

        if (!m)
            m = model_member(shape, str_of(item->key));
        if (!m || m->location != IN_BODY || item->value->type == DOC_NULL)
            continue;
        buf_append(b, first ? "\"" : ",\"", first ? 1 : 2);
        buf_append_str(b, m->wire_name);
        buf_append(b, "\":", 2);
        encode_value(b, m, item->value);
        first = false;
    }
    buf_append_char(b, '}');
}

/* What the document holds decides; the shape says how a time is written and which members there are. A value that does
 * not fit its shape is printed as what it is: the client's parser will say so sooner than anyone here. */
static void encode_value(struct buf *b, const struct member *m, const struct doc *d)
{
    const struct shape *shape = m->shape;

    if (d->type == DOC_MAP && shape->type == SHAPE_STRUCTURE) {
        encode_structure(b, shape, d);
    } else if (d->type == DOC_MAP && shape->type == SHAPE_MAP) {
        buf_append_char(b, '{');
        for (uint32_t i = 0; i < d->count; i++) {
            if (i)
                buf_append_char(b, ',');
            json_print_string(b, str_of(d->members[i].key));
            buf_append_char(b, ':');
            encode_value(b, model_value(shape), d->members[i].value);
        }
        buf_append_char(b, '}');
    } else if (d->type == DOC_LIST && shape->type == SHAPE_LIST) {
        buf_append_char(b, '[');
        for (uint32_t i = 0; i < d->count; i++) {
            if (i)
                buf_append_char(b, ',');
            encode_value(b, model_item(shape), d->items[i]);
        }
        buf_append_char(b, ']');
    } else if (d->type == DOC_INTEGER && shape->type == SHAPE_TIMESTAMP) {
        print_time(b, d->integer, time_format_of(m, TIME_EPOCH));
    } else if (d->type == DOC_INTEGER) {
        print_integer(b, d->integer);
    } else if (d->type == DOC_STRING) {
        json_print_string(b, d->text);
    } else {
        json_print(b, d);
    }
}

void json_encode(struct buf *b, const struct shape *shape, const struct doc *d)
{
    encode_structure(b, shape, d);
}
