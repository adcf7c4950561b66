/* http.c - HTTP/1.1 messages; hides llhttp.
 *
 * A head is gathered until its empty line is there and parsed in one go, so that every name and value is one slice of
 * one piece of memory. llhttp then does what is easy to get wrong: tokens, numbers, chunks. What it lets pass and a
 * proxy must not (folded lines, bare line feeds, codings other than chunked) is refused here. */
#include "net/http.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <llhttp.h>

enum state { AT_HEAD, IN_LENGTH, IN_CHUNKS, TO_THE_END, AT_END, DONE, BROKEN };

struct http_parser {
    llhttp_t llhttp;
    enum http_side side;
    const struct http_parser_events *events;
    void *owner;
    enum state state;
    bool stopped, no_body, head_done;
    int64_t left; /* of a body with a length */
    struct buf raw;
    struct http_head head;
    size_t header_capacity;
    bool too_many;
};

/* --- Looking things up --- */

const struct str *http_find(const struct http_head *h, const char *name)
{
    size_t size = strlen(name);

    for (size_t i = 0; i < h->header_count; i++)
        if (h->headers[i].name.size == size && strncasecmp(h->headers[i].name.data, name, size) == 0)
            return &h->headers[i].value;
    return NULL;
}

struct str http_value(const struct http_head *h, const char *name)
{
    const struct str *value = http_find(h, name);

    return value ? *value : STR("");
}

size_t http_count(const struct http_head *h, const char *name)
{
    size_t count = 0;

    for (size_t i = 0; i < h->header_count; i++)
        count += str_is_nocase(h->headers[i].name, name);
    return count;
}

struct str http_path(const struct http_head *h)
{
    struct str path, query;

    return str_cut(h->target, '?', &path, &query) ? path : h->target;
}

struct str http_query(const struct http_head *h)
{
    struct str path, query;

    return str_cut(h->target, '?', &path, &query) ? query : STR("");
}

const char *http_reason(int status)
{
    switch (status) {
    case 200: return "OK";
    case 100: return "Continue";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Payload Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 424: return "Failed Dependency";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    case 530: return "Dependency Failed";
    default: return "Unknown";
    }
}

/* --- Writing --- */

static void append_clean(struct buf *b, struct str text)
{
    char *at;

    if (!text.size)
        return;
    if (!memchr(text.data, '\n', text.size) && !memchr(text.data, '\r', text.size) &&
        !memchr(text.data, '\0', text.size)) {
        buf_append(b, text.data, text.size);
        return;
    }
    at = buf_reserve(b, text.size);
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] != '\r' && text.data[i] != '\n' && text.data[i] != '\0')
            *at++ = text.data[i];
    b->size = (size_t)(at - b->data);
    b->data[b->size] = '\0';
}

void http_write_request(struct buf *b, struct str method, struct str target)
{
    append_clean(b, method);
    buf_append_char(b, ' ');
    append_clean(b, target);
    buf_append(b, " HTTP/1.1\r\n", 11);
}

void http_write_status(struct buf *b, int status)
{
    const char *reason = http_reason(status);
    char line[16] = "HTTP/1.1 ";

    assert(status >= 100 && status <= 999);
    line[9] = (char)('0' + status / 100);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    line[12] = ' ';
    buf_append(b, line, 13);
    buf_append_str(b, reason);
    buf_append(b, "\r\n", 2);
}

void http_write_header(struct buf *b, struct str name, struct str value)
{
    assert(name.size && !memchr(name.data, '\n', name.size) && !memchr(name.data, ':', name.size));
    buf_append(b, name.data, name.size);
    buf_append(b, ": ", 2);
    append_clean(b, value);
    buf_append(b, "\r\n", 2);
}

void http_write_end(struct buf *b)
{
    buf_append(b, "\r\n", 2);
}

/* --- Reading --- */

static struct http_parser *parser_of(llhttp_t *llhttp)
{
    return llhttp->data;
}

static int on_method(llhttp_t *llhttp, const char *at, size_t size)
{
    parser_of(llhttp)->head.method = (struct str){ at, size };
    return 0;
}

static int on_target(llhttp_t *llhttp, const char *at, size_t size)
{
    parser_of(llhttp)->head.target = (struct str){ at, size };
    return 0;
}

