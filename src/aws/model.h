/* model.h - the AWS service models as constant tables, made by model/modelc from the pinned botocore package.
 *
 * The tables drive routing, decoding, validation and encoding; nothing in the house spells a wire format by hand.
 * Names are AWS's. Every array of members and of operations is sorted by name, for bisection. */
#ifndef AWS_MODEL_H
#define AWS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum shape_type {
    SHAPE_STRUCTURE, SHAPE_LIST, SHAPE_MAP, SHAPE_STRING, SHAPE_INTEGER, SHAPE_LONG, SHAPE_FLOAT, SHAPE_DOUBLE,
    SHAPE_BOOLEAN, SHAPE_BLOB, SHAPE_TIMESTAMP,
};

enum shape_flag {
    SHAPE_HAS_MIN = 1,      /* length, count or value, by type */
    SHAPE_HAS_MAX = 2,
    SHAPE_FLATTENED = 4,    /* XML and Query: a list without its wrapper element */
    SHAPE_SENSITIVE = 8,    /* never logged */
    SHAPE_UNION = 16,       /* exactly one member is set */
    SHAPE_EVENT_STREAM = 32,
    SHAPE_EXCEPTION = 64,
    SHAPE_FAULT = 128,      /* an exception that is the server's fault */
    SHAPE_STREAMING = 256,  /* a blob that does not fit in memory */
    SHAPE_UNWRAPPED = 512,  /* XML output: the only member's text stands in the root element itself */
    SHAPE_SENDER_FAULT = 1024, /* an exception that Query calls the sender's fault */
};

enum time_format { TIME_BY_PROTOCOL, TIME_EPOCH, TIME_ISO8601, TIME_HTTP };

enum location { IN_BODY, IN_HEADER, IN_HEADERS /* all with a prefix, as a map */, IN_URI, IN_QUERY, IN_STATUS };

enum member_flag {
    MEMBER_REQUIRED = 1,
    MEMBER_IDEMPOTENCY_TOKEN = 2,
    MEMBER_XML_ATTRIBUTE = 4,
    MEMBER_FLATTENED = 8,
    MEMBER_EVENT_PAYLOAD = 16,
    MEMBER_EVENT_HEADER = 32,
    MEMBER_CONTEXT = 64, /* contextParam of the endpoint rules; S3 finds its Bucket by it */
    MEMBER_STREAMING = 128, /* a blob that does not fit in memory */
};

struct shape;

struct member {
    const char *name;
    const char *wire_name;  /* locationName, or the name itself */
    const char *query_name; /* ec2 protocol's queryName; NULL elsewhere */
    const struct shape *shape;
    uint8_t location; /* enum location */
    uint8_t time_format;
    uint16_t flags; /* enum member_flag */
};

struct shape {
    const char *name;
    uint8_t type;        /* enum shape_type */
    uint8_t time_format; /* enum time_format */
    uint16_t flags;      /* enum shape_flag */
    uint16_t member_count;
    uint16_t value_count;
    double min, max;
    const char *pattern;             /* NULL: none; PCRE2, anchored by the validator */
    const char *const *values;       /* enum values in the model's order */
    const struct member *members;    /* structure: by name; list: "member"; map: "key", "value" */
    const struct member *payload;    /* structure: the member that is the whole body, or NULL */
    const char *xml_name;            /* the root element, NULL: the shape's or operation's name */
    const char *xml_prefix, *xml_namespace; /* an xmlns attribute of its own (xsi of S3's Grantee), or NULL both */
    const char *error_code;          /* exception: its code in the Query protocol and in x-amzn-query-error */
    uint16_t http_status;            /* exception: 0 when the model states none */
};

enum operation_flag {
    OPERATION_UNSIGNED_BODY = 1,
    OPERATION_CHECKSUM_REQUIRED = 2,
    OPERATION_UNAUTHENTICATED = 4,
    OPERATION_DEPRECATED = 8,
};

struct operation {
    const char *name;
    const struct service *service;
    const struct shape *input, *output; /* never NULL: an empty structure when the model has none */
    const char *result_wrapper;         /* Query: the element inside <OpResponse>, or NULL */
    const char *method, *uri;           /* "/{Bucket}/{Key+}?uploads" */
    uint16_t http_status;               /* of success */
    uint16_t flags;                     /* enum operation_flag */
    const struct shape *const *errors;  /* NULL-terminated */
};

/* One way to an operation by method, path and query. A service's routes stand with the most specific first: of those
 * whose method, path and literals fit, the first one whose required parts are all there, else the last one. */
struct route {
    const struct operation *operation;
    const char *method;
    const struct route_part {
        const char *literal;         /* one segment of the path; NULL: a label */
        const struct member *label;  /* the input member that takes the segment */
        bool greedy;                 /* the label takes the rest of the path, slashes and all */
    } *parts;
    const char *const *queries;          /* "uploads", "list-type=2" in turn, NULL-terminated */
    const char *const *required_queries; /* of required input members, NULL-terminated */
    const char *const *required_headers; /* the same */
    uint8_t part_count;
    uint8_t group; /* routes of one method, path and literals share a number, and stand together */
};

enum service_flag {
    SERVICE_QUERY_COMPATIBLE = 1 /* JSON and CBOR answers carry the Query code in x-amzn-query-error */
};

enum protocol { PROTOCOL_JSON, PROTOCOL_REST_JSON, PROTOCOL_REST_XML, PROTOCOL_QUERY, PROTOCOL_EC2, PROTOCOL_CBOR };

struct service {
    const char *name;         /* botocore's folder: "sagemaker", "sagemaker-runtime", "s3", "logs"... */
    const char *service_id;   /* "SageMaker", "CloudWatch Logs" */
    const char *signing_name;  /* in the scope of the signature */
    const char *target_prefix; /* X-Amz-Target before the dot, NULL: none */
    const char *json_version;  /* "1.0", "1.1", NULL */
    const char *api_version;
    const char *xml_namespace;
    uint8_t protocols; /* 1 << enum protocol, every one that the service accepts */
    uint8_t flags;     /* enum service_flag */
    uint16_t operation_count, route_count;
    const struct operation *operations; /* by name */
    const struct route *routes;         /* REST protocols; the most specific first */
};

/* Every service of the build, NULL-terminated, defined in the generated tables. */
extern const struct service *const model_services[];

const struct service *model_service(const char *name);                            /* NULL: unknown */
const struct operation *model_operation(const struct service *, struct str name); /* NULL: unknown */
const struct member *model_member(const struct shape *, struct str name);         /* by name; NULL: unknown */

/* The exception of that name, else of that Query code, among the operation's errors, NULL: none (common errors are in
 * no model). */
const struct shape *model_error(const struct operation *, struct str name);

/* A list's item, a map's key and value. */
static inline const struct member *model_item(const struct shape *list)
{
    return &list->members[0];
}

static inline const struct member *model_key(const struct shape *map)
{
    return &map->members[0];
}

static inline const struct member *model_value(const struct shape *map)
{
    return &map->members[1];
}

#endif
