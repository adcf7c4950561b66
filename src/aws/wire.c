/* wire.c - what a request says and the answer's frame; the protocols fill it in. */
#include "aws/wire.h"

#include <assert.h>
#include <string.h>

#include "aws/cbor.h"
#include "aws/protocols.h"

const struct member *wire_streaming(const struct shape *shape)
{
    const struct member *payload = shape->payload;

    return payload && (payload->flags & MEMBER_STREAMING || payload->shape->flags & SHAPE_STREAMING) ? payload : NULL;
}

static int decode_cbor(struct arena *a, const struct wire_match *match, struct str body, struct doc **ret,
                       struct err *err)
{
    struct doc *d;
    struct err why;

    if (body.size == 0) {
        *ret = doc_map(a);
        return 0;
    }
    if (cbor_parse(a, body, &d, &why) < 0)
        return fail_code(err, ERR_INVALID, "SerializationException", "The body is not valid CBOR: %s", why.text);
    if (conform(a, match->operation->input, d, err) < 0)
        return -1;
    *ret = d;
    return 0;
}

int wire_decode(struct arena *a, const struct wire_match *match, const struct wire_request *request,
                struct doc **ret_input, struct err *err)
{
    assert(match->operation && "wire_unknown() comes first");
    switch (match->protocol) {
    case PROTOCOL_JSON:
        return json_decode(a, match->operation->input, request->body, ret_input, err);
    case PROTOCOL_CBOR:
        return decode_cbor(a, match, request->body, ret_input, err);
    case PROTOCOL_QUERY:
    case PROTOCOL_EC2:
        return query_decode(a, match, request, ret_input, err);
    case PROTOCOL_REST_JSON:
    case PROTOCOL_REST_XML:
        return rest_decode(a, match, request, ret_input, err);
    }
    assert(!"no such protocol");
    return -1;
}

void wire_add_header(struct arena *a, struct wire_response *r, const char *name, struct str value)
{
    enum { FIRST_ROOM = 16 };

    /* Room doubles when the count is a power of two beyond the first room. */
    if (r->header_count == 0 || (r->header_count >= FIRST_ROOM && (r->header_count & (r->header_count - 1)) == 0)) {
        size_t room = r->header_count < FIRST_ROOM ? FIRST_ROOM : (size_t)r->header_count * 2;
        struct sigv4_header *more = arena_array_of(a, struct sigv4_header, room);

        if (r->header_count)
            memcpy(more, r->headers, (size_t)r->header_count * sizeof *more);
        r->headers = more;
    }
    r->headers[r->header_count++] = (struct sigv4_header){ str_of(arena_strdup(a, name)),
                                                           { arena_strndup(a, value.data, value.size), value.size } };
}

void wire_put_ids(struct arena *a, const struct wire_match *match, const char *request_id, struct wire_response *ret)
{
    if (match->protocol == PROTOCOL_REST_XML) {
        wire_add_header(a, ret, "x-amz-request-id", str_of(request_id));
        wire_add_header(a, ret, "x-amz-id-2", str_of(base64_encode(a, request_id, strlen(request_id))));
    } else {
        wire_add_header(a, ret, "x-amzn-RequestId", str_of(request_id));
    }
}

const char *wire_content_type(const struct wire_match *match)
{
    switch (match->protocol) {
    case PROTOCOL_JSON:
        return strcmp(match->json_version, "1.0") == 0 ? "application/x-amz-json-1.0" : "application/x-amz-json-1.1";
    case PROTOCOL_CBOR:
        return "application/cbor";
    case PROTOCOL_REST_JSON:
        return "application/json";
    case PROTOCOL_REST_XML:
        return "application/xml";
    default:
        return "text/xml";
    }
}

void wire_encode(struct arena *a, const struct wire_match *match, const struct doc *output, int status,
                 const char *request_id, struct wire_response *ret)
{
    const struct operation *op = match->operation;
    static const struct doc nothing = { .type = DOC_MAP };

    assert(op && "an answer to an operation that is none");
    if (!output)
        output = &nothing;
    *ret = (struct wire_response){ .status = op->http_status, .length = -1 };
    wire_put_ids(a, match, request_id, ret);
    buf_reserve(&ret->body, 4000); /* most answers fit, and none is copied while it grows */
    switch (match->protocol) {
    case PROTOCOL_JSON:
        wire_add_header(a, ret, "Content-Type", str_of(wire_content_type(match)));
        /* An operation without an output answers nothing at all, one with an output "{}" at least. */
        if (op->output->name[0])
            json_encode(&ret->body, op->output, output);
        break;
    case PROTOCOL_CBOR:
        wire_add_header(a, ret, "Content-Type", str_of(wire_content_type(match)));
        wire_add_header(a, ret, "smithy-protocol", STR("rpc-v2-cbor"));
        cbor_print(&ret->body, op->output, output);
        break;
    case PROTOCOL_QUERY:
    case PROTOCOL_EC2:
        wire_add_header(a, ret, "Content-Type", str_of(wire_content_type(match)));
        query_encode(&ret->body, match, output, request_id);
        break;
    case PROTOCOL_REST_JSON:
    case PROTOCOL_REST_XML:
        rest_encode(a, match, output, ret);
        break;
    }
    if (status)
        ret->status = status;
    if (ret->length < 0)
        ret->length = (int64_t)ret->body.size;
}

void wire_encode_printed(struct arena *a, const struct wire_match *match, struct str body, const char *request_id,
                         struct wire_response *ret)
{
    assert(match->protocol == PROTOCOL_JSON);
    *ret = (struct wire_response){ .status = match->operation->http_status, .length = (int64_t)body.size };
    wire_put_ids(a, match, request_id, ret);
    wire_add_header(a, ret, "Content-Type", str_of(wire_content_type(match)));
    buf_append(&ret->body, body.data, body.size);
}
