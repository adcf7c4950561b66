/* sigv4_canonical.c - the canonical request, the string to sign, the key. */
#include "sign/sigv4_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sign/digest.h"

enum { CACHE_SLOTS = 256, SECRET_MAX = 128 };

/* --- Parts of a request --- */

struct str sigv4_path(const struct sigv4_request *r)
{
    struct str path, query;

    return str_cut(r->target, '?', &path, &query) ? path : r->target;
}

struct str sigv4_query(const struct sigv4_request *r)
{
    struct str path, query = { 0 };

    return str_cut(r->target, '?', &path, &query) ? query : (struct str){ 0 };
}

bool sigv4_next_parameter(struct str *query, struct str *ret_name, struct str *ret_value)
{
    while (query->size) {
        struct str piece = *query, rest = { 0 };

        str_cut(*query, '&', &piece, &rest);
        *query = rest;
        if (piece.size == 0)
            continue;
        *ret_name = piece;
        *ret_value = (struct str){ 0 };
        str_cut(piece, '=', ret_name, ret_value);
        return true;
    }
    return false;
}

/* --- What is kept between requests --- */

struct pair_at { /* of an encoded parameter, in cache->encoded */
    uint32_t name, name_size, value, value_size;
};

struct sigv4_cache {
    struct slot {
        char scope[SCOPE_MAX];
        char secret[SECRET_MAX];
        size_t secret_size;
        unsigned char key[SHA256_SIZE];
    } slots[CACHE_SLOTS];
    /* Scratch, kept between requests. */
    struct buf preferred, raw, encoded, decoded;
    struct pair_at *pairs;
    size_t pair_capacity;
};

struct sigv4_cache *sigv4_cache_new(void)
{
    struct sigv4_cache *c = calloc(1, sizeof *c);

    assert(c && "out of memory");
    return c;
}

void sigv4_cache_free(struct sigv4_cache *c)
{
    if (!c)
        return;
    buf_free(&c->preferred);
    buf_free(&c->raw);
    buf_free(&c->encoded);
    buf_free(&c->decoded);
    free(c->pairs);
    explicit_bzero(c->slots, sizeof c->slots);
    free(c);
}

static void derive_key(unsigned char ret[static SHA256_SIZE], struct str secret, struct str date, struct str region,
                       struct str service)
{
    char first[4 + 4096] = "AWS4";

    assert(secret.size <= sizeof first - 4 && "a secret access key has at most 128 characters");
    memcpy(first + 4, secret.data, secret.size);
    hmac_sha256(ret, first, 4 + secret.size, date.data, date.size);
    hmac_sha256(ret, ret, SHA256_SIZE, region.data, region.size);
    hmac_sha256(ret, ret, SHA256_SIZE, service.data, service.size);
    hmac_sha256(ret, ret, SHA256_SIZE, "aws4_request", 12);
    explicit_bzero(first, sizeof first);
}

static char *put(char *at, struct str text)
{
    memcpy(at, text.data, text.size);
    return at + text.size;
}

void sigv4_scope_text(char ret[static SCOPE_MAX], struct str date, struct str region, struct str service)
{
    char *at = ret;

    assert(date.size + region.size + service.size + 16 < SCOPE_MAX);
    at = put(at, date);
    *at++ = '/';
    at = put(at, region);
    *at++ = '/';
    at = put(at, service);
    at = put(at, STR("/aws4_request"));
    *at = '\0';
}

const unsigned char *sigv4_key(struct sigv4_cache *cache, struct str secret, const char *scope, struct str date,
                               struct str region, struct str service)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    struct slot *s;

    for (const char *p = scope; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    for (size_t i = 0; i < secret.size; i++)
        hash = (hash ^ (unsigned char)secret.data[i]) * 1099511628211u;
    s = &cache->slots[(hash ^ hash >> 32) % CACHE_SLOTS];
    if (s->secret_size == secret.size && secret.size && memcmp(s->secret, secret.data, secret.size) == 0 &&
        strcmp(s->scope, scope) == 0)
        return s->key;
    derive_key(s->key, secret, date, region, service);
    s->secret_size = 0; /* too long to be kept: derived each time */
    if (secret.size <= sizeof s->secret) {
        memcpy(s->secret, secret.data, secret.size);
        s->secret_size = secret.size;
        memcpy(s->scope, scope, strlen(scope) + 1);
    }
    return s->key;
}

