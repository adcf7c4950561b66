/* xml.h - small XML documents as trees, and the writing of elements. Hides expat.
 *
 * Reading: no document types and no entities but the five of XML itself, nesting up to 64, names without their
 * namespace prefix (attributes keep theirs: "xsi:type"). An element has text or children; text beside children is
 * dropped. */
#ifndef AWS_XML_H
#define AWS_XML_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct xml_attribute {
    const char *name;
    struct str value;
    struct xml_attribute *next;
};

struct xml_node {
    const char *name;
    struct str text; /* of an element without children; "" when it has none; a NUL follows */
    struct xml_attribute *attributes;
    struct xml_node *children, *next; /* in the order of the document */
};

int xml_parse(struct arena *, struct str text, struct xml_node **ret_root, struct err *err);
const struct xml_node *xml_child(const struct xml_node *, const char *name);     /* the first; NULL: none */
struct str xml_child_text(const struct xml_node *, const char *name);            /* "" when there is none */

/* Writing. What XML 1.0 cannot say (most control characters) becomes a character reference all the same, as S3 does. */
void xml_declaration(struct buf *);
void xml_open(struct buf *, const char *name, const char *name_space); /* name_space NULL: no xmlns */
void xml_close(struct buf *, const char *name);
void xml_text(struct buf *, struct str);      /* escaped */
void xml_attribute_text(struct buf *, struct str);
void xml_element(struct buf *, const char *name, struct str text);

#endif
