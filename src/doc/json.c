#include "doc/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 128 };

struct parser {
    struct arena *arena;
    const char *start, *at, *end;
    int depth;
    struct err *err;
};

static int refuse(struct parser *p, const char *why)
{
    return fail(p->err, ERR_INVALID, "%s at byte %zu", why, (size_t)(p->at - p->start));
}

static void skip_blanks(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
        p->at++;
}

static bool take(struct parser *p, char c)
{
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

static int hex4(struct parser *p, uint32_t *ret)
{
    unsigned char bytes[2];

    if (p->end - p->at < 4 || !hex_decode(bytes, (struct str){ p->at, 4 }))
        return refuse(p, "bad \\u escape");
    *ret = (uint32_t)bytes[0] << 8 | bytes[1];
    p->at += 4;
    return 0;
}

static char *put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 63));
        *out++ = (char)(0x80 | (c & 63));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 63));
        *out++ = (char)(0x80 | (c >> 6 & 63));
        *out++ = (char)(0x80 | (c & 63));
    }
    return out;
}

static int parse_escape(struct parser *p, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *which;
    uint32_t c, low;

    if (p->at == p->end)
        return refuse(p, "unfinished string");
    if (*p->at != 'u') {
        which = *p->at ? strchr(from, *p->at) : NULL;
        if (!which)
            return refuse(p, "bad escape");
        *(*out)++ = to[which - from];
        p->at++;
        return 0;
    }
    p->at++;
    if (hex4(p, &c) < 0)
        return -1;
    if (c >= 0xdc00 && c < 0xe000)
        return refuse(p, "lone surrogate");
    if (c >= 0xd800 && c < 0xdc00) {
        if (!take(p, '\\') || !take(p, 'u'))
            return refuse(p, "lone surrogate");
        if (hex4(p, &low) < 0)
            return -1;
        if (low < 0xdc00 || low >= 0xe000)
            return refuse(p, "lone surrogate");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    *out = put_utf8(*out, c);
    return 0;
}

/* How many bytes from the start are ASCII that stands for itself in a string: no quote, backslash, control character.
 * Eight at a time; a byte's high bit is set in 'odd' when it, or one below it in the word, is another. */
static size_t plain_size(const char *text, size_t size)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    size_t i = 0;

    for (; i + 8 <= size; i += 8) {
        uint64_t w, quote, backslash, odd;

        memcpy(&w, text + i, 8);
        quote = w ^ ones * '"';
        backslash = w ^ ones * '\\';
        odd = (w | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((w - ones * ' ') & ~w)) & highs;
        if (odd &&
            __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) /* the first in memory is the lowest, and is never wrong */
            return i + (size_t)__builtin_ctzll(odd) / 8;
        if (odd)
            break;
    }
    for (; i < size; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c < ' ' || c >= 0x80 || c == '"' || c == '\\')
            break;
    }
    return i;
}

/* After the opening quote. An escape is never longer decoded than written, so the text that is left is room enough. */
static int parse_string(struct parser *p, struct str *ret)
{
    size_t plain = plain_size(p->at, (size_t)(p->end - p->at));
    const char *close = p->at + plain;
    char *text, *out;

    if (close < p->end && *close == '"') {
        *ret = (struct str){ arena_strndup(p->arena, p->at, plain), plain };
        p->at = close + 1;
        return 0;
    }
    for (; close < p->end && *close != '"'; close++)
        close += *close == '\\';
    if (close >= p->end) {
        p->at = p->end;
        return refuse(p, "unfinished string");
    }
    text = out = arena_alloc(p->arena, (size_t)(close - p->at) + 1);
    while (p->at < close) {
        if ((unsigned char)*p->at < ' ')
            return refuse(p, "control character in a string");
        if (*p->at != '\\') {
            *out++ = *p->at++;
            continue;
        }
        p->at++;
        if (parse_escape(p, &out) < 0)
            return -1;
    }
    p->at = close + 1;
    *ret = (struct str){ text, (size_t)(out - text) };
    if (!utf8_valid(*ret))
        return refuse(p, "string is not UTF-8, ends");
    return 0;
}