static int compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int c = memcmp(a, b, a_size < b_size ? a_size : b_size);

    return c ? c : (a_size > b_size) - (a_size < b_size);
}

static int compare_pairs(const void *a, const void *b, void *base)
{
    const struct pair_at *x = a, *y = b;
    const char *text = base;
    int c = compare_bytes(text + x->name, x->name_size, text + y->name, y->name_size);

    return c ? c : compare_bytes(text + x->value, x->value_size, text + y->value, y->value_size);
}

/* Decodes into cache->decoded and encodes in the preferred form, or copies as it stands. */
static void append_form(struct sigv4_cache *cache, struct buf *to, struct str text, bool raw, bool slash_kept)
{
    bool plain = true;

    if (raw) {
        buf_append(to, text.data, text.size);
        return;
    }
    for (size_t i = 0; plain && i < text.size; i++)
        plain = text.data[i] != '%' && (text.data[i] != '+' || slash_kept);
    if (plain) {
        uri_encode(to, text, slash_kept);
        return;
    }
    buf_clear(&cache->decoded);
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte;

        if (text.data[i] == '%' && i + 2 < text.size && hex_decode(&byte, (struct str){ text.data + i + 1, 2 })) {
            buf_append_char(&cache->decoded, (char)byte);
            i += 2;
        } else if (text.data[i] == '+' && !slash_kept) {
            buf_append_char(&cache->decoded, ' ');
        } else {
            buf_append_char(&cache->decoded, text.data[i]);
        }
    }
    uri_encode(to, (struct str){ cache->decoded.data, cache->decoded.size }, slash_kept);
}

/* Without ".", "..", and empty segments; a last slash stays. */
static void append_normal_path(struct buf *to, struct str path)
{
    size_t start = to->size;
    bool last_slash = path.size && path.data[path.size - 1] == '/';

    while (path.size) {
        struct str segment = path, rest = { 0 };

        str_cut(path, '/', &segment, &rest);
        path = rest;
        if (segment.size == 0 || str_is(segment, "."))
            continue;
        if (str_is(segment, "..")) {
            while (to->size > start && to->data[--to->size] != '/')
                ;
            continue;
        }
        buf_append_char(to, '/');
        buf_append(to, segment.data, segment.size);
    }
    if (last_slash || to->size == start)
        buf_append_char(to, '/');
}

static void append_path(struct sigv4_cache *cache, struct buf *to, struct str path, bool s3, bool raw)
{
    if (path.size == 0)
        path = STR("/");
    if (s3) {
        append_form(cache, to, path, raw, true);
        return;
    }
    /* What is encoded on the wire is encoded once more. */
    buf_clear(&cache->encoded);
    append_normal_path(&cache->encoded, path);
    uri_encode(to, (struct str){ cache->encoded.data, cache->encoded.size }, true);
}

