/* removal.h - folders on their way out: their names are free at once, the files go on a thread of their own.
 *
 * A job may leave millions of files, and the control plane must not stand still meanwhile. What a process that ends
 * leaves behind is taken up by the next one. */
#ifndef RUN_REMOVAL_H
#define RUN_REMOVAL_H

#include "base/err.h"

struct removal;

/* Of folders directly below 'folder'; begins with those that are on their way out already. */
struct removal *removal_new(const char *folder);

/* Ends in the middle of a folder; NULL is fine. */
void removal_free(struct removal *);

/* From its return on there is nothing of that name, also after a crash; not there is fine. */
int removal_take(struct removal *, const char *name, struct err *err);

#endif
