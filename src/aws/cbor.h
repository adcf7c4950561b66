/* cbor.h - documents as CBOR (RFC 8949), as the RPC-v2-CBOR protocol uses it. */
#ifndef AWS_CBOR_H
#define AWS_CBOR_H

#include "aws/model.h"
#include "base/buf.h"
#include "base/err.h"
#include "doc/doc.h"

/* Any well-formed item whose map keys are text. A time (tag 1) is its number of seconds; other tags are refused, so are
 * integers beyond 64 bits and nesting beyond 128. ERR_INVALID with the byte offset. */
int cbor_parse(struct arena *, struct str bytes, struct doc **ret, struct err *err);

/* By a structure's shape, as its protocol wants it: times as tag 1, unknown and null members left out. */
void cbor_print(struct buf *, const struct shape *, const struct doc *);

#endif
