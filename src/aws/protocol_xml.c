/* protocol_xml.c - documents as XML, by their shapes: S3's bodies both ways, and the answers of Query services. */
#include "aws/protocols.h"

#include <inttypes.h>
#include <string.h>

#include "aws/xml.h"

static int refuse(struct err *err, const struct xml_node *node)
{
    return fail_code(err, ERR_INVALID, "MalformedXML",
                     "The XML you provided was not well-formed or did not validate against our published schema "
                     "(element %.100s)", node->name);
}

static int decode_value(struct arena *, const struct member *, const struct xml_node *, struct doc **ret,
                        struct err *err);

static const struct member *member_of(const struct shape *shape, const char *element)
{
    for (uint16_t i = 0; i < shape->member_count; i++)
        if (shape->members[i].location == IN_BODY && strcmp(shape->members[i].wire_name, element) == 0)
            return &shape->members[i];
    return NULL;
}

static int decode_entry(struct arena *a, const struct shape *map, const struct xml_node *node, struct doc *into,
                        struct err *err)
{
    const struct xml_node *value = xml_child(node, model_value(map)->wire_name);
    struct doc *d;

    if (!value)
        return refuse(err, node);
    if (decode_value(a, model_value(map), value, &d, err) < 0)
        return -1;
    doc_append_member(a, into, xml_child_text(node, model_key(map)->wire_name).data, d);
    return 0;
}

static bool is_flattened(const struct member *m)
{
    return m->flags & MEMBER_FLATTENED || m->shape->flags & SHAPE_FLATTENED;
}

/* One of the elements of a flattened list or map, which stand among the members of the structure. */
static int decode_flattened(struct arena *a, const struct member *m, const struct xml_node *node, struct doc *into,
                            struct err *err)
{
    struct doc *collection = (struct doc *)doc_get(into, m->name), *item;

    if (!collection) {
        collection = m->shape->type == SHAPE_LIST ? doc_list(a) : doc_map(a);
        doc_append_member(a, into, m->name, collection);
    }
    if (m->shape->type == SHAPE_MAP)
        return decode_entry(a, m->shape, node, collection, err);
    if (decode_value(a, model_item(m->shape), node, &item, err) < 0)
        return -1;
    doc_append(a, collection, item);
    return 0;
}

int xml_decode(struct arena *a, const struct shape *shape, const struct xml_node *node, struct doc *into,
               struct err *err)
{
    for (const struct xml_attribute *at = node->attributes; at; at = at->next) {
        const struct member *m = member_of(shape, at->name);

        if (m && m->flags & MEMBER_XML_ATTRIBUTE)
            doc_set(a, into, m->name, doc_str(a, at->value));
    }
    for (const struct xml_node *child = node->children; child; child = child->next) {
        const struct member *m = member_of(shape, child->name);
        struct doc *value;

        if (!m)
            continue;
        if (is_flattened(m) && !is_simple(m->shape)) {
            if (decode_flattened(a, m, child, into, err) < 0)
                return -1;
            continue;
        }
        if (decode_value(a, m, child, &value, err) < 0)
            return -1;
        doc_set(a, into, m->name, value);
    }
    return 0;
}

static int decode_collection(struct arena *a, const struct shape *shape, const struct xml_node *node, struct doc **ret,
                             struct err *err)
{
    struct doc *d = shape->type == SHAPE_LIST ? doc_list(a) : doc_map(a), *item;

    for (const struct xml_node *child = node->children; child; child = child->next) {
        if (shape->type == SHAPE_MAP) {
            if (decode_entry(a, shape, child, d, err) < 0)
                return -1;
            continue;
        }
        if (decode_value(a, model_item(shape), child, &item, err) < 0)
            return -1;
        doc_append(a, d, item);
    }
    if (shape->type == SHAPE_MAP)
        doc_drop_repeated(a, d);
    *ret = d;
    return 0;
}

