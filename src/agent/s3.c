#include "agent/s3.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/s3_impl.h"
#include "base/log.h"
#include "sign/digest.h"

enum { FAULTS_MAX = 12, HEADERS_MAX = 8 };

struct s3 *s3_new(const struct s3_options *options)
{
    struct s3 *c = calloc(1, sizeof *c);

    assert(c);
    c->options = *options;
    c->transport = transport_new(options->socket_path, options->cancel_fd);
    c->cache = sigv4_cache_new();
    return c;
}

void s3_free(struct s3 *c)
{
    if (!c)
        return;
    transport_free(c->transport);
    sigv4_cache_free(c->cache);
    free(c);
}

int s3_uri(struct arena *a, const char *uri, const char **ret_bucket, const char **ret_key, struct err *err)
{
    const char *slash;

    if (!text_starts(uri, "s3://") || !uri[5] || uri[5] == '/')
        return fail(err, ERR_INVALID, "\"%.300s\" is no S3 URI", uri);
    slash = strchr(uri + 5, '/');
    *ret_bucket = slash ? arena_strndup(a, uri + 5, (size_t)(slash - uri - 5)) : arena_strdup(a, uri + 5);
    *ret_key = slash ? arena_strdup(a, slash + 1) : "";
    return 0;
}

/* Our listings are url-encoded, so that no name can look like a tag. */
bool s3_element(struct str *xml, const char *tag, struct str *ret)
{
    char open[64], close[64];
    const char *from, *to;
    int open_size = snprintf(open, sizeof open, "<%s>", tag), close_size = snprintf(close, sizeof close, "</%s>", tag);

    from = xml->size ? memmem(xml->data, xml->size, open, (size_t)open_size) : NULL;
    if (!from)
        return false;
    from += open_size;
    to = memmem(from, xml->size - (size_t)(from - xml->data), close, (size_t)close_size);
    if (!to)
        return false;
    *ret = (struct str){ from, (size_t)(to - from) };
    xml->size -= (size_t)(to + close_size - xml->data);
    xml->data = to + close_size;
    return true;
}

struct str s3_unescape(struct arena *a, struct str s)
{
    static const struct {
        const char *name;
        char c;
    } entities[] = { { "&amp;", '&' },  { "&lt;", '<' },    { "&gt;", '>' },
                     { "&quot;", '"' }, { "&apos;", '\'' }, { "&#39;", '\'' } };
    char *text = arena_alloc(a, s.size + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.size;) {
        size_t taken = 0;

        for (size_t e = 0; e < sizeof entities / sizeof *entities && s.data[i] == '&'; e++) {
            size_t size = strlen(entities[e].name);

            if (s.size - i >= size && memcmp(s.data + i, entities[e].name, size) == 0) {
                text[n++] = entities[e].c;
                taken = size;
                break;
            }
        }
        if (!taken) {
            text[n++] = s.data[i];
            taken = 1;
        }
        i += taken;
    }
    return (struct str){ text, n };
}

/* What the server says in an error's XML. */
static int refused(struct arena *a, const struct transport_answer *answer, const char *what, struct err *err)
{
    struct str xml = { answer->body.data, answer->body.size }, code = { 0 }, message = { 0 }, at;
    enum err_kind kind = answer->status == 404   ? ERR_NOT_FOUND
                         : answer->status == 403 ? ERR_DENIED
                         : answer->status >= 500 ? ERR_INTERNAL
                                                 : ERR_INVALID;

    at = xml;
    s3_element(&at, "Code", &code);
    at = xml;
    s3_element(&at, "Message", &message);
    message = s3_unescape(a, message);
    return fail_code(err, kind, code.size ? str_dup(a, code) : "", "%s: %.*s (%d): %.*s", what,
                     code.size ? (int)code.size : 5, code.size ? code.data : "error", answer->status,
                     message.size ? (int)message.size : 19, message.size ? message.data : "no reason was given");
}

int s3_call(struct s3 *c, struct arena *a, const struct transport_request *q, struct str payload,
                struct transport_answer *answer, const char *what, struct err *err)
{
    struct sigv4_header headers[HEADERS_MAX + 1] = { { STR("Host"), STR("localhost") } };
    struct http_header all[HEADERS_MAX + 1 + SIGV4_ADDED_MAX];
    int64_t offset = answer->offset;
    struct err cancelled;

