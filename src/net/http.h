/* http.h - HTTP/1.1 messages: heads as they came, bodies as they arrive.
 *
 * A head is parsed from one piece of memory, and its slices point into it: nothing is unfolded, lower-cased or joined,
 * so that a signature can be checked over what was really sent. Refused, and never interpreted: two lengths, a length
 * beside Transfer-Encoding, a coding other than chunked, bare CR or LF, folded lines, control characters. */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { HTTP_HEAD_MAX_BYTES = 65536, HTTP_HEADERS_MAX = 200 };

struct http_header {
    struct str name, value; /* value without the blanks around it */
};

struct http_head {
    struct str raw;            /* from the first byte to the empty line, both included */
    struct str method, target; /* of a request */
    int status;                /* of a response */
    int minor_version;         /* HTTP/1.x */
    struct http_header *headers; /* in their order, duplicates and all */
    size_t header_count;
    int64_t length;            /* Content-Length, -1: none */
    bool chunked;
    bool keep_alive;           /* the sender is willing */
    bool expects_continue;
};

/* The first header of that name, in any case; NULL: none. The value may be empty. */
const struct str *http_find(const struct http_head *, const char *name);
struct str http_value(const struct http_head *, const char *name); /* empty when there is none */
size_t http_count(const struct http_head *, const char *name);

struct str http_path(const struct http_head *);  /* the target up to '?', as sent */
struct str http_query(const struct http_head *); /* what follows it, "" without */

const char *http_reason(int status); /* "Not Found"; "Unknown" for a number we have no words for */

/* Writing a head: http_write_request(b, "GET", "/ping"), headers, http_write_end(). Names and values with CR, LF or
 * NUL are an assert for names; values come from outside and lose those bytes. */
void http_write_request(struct buf *, struct str method, struct str target);
void http_write_status(struct buf *, int status);
void http_write_header(struct buf *, struct str name, struct str value);
void http_write_end(struct buf *);

/* Takes a message apart. Feed it what comes in; it calls back and says how much it took: all of it, or up to the end of
 * the message. */
struct http_parser;

struct http_parser_events {
    void (*head)(void *owner, const struct http_head *); /* slices live until the next message */
    void (*body)(void *owner, const char *data, size_t size);
    void (*end)(void *owner);
};

enum http_side { HTTP_REQUESTS, HTTP_RESPONSES };

struct http_parser *http_parser_new(enum http_side, const struct http_parser_events *, void *owner);
void http_parser_free(struct http_parser *); /* NULL is fine; not from inside one of its calls */
void http_parser_reset(struct http_parser *); /* the next message */
void http_parser_no_body(struct http_parser *); /* from inside 'head': a response to HEAD */

/* After 'head' returns, the rest of what was fed is not looked at while stopped is on: feed the rest again later. */
void http_parser_stop(struct http_parser *, bool stopped);

/* -1: not HTTP as we take it, err says why (http_status 400, 431, 501 or 505) and the connection has to be closed. */
int http_parser_feed(struct http_parser *, const char *data, size_t size, size_t *ret_taken, struct err *err);
int http_parser_finish(struct http_parser *, struct err *err); /* the other side sends no more; may call 'end' */
bool http_parser_in_message(const struct http_parser *); /* bytes of a message came, its end did not */
bool http_parser_in_body(const struct http_parser *);
const struct http_head *http_parser_head(const struct http_parser *); /* NULL before 'head' */

#endif
