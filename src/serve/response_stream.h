/* response_stream.h - the answer of InvokeEndpointWithResponseStream: what comes from the container goes on as it
 * comes, each piece an event of the type PayloadPart. */
#ifndef SERVE_RESPONSE_STREAM_H
#define SERVE_RESPONSE_STREAM_H

#include "net/http_server.h"

/* The headers are those beside Content-Type, which is the stream's. */
void response_stream_start(struct http_exchange *, const struct http_header *headers, size_t count);
size_t response_stream_part(struct http_exchange *, const char *data, size_t size); /* as http_answer_write() */

/* The container's answer broke off: said as an event, and the answer is ended. 'code' is the ErrorCode of a
 * ModelStreamError: "ModelInvocationTimeExceeded" or "StreamBroken". */
void response_stream_break(struct http_exchange *, const char *code, const char *message);

#endif
