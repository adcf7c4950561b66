/* protocol_rest.c - REST-JSON and REST-XML: members live in the path, the query, headers, and one of them or the rest
 * of them in the body. Also what the protocols with text values share: simple values to and from text, and forms. */
#include "aws/protocols.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "aws/xml.h"
#include "base/clock.h"
#include "doc/json.h"

static bool time_of_text(enum time_format format, struct str text, int64_t *ret_ms)
{
    double seconds;

    if (format == TIME_EPOCH && str_to_double(text, &seconds) && fabs(seconds) < 9e15) {
        *ret_ms = llround(seconds * 1000);
        return true;
    }
    /* Clients are not always sure which of the two it is. */
    return time_parse_iso8601(text, ret_ms) || time_parse_http(text, ret_ms);
}

static bool real_of_text(struct str text, double *ret)
{
    if (str_is(text, "NaN"))
        *ret = NAN;
    else if (str_is(text, "Infinity"))
        *ret = INFINITY;
    else if (str_is(text, "-Infinity"))
        *ret = -INFINITY;
    else
        return str_to_double(text, ret);
    return true;
}

bool value_of_text(struct arena *a, const struct shape *shape, enum time_format format, struct str text,
                   struct doc **ret)
{
    struct str trimmed = str_trim(text);
    int64_t integer;
    double real;

    switch (shape->type) {
    case SHAPE_STRING:
        if (!utf8_valid(text))
            return false;
        *ret = doc_str(a, text);
        return true;
    case SHAPE_BLOB:
        if (!base64_decode(a, trimmed, &text))
            return false;
        *ret = doc_bytes(a, text);
        return true;
    case SHAPE_INTEGER:
    case SHAPE_LONG:
        if (!str_to_int64(trimmed, &integer))
            return false;
        if (shape->type == SHAPE_INTEGER && (integer < INT32_MIN || integer > INT32_MAX))
            return false;
        *ret = doc_integer(a, integer);
        return true;
    case SHAPE_FLOAT:
    case SHAPE_DOUBLE:
        if (!real_of_text(trimmed, &real))
            return false;
        *ret = doc_real(a, real);
        return true;
    case SHAPE_BOOLEAN:
        /* S3 clients send TRUE and True too. */
        if (!str_is_nocase(trimmed, "true") && !str_is_nocase(trimmed, "false"))
            return false;
        *ret = doc_boolean(a, str_is_nocase(trimmed, "true"));
        return true;
    case SHAPE_TIMESTAMP:
        if (!time_of_text(format, trimmed, &integer))
            return false;
        *ret = doc_integer(a, integer);
        return true;
    default:
        return false;
    }
}

static void print_time(struct buf *b, enum time_format format, bool milliseconds, int64_t ms)
{
    _cleanup_arena_ struct arena *a = arena_new();

    if (format == TIME_EPOCH && ms % 1000 == 0)
        buf_printf(b, "%" PRId64, ms / 1000);
    else if (format == TIME_EPOCH)
        buf_printf(b, "%.3f", (double)ms / 1000);
    else if (format == TIME_HTTP)
        buf_append_str(b, time_http(a, ms));
    else
        buf_append_str(b, time_iso8601(a, ms, milliseconds || ms % 1000 != 0));
}

void text_of_value(struct buf *b, const struct shape *shape, enum time_format format, bool milliseconds,
                   const struct doc *d)
{
    switch (d->type) {
    case DOC_NULL:
        break;
    case DOC_BOOLEAN:
        buf_append_str(b, d->boolean ? "true" : "false");
        break;
    case DOC_INTEGER:
        if (shape->type == SHAPE_TIMESTAMP)
            print_time(b, format, milliseconds, d->integer);
        else
            buf_printf(b, "%" PRId64, d->integer);
        break;
    case DOC_REAL:
        if (isfinite(d->real))
            json_print_real(b, d->real);
        else
            buf_append_str(b, isnan(d->real) ? "NaN" : d->real > 0 ? "Infinity" : "-Infinity");
        break;
    case DOC_STRING:
        buf_append(b, d->text.data, d->text.size);
        break;
    case DOC_BYTES: {
        _cleanup_arena_ struct arena *a = arena_new();

        buf_append_str(b, base64_encode(a, d->text.data, d->text.size));
        break;
    }
    case DOC_LIST:
        for (uint32_t i = 0; i < d->count; i++) {
            buf_append_str(b, i ? "," : "");
            text_of_value(b, shape->type == SHAPE_LIST ? model_item(shape)->shape : shape, format, milliseconds,
                          d->items[i]);
        }
        break;
    case DOC_MAP:
        json_print(b, d);
        break;
    }
}