static int on_name(llhttp_t *llhttp, const char *at, size_t size)
{
    struct http_parser *p = parser_of(llhttp);

    if (p->head_done) /* a trailer: nobody asks for it */
        return 0;
    if (p->head.header_count == p->header_capacity) {
        if (p->header_capacity >= HTTP_HEADERS_MAX) {
            p->too_many = true;
            return HPE_USER;
        }
        p->header_capacity = p->header_capacity ? HTTP_HEADERS_MAX : 32;
        p->head.headers = realloc(p->head.headers, p->header_capacity * sizeof *p->head.headers);
        assert(p->head.headers && "out of memory");
    }
    p->head.headers[p->head.header_count++] = (struct http_header){ .name = { at, size }, .value = { at, 0 } };
    return 0;
}

static int on_value(llhttp_t *llhttp, const char *at, size_t size)
{
    struct http_parser *p = parser_of(llhttp);

    if (!p->head_done) {
        assert(p->head.header_count);
        p->head.headers[p->head.header_count - 1].value = str_trim((struct str){ at, size });
    }
    return 0;
}

static int on_head(llhttp_t *llhttp)
{
    struct http_parser *p = parser_of(llhttp);

    /* Another protocol is asked for: the request may ignore that, and so do we. */
    llhttp->upgrade = 0;
    p->head_done = true;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t size)
{
    struct http_parser *p = parser_of(llhttp);

    if (size)
        p->events->body(p->owner, at, size);
    return 0;
}

static int on_chunk_end(llhttp_t *llhttp)
{
    return parser_of(llhttp)->stopped ? HPE_PAUSED : 0;
}

static int on_end(llhttp_t *llhttp)
{
    parser_of(llhttp)->state = AT_END;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_method = on_method,
    .on_url = on_target,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_chunk_complete = on_chunk_end,
    .on_message_complete = on_end,
};

struct http_parser *http_parser_new(enum http_side side, const struct http_parser_events *events, void *owner)
{
    struct http_parser *p = calloc(1, sizeof *p);

    assert(p && "out of memory");
    p->side = side;
    p->events = events;
    p->owner = owner;
    llhttp_init(&p->llhttp, side == HTTP_REQUESTS ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    p->llhttp.data = p;
    return p;
}

void http_parser_free(struct http_parser *p)
{
    if (!p)
        return;
    free(p->head.headers);
    buf_free(&p->raw);
    free(p);
}

void http_parser_reset(struct http_parser *p)
{
    struct http_header *headers = p->head.headers;

    llhttp_reset(&p->llhttp);
    p->head = (struct http_head){ .headers = headers };
    p->state = AT_HEAD;
    p->stopped = p->no_body = p->head_done = p->too_many = false;
    p->raw.size = 0;
}

void http_parser_no_body(struct http_parser *p)
{
    p->no_body = true;
}

void http_parser_stop(struct http_parser *p, bool stopped)
{
    p->stopped = stopped;
}

bool http_parser_in_message(const struct http_parser *p)
{
    return p->state == AT_HEAD ? p->raw.size > 0 : p->state != DONE && p->state != BROKEN;
}

bool http_parser_in_body(const struct http_parser *p)
{
    return p->state != AT_HEAD && p->state != DONE && p->state != BROKEN;
}

const struct http_head *http_parser_head(const struct http_parser *p)
{
    return p->state == AT_HEAD || !p->head_done ? NULL : &p->head;
}

static int refuse(struct http_parser *p, struct err *err, int status, const char *why)
{
    p->state = BROKEN;
    fail(err, ERR_INVALID, "%s", why);
    err->http_status = status;
    return -1;
}

static int refuse_llhttp(struct http_parser *p, struct err *err)
{
    int status = 400;

    if (p->llhttp.error == HPE_INVALID_METHOD)
        status = 501;
    if (p->llhttp.error == HPE_INVALID_VERSION)
        status = 505;
    if (p->too_many)
        return refuse(p, err, 431, "more than 200 headers");
    return refuse(p, err, status, llhttp_get_error_reason(&p->llhttp) ? llhttp_get_error_reason(&p->llhttp)
                                                                       : "malformed message");
}

/* Every line ends in CR LF, neither stands anywhere else, and none begins with a blank or without a name: llhttp
 * would take its value for that of the header before. */
static bool lines_are_clean(struct str raw)
{
    const char *at = raw.data, *end = raw.data + raw.size;

    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));

        if (!lf || lf == at || lf[-1] != '\r' || memchr(at, '\r', (size_t)(lf - 1 - at)) || *at == ' ' || *at == '\t' ||
            *at == ':')
            return false;
        at = lf + 1;
    }
    return true;
}