/* Most numbers are short and whole: no library for them. False: it is another, and nothing was read. */
static bool parse_small_integer(struct parser *p, int64_t *ret)
{
    const char *at = p->at, *first;
    bool negative = at < p->end && *at == '-';
    int64_t value = 0;

    at += negative;
    for (first = at; at < p->end && *at >= '0' && *at <= '9' && at - first < 18; at++)
        value = value * 10 + (*at - '0');
    if (at == first || (*first == '0' && at - first > 1) || at == p->end || strchr("0123456789.eE", *at))
        return false;
    *ret = negative ? -value : value;
    p->at = at;
    return true;
}

static bool digits(struct parser *p)
{
    const char *from = p->at;

    while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
        p->at++;
    return p->at > from;
}

static int parse_number(struct parser *p, struct doc **ret)
{
    struct str text = { p->at, 0 };
    bool whole = true;
    int64_t integer;
    double real;

    if (parse_small_integer(p, &integer)) {
        *ret = doc_integer(p->arena, integer);
        return 0;
    }
    take(p, '-');
    if (!take(p, '0') && !digits(p))
        return refuse(p, "unexpected character");
    if (take(p, '.')) {
        whole = false;
        if (!digits(p))
            return refuse(p, "digit expected");
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        whole = false;
        p->at++;
        if (!take(p, '+'))
            take(p, '-');
        if (!digits(p))
            return refuse(p, "digit expected");
    }
    text.size = (size_t)(p->at - text.data);
    if (whole && str_to_int64(text, &integer)) {
        *ret = doc_integer(p->arena, integer);
        return 0;
    }
    if (!str_to_double(text, &real))
        return refuse(p, "number out of range, ends");
    *ret = doc_real(p->arena, real);
    return 0;
}

static int parse_value(struct parser *p, struct doc **ret);

static int parse_list(struct parser *p, struct doc **ret)
{
    struct doc *list = doc_list(p->arena), *value;

    skip_blanks(p);
    if (!take(p, ']'))
        for (;;) {
            if (parse_value(p, &value) < 0)
                return -1;
            doc_append(p->arena, list, value);
            skip_blanks(p);
            if (take(p, ']'))
                break;
            if (!take(p, ','))
                return refuse(p, "',' or ']' expected");
        }
    *ret = list;
    return 0;
}

static int parse_map(struct parser *p, struct doc **ret)
{
    struct doc *map = doc_map(p->arena), *value;
    struct str key;

    skip_blanks(p);
    if (!take(p, '}'))
        for (;;) {
            skip_blanks(p);
            if (!take(p, '"'))
                return refuse(p, "member name expected");
            if (parse_string(p, &key) < 0)
                return -1;
            if (memchr(key.data, '\0', key.size))
                return refuse(p, "NUL in a member name, ends");
            skip_blanks(p);
            if (!take(p, ':'))
                return refuse(p, "':' expected");
            if (parse_value(p, &value) < 0)
                return -1;
            doc_append_member(p->arena, map, key.data, value);
            skip_blanks(p);
            if (take(p, '}'))
                break;
            if (!take(p, ','))
                return refuse(p, "',' or '}' expected");
        }
    doc_drop_repeated(p->arena, map);
    *ret = map;
    return 0;
}

static int parse_word(struct parser *p, const char *word, struct doc *value, struct doc **ret)
{
    size_t size = strlen(word);

    if ((size_t)(p->end - p->at) < size || memcmp(p->at, word, size) != 0)
        return refuse(p, "unexpected character");
    p->at += size;
    *ret = value;
    return 0;
}

static int parse_value(struct parser *p, struct doc **ret)
{
    struct str text;
    int result;

    skip_blanks(p);
    if (p->at == p->end)
        return refuse(p, "value expected");
    switch (*p->at) {
    case '{':
    case '[':
        if (++p->depth > DEEPEST)
            return refuse(p, "nested too deeply");
        result = *p->at++ == '{' ? parse_map(p, ret) : parse_list(p, ret);
        p->depth--;
        return result;
    case '"':
        p->at++;
        if (parse_string(p, &text) < 0)
            return -1;
        *ret = arena_new_of(p->arena, struct doc);
        **ret = (struct doc){ .type = DOC_STRING, .text = text };
        return 0;
    case 't':
        return parse_word(p, "true", doc_boolean(p->arena, true), ret);
    case 'f':
        return parse_word(p, "false", doc_boolean(p->arena, false), ret);
    case 'n':
        return parse_word(p, "null", doc_null(p->arena), ret);
    default:
        return parse_number(p, ret);
    }
}