static void append_query(struct sigv4_cache *cache, struct buf *to, struct str query, bool presigned, bool raw)
{
    struct buf *e = &cache->encoded;
    struct str name, value;
    size_t count = 0;

    buf_clear(e);
    while (sigv4_next_parameter(&query, &name, &value)) {
        struct pair_at *p;

        if (presigned && str_is(name, "X-Amz-Signature"))
            continue;
        if (count == cache->pair_capacity) {
            cache->pair_capacity = cache->pair_capacity ? 2 * cache->pair_capacity : 32;
            cache->pairs = reallocarray(cache->pairs, cache->pair_capacity, sizeof *cache->pairs);
            assert(cache->pairs && "out of memory");
        }
        p = &cache->pairs[count++];
        p->name = (uint32_t)e->size;
        append_form(cache, e, name, raw, false);
        p->name_size = (uint32_t)e->size - p->name;
        p->value = (uint32_t)e->size;
        append_form(cache, e, value, raw, false);
        p->value_size = (uint32_t)e->size - p->value;
    }
    if (count > 1)
        qsort_r(cache->pairs, count, sizeof *cache->pairs, compare_pairs, e->data);
    for (size_t i = 0; i < count; i++) {
        const struct pair_at *p = &cache->pairs[i];

        if (i)
            buf_append_char(to, '&');
        buf_append(to, e->data + p->name, p->name_size);
        buf_append_char(to, '=');
        if (p->value_size)
            buf_append(to, e->data + p->value, p->value_size);
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

/* Trimmed, every run of white space one space. */
static void append_folded(struct buf *to, struct str value)
{
    bool first = true;

    for (size_t i = 0; i < value.size;) {
        size_t start;

        while (i < value.size && is_space(value.data[i]))
            i++;
        start = i;
        while (i < value.size && !is_space(value.data[i]))
            i++;
        if (i == start)
            break;
        if (!first)
            buf_append_char(to, ' ');
        first = false;
        buf_append(to, value.data + start, i - start);
    }
}

static void append_headers(struct buf *to, const struct sigv4_request *r, struct str names)
{
    while (names.size) {
        struct str name = names, rest = { 0 };
        bool first = true;

        str_cut(names, ';', &name, &rest);
        names = rest;
        buf_append(to, name.data, name.size);
        buf_append_char(to, ':');
        for (int i = 0; i < r->header_count; i++) {
            if (r->headers[i].name.size != name.size || strncasecmp(r->headers[i].name.data, name.data, name.size) != 0)
                continue;
            if (!first)
                buf_append_char(to, ',');
            first = false;
            append_folded(to, r->headers[i].value);
        }
        buf_append_char(to, '\n');
    }
}

struct str sigv4_canonical(struct sigv4_cache *cache, const struct sigv4_canon *c)
{
    struct buf *to = c->raw ? &cache->raw : &cache->preferred;

    buf_clear(to);
    buf_append(to, c->request->method.data, c->request->method.size);
    buf_append_char(to, '\n');
    append_path(cache, to, sigv4_path(c->request), c->s3, c->raw);
    buf_append_char(to, '\n');
    append_query(cache, to, sigv4_query(c->request), c->presigned, c->raw);
    buf_append_char(to, '\n');
    append_headers(to, c->request, c->signed_headers);
    buf_append_char(to, '\n');
    buf_append(to, c->signed_headers.data, c->signed_headers.size);
    buf_append_char(to, '\n');
    buf_append(to, c->payload.data, c->payload.size);
    return (struct str){ to->data, to->size };
}

size_t sigv4_string_to_sign(char ret[static TO_SIGN_MAX], struct str amz_date, const char *scope, struct str canonical)
{
    char *at = put(ret, STR(ALGORITHM "\n"));

    at = put(at, amz_date);
    *at++ = '\n';
    at = put(at, str_of(scope));
    *at++ = '\n';
    sha256_hex(at, canonical.data, canonical.size);
    return (size_t)(at - ret) + 64;
}

void sigv4_signature(char ret[static 65], const unsigned char key[static SHA256_SIZE], struct str amz_date,
                     const char *scope, struct str canonical)
{
    unsigned char mac[SHA256_SIZE];
    char text[TO_SIGN_MAX];
    size_t size = sigv4_string_to_sign(text, amz_date, scope, canonical);

    hmac_sha256(mac, key, SHA256_SIZE, text, size);
    hex_encode(ret, mac, sizeof mac);
}

void sigv4_time(char ret[static 17], int64_t ms)
{
    _cleanup_arena_ struct arena *a = arena_new();
    char *out = ret;

    for (const char *p = time_iso8601(a, ms, false); *p && out < ret + 16; p++)
        if (*p != '-' && *p != ':')
            *out++ = *p;
    *out = '\0';
}
