/* json.h - documents as JSON text (RFC 8259).
 *
 * Reading: integers without fraction or exponent that fit 64 bits are DOC_INTEGER, other numbers DOC_REAL; strings
 * must be valid UTF-8, a lone surrogate escape is refused, of two members with one name the last one counts.
 * Nesting is limited to 128. Writing: compact, members in their order, blobs as base64, a REAL in the shortest form
 * that reads back the same; NaN and infinities (which JSON does not have) as the strings AWS uses. */
#ifndef DOC_JSON_H
#define DOC_JSON_H

#include "base/buf.h"
#include "base/err.h"
#include "doc/doc.h"

/* ERR_INVALID with the byte offset in the text. Trailing white space is fine, anything else is not. */
int json_parse(struct arena *, struct str text, struct doc **ret, struct err *err);

void json_print(struct buf *, const struct doc *);
char *json_text(struct arena *, const struct doc *);
void json_print_pretty(struct buf *, const struct doc *); /* two spaces a level, for people */
void json_print_string(struct buf *, struct str);         /* one quoted string */
void json_print_real(struct buf *, double);               /* one number */

#endif
