/* tags.h - tags of resources: the operations of SageMaker, and what other code asks about them.
 *
 * The operations are rows of SageMaker's table:
 *     { "AddTags", tags_add, OP_RUN, NULL, OP_WRITES, NULL, "{ResourceArn}" } */
#ifndef ENGINE_TAGS_H
#define ENGINE_TAGS_H

#include "engine/call.h"

int tags_add(struct call *, struct err *err);
int tags_list(struct call *, struct err *err);
int tags_delete(struct call *, struct err *err);

/* List of {"Key", "Value"} by key; empty when there are none. */
int tags_of(struct arena *, struct engine *, const char *uid, struct doc **ret, struct err *err);

/* aws:ResourceTag/KEY, and the service's own name for it, of the resource of that ARN; none where there is none. */
int tags_to_context(struct call *, const char *arn, struct doc *context, struct err *err);

/* Sets each of a list of {"Key", "Value"}; AWS's error when one may not be set, or there are too many. */
int tags_set(struct engine *, const char *uid, const char *arn, const struct doc *tags, struct err *err);
int tags_unset(struct engine *, const char *uid, const struct doc *keys, struct err *err); /* not there is fine */
int tags_remove_all(struct engine *, const char *uid, struct err *err); /* with the row */

#endif
