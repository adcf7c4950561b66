/* inflate.h - gzip, member after member, as it comes. */
#ifndef AGENT_INFLATE_H
#define AGENT_INFLATE_H

#include "base/err.h"
#include "base/str.h"

struct inflate;

struct inflate *inflate_new(void);
void inflate_free(struct inflate *); /* NULL is fine */

/* The next bytes; 'out' gets what they hold, piece by piece, and ends it by returning a negative number, which is
 * returned. ERR_INVALID: no gzip. */
int inflate_feed(struct inflate *, struct str bytes, int (*out)(void *data, struct str bytes, struct err *err),
                 void *data, struct err *err);

/* ERR_INVALID: the last member is cut off. */
int inflate_end(struct inflate *, struct err *err);

#endif
