/* cut.h - the upload of an instance's results has its time, and is ended after it.
 *
 * A server whose disk is full takes nothing for as long as nobody makes room. A job that ended well waits for that: its
 * model is there, and nowhere else. One that failed does not: that it failed is what is to be told. */
#ifndef AGENT_CUT_H
#define AGENT_CUT_H

#include "agent/train.h"

/* Whether the upload has had its time; else *next_ms is when it will have. */
bool cut_is_due(struct train *, int64_t *next_ms);

/* It is ended from now on; what was whole by then is in S3. */
void cut_begin(struct train *);
bool cut_has_begun(const struct train *);

/* It has ended. 'why' is what it waited for, "" where nobody knows. */
void cut_tell(struct train *, struct arena *, const char *why);

#endif