    assert(q->header_count <= HEADERS_MAX);
    for (int i = 0; i < q->header_count; i++)
        headers[i + 1] = (struct sigv4_header){ q->headers[i].name, q->headers[i].value };
    for (int failures = 1;; failures++) {
        struct sigv4_request signing = { str_of(q->method), str_of(q->target), headers, q->header_count + 1 };
        struct sigv4_credentials credentials = { str_of(c->options.access_key_id), str_of(c->options.secret_access_key),
                                                 str_of(c->options.session_token) };
        struct sigv4_scope scope = { c->options.region, "s3", clock_wall_ms(c->options.clock) };
        const struct sigv4_header *added;
        struct transport_request request = *q;
        int count, r;

        count = sigv4_sign(a, c->cache, &signing, &credentials, &scope, payload, &added);
        for (int i = 0; i <= q->header_count; i++)
            all[i] = (struct http_header){ headers[i].name, headers[i].value };
        for (int i = 0; i < count; i++)
            all[q->header_count + 1 + i] = (struct http_header){ added[i].name, added[i].value };
        request.headers = all;
        request.header_count = q->header_count + 1 + count;
        answer->arena = a;
        answer->offset = offset;
        r = transport_call(c->transport, &request, answer, err);
        if (r == 0 && answer->status < 500 && answer->status != 429)
            return answer->status / 100 == 2 ? 0 : refused(a, answer, what, err);
        if (r < 0 && err->kind != ERR_UNAVAILABLE)
            return -1;
        /* 503 is a server that starts or is full of work; other faults of its own are not waited for without end. */
        if (r == 0 && answer->status != 503 && answer->status != 429 && failures > FAULTS_MAX)
            return refused(a, answer, what, err);
        if (r == 0)
            refused(a, answer, what, err);
        if (failures == 1 || failures % 100 == 0)
            log_info("s3.waiting", "what=%s failures=%d why=%s", log_quote(a, what), failures, log_quote(a, err->text));
        if (transport_pause(c->transport, failures, &cancelled) < 0) {
            /* Its text stays: what it waited for is the better word. */
            err->kind = cancelled.kind;
            return -1;
        }
    }
}

const char *s3_target(struct arena *a, const char *bucket, const char *key, const char *query)
{
    _cleanup_buf_ struct buf b = { 0 };

    buf_append_char(&b, '/');
    uri_encode(&b, str_of(bucket), false);
    buf_append_char(&b, '/');
    uri_encode(&b, str_of(key), true);
    if (query && *query)
        buf_printf(&b, "?%s", query);
    return arena_strndup(a, b.data, b.size);
}

int s3_parse_list(struct arena *a, struct str xml, struct s3_object **objects, int *count, int *room,
                  const char **ret_next, struct err *err)
{
    _cleanup_arena_ struct arena *scratch = arena_new(); /* a million keys are to cost their own size */
    struct str all = xml, entry, value, at;

    *ret_next = NULL;
    while (s3_element(&xml, "Contents", &entry)) {
        struct s3_object o = { 0 };

        arena_reset(scratch);

        at = entry;
        if (!s3_element(&at, "Key", &value))
            return fail(err, ERR_INVALID, "a listing has an object without a key");
        value = uri_decode(scratch, s3_unescape(scratch, value), true);
        if (memchr(value.data, '\0', value.size))
            return fail(err, ERR_INVALID, "a listing has a key with a NUL byte");
        o.key = str_dup(a, value);
        at = entry;
        if (!s3_element(&at, "Size", &value) || !str_to_int64(str_trim(value), &o.size_bytes) || o.size_bytes < 0)
            return fail(err, ERR_INVALID, "a listing has an object without a size");
        if (*count == *room) {
            int more_room = *room ? *room * 2 : 64;
            struct s3_object *more = arena_array_of(a, struct s3_object, (size_t)more_room);

            if (*count)
                memcpy(more, *objects, sizeof *more * (size_t)*count);
            *objects = more;
            *room = more_room;
        }
        (*objects)[(*count)++] = o;
    }
    if (s3_element(&all, "NextContinuationToken", &value))
        *ret_next = str_dup(a, s3_unescape(a, value));
    return 0;
}

int s3_list(struct s3 *c, struct arena *a, const char *bucket, const char *prefix, int limit, struct s3_object **ret,
            int *ret_count, struct err *err)
{
    _cleanup_arena_ struct arena *scratch = arena_new();
    struct s3_object *objects = NULL;
    const char *next = NULL;
    int count = 0, room = 0;

    do {
        struct transport_answer answer = { 0 };
        _cleanup_buf_ struct buf query = { 0 };
        struct transport_request q = { .method = "GET" };
        int r;

        if (next) {
            buf_append_str(&query, "continuation-token=");
            uri_encode(&query, str_of(next), false);
            buf_append_char(&query, '&');
        }
        buf_append_str(&query, "encoding-type=url&list-type=2&prefix=");
        uri_encode(&query, str_of(prefix), false);
        arena_reset(scratch);
        q.target = arena_printf(scratch, "/%s?%s", bucket, query.data);
        r = s3_call(c, scratch, &q, STR("UNSIGNED-PAYLOAD"), &answer,
                 arena_printf(scratch, "list s3://%s/%s", bucket, prefix), err);
        if (r == 0)
            r = s3_parse_list(a, (struct str){ answer.body.data, answer.body.size }, &objects, &count, &room, &next,
                              err);
        buf_free(&answer.body);
        if (r < 0)
            return -1;
        if (count > limit)
            return fail(err, ERR_LIMIT, "more than %d objects under s3://%s/%s", limit, bucket, prefix);
    } while (next);
    *ret = objects;
    *ret_count = count;
    return 0;
}