struct framing { /* how many headers say how the message goes on */
    size_t hosts, lengths, codings;
};

static int count_framing(struct http_parser *p, const struct http_header *header, struct framing *c, struct err *err)
{
    struct str name = header->name, value = header->value;

    switch (name.size) {
    case 4:
        c->hosts += str_is_nocase(name, "host");
        break;
    case 6:
        if (p->side != HTTP_REQUESTS || !str_is_nocase(name, "expect"))
            break;
        if (!str_is_nocase(value, "100-continue"))
            return refuse(p, err, 417, "Expect is not understood");
        p->head.expects_continue = true;
        break;
    case 14:
        c->lengths += str_is_nocase(name, "content-length");
        break;
    case 17:
        if (!str_is_nocase(name, "transfer-encoding"))
            break;
        c->codings++;
        if (!str_is_nocase(value, "chunked"))
            return refuse(p, err, 501, "Transfer-Encoding other than chunked");
        break;
    }
    return 0;
}

static int read_framing(struct http_parser *p, struct err *err)
{
    struct http_head *h = &p->head;
    struct framing c = { 0 };

    for (size_t i = 0; i < h->header_count; i++)
        if (count_framing(p, &h->headers[i], &c, err) < 0)
            return -1;
    h->minor_version = p->llhttp.http_minor;
    if (p->llhttp.http_major != 1 || h->minor_version > 1)
        return refuse(p, err, 505, "the version is not HTTP/1.0 or HTTP/1.1");
    if (c.codings > 1 || c.lengths > 1 || (c.codings && c.lengths))
        return refuse(p, err, 400, "the length of the body is given in more than one way");
    if (c.codings && h->minor_version == 0)
        return refuse(p, err, 400, "Transfer-Encoding in HTTP/1.0");
    if (p->side == HTTP_REQUESTS && (c.hosts > 1 || (c.hosts == 0 && h->minor_version == 1)))
        return refuse(p, err, 400, "a request has one Host header");
    h->chunked = c.codings > 0;
    h->length = -1;
    if (c.lengths) {
        if (p->llhttp.content_length > INT64_MAX)
            return refuse(p, err, 400, "Content-Length is too large");
        h->length = (int64_t)p->llhttp.content_length;
    }
    h->status = p->llhttp.status_code;
    if (p->side == HTTP_RESPONSES && h->status < 100)
        return refuse(p, err, 400, "a status has three digits, the first of them not zero");
    h->keep_alive = h->minor_version == 1 ? !(p->llhttp.flags & F_CONNECTION_CLOSE)
                                          : (p->llhttp.flags & F_CONNECTION_KEEP_ALIVE) != 0;
    if (h->expects_continue && h->minor_version == 0)
        h->expects_continue = false;
    return 0;
}

static int read_head(struct http_parser *p, struct err *err)
{
    struct http_head *h = &p->head;
    llhttp_errno_t error;

    h->raw = (struct str){ p->raw.data, p->raw.size };
    if (!lines_are_clean(h->raw))
        return refuse(p, err, 400, "a line of the head is folded, or does not end in CR LF");
    error = llhttp_execute(&p->llhttp, h->raw.data, h->raw.size);
    if (error != HPE_PAUSED || !p->head_done || llhttp_get_error_pos(&p->llhttp) + 1 < h->raw.data + h->raw.size)
        return refuse_llhttp(p, err);
    if (p->side == HTTP_REQUESTS && str_is(h->method, "CONNECT"))
        return refuse(p, err, 501, "CONNECT is not for us");
    if (read_framing(p, err) < 0)
        return -1;
    p->events->head(p->owner, h);
    if (p->no_body || (p->side == HTTP_RESPONSES && (h->status < 200 || h->status == 204 || h->status == 304)))
        p->state = AT_END;
    else if (h->chunked)
        p->state = IN_CHUNKS;
    else if (h->length >= 0)
        p->state = h->length ? IN_LENGTH : AT_END;
    else
        p->state = p->side == HTTP_REQUESTS ? AT_END : TO_THE_END;
    p->left = h->length;
    if (p->state == TO_THE_END)
        h->keep_alive = false;
    return 0;
}