struct parameters parameters_parse(struct arena *a, struct str text)
{
    struct parameters p = { 0 };
    size_t most = 1;
    struct str piece, rest = text;

    for (size_t i = 0; i < text.size; i++)
        most += text.data[i] == '&';
    p.items = arena_array_of(a, struct parameter, text.size ? most : 1);
    for (bool more = text.size > 0; more;) {
        struct parameter *at = &p.items[p.count];
        struct str name, value = STR("");

        more = str_cut(rest, '&', &piece, &rest);
        if (!more)
            piece = rest;
        if (piece.size == 0)
            continue;
        name = piece;
        str_cut(piece, '=', &name, &value);
        *at = (struct parameter){ uri_decode(a, name, true), uri_decode(a, value, true) };
        p.count++;
    }
    return p;
}

const struct str *parameter_find(const struct parameters *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (str_is(p->items[i].name, name))
            return &p->items[i].value;
    return NULL;
}

/* What a request with a bad header, query or path is answered, by protocol. */
static int refuse(const struct wire_match *match, const struct member *m, struct err *err)
{
    if (match->protocol == PROTOCOL_REST_XML)
        return fail_code(err, ERR_INVALID, "InvalidArgument", "The value of %s is not valid", m->wire_name);
    return fail_code(err, ERR_INVALID, "SerializationException", "The value of %s is not of its type", m->wire_name);
}

/* "a, b" and "a,b"; HTTP dates hold a comma of their own. */
static struct doc *list_of_header(struct arena *a, const struct member *m, struct str text, bool *bad)
{
    const struct member *item = model_item(m->shape);
    struct doc *list = doc_list(a), *value;
    struct str piece, rest = text;

    for (bool more = true; more;) {
        enum time_format format = time_format_of(item, TIME_HTTP);

        more = str_cut(rest, ',', &piece, &rest);
        if (!more)
            piece = rest;
        if (item->shape->type == SHAPE_TIMESTAMP && format == TIME_HTTP && more) {
            struct str second = rest, after;

            more = str_cut(rest, ',', &second, &after);
            piece.size = (size_t)(second.data + second.size - piece.data);
            rest = more ? after : rest;
        }
        piece = str_trim(piece);
        if (piece.size >= 2 && piece.data[0] == '"' && piece.data[piece.size - 1] == '"')
            piece = (struct str){ piece.data + 1, piece.size - 2 };
        if (!value_of_text(a, item->shape, format, piece, &value))
            *bad = true;
        else
            doc_append(a, list, value);
    }
    return list;
}

/* A body sent in pieces of its own coding is not encoded for whoever reads the object. */
static struct str without_aws_chunked(struct str coding)
{
    struct str first, rest;

    if (str_is_nocase(coding, "aws-chunked"))
        return STR("");
    if (str_cut(coding, ',', &first, &rest) && str_is_nocase(str_trim(first), "aws-chunked"))
        return str_trim(rest);
    return coding;
}

static int decode_header(struct arena *a, const struct wire_match *match, const struct wire_request *request,
                         const struct member *m, struct doc *into, struct err *err)
{
    const struct str *found = wire_header(request, m->wire_name);
    struct str text = found ? *found : STR("");
    struct doc *value;
    bool bad = false;

    if (!found)
        return 0;
    if (strcasecmp(m->wire_name, "Content-Encoding") == 0) {
        text = without_aws_chunked(text);
        if (text.size == 0)
            return 0;
    }
    if (m->shape->type == SHAPE_LIST)
        value = list_of_header(a, m, text, &bad);
    else
        bad = !value_of_text(a, m->shape, time_format_of(m, TIME_HTTP), text, &value);
    if (bad)
        return refuse(match, m, err);
    doc_append_member(a, into, m->name, value);
    return 0;
}

/* x-amz-meta-NAME: names in lower case, as S3 keeps them; the first of two with one name. */
static void decode_prefixed(struct arena *a, const struct wire_request *request, const struct member *m,
                            struct doc *into)
{
    size_t prefix = strlen(m->wire_name);
    struct doc *map = NULL;

