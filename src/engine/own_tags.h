/* own_tags.h - the tags "sagebrush:...", by which a job or an endpoint tells the scheduler what AWS has no field
 * for. */
#ifndef ENGINE_OWN_TAGS_H
#define ENGINE_OWN_TAGS_H

#include "base/err.h"
#include "doc/doc.h"

#define OWN_TAG_LABELS "sagebrush:labels"     /* that its nodes must have: "row=a zone=b" */
#define OWN_TAG_OWNER "sagebrush:owner"       /* whose share of the fleet it is */
#define OWN_TAG_PRIORITY "sagebrush:priority" /* is added to the owner's */

enum { OWN_LABELS_MOST = 32, OWN_PRIORITY_MOST = 1000 };

/* Of a list of {"Key", "Value"}: one of ours that nobody knows, or whose value is wrong, would do nothing without a
 * word. An empty value is as good as no tag. */
int own_tags_check(const struct doc *tags, struct err *err);

#endif
