#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool str_starts(struct str s, const char *prefix)
{
    size_t n = strlen(prefix);

    return s.size >= n && (n == 0 || memcmp(s.data, prefix, n) == 0);
}

bool str_ends(struct str s, const char *suffix)
{
    size_t n = strlen(suffix);

    return s.size >= n && (n == 0 || memcmp(s.data + s.size - n, suffix, n) == 0);
}

bool text_starts(const char *text, const char *prefix)
{
    return str_starts(str_of(text), prefix);
}

bool text_ends(const char *text, const char *suffix)
{
    return str_ends(str_of(text), suffix);
}

void text_make_plain(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        bool second = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0; /* U+0080 to U+009F */

        if (*c < ' ' || *c == 127 || second)
            *c = ' ';
        if (second)
            *++c = ' ';
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.size && is_blank(s.data[0]))
        s.data++, s.size--;
    while (s.size && is_blank(s.data[s.size - 1]))
        s.size--;
    return s;
}

bool str_cut(struct str from, char at, struct str *ret_before, struct str *ret_after)
{
    const char *p = from.size ? memchr(from.data, at, from.size) : NULL;

    if (!p)
        return false;
    *ret_before = (struct str){ from.data, (size_t)(p - from.data) };
    *ret_after = (struct str){ p + 1, from.size - ret_before->size - 1 };
    return true;
}

char *str_dup(struct arena *a, struct str s)
{
    return arena_strndup(a, s.data, s.size);
}

int str_compare(struct str a, struct str b)
{
    size_t n = a.size < b.size ? a.size : b.size;
    int order = n ? memcmp(a.data, b.data, n) : 0;

    if (order)
        return order;
    return a.size < b.size ? -1 : a.size > b.size;
}

bool str_to_int64(struct str s, int64_t *ret)
{
    char text[32], *end;
    long long value;

    if (s.size == 0 || s.size >= sizeof text || !(isdigit((unsigned char)s.data[0]) || s.data[0] == '-'))
        return false;
    memcpy(text, s.data, s.size);
    text[s.size] = '\0';
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || end != text + s.size || !isdigit((unsigned char)end[-1]))
        return false;
    *ret = value;
    return true;
}

bool str_to_double(struct str s, double *ret)
{
    char text[512], *end;
    double value;

    if (s.size == 0 || s.size >= sizeof text)
        return false;
    for (size_t i = 0; i < s.size; i++)
        if (!isdigit((unsigned char)s.data[i]) && !strchr("+-.eE", s.data[i]))
            return false;
    memcpy(text, s.data, s.size);
    text[s.size] = '\0';
    value = strtod(text, &end);
    if (end != text + s.size || !isfinite(value))
        return false;
    *ret = value;
    return true;
}

