/* chunked.h - takes a body in the aws-chunked encoding apart, piece by piece.
 *
 *     while (input.size > 0) {
 *         if (chunked_next(c, &input, &piece, err) < 0) ...
 *         ... piece is the next decoded bytes, possibly none ...
 *     }
 *     chunked_end(c, err)
 *
 * Decoded bytes point into the input: nothing is copied. A chunk's signature stands before its bytes and is checked
 * after them, so nothing of a signed body may be believed before chunked_end() said yes. */
#ifndef SIGN_CHUNKED_H
#define SIGN_CHUNKED_H

#include "base/err.h"
#include "base/str.h"
#include "sign/sigv4.h"

struct chunked;

/* seed: of sigv4_verify, copied; NULL with SIGV4_STREAMING_UNSIGNED_TRAILER. decoded_bytes:
 * x-amz-decoded-content-length. */
struct chunked *chunked_new(enum sigv4_payload, const struct sigv4_seed *seed, int64_t decoded_bytes);
void chunked_free(struct chunked *); /* NULL is fine */

/* Takes bytes off the front of *input; *ret is the decoded piece among them (size 0: none yet). */
int chunked_next(struct chunked *, struct str *input, struct str *ret, struct err *err);

/* The body has ended: it must be whole, of the stated length, with every signature right. */
int chunked_end(struct chunked *, struct err *err);

/* Trailing headers, after chunked_end() said yes; they live as long as the decoder. Names are in lower case. */
const struct sigv4_header *chunked_trailers(const struct chunked *, int *ret_count);

#endif
