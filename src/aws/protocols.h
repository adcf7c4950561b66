/* protocols.h - what the files behind wire.h share. Nobody else includes it. */
#ifndef AWS_PROTOCOLS_H
#define AWS_PROTOCOLS_H

#include "aws/wire.h"

/* wire.c: what every answer has, an error too. */
void wire_put_ids(struct arena *, const struct wire_match *, const char *request_id, struct wire_response *);
const char *wire_content_type(const struct wire_match *);

/* protocol_json.c: bodies of JSON and CBOR, which differ in how they are written down, not in what they hold. */

/* Makes a parsed document canonical in place: unknown and null members go, numbers become what the shape wants, base64
 * and times are read. Members that live in headers, path or query are unknown in a body. */
int conform(struct arena *, const struct shape *, struct doc *, struct err *err);
int json_decode(struct arena *, const struct shape *, struct str body, struct doc **ret, struct err *err);
void json_encode(struct buf *, const struct shape *, const struct doc *);
const struct member *member_by_wire_name(const struct shape *, struct str name); /* NULL: none */

/* protocol_xml.c: bodies of REST-XML, and the answers of Query. */
struct xml_node;
int xml_decode(struct arena *, const struct shape *, const struct xml_node *, struct doc *into, struct err *err);
void xml_encode_members(struct buf *, const struct shape *, const struct doc *, bool milliseconds);
void xml_encode_root(struct buf *, const char *name, const char *name_space, const struct shape *, const struct doc *,
                     bool milliseconds);

/* protocol_query.c */
int query_decode(struct arena *, const struct wire_match *, const struct wire_request *, struct doc **ret,
                 struct err *err);
void query_encode(struct buf *, const struct wire_match *, const struct doc *, const char *request_id);
void query_encode_error(struct buf *, const struct wire_match *, const char *code, const char *text, bool sender,
                        const char *request_id);

/* protocol_rest.c */
int rest_decode(struct arena *, const struct wire_match *, const struct wire_request *, struct doc **ret,
                struct err *err);
void rest_encode(struct arena *, const struct wire_match *, const struct doc *, struct wire_response *);

/* Text as a value of a simple shape. False: it is none of that type. */
bool value_of_text(struct arena *, const struct shape *, enum time_format, struct str text, struct doc **ret);
/* A simple value as text. */
void text_of_value(struct buf *, const struct shape *, enum time_format, bool milliseconds, const struct doc *);

enum time_format time_format_of(const struct member *, enum time_format otherwise);

/* A query or a form: "a=1&b=2", decoded, in its order. */
struct parameter {
    struct str name, value;
};
struct parameters {
    struct parameter *items;
    size_t count;
};
struct parameters parameters_parse(struct arena *, struct str text);
const struct str *parameter_find(const struct parameters *, const char *name); /* NULL: none */

bool is_simple(const struct shape *);

#endif
