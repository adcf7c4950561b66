/* tagging.h - tags of objects and buckets: lists of {Key, Value}. */
#ifndef S3_TAGGING_H
#define S3_TAGGING_H

#include "engine/call.h"

enum { OBJECT_TAGS = 10, BUCKET_TAGS = 50 };

int tagging_check(const struct doc *tag_set, uint32_t most, struct err *err);
int tagging_of_header(struct arena *, const char *header, struct doc **ret, struct err *err); /* "a=1&b=2"; checked */

int get_object_tagging(struct call *, struct err *);
int put_object_tagging(struct call *, struct err *);
int delete_object_tagging(struct call *, struct err *);
int get_bucket_tagging(struct call *, struct err *);
int put_bucket_tagging(struct call *, struct err *);
int delete_bucket_tagging(struct call *, struct err *);

#endif