int json_parse(struct arena *a, struct str text, struct doc **ret, struct err *err)
{
    struct parser p = { .arena = a, .start = text.data, .at = text.data, .end = text.data + text.size, .err = err };
    struct doc *value;

    if (parse_value(&p, &value) < 0)
        return -1;
    skip_blanks(&p);
    if (p.at != p.end)
        return refuse(&p, "text after the value");
    *ret = value;
    return 0;
}

void json_print_string(struct buf *b, struct str s)
{
    size_t done = 0;

    buf_append_char(b, '"');
    for (size_t i = plain_size(s.data, s.size); i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        char short_form;

        if (c >= ' ' && c != '"' && c != '\\')
            continue;
        short_form = c == '"' || c == '\\' ? (char)c : c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : 0;
        buf_append(b, s.data + done, i - done);
        if (short_form)
            buf_append(b, (char[]){ '\\', short_form }, 2);
        else
            buf_printf(b, "\\u%04x", c);
        done = i + 1;
    }
    buf_append(b, s.data + done, s.size - done);
    buf_append_char(b, '"');
}

void json_print_real(struct buf *b, double value)
{
    char text[40];

    if (!isfinite(value)) {
        buf_append_str(b, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*g", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    buf_append_str(b, text);
    /* Without a sign of a fraction it would be read back as an integer. */
    if (!strpbrk(text, ".e"))
        buf_append_str(b, ".0");
}

static void print_indent(struct buf *b, int level)
{
    if (level < 0)
        return;
    buf_append_char(b, '\n');
    for (int i = 0; i < level; i++)
        buf_append_str(b, "  ");
}

/* level -1: compact. */
static void print(struct buf *b, const struct doc *d, int level)
{
    int inner = level < 0 ? -1 : level + 1;

    switch (d->type) {
    case DOC_NULL:
        buf_append_str(b, "null");
        return;
    case DOC_BOOLEAN:
        buf_append_str(b, d->boolean ? "true" : "false");
        return;
    case DOC_INTEGER:
        buf_printf(b, "%" PRId64, d->integer);
        return;
    case DOC_REAL:
        json_print_real(b, d->real);
        return;
    case DOC_STRING:
        json_print_string(b, d->text);
        return;
    case DOC_BYTES: {
        _cleanup_arena_ struct arena *a = arena_new();

        json_print_string(b, str_of(base64_encode(a, d->text.data, d->text.size)));
        return;
    }
    case DOC_LIST:
        buf_append_char(b, '[');
        for (uint32_t i = 0; i < d->count; i++) {
            if (i)
                buf_append_char(b, ',');
            print_indent(b, inner);
            print(b, d->items[i], inner);
        }
        if (d->count)
            print_indent(b, level);
        buf_append_char(b, ']');
        return;
    case DOC_MAP:
        buf_append_char(b, '{');
        for (uint32_t i = 0; i < d->count; i++) {
            if (i)
                buf_append_char(b, ',');
            print_indent(b, inner);
            json_print_string(b, str_of(d->members[i].key));
            buf_append_str(b, level < 0 ? ":" : ": ");
            print(b, d->members[i].value, inner);
        }
        if (d->count)
            print_indent(b, level);
        buf_append_char(b, '}');
        return;
    }
    assert(!"no such type");
}

void json_print(struct buf *b, const struct doc *d)
{
    print(b, d, -1);
}

void json_print_pretty(struct buf *b, const struct doc *d)
{
    print(b, d, 0);
    buf_append_char(b, '\n');
}

char *json_text(struct arena *a, const struct doc *d)
{
    _cleanup_buf_ struct buf b = { 0 };

    json_print(&b, d);
    return arena_strndup(a, b.data, b.size);
}