    for (int i = 0; i < request->header_count; i++) {
        struct str name = request->headers[i].name;
        char *key;

        if (name.size <= prefix || strncasecmp(name.data, m->wire_name, prefix) != 0)
            continue;
        key = arena_strndup(a, name.data + prefix, name.size - prefix);
        for (char *c = key; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        if (!map)
            map = doc_map(a);
        if (!doc_get(map, key))
            doc_append_member(a, map, key, doc_str(a, request->headers[i].value));
    }
    if (map)
        doc_append_member(a, into, m->name, map);
}

static int decode_query(struct arena *a, const struct wire_match *match, const struct parameters *query,
                        const struct member *m, struct doc *into, struct err *err)
{
    const struct member *item = m->shape->type == SHAPE_LIST ? model_item(m->shape) : m;
    struct doc *list = m->shape->type == SHAPE_LIST ? doc_list(a) : NULL, *value = NULL;

    if (m->shape->type == SHAPE_MAP || m->shape->type == SHAPE_STRUCTURE)
        return 0;
    for (size_t i = 0; i < query->count; i++) {
        if (!str_is(query->items[i].name, m->wire_name))
            continue;
        if (!value_of_text(a, item->shape, time_format_of(item, TIME_ISO8601), query->items[i].value, &value))
            return refuse(match, m, err);
        if (!list)
            break;
        doc_append(a, list, value);
    }
    if (value)
        doc_append_member(a, into, m->name, list ? list : value);
    return 0;
}

/* The labels of the path, in the order of the route that matched it. */
static int decode_path(struct arena *a, const struct wire_match *match, struct doc *into, struct err *err)
{
    struct str rest = match->path, segment;
    int part = 0;

    if (rest.size && rest.data[0] == '/')
        rest = (struct str){ rest.data + 1, rest.size - 1 };
    for (; part < match->route->part_count; part++) {
        const struct route_part *p = &match->route->parts[part];
        struct doc *value;
        struct str text;

        if (part == 0 && match->bucket.size) {
            doc_append_member(a, into, p->label->name, doc_str(a, match->bucket));
            continue;
        }
        segment = rest;
        if (p->greedy || !str_cut(rest, '/', &segment, &rest))
            rest = STR("");
        if (p->literal)
            continue;
        text = uri_decode(a, segment, false);
        if (!uri_escapes_good(segment) ||
            !value_of_text(a, p->label->shape, time_format_of(p->label, TIME_ISO8601), text, &value)) {
            if (match->protocol == PROTOCOL_REST_XML)
                return fail_code(err, ERR_INVALID, "InvalidURI", "Couldn't parse the specified URI.");
            return refuse(match, p->label, err);
        }
        doc_append_member(a, into, p->label->name, value);
    }
    return 0;
}

static int parse_xml(struct arena *a, struct str body, struct xml_node **ret, struct err *err)
{
    struct err why;

    if (xml_parse(a, body, ret, &why) == 0)
        return 0;
    return fail_code(err, ERR_INVALID, "MalformedXML",
                     "The XML you provided was not well-formed or did not validate against our published schema: %s",
                     why.text);
}

static int decode_payload(struct arena *a, const struct wire_match *match, struct str body, const struct member *m,
                          struct doc *into, struct err *err)
{
    struct doc *value = NULL;
    struct xml_node *root;

    if (wire_streaming(match->operation->input))
        return 0;
    if (m->shape->type == SHAPE_BLOB) {
        value = body.size || m->flags & MEMBER_REQUIRED ? doc_bytes(a, body) : NULL;
    } else if (m->shape->type == SHAPE_STRING) {
        if (!utf8_valid(body))
            return refuse(match, m, err);
        value = body.size ? doc_str(a, body) : NULL;
    } else if (str_trim(body).size == 0) {
        return 0;
    } else if (m->shape->type != SHAPE_STRUCTURE) {
        return refuse(match, m, err);
    } else if (match->protocol == PROTOCOL_REST_XML) {
        value = doc_map(a);
        if (parse_xml(a, body, &root, err) < 0 || xml_decode(a, m->shape, root, value, err) < 0)
            return -1;
    } else if (json_decode(a, m->shape, body, &value, err) < 0) {
        return -1;
    }
    if (value)
        doc_append_member(a, into, m->name, value);
    return 0;
}

int rest_decode(struct arena *a, const struct wire_match *match, const struct wire_request *request, struct doc **ret,
                struct err *err)
{
    const struct shape *shape = match->operation->input;
    struct doc *d = doc_map(a);
    struct str path, text = STR("");
    struct parameters query;
    struct xml_node *root;
    bool has_body_members = false;