int s3_get(struct s3 *c, const char *bucket, const char *key, int fd, int64_t offset, int64_t size_bytes,
           int64_t *ret_bytes, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct transport_answer answer = { .fd = fd, .offset = offset };
    struct http_header range = { STR("Range"), { 0 } };
    struct transport_request q = { .method = "GET", .target = s3_target(a, bucket, key, NULL), .headers = &range };
    int r;

    if (size_bytes >= 0) {
        range.value =
            str_of(arena_printf(a, "bytes=%lld-%lld", (long long)offset, (long long)(offset + size_bytes - 1)));
        q.header_count = 1;
    }
    r = s3_call(c, a, &q, STR("UNSIGNED-PAYLOAD"), &answer, arena_printf(a, "get s3://%s/%s", bucket, key), err);
    buf_free(&answer.body);
    if (r == 0)
        *ret_bytes = answer.received;
    return r;
}

int s3_get_range(struct s3 *c, const char *bucket, const char *key, int64_t offset, int64_t size_bytes,
                 struct buf *into, int64_t *ret_total, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct transport_answer answer = { .total_bytes = -1 };
    struct http_header range = { STR("Range"), str_of(arena_printf(a, "bytes=%lld-%lld", (long long)offset,
                                                                    (long long)(offset + size_bytes - 1))) };
    struct transport_request q = { .method = "GET", .target = s3_target(a, bucket, key, NULL), .headers = &range,
                                   .header_count = 1 };
    int r = s3_call(c, a, &q, STR("UNSIGNED-PAYLOAD"), &answer, arena_printf(a, "get s3://%s/%s", bucket, key), err);

    if (r == 0) {
        buf_append(into, answer.body.data ? answer.body.data : "", answer.body.size);
        *ret_total = answer.total_bytes >= 0 ? answer.total_bytes : (int64_t)answer.body.size;
    } else if (answer.status == 416 && offset == 0) {
        *ret_total = 0;
        r = 0;
    }
    buf_free(&answer.body);
    return r;
}

int s3_get_text(struct s3 *c, struct arena *arena, const char *bucket, const char *key, struct str *ret,
                struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct transport_answer answer = { 0 };
    struct transport_request q = { .method = "GET", .target = s3_target(a, bucket, key, NULL) };
    int r = s3_call(c, a, &q, STR("UNSIGNED-PAYLOAD"), &answer, arena_printf(a, "get s3://%s/%s", bucket, key), err);

    if (r == 0)
        *ret = (struct str){ arena_strndup(arena, answer.body.data ? answer.body.data : "", answer.body.size),
                              answer.body.size };
    buf_free(&answer.body);
    return r;
}

int s3_may_put(struct s3 *c, const char *bucket, const char *key, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    /* A condition that no object meets: it is looked at last, after the bucket and the permission. */
    static const struct http_header never = { STR("If-Match"), STR("\"0\"") };
    struct transport_request q = { .method = "PUT", .target = s3_target(a, bucket, key, NULL), .headers = &never,
                                   .header_count = 1, .fd = -1 };
    struct transport_answer answer = { 0 };
    char hash[2 * SHA256_SIZE + 1];
    int r;

    sha256_hex(hash, "", 0);
    r = s3_call(c, a, &q, str_of(hash), &answer, arena_printf(a, "write to s3://%s/%s", bucket, key), err);
    buf_free(&answer.body);
    return r < 0 && (strcmp(err->code, "NoSuchKey") == 0 || strcmp(err->code, "PreconditionFailed") == 0) ? 0 : r;
}

int s3_remove(struct s3 *c, const char *bucket, const char *key, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct transport_request q = { .method = "DELETE", .target = s3_target(a, bucket, key, NULL) };
    struct transport_answer answer = { 0 };
    char hash[2 * SHA256_SIZE + 1];
    int r;

    sha256_hex(hash, "", 0);
    r = s3_call(c, a, &q, str_of(hash), &answer, arena_printf(a, "delete s3://%s/%s", bucket, key), err);
    buf_free(&answer.body);
    return r;
}