/* The document is as deep as the XML, which xml_parse() has bounded. */
static int decode_value(struct arena *a, const struct member *m, const struct xml_node *node, struct doc **ret,
                        struct err *err)
{
    if (m->shape->type == SHAPE_STRUCTURE) {
        *ret = doc_map(a);
        return xml_decode(a, m->shape, node, *ret, err);
    }
    if (!is_simple(m->shape))
        return decode_collection(a, m->shape, node, ret, err);
    if (node->children || !value_of_text(a, m->shape, time_format_of(m, TIME_ISO8601), node->text, ret))
        return refuse(err, node);
    return 0;
}

static void encode_value(struct buf *b, const char *name, const struct member *m, const struct doc *d, bool ms);

static void encode_entry(struct buf *b, const char *name, const struct shape *map, const struct doc_item *item, bool ms)
{
    xml_open(b, name, NULL);
    xml_element(b, model_key(map)->wire_name, str_of(item->key));
    encode_value(b, model_value(map)->wire_name, model_value(map), item->value, ms);
    xml_close(b, name);
}

/* The element's name for an item of a list: what the model says, else "member". */
static void encode_collection(struct buf *b, const char *name, const struct member *m, const struct doc *d, bool ms)
{
    const struct shape *shape = m->shape;
    bool flattened = is_flattened(m);

    if (!flattened)
        xml_open(b, name, NULL);
    for (uint32_t i = 0; i < d->count; i++) {
        if (shape->type == SHAPE_MAP)
            encode_entry(b, flattened ? name : "entry", shape, &d->members[i], ms);
        else
            encode_value(b, flattened ? name : model_item(shape)->wire_name, model_item(shape), d->items[i], ms);
    }
    if (!flattened)
        xml_close(b, name);
}

static void encode_structure(struct buf *b, const char *name, const struct shape *shape, const struct doc *d, bool ms)
{
    buf_append_char(b, '<');
    buf_append_str(b, name);
    if (shape->xml_prefix && shape->xml_namespace)
        buf_printf(b, " xmlns:%s=\"%s\"", shape->xml_prefix, shape->xml_namespace);
    for (uint32_t i = 0; i < d->count; i++) {
        const struct member *m = model_member(shape, str_of(d->members[i].key));

        if (m && m->flags & MEMBER_XML_ATTRIBUTE && d->members[i].value->type == DOC_STRING) {
            buf_printf(b, " %s=\"", m->wire_name);
            xml_attribute_text(b, d->members[i].value->text);
            buf_append_char(b, '"');
        }
    }
    buf_append_char(b, '>');
    xml_encode_members(b, shape, d, ms);
    xml_close(b, name);
}

static void encode_value(struct buf *b, const char *name, const struct member *m, const struct doc *d, bool ms)
{
    if (m->shape->type == SHAPE_STRUCTURE && d->type == DOC_MAP) {
        encode_structure(b, name, m->shape, d, ms);
    } else if ((m->shape->type == SHAPE_LIST && d->type == DOC_LIST) ||
               (m->shape->type == SHAPE_MAP && d->type == DOC_MAP)) {
        encode_collection(b, name, m, d, ms);
    } else if (d->type == DOC_STRING) {
        xml_element(b, name, d->text);
    } else {
        _cleanup_buf_ struct buf text = { 0 };

        text_of_value(&text, m->shape, time_format_of(m, TIME_ISO8601), ms, d);
        xml_element(b, name, (struct str){ text.data ? text.data : "", text.size });
    }
}

void xml_encode_members(struct buf *b, const struct shape *shape, const struct doc *d, bool milliseconds)
{
    for (uint32_t i = 0; i < d->count; i++) {
        const struct doc_item *item = &d->members[i];
        const struct member *m = model_member(shape, str_of(item->key));

        if (m && m->location == IN_BODY && !(m->flags & MEMBER_XML_ATTRIBUTE) && item->value->type != DOC_NULL)
            encode_value(b, m->wire_name, m, item->value, milliseconds);
    }
}

void xml_encode_root(struct buf *b, const char *name, const char *name_space, const struct shape *shape,
                     const struct doc *d, bool milliseconds)
{
    xml_open(b, name, name_space);
    if (shape->flags & SHAPE_UNWRAPPED && d->count == 1 && d->members[0].value->type == DOC_STRING)
        xml_text(b, d->members[0].value->text);
    else
        xml_encode_members(b, shape, d, milliseconds);
    xml_close(b, name);
}