    str_cut(request->target, '?', &path, &text);
    query = parameters_parse(a, text);
    if (decode_path(a, match, d, err) < 0)
        return -1;
    for (uint16_t i = 0; i < shape->member_count; i++) {
        const struct member *m = &shape->members[i];
        int result = 0;

        if (m->location == IN_HEADER)
            result = decode_header(a, match, request, m, d, err);
        else if (m->location == IN_QUERY)
            result = decode_query(a, match, &query, m, d, err);
        else if (m->location == IN_HEADERS)
            decode_prefixed(a, request, m, d);
        else if (m->location == IN_BODY)
            has_body_members = true;
        if (result < 0)
            return -1;
    }
    if (shape->payload) {
        if (decode_payload(a, match, request->body, shape->payload, d, err) < 0)
            return -1;
    } else if (has_body_members && str_trim(request->body).size && match->protocol == PROTOCOL_REST_XML) {
        if (parse_xml(a, request->body, &root, err) < 0 || xml_decode(a, shape, root, d, err) < 0)
            return -1;
    } else if (has_body_members) {
        struct doc *body;

        if (json_decode(a, shape, request->body, &body, err) < 0)
            return -1;
        for (uint32_t i = 0; i < body->count; i++)
            doc_append_member(a, d, body->members[i].key, body->members[i].value);
    }
    *ret = d;
    return 0;
}

static void encode_header(struct arena *a, const struct member *m, const struct doc *d, struct wire_response *ret)
{
    struct buf text = { 0 };

    if (strcasecmp(m->wire_name, "Content-Length") == 0) {
        ret->length = d->type == DOC_INTEGER ? d->integer : -1;
        return;
    }
    text_of_value(&text, m->shape, time_format_of(m, TIME_HTTP), false, d);
    wire_add_header(a, ret, m->wire_name, (struct str){ text.data ? text.data : "", text.size });
    buf_free(&text);
}

static void encode_headers(struct arena *a, const struct shape *shape, const struct doc *d, struct wire_response *ret)
{
    for (uint32_t i = 0; i < d->count; i++) {
        const struct doc *value = d->members[i].value;
        const struct member *m = model_member(shape, str_of(d->members[i].key));

        if (!m || value->type == DOC_NULL)
            continue;
        if (m->location == IN_HEADER)
            encode_header(a, m, value, ret);
        else if (m->location == IN_STATUS && value->type == DOC_INTEGER)
            ret->status = (int)value->integer;
        else if (m->location == IN_HEADERS && value->type == DOC_MAP)
            for (uint32_t j = 0; j < value->count; j++)
                if (value->members[j].value->type == DOC_STRING)
                    wire_add_header(a, ret, arena_printf(a, "%s%s", m->wire_name, value->members[j].key),
                                    value->members[j].value->text);
    }
}

static bool has_body_members(const struct shape *shape)
{
    for (uint16_t i = 0; i < shape->member_count; i++)
        if (shape->members[i].location == IN_BODY)
            return true;
    return false;
}

static void put_content_type(struct arena *a, struct wire_response *ret, const char *type)
{
    for (int i = 0; i < ret->header_count; i++)
        if (str_is_nocase(ret->headers[i].name, "Content-Type"))
            return;
    wire_add_header(a, ret, "Content-Type", str_of(type));
}

static void encode_payload(struct arena *a, const struct wire_match *match, const struct member *m, const struct doc *d,
                           struct wire_response *ret)
{
    if (!d || wire_streaming(match->operation->output))
        return;
    if (d->type == DOC_BYTES || d->type == DOC_STRING) {
        buf_append(&ret->body, d->text.data, d->text.size);
        put_content_type(a, ret, d->type == DOC_BYTES ? "application/octet-stream" : "text/plain");
    } else if (d->type == DOC_MAP && match->protocol == PROTOCOL_REST_XML) {
        xml_declaration(&ret->body);
        xml_encode_root(&ret->body, m->wire_name, match->service->xml_namespace, m->shape, d, true);
        put_content_type(a, ret, "application/xml");
    } else if (d->type == DOC_MAP) {
        json_encode(&ret->body, m->shape, d);
        put_content_type(a, ret, "application/json");
    }
}

void rest_encode(struct arena *a, const struct wire_match *match, const struct doc *d, struct wire_response *ret)
{
    const struct shape *shape = match->operation->output;

    encode_headers(a, shape, d, ret);
    if (match->head)
        return;
    if (shape->payload) {
        encode_payload(a, match, shape->payload, doc_get(d, shape->payload->name), ret);
    } else if (match->protocol == PROTOCOL_REST_XML && has_body_members(shape)) {
        xml_declaration(&ret->body);
        xml_encode_root(&ret->body, shape->xml_name ? shape->xml_name : shape->name, match->service->xml_namespace,
                        shape, d, true);
        put_content_type(a, ret, "application/xml");
    } else if (match->protocol == PROTOCOL_REST_JSON) {
        json_encode(&ret->body, shape, d);
        put_content_type(a, ret, "application/json");
    }
}
