#include "serve/response_stream.h"

#include <assert.h>

#include "aws/eventstream.h"
#include "doc/json.h"

enum { HEADERS_MAX = 16 };

void response_stream_start(struct http_exchange *x, const struct http_header *headers, size_t count)
{
    struct http_header all[HEADERS_MAX + 1];

    assert(count <= HEADERS_MAX);
    for (size_t i = 0; i < count; i++)
        all[i] = headers[i];
    all[count] = (struct http_header){ STR("Content-Type"), STR("application/vnd.amazon.eventstream") };
    http_answer_start(x, 200, all, count + 1, -1);
}

size_t response_stream_part(struct http_exchange *x, const char *data, size_t size)
{
    _cleanup_buf_ struct buf b = { 0 };

    assert(size <= EVENTSTREAM_PAYLOAD_MAX_BYTES);
    eventstream_event(&b, "PayloadPart", "application/octet-stream", (struct str){ data, size });
    return http_answer_write(x, b.data, b.size);
}

void response_stream_break(struct http_exchange *x, const char *code, const char *message)
{
    _cleanup_buf_ struct buf b = { 0 };
    struct doc *d = doc_map(x->arena);

    doc_set_string(x->arena, d, "Message", message);
    doc_set_string(x->arena, d, "ErrorCode", code);
    eventstream_exception(&b, "ModelStreamError", str_of(json_text(x->arena, d)));
    http_answer_write(x, b.data, b.size);
    http_answer_end(x);
}
