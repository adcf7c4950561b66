/* links: base net */
/* An HTTP message, cut into pieces: the first byte says which side speaks and how the rest is cut. Taken whole and in
 * pieces it has to become the same message, or be refused both times; what is taken apart must lie within what came. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "net/http.h"

struct told {
    struct buf text;
    const struct http_parser *parser;
};

static void within(struct str part, struct str whole)
{
    assert(part.size == 0 || (part.data >= whole.data && part.data + part.size <= whole.data + whole.size));
}

static void head(void *owner, const struct http_head *h)
{
    struct told *t = owner;

    assert(h->method.size > 0 || (h->status >= 100 && h->status <= 999));
    assert(h->raw.size >= 4 && memcmp(h->raw.data + h->raw.size - 4, "\r\n\r\n", 4) == 0);
    assert(h->header_count <= HTTP_HEADERS_MAX && h->raw.size <= HTTP_HEAD_MAX_BYTES);
    within(h->method, h->raw);
    within(h->target, h->raw);
    assert(!(h->chunked && h->length >= 0));
    for (size_t i = 0; i < h->header_count; i++) {
        assert(h->headers[i].name.size > 0);
        within(h->headers[i].name, h->raw);
        within(h->headers[i].value, h->raw);
        assert(!memchr(h->headers[i].value.data, '\n', h->headers[i].value.size));
        assert(!memchr(h->headers[i].value.data, '\0', h->headers[i].value.size));
        buf_append(&t->text, h->headers[i].name.data, h->headers[i].name.size);
        buf_append_char(&t->text, '=');
        buf_append(&t->text, h->headers[i].value.data, h->headers[i].value.size);
    }
    buf_printf(&t->text, "|%d %d %lld|", h->status, h->keep_alive, (long long)h->length);
}

static void body(void *owner, const char *data, size_t size)
{
    buf_append(&((struct told *)owner)->text, data, size);
}

static void end(void *owner)
{
    buf_append_str(&((struct told *)owner)->text, "|END|");
}

static const struct http_parser_events events = { head, body, end };

/* Feeds in pieces; true when nothing was refused. */
static int run(enum http_side side, const char *data, size_t size, size_t piece, struct told *told)
{
    struct http_parser *p = http_parser_new(side, &events, told);
    struct err err;
    int status = 0;

    for (size_t at = 0; at < size && status == 0;) {
        size_t n = size - at < piece ? size - at : piece, taken = 0;

        status = http_parser_feed(p, data + at, n, &taken, &err);
        if (status < 0) {
            assert(err.http_status >= 400 && err.http_status < 600);
            break;
        }
        assert(taken <= n);
        at += taken;
        if (!http_parser_in_message(p) && http_parser_head(p))
            http_parser_reset(p);
        else
            assert(taken == n);
    }
    if (status == 0) {
        size_t taken;

        status = http_parser_feed(p, "", 0, &taken, &err);
        if (status == 0)
            status = http_parser_finish(p, &err);
    }
    http_parser_free(p);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct told whole = { 0 }, pieces = { 0 };
    enum http_side side;
    int a, b;

    if (size < 1)
        return 0;
    side = data[0] & 1 ? HTTP_RESPONSES : HTTP_REQUESTS;
    a = run(side, (const char *)data + 1, size - 1, SIZE_MAX / 4, &whole);
    b = run(side, (const char *)data + 1, size - 1, (data[0] >> 1) + 1, &pieces);
    assert(a == b);
    assert(whole.text.size == pieces.text.size);
    assert(whole.text.size == 0 || memcmp(whole.text.data, pieces.text.data, whole.text.size) == 0);
    buf_free(&whole.text);
    buf_free(&pieces.text);
    return 0;
}
