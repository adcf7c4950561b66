/* wire.h - between HTTP messages and documents: which operation a request asks for, what it says, and the answer in
 * the same protocol.
 *
 *     match = wire_route(arena, &request, claim.service);      the head is enough, unless wire_needs_body()
 *     if (!match.operation) wire_unknown(&match, err)
 *     wire_decode(arena, &match, &request, &input, err)
 *     ... validate, policy, the operation ...
 *     wire_encode(arena, &match, output, 0, request_id, &response)   or wire_encode_error(...)
 *     ... send; buf_free(&response.body)
 *
 * A streaming body (S3's objects, InvokeEndpoint's is not) is in no document: the caller moves the bytes, and decoding
 * and encoding see the headers only. What a client did not send is not in the document: no defaults are made up. */
#ifndef AWS_WIRE_H
#define AWS_WIRE_H

#include <stdbool.h>

#include "aws/model.h"
#include "base/buf.h"
#include "base/err.h"
#include "doc/doc.h"
#include "sign/sigv4.h"

struct wire_request {
    struct str method;
    struct str target;                  /* of the request line, still percent-encoded */
    const struct sigv4_header *headers; /* in their order: the array that the signature was checked over */
    int header_count;
    struct str body;                    /* whole, without any transfer or aws-chunked coding; empty while it streams */
    const char *const *hosts;           /* our own names, NULL-terminated, without port: "bucket.<name>" is S3's virtual
                                         * addressing. NULL: none beside s3.amazonaws.com and its regions */
};

/* What a request asks for. Slices point into the request or the arena. */
struct wire_match {
    const struct service *service;     /* NULL: nothing here speaks like that */
    const struct operation *operation; /* NULL: the service's model has no such operation */
    enum protocol protocol;            /* of the request, hence of the answer */
    const char *json_version;          /* of PROTOCOL_JSON: "1.0" or "1.1", as it came */
    struct str operation_name;         /* as asked for; empty when the request names none */
    const struct route *route;         /* REST protocols */
    struct str bucket;                 /* from the host name, decoded; empty: it is in the path */
    struct str path;                   /* of the target, as sent */
    const char *signing_name;          /* as wire_route() was told */
    bool query_mode;                   /* the client wants Query's error codes too */
    bool head;                         /* a HEAD request: an answer has no body */
};

/* True when the operation's name is in a form body, so that routing must wait for it. */
bool wire_needs_body(const struct wire_request *);

/* 'signing_name' is the service of the credential scope, "" when the request is not signed. Always gives a match with
 * which an error can be encoded. */
struct wire_match wire_route(struct arena *, const struct wire_request *, const char *signing_name);
int wire_unknown(const struct wire_match *, struct err *err); /* why match.operation is NULL, as AWS says it; -1 */

const struct member *wire_streaming(const struct shape *input_or_output); /* the streaming payload, NULL: none */

/* ERR_INVALID with AWS's code: SerializationException, MalformedXML, MalformedInput... */
int wire_decode(struct arena *, const struct wire_match *, const struct wire_request *, struct doc **ret_input,
                struct err *err);

struct wire_response {
    int status;
    struct sigv4_header *headers; /* without Content-Length, Date, Connection: the server's affair */
    int header_count;
    struct buf body;              /* the caller frees it; empty with a streaming output */
    int64_t length; /* what Content-Length must say: the output's ContentLength where it has one (an object's,
                     * also of an answer to HEAD), else the size of 'body' */
};

/* Members of 'output' that the model does not know are left out. status 0: the model's. */
void wire_encode(struct arena *, const struct wire_match *, const struct doc *output, int status,
                 const char *request_id, struct wire_response *ret);

/* The same for an output that was printed before: 'body' is what wire_encode() made of it, in PROTOCOL_JSON. In other
 * protocols the body names the request, or is not all of the answer. */
void wire_encode_printed(struct arena *, const struct wire_match *, struct str body, const char *request_id,
                         struct wire_response *ret);

/* 'details' are further members of the exception's shape (ModelError's OriginalStatusCode), NULL: none. An error
 * without a code gets the protocol's usual one for its kind. */
void wire_encode_error(struct arena *, const struct wire_match *, const struct err *, const struct doc *details,
                       const char *request_id, struct wire_response *ret);

int wire_error_status(const struct wire_match *, const struct err *); /* what wire_encode_error() would answer */

void wire_add_header(struct arena *, struct wire_response *, const char *name, struct str value);

/* The first header of that name in any case; NULL: none. */
const struct str *wire_header(const struct wire_request *, const char *name);

#endif
