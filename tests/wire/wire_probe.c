/* wire_probe.c - the wire as a filter, for scripts that compare it with other implementations.
 *
 * Each line of standard input is a JSON object, each line of standard output the answer to it:
 *   {"method","target","headers":[[name,value]...],"body":base64,"signing"}   -> {"service","operation","input"} or
 * {"error"}
 *   ... with "output" (canonical, blobs in base64): also {"status","headers","body"}, the encoded answer
 *   ... with "fail" {"kind","code","text","details"}: the same of an encoded error
 *   {"service","operation","input"} instead of a request: the input of JSON services, without the wire
 *   ... with "validate": true: "invalid" is the text of the violations, if there are any */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/validate.h"
#include "aws/wire.h"
#include "doc/json.h"

/* JSON has no bytes: what the shape calls a blob came in base64. */
static void bytes_of_base64(struct arena *a, const struct shape *shape, struct doc *d)
{
    if (d->type == DOC_MAP)
        for (uint32_t i = 0; i < d->count; i++) {
            const struct member *m = shape->type == SHAPE_STRUCTURE ? model_member(shape, str_of(d->members[i].key))
                                     : shape->type == SHAPE_MAP     ? model_value(shape)
                                                                    : NULL;
            if (m)
                bytes_of_base64(a, m->shape, d->members[i].value);
        }
    else if (d->type == DOC_LIST && shape->type == SHAPE_LIST)
        for (uint32_t i = 0; i < d->count; i++)
            bytes_of_base64(a, model_item(shape)->shape, d->items[i]);
    else if (d->type == DOC_STRING && shape->type == SHAPE_BLOB && base64_decode(a, d->text, &d->text))
        d->type = DOC_BYTES;
}

static void put_response(struct arena *a, struct doc *into, struct wire_response *r)
{
    struct doc *headers = doc_list(a);

    for (int i = 0; i < r->header_count; i++) {
        struct doc *pair = doc_list(a);

        doc_append(a, pair, doc_str(a, r->headers[i].name));
        doc_append(a, pair, doc_str(a, r->headers[i].value));
        doc_append(a, headers, pair);
    }
    doc_set_integer(a, into, "status", r->status);
    doc_set(a, into, "headers", headers);
    doc_set(a, into, "body", doc_bytes(a, (struct str){ r->body.data ? r->body.data : "", r->body.size }));
    doc_set_integer(a, into, "length", r->length);
    buf_free(&r->body);
}

/* The request that carries the input in JSON, whatever the service's own protocols are. */
static struct wire_match match_of(const struct doc *in)
{
    const struct service *service = model_service(doc_text(in, "service"));

    return (struct wire_match) { .service = service,
                                 .protocol = PROTOCOL_JSON,
                                 .json_version = "1.1",
                                 .operation =
                                     service ? model_operation(service, str_of(doc_text(in, "operation"))) : NULL };
}

static void probe(struct arena *a, const struct doc *in, struct doc *out)
{
    struct sigv4_header headers[64];
    struct wire_request request = { .headers = headers };
    const struct doc *list = doc_get(in, "headers");
    struct wire_match match;
    struct wire_response response;
    struct doc *input;
    struct err err = { 0 };

    request.method = str_of(doc_text(in, "method"));
    request.target = str_of(doc_text(in, "target"));
    base64_decode(a, str_of(doc_text(in, "body")), &request.body);
    for (uint32_t i = 0; list && i < list->count && i < 64; i++)
        headers[request.header_count++] =
            (struct sigv4_header) { list->items[i]->items[0]->text, list->items[i]->items[1]->text };
    match = doc_has(in, "service") ? match_of(in) : wire_route(a, &request, doc_text(in, "signing"));
    if (doc_has(in, "service"))
        request.body = str_of(json_text(a, doc_get(in, "input")));
    doc_set_string(a, out, "service", match.service ? match.service->name : "");
    doc_set_string(a, out, "operation", match.operation ? match.operation->name : "");
    doc_set_integer(a, out, "protocol", match.protocol);
    if (!match.operation)
        wire_unknown(&match, &err);
    else if (wire_decode(a, &match, &request, &input, &err) == 0)
        doc_set(a, out, "input", input);
    if (err.kind) {
        doc_set_string(a, out, "error", err.code);
        doc_set_string(a, out, "text", err.text);
        return;
    }
    if (doc_bool(in, "validate", false) && validate(a, match.operation, input, &err) < 0)
        doc_set_string(a, out, "invalid", err.text);
    if (doc_has(in, "output")) {
        bytes_of_base64(a, match.operation->output, (struct doc *)doc_get(in, "output"));
        wire_encode(a, &match, doc_get(in, "output"), 0, "REQUEST-ID", &response);
        put_response(a, out, &response);
    }
    if (doc_has(in, "fail")) {
        struct err why = { .kind = (enum err_kind)doc_int(in, "fail.kind", ERR_INVALID) };

        snprintf(why.code, sizeof why.code, "%s", doc_text(in, "fail.code"));
        snprintf(why.text, sizeof why.text, "%s", doc_text(in, "fail.text"));
        wire_encode_error(a, &match, &why, doc_at(in, "fail.details"), "REQUEST-ID", &response);
        put_response(a, out, &response);
    }
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t size;

    while ((size = getline(&line, &room, stdin)) > 0) {
        _cleanup_arena_ struct arena *a = arena_new();
        _cleanup_buf_ struct buf b = { 0 };
        struct doc *in, *out = doc_map(a);
        struct err err;

        if (json_parse(a, (struct str){ line, (size_t)size }, &in, &err) < 0)
            doc_set_string(a, out, "error", err.text);
        else
            probe(a, in, out);
        json_print(&b, out);
        puts(b.data);
        fflush(stdout);
    }
    free(line);
    return 0;
}
