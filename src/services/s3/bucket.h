/* bucket.h - buckets: a global name, an owner, a region that it remembers, and its settings. */
#ifndef S3_BUCKET_H
#define S3_BUCKET_H

#include "engine/call.h"

struct bucket {
    const char *name, *account, *region;
    int64_t created_ms;
    const char *versioning; /* "": never asked for; "Enabled", "Suspended" */
    struct doc *record;     /* everything; change it and bucket_save() */
};

/* What nearly every operation begins with: the bucket of the input is there, belongs to whom the caller expects, the
 * caller may do 'action' (NULL: the operation's own) to it or to the Key of the input, and nothing asks for what we
 * do not have. */
int bucket_open(struct call *, const char *action, struct bucket *ret, struct err *err);

int bucket_load(struct call *, const char *name, struct bucket *ret,
                struct err *err); /* NoSuchBucket; no policy is asked */
int bucket_expect_owner(struct call *, const struct bucket *, const char *member, struct err *err);
int bucket_save(struct call *, const struct bucket *, struct err *err);

/* The 64 hex digits that S3 has for an account, in a map with ID and DisplayName. */
struct doc *bucket_owner(struct arena *, const char *account);

struct store *s3_store(const struct call *);

/* "Key" of the input; empty for operations without one. */
struct str input_key(const struct call *);

int create_bucket(struct call *, struct err *);
int delete_bucket(struct call *, struct err *);
int head_bucket(struct call *, struct err *);
int list_buckets(struct call *, struct err *);
int get_bucket_location(struct call *, struct err *);

#endif