/* Behind the empty line: from line to line, which is quicker than looking for four bytes. NULL: not there. */
static const char *find_end(const char *data, size_t size)
{
    const char *end = data + size, *at = data;

    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at++;
        if (end - at >= 2 && at[0] == '\r' && at[1] == '\n' && at - data >= 2 && at[-2] == '\r')
            return at + 2;
    }
    return NULL;
}

/* Takes bytes up to the end of the head. *ret_whole: it is there. */
static int gather_head(struct http_parser *p, const char *data, size_t size, size_t *ret_taken, bool *ret_whole,
                       struct err *err)
{
    size_t skipped = 0, old, from, taken;
    const char *end;

    /* An empty line before a request is left over from a client that ends its bodies with one. */
    if (p->side == HTTP_REQUESTS && p->raw.size == 0)
        while (skipped < size && (data[skipped] == '\r' || data[skipped] == '\n'))
            skipped++;
    data += skipped;
    size -= skipped;
    *ret_taken = skipped;
    *ret_whole = false;
    if (size == 0)
        return 0;
    /* What cannot become a request is refused now, not when its time is up. */
    if (p->side == HTTP_REQUESTS && p->raw.size == 0 && (data[0] < 'A' || data[0] > 'Z'))
        return refuse(p, err, 400, "this is not HTTP");
    old = p->raw.size;
    if (old == 0 && (end = find_end(data, size)) != NULL) {
        taken = (size_t)(end - data);
        if (taken > HTTP_HEAD_MAX_BYTES)
            return refuse(p, err, 431, "the head is larger than 64 KB");
        buf_append(&p->raw, data, taken);
        *ret_taken = skipped + taken;
        *ret_whole = true;
        return 0;
    }
    taken = size < HTTP_HEAD_MAX_BYTES + 1 - old ? size : HTTP_HEAD_MAX_BYTES + 1 - old;
    buf_append(&p->raw, data, taken);
    from = old > 3 ? old - 3 : 0;
    end = find_end(p->raw.data + from, p->raw.size - from);
    if (end) {
        taken = (size_t)(end - p->raw.data) - old;
        p->raw.size = old + taken;
        *ret_whole = true;
    }
    if (p->raw.size > HTTP_HEAD_MAX_BYTES)
        return refuse(p, err, 431, "the head is larger than 64 KB");
    *ret_taken = skipped + taken;
    return 0;
}

static int feed_chunks(struct http_parser *p, const char *data, size_t size, size_t *ret_taken, struct err *err)
{
    llhttp_errno_t error;

    llhttp_resume(&p->llhttp);
    error = llhttp_execute(&p->llhttp, data, size);
    *ret_taken = size;
    if (error == HPE_PAUSED) {
        *ret_taken = (size_t)(llhttp_get_error_pos(&p->llhttp) - data);
        return 0;
    }
    return error == HPE_OK ? 0 : refuse_llhttp(p, err);
}

int http_parser_feed(struct http_parser *p, const char *data, size_t size, size_t *ret_taken, struct err *err)
{
    size_t taken = 0;

    while (p->state != DONE && !(p->stopped && p->state != AT_HEAD)) {
        size_t n = size - taken;
        bool whole;

        if (p->state == BROKEN)
            return refuse(p, err, 400, "the message before this was malformed");
        if (p->state == AT_END) {
            p->state = DONE;
            p->events->end(p->owner);
            break;
        }
        if (n == 0)
            break;
        switch (p->state) {
        case AT_HEAD:
            if (gather_head(p, data + taken, n, &n, &whole, err) < 0 || (whole && read_head(p, err) < 0))
                return -1;
            break;
        case IN_LENGTH:
            if ((int64_t)n > p->left)
                n = (size_t)p->left;
            p->left -= (int64_t)n;
            if (p->left == 0)
                p->state = AT_END;
            p->events->body(p->owner, data + taken, n);
            break;
        case IN_CHUNKS:
            if (feed_chunks(p, data + taken, n, &n, err) < 0)
                return -1;
            break;
        case TO_THE_END:
            p->events->body(p->owner, data + taken, n);
            break;
        default:
            assert(!"unreachable");
        }
        taken += n;
    }
    *ret_taken = taken;
    return 0;
}

int http_parser_finish(struct http_parser *p, struct err *err)
{
    if (p->state == TO_THE_END) {
        p->state = DONE;
        p->events->end(p->owner);
        return 0;
    }
    if (p->state == DONE || (p->state == AT_HEAD && p->raw.size == 0))
        return 0;
    return refuse(p, err, 400, "the connection was closed in the middle of a message");
}
