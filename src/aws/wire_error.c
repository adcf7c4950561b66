/* wire_error.c - an error in the protocol of the request. */
#include <string.h>

#include "aws/cbor.h"
#include "aws/protocols.h"
#include "aws/xml.h"
#include "doc/json.h"

/* An error without a code: the protocol's usual one for its kind. */
static const char *code_of_kind(const struct wire_match *match, enum err_kind kind)
{
    static const struct {
        const char *json, *s3, *query;
    } codes[] = {
        [ERR_NONE] = { "InternalFailure", "InternalError", "InternalFailure" },
        [ERR_INVALID] = { "ValidationException", "InvalidRequest", "ValidationError" },
        [ERR_DENIED] = { "AccessDeniedException", "AccessDenied", "AccessDenied" },
        [ERR_NOT_FOUND] = { "ResourceNotFoundException", "NoSuchKey", "ResourceNotFound" },
        [ERR_CONFLICT] = { "ConflictException", "OperationAborted", "Conflict" },
        [ERR_LIMIT] = { "ThrottlingException", "SlowDown", "Throttling" },
        [ERR_UNAVAILABLE] = { "ServiceUnavailableException", "ServiceUnavailable", "ServiceUnavailable" },
        [ERR_INTERNAL] = { "InternalFailure", "InternalError", "InternalFailure" },
    };

    switch (match->protocol) {
    case PROTOCOL_REST_XML:
        return codes[kind].s3;
    case PROTOCOL_QUERY:
    case PROTOCOL_EC2:
        return codes[kind].query;
    default:
        return codes[kind].json;
    }
}

/* What the model says of an error: found by its name, or by the code that Query gives it. */
static const struct shape *shape_of_error(const struct wire_match *match, const struct err *err)
{
    return match->operation && err->code[0] ? model_error(match->operation, str_of(err->code)) : NULL;
}

int wire_error_status(const struct wire_match *match, const struct err *err)
{
    static const int usual[] = { [ERR_NONE] = 500,     [ERR_INVALID] = 400, [ERR_DENIED] = 403,
                                 [ERR_NOT_FOUND] = 404, [ERR_CONFLICT] = 409, [ERR_LIMIT] = 400,
                                 [ERR_UNAVAILABLE] = 503, [ERR_INTERNAL] = 500 };
    const struct shape *shape = shape_of_error(match, err);

    if (err->http_status)
        return err->http_status;
    if (shape && shape->http_status)
        return shape->http_status;
    if (shape && shape->flags & SHAPE_FAULT)
        return 500;
    /* JSON services tell their faults apart by code: every one of the client's is a 400. */
    if (match->protocol == PROTOCOL_JSON && usual[err->kind] < 500)
        return 400;
    /* S3's SlowDown. */
    if (match->protocol == PROTOCOL_REST_XML && err->kind == ERR_LIMIT && !err->code[0])
        return 503;
    return usual[err->kind];
}

/* A text that quotes what a client sent, or was cut at the end of its room, may hold what neither JSON nor XML can say.
 */
static struct err without_bad_bytes(const struct err *err)
{
    struct err clean = *err;
    bool utf8 = utf8_valid(str_of(clean.text));

    for (char *c = clean.text; *c; c++)
        if (((unsigned char)*c >= 0x80 && !utf8) || ((unsigned char)*c < ' ' && !strchr("\t\n\r", *c)))
            *c = '?';
    return clean;
}

/* The document of a JSON or CBOR error. The message has the case that the model gives it; clients look for both. */
static struct doc *error_document(struct arena *a, const struct shape *shape, const char *type, const struct err *err,
                                  const struct doc *details)
{
    struct doc *d = doc_map(a);
    bool capital = shape && model_member(shape, STR("Message"));

    if (type)
        doc_set_string(a, d, "__type", type);
    doc_set_string(a, d, capital ? "Message" : "message", err->text);
    doc_merge(a, d, details);
    return d;
}

/* Decoded, as S3 tells it; but what XML cannot carry would keep a client from reading the error at all. */
static struct str resource_of(struct arena *a, struct str path)
{
    struct str decoded = uri_decode(a, path, false);

    if (!utf8_valid(decoded))
        return path;
    for (size_t i = 0; i < decoded.size; i++)
        if ((unsigned char)decoded.data[i] < ' ')
            return path;
    return decoded;
}

static void encode_s3_error(struct arena *a, const struct wire_match *match, const char *code, const struct err *err,
                            const struct doc *details, const char *request_id, struct buf *b)
{
    xml_declaration(b);
    buf_append_str(b, "<Error>");
    xml_element(b, "Code", str_of(code));
    xml_element(b, "Message", str_of(err->text));
    for (uint32_t i = 0; details && details->type == DOC_MAP && i < details->count; i++)
        xml_element(b, details->members[i].key, str_of(doc_value_text(details->members[i].value)));
    if (match->path.size)
        xml_element(b, "Resource", resource_of(a, match->path));
    xml_element(b, "RequestId", str_of(request_id));
    xml_element(b, "HostId", str_of(base64_encode(a, request_id, strlen(request_id))));
    buf_append_str(b, "</Error>");
}

void wire_encode_error(struct arena *a, const struct wire_match *match, const struct err *why,
                       const struct doc *details, const char *request_id, struct wire_response *ret)
{
    const struct err clean = without_bad_bytes(why), *err = &clean;
    const struct shape *shape = shape_of_error(match, err);
    const char *code = err->code[0] ? err->code : code_of_kind(match, err->kind);
    const char *name = shape ? shape->name : code, *query_code = shape ? shape->error_code : code;
    struct wire_response r = { .status = wire_error_status(match, err) };
    bool sender = r.status < 500;

    wire_put_ids(a, match, request_id, &r);
    if (!match->head)
        wire_add_header(a, &r, "Content-Type", str_of(wire_content_type(match)));
    if (match->service && match->service->flags & SERVICE_QUERY_COMPATIBLE && match->query_mode &&
        (match->protocol == PROTOCOL_JSON || match->protocol == PROTOCOL_CBOR))
        wire_add_header(a, &r, "x-amzn-query-error",
                        str_of(arena_printf(a, "%s;%s", query_code, sender ? "Sender" : "Receiver")));
    switch (match->protocol) {
    case PROTOCOL_JSON:
        json_print(&r.body, error_document(a, shape, name, err, details));
        break;
    case PROTOCOL_REST_JSON:
        wire_add_header(a, &r, "x-amzn-ErrorType", str_of(name));
        json_print(&r.body, error_document(a, shape, NULL, err, details));
        break;
    case PROTOCOL_CBOR:
        wire_add_header(a, &r, "smithy-protocol", STR("rpc-v2-cbor"));
        cbor_print(&r.body, NULL, error_document(a, shape, name, err, details));
        break;
    case PROTOCOL_QUERY:
    case PROTOCOL_EC2:
        query_encode_error(&r.body, match, query_code, err->text, sender, request_id);
        break;
    case PROTOCOL_REST_XML:
        if (!match->head && r.status != 304)
            encode_s3_error(a, match, code, err, details, request_id, &r.body);
        break;
    }
    r.length = (int64_t)r.body.size;
    *ret = r;
}