void hex_encode(char *ret, const void *data, size_t size)
{
    static const char digits[16] __attribute__((nonstring)) = "0123456789abcdef";
    const unsigned char *p = data;

    for (size_t i = 0; i < size; i++) {
        ret[2 * i] = digits[p[i] >> 4];
        ret[2 * i + 1] = digits[p[i] & 15];
    }
    ret[2 * size] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(void *ret, struct str hex)
{
    unsigned char *out = ret;

    if (hex.size % 2)
        return false;
    for (size_t i = 0; i < hex.size; i += 2) {
        int high = hex_digit(hex.data[i]), low = hex_digit(hex.data[i + 1]);

        if (high < 0 || low < 0)
            return false;
        *out++ = (unsigned char)(high << 4 | low);
    }
    return true;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(struct arena *a, const void *data, size_t size)
{
    const unsigned char *p = data;
    char *text = arena_alloc(a, (size + 2) / 3 * 4 + 1), *out = text;

    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits = (uint32_t)p[i] << 16;

        if (i + 1 < size)
            bits |= (uint32_t)p[i + 1] << 8;
        if (i + 2 < size)
            bits |= p[i + 2];
        *out++ = base64_digits[bits >> 18];
        *out++ = base64_digits[bits >> 12 & 63];
        *out++ = i + 1 < size ? base64_digits[bits >> 6 & 63] : '=';
        *out++ = i + 2 < size ? base64_digits[bits & 63] : '=';
    }
    return text;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct arena *a, struct str s, struct str *ret)
{
    unsigned char *bytes = arena_alloc(a, s.size / 4 * 3 + 1), *out = bytes;

    if (s.size % 4)
        return false;
    for (size_t i = 0; i < s.size; i += 4) {
        bool last = i + 4 == s.size;
        int pad = last && s.data[i + 3] == '=' ? (s.data[i + 2] == '=' ? 2 : 1) : 0;
        uint32_t bits = 0;

        for (size_t j = 0; j < 4; j++) {
            int value = j >= 4u - (unsigned)pad ? 0 : base64_value(s.data[i + j]);

            if (value < 0)
                return false;
            bits = bits << 6 | (uint32_t)value;
        }
        *out++ = (unsigned char)(bits >> 16);
        if (pad < 2)
            *out++ = (unsigned char)(bits >> 8);
        if (pad < 1)
            *out++ = (unsigned char)bits;
    }
    *ret = (struct str){ (char *)bytes, (size_t)(out - bytes) };
    return true;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.' || c == '~';
}

void uri_encode(struct buf *b, struct str s, bool slash_kept)
{
    for (size_t i = 0, kept = 0; i < s.size; i += kept + 1, kept = 0) {
        unsigned char c;

        while (i + kept < s.size && (is_unreserved(s.data[i + kept]) || (s.data[i + kept] == '/' && slash_kept)))
            kept++;
        buf_append(b, s.data + i, kept);
        if (i + kept == s.size)
            return;
        c = (unsigned char)s.data[i + kept];
        buf_append(b, (char[]){ '%', "0123456789ABCDEF"[c >> 4], "0123456789ABCDEF"[c & 15] }, 3);
    }
}

struct str uri_decode(struct arena *a, struct str s, bool plus_is_space)
{
    char *text = arena_alloc(a, s.size + 1), *out = text;

    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] == '%' && i + 2 < s.size && hex_digit(s.data[i + 1]) >= 0 && hex_digit(s.data[i + 2]) >= 0) {
            *out++ = (char)(hex_digit(s.data[i + 1]) << 4 | hex_digit(s.data[i + 2]));
            i += 2;
        } else if (s.data[i] == '+' && plus_is_space) {
            *out++ = ' ';
        } else {
            *out++ = s.data[i];
        }
    }
    return (struct str){ text, (size_t)(out - text) };
}

bool uri_escapes_good(struct str s)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] == '%' && (s.size - i < 3 || hex_digit(s.data[i + 1]) < 0 || hex_digit(s.data[i + 2]) < 0))
            return false;
    return true;
}

bool utf8_valid(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.data, *end = p + s.size;

    while (p < end) {
        int more = *p < 0x80                 ? 0
                   : *p >= 0xc2 && *p < 0xe0 ? 1
                   : (*p & 0xf0) == 0xe0     ? 2
                   : *p >= 0xf0 && *p < 0xf5 ? 3
                                             : -1;

        if (more < 0 || end - p <= more)
            return false;
        for (int i = 1; i <= more; i++)
            if ((p[i] & 0xc0) != 0x80)
                return false;
        /* Overlong forms, surrogates, and what lies beyond U+10FFFF. */
        if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf0 && p[1] < 0x90) ||
            (p[0] == 0xf4 && p[1] >= 0x90))
            return false;
        p += more + 1;
    }
    return true;
}

struct str utf8_first(struct str s, size_t most)
{
    if (s.size <= most)
        return s;
    while (most && ((unsigned char)s.data[most] & 0xc0) == 0x80)
        most--;
    return (struct str){ s.data, most };
}
