/* pieces.h - where the bytes of objects and parts lie: ranges of blobs, and how many of them each blob serves. */
#ifndef S3_PIECES_H
#define S3_PIECES_H

#include "engine/call.h"

/* Counts the pieces as used; the last use dropped releases the blob (engine/bodies.h). Pieces without bytes are none.
 */
int pieces_hold(struct call *, const struct piece *, int count, struct err *err);
int pieces_drop(struct call *, const struct piece *, int count, struct err *err);

/* In a record: a list of uid, offset, size, uid... Many pieces, and the record's "Parts" with them, stand in a row of
 * their own, "Manifest" in the record, so that a listing need not read them. */
int pieces_write(struct call *, struct doc *record, const struct piece *, int count, struct err *err);
int pieces_read(struct call *, const struct doc *record, struct piece **ret, int *ret_count, struct err *err);
int pieces_parts(struct call *, const struct doc *record, const struct doc **ret, struct err *err); /* NULL: none */
int pieces_erase(struct call *, const struct doc *record, struct err *err);  /* drops them, and their row */
int pieces_forget(struct call *, const struct doc *record,
                  struct err *err); /* the row only: another record took them over */

/* The pieces of 'size' bytes from 'offset' on. The room has to be for 'count' pieces. */
int pieces_cut(const struct piece *, int count, int64_t offset, int64_t size, struct piece *ret);

#endif
