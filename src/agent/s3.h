/* s3.h - the few S3 calls an agent makes, signed with the credentials of the job's role.
 *
 * A call waits for a server that is away, for as long as it takes, unless it is cancelled. What the server refuses
 * comes back with AWS's code in err. A client belongs to one thread. */
#ifndef AGENT_S3_H
#define AGENT_S3_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "doc/doc.h"

struct s3_options {
    const char *socket_path, *region;
    const char *access_key_id, *secret_access_key, *session_token;
    struct clock *clock;
    int cancel_fd; /* -1: none */
};

struct pace;
struct s3;
struct s3 *s3_new(const struct s3_options *); /* the strings are borrowed */
void s3_free(struct s3 *);                    /* NULL is fine */

/* "s3://bucket/key": the key may be empty. */
int s3_uri(struct arena *, const char *uri, const char **ret_bucket, const char **ret_key, struct err *err);

struct s3_object {
    const char *key;
    int64_t size_bytes;
};

/* Every object whose key starts with the prefix, by key. More than 'limit' of them: ERR_LIMIT. */
int s3_list(struct s3 *, struct arena *, const char *bucket, const char *prefix, int limit, struct s3_object **ret,
            int *ret_count, struct err *err);

/* Into the file, at the same offset. size_bytes < 0: the whole object. *ret_bytes: how many came. */
int s3_get(struct s3 *, const char *bucket, const char *key, int fd, int64_t offset, int64_t size_bytes,
           int64_t *ret_bytes, struct err *err);
/* A range in memory, at most 64 MB. *ret_total: how big the object is. An empty object is no error. */
int s3_get_range(struct s3 *, const char *bucket, const char *key, int64_t offset, int64_t size_bytes, struct buf *into,
                 int64_t *ret_total, struct err *err);
int s3_get_text(struct s3 *, struct arena *, const char *bucket, const char *key, struct str *ret, struct err *err);

struct s3_put_options {
    /* Asked after everything was read and before S3 takes it for the object: false ends it with ERR_UNAVAILABLE, and
     * the object stays as it was. What is taken is what was there when it was asked. NULL: not asked. */
    bool (*unchanged)(void *data);
    void *data;
    struct pace *pace;   /* NULL: as fast as it goes */
    void (*begun)(void *data, const char *upload); /* it goes in parts, and can be abandoned by this; NULL: not told */
    void *begun_data;
    atomic_int *helpers; /* threads that nobody uses right now, for the parts of a big file; NULL: S3_PUT_HELPERS */
};

enum { S3_PUT_HELPERS = 3 };

/* The whole file, in parts when it is big, several of them at a time. Again is harmless. options: NULL for none. */
int s3_put(struct s3 *, const char *bucket, const char *key, int fd, const struct s3_put_options *options,
           struct err *err);
/* Could it be put there? Writes nothing. ERR_NOT_FOUND: there is no such bucket; ERR_DENIED: the role may not. */
int s3_may_put(struct s3 *, const char *bucket, const char *key, struct err *err);
/* The parts of an upload that nobody will end. Not there is fine. */
int s3_abandon(struct s3 *, const char *bucket, const char *key, const char *upload, struct err *err);
int s3_remove(struct s3 *, const char *bucket, const char *key, struct err *err); /* not there is fine */

/* Of a listing's XML; for tests and fuzzing. */
int s3_parse_list(struct arena *, struct str xml, struct s3_object **objects, int *count, int *room,
                  const char **ret_next, struct err *err);

#endif
