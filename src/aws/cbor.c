#include "aws/cbor.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { DEEPEST = 128 };
enum major { MAJOR_UNSIGNED, MAJOR_NEGATIVE, MAJOR_BYTES, MAJOR_TEXT, MAJOR_ARRAY, MAJOR_MAP, MAJOR_TAG, MAJOR_SIMPLE };
enum { TAG_EPOCH = 1, INDEFINITE = 31 };

struct parser {
    struct arena *arena;
    const unsigned char *start, *at, *end;
    int depth;
    struct err *err;
};

static int refuse(struct parser *p, const char *why)
{
    return fail(p->err, ERR_INVALID, "%s at byte %zu", why, (size_t)(p->at - p->start));
}

static uint64_t big_endian(const unsigned char *bytes, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* The first byte of an item and the number that follows it; 'indefinite' items have none. */
static int parse_head(struct parser *p, int *ret_major, int *ret_info, uint64_t *ret_value)
{
    int info;
    size_t size;

    if (p->at == p->end)
        return refuse(p, "item expected");
    *ret_major = *p->at >> 5;
    *ret_info = info = *p->at & 31;
    *ret_value = (uint64_t)info;
    p->at++;
    if (info < 24 || info == INDEFINITE)
        return 0;
    if (info > 27)
        return refuse(p, "reserved length");
    size = (size_t)1 << (info - 24);
    if ((size_t)(p->end - p->at) < size)
        return refuse(p, "unfinished item");
    *ret_value = big_endian(p->at, size);
    p->at += size;
    return 0;
}

static bool take_break(struct parser *p)
{
    if (p->at == p->end || *p->at != 0xff)
        return false;
    p->at++;
    return true;
}

/* A string in one piece, or in pieces of its own kind. */
static int parse_string(struct parser *p, int major, int info, uint64_t size, struct str *ret)
{
    _cleanup_buf_ struct buf whole = { 0 };

    if (info != INDEFINITE) {
        if (size > (uint64_t)(p->end - p->at))
            return refuse(p, "string longer than the rest");
        *ret = (struct str){ arena_strndup(p->arena, (const char *)p->at, size), size };
        p->at += size;
    } else {
        while (!take_break(p)) {
            int piece_major, piece_info;
            uint64_t piece;

            if (parse_head(p, &piece_major, &piece_info, &piece) < 0)
                return -1;
            if (piece_major != major || piece_info == INDEFINITE)
                return refuse(p, "piece of another kind in a string");
            if (piece > (uint64_t)(p->end - p->at))
                return refuse(p, "string longer than the rest");
            buf_append(&whole, p->at, piece);
            p->at += piece;
        }
        *ret = (struct str){ arena_strndup(p->arena, whole.data, whole.size), whole.size };
    }
    if (major == MAJOR_TEXT && !utf8_valid(*ret))
        return refuse(p, "text is not UTF-8, ends");
    return 0;
}

static double half(uint64_t bits)
{
    int exponent = bits >> 10 & 31;
    double mantissa = (double)(bits & 1023), value;

    if (exponent == 0)
        value = ldexp(mantissa, -24);
    else if (exponent == 31)
        value = mantissa == 0 ? INFINITY : NAN;
    else
        value = ldexp(mantissa + 1024, exponent - 25);
    return bits & 0x8000 ? -value : value;
}

static int parse_simple(struct parser *p, int info, uint64_t bits, struct doc **ret)
{
    switch (info) {
    case 20:
    case 21:
        *ret = doc_boolean(p->arena, info == 21);
        return 0;
    case 22:
    case 23: /* undefined */
        *ret = doc_null(p->arena);
        return 0;
    case 25:
        *ret = doc_real(p->arena, half(bits));
        return 0;
    case 26: {
        uint32_t narrow = (uint32_t)bits;
        float value;

        memcpy(&value, &narrow, sizeof value);
        *ret = doc_real(p->arena, (double)value);
        return 0;
    }
    case 27: {
        double value;

        memcpy(&value, &bits, sizeof value);
        *ret = doc_real(p->arena, value);
        return 0;
    }
    default:
        return refuse(p, "unknown simple value");
    }
}

static int parse_item(struct parser *p, struct doc **ret);

static int parse_array(struct parser *p, int info, uint64_t count, struct doc **ret)
{
    struct doc *list = doc_list(p->arena), *value;

    /* An item takes a byte at least, so a count beyond the rest is refused when the bytes run out. */
    for (uint64_t i = 0; info == INDEFINITE ? !take_break(p) : i < count; i++) {
        if (parse_item(p, &value) < 0)
            return -1;
        doc_append(p->arena, list, value);
    }
    *ret = list;
    return 0;
}

static int parse_map(struct parser *p, int info, uint64_t count, struct doc **ret)
{
    struct doc *map = doc_map(p->arena), *value;

    for (uint64_t i = 0; info == INDEFINITE ? !take_break(p) : i < count; i++) {
        int key_major, key_info;
        uint64_t key_size;
        struct str key;

        if (parse_head(p, &key_major, &key_info, &key_size) < 0)
            return -1;
        if (key_major != MAJOR_TEXT)
            return refuse(p, "a key that is no text");
        if (parse_string(p, key_major, key_info, key_size, &key) < 0)
            return -1;
        if (memchr(key.data, '\0', key.size))
            return refuse(p, "NUL in a key, ends");
        if (parse_item(p, &value) < 0)
            return -1;
        doc_append_member(p->arena, map, key.data, value);
    }
    doc_drop_repeated(p->arena, map);
    *ret = map;
    return 0;
}

static int parse_nested(struct parser *p, int major, int info, uint64_t value, struct doc **ret)
{
    int result;

    if (++p->depth > DEEPEST)
        return refuse(p, "nested too deeply");
    if (major == MAJOR_ARRAY)
        result = parse_array(p, info, value, ret);
    else if (major == MAJOR_MAP)
        result = parse_map(p, info, value, ret);
    else if (info == INDEFINITE || value != TAG_EPOCH)
        result = refuse(p, "unknown tag");
    else if ((result = parse_item(p, ret)) == 0 && (*ret)->type != DOC_INTEGER && (*ret)->type != DOC_REAL)
        result = refuse(p, "a time that is no number, ends");
    p->depth--;
    return result;
}

static int parse_item(struct parser *p, struct doc **ret)
{
    int major, info;
    uint64_t value;
    struct str text;

    if (parse_head(p, &major, &info, &value) < 0)
        return -1;
    switch ((enum major)major) {
    case MAJOR_UNSIGNED:
    case MAJOR_NEGATIVE:
        if (info == INDEFINITE || value > INT64_MAX)
            return refuse(p, "integer out of range, ends");
        *ret = doc_integer(p->arena, major == MAJOR_UNSIGNED ? (int64_t)value : -1 - (int64_t)value);
        return 0;
    case MAJOR_BYTES:
    case MAJOR_TEXT:
        if (parse_string(p, major, info, value, &text) < 0)
            return -1;
        *ret = arena_new_of(p->arena, struct doc);
        **ret = (struct doc){ .type = major == MAJOR_TEXT ? DOC_STRING : DOC_BYTES, .text = text };
        return 0;
    case MAJOR_ARRAY:
    case MAJOR_MAP:
    case MAJOR_TAG:
        return parse_nested(p, major, info, value, ret);
    case MAJOR_SIMPLE:
        return parse_simple(p, info, value, ret);
    }
    assert(!"three bits hold no more");
    return -1;
}

int cbor_parse(struct arena *a, struct str bytes, struct doc **ret, struct err *err)
{
    const unsigned char *start = (const unsigned char *)bytes.data;
    struct parser p = { .arena = a, .start = start, .at = start, .end = start + bytes.size, .err = err };
    struct doc *value;

    if (parse_item(&p, &value) < 0)
        return -1;
    if (p.at != p.end)
        return refuse(&p, "bytes after the item");
    *ret = value;
    return 0;
}

static void print_head(struct buf *b, enum major major, uint64_t value)
{
    unsigned char bytes[9];
    size_t size = value < 24 ? 0 : value <= UINT8_MAX ? 1 : value <= UINT16_MAX ? 2 : value <= UINT32_MAX ? 4 : 8;

    bytes[0] = (unsigned char)(major << 5 | (size == 0 ? (int)value : 24 + __builtin_ctz((unsigned)size)));
    for (size_t i = 0; i < size; i++)
        bytes[1 + i] = (unsigned char)(value >> 8 * (size - 1 - i));
    buf_append(b, bytes, 1 + size);
}

static void print_integer(struct buf *b, int64_t value)
{
    if (value >= 0)
        print_head(b, MAJOR_UNSIGNED, (uint64_t)value);
    else
        print_head(b, MAJOR_NEGATIVE, (uint64_t)(-1 - value));
}

static void print_real(struct buf *b, double value)
{
    unsigned char bytes[9] = { MAJOR_SIMPLE << 5 | 27 };
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    for (size_t i = 0; i < 8; i++)
        bytes[1 + i] = (unsigned char)(bits >> 8 * (7 - i));
    buf_append(b, bytes, sizeof bytes);
}

static void print_text(struct buf *b, struct str text)
{
    print_head(b, MAJOR_TEXT, text.size);
    buf_append(b, text.data, text.size);
}

static void print_time(struct buf *b, int64_t ms)
{
    print_head(b, MAJOR_TAG, TAG_EPOCH);
    if (ms % 1000 == 0)
        print_integer(b, ms / 1000);
    else
        print_real(b, (double)ms / 1000);
}

/* Shape NULL: as the document says. */
static void print_value(struct buf *b, const struct shape *shape, const struct doc *d)
{
    bool structure = shape && shape->type == SHAPE_STRUCTURE;

    switch (d->type) {
    case DOC_NULL:
        buf_append_char(b, (char)(MAJOR_SIMPLE << 5 | 22));
        break;
    case DOC_BOOLEAN:
        buf_append_char(b, (char)(MAJOR_SIMPLE << 5 | (d->boolean ? 21 : 20)));
        break;
    case DOC_INTEGER:
        if (shape && shape->type == SHAPE_TIMESTAMP)
            print_time(b, d->integer);
        else if (shape && (shape->type == SHAPE_DOUBLE || shape->type == SHAPE_FLOAT))
            print_real(b, (double)d->integer);
        else
            print_integer(b, d->integer);
        break;
    case DOC_REAL:
        print_real(b, d->real);
        break;
    case DOC_STRING:
        print_text(b, d->text);
        break;
    case DOC_BYTES:
        print_head(b, MAJOR_BYTES, d->text.size);
        buf_append(b, d->text.data, d->text.size);
        break;
    case DOC_LIST:
        print_head(b, MAJOR_ARRAY, d->count);
        for (uint32_t i = 0; i < d->count; i++)
            print_value(b, shape && shape->type == SHAPE_LIST ? model_item(shape)->shape : NULL, d->items[i]);
        break;
    case DOC_MAP: {
        uint32_t count = 0;

        for (uint32_t i = 0; structure && i < d->count; i++)
            count += d->members[i].value->type != DOC_NULL && model_member(shape, str_of(d->members[i].key)) != NULL;
        print_head(b, MAJOR_MAP, structure ? count : d->count);
        for (uint32_t i = 0; i < d->count; i++) {
            const struct doc_item *item = &d->members[i];
            const struct member *m = structure ? model_member(shape, str_of(item->key)) : NULL;
            const struct shape *inner = shape && shape->type == SHAPE_MAP ? model_value(shape)->shape
                                        : m                               ? m->shape
                                                                          : NULL;

            if (structure && (!m || item->value->type == DOC_NULL))
                continue;
            print_text(b, str_of(m ? m->wire_name : item->key));
            print_value(b, inner, item->value);
        }
        break;
    }
    }
}

void cbor_print(struct buf *b, const struct shape *shape, const struct doc *d)
{
    print_value(b, shape, d);
}
