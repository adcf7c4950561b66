/* records.h - log groups and streams, and where their events lie in the ordered tables.
 *
 *     logs_groups   account 0 region 0 group                  a JSON record
 *     logs_streams  account 0 region 0 group 0 stream         a JSON record with the stream's uid
 *     logs_events   uid(16) time(8) sequence(8)               ingestion time(8), message
 *
 * A stream made anew under an old name has a new uid, so events never come back. Times are milliseconds since 1970;
 * sequences tell events of one millisecond apart, in the order in which they came. */
#ifndef LOGS_RECORDS_H
#define LOGS_RECORDS_H

#include "base/rand.h"
#include "engine/call.h"
#include "store/store.h"

enum { STREAM_UID_SIZE = 16 };

struct place { /* of the groups and streams of one account and region */
    struct arena *arena;
    struct store *store;
    const char *account, *region;
};

struct place place_of(struct call *);

struct log_group {
    const char *name;
    struct doc *record; /* created_ms, retention_days, tags */
};

struct log_stream {
    const char *group, *name;
    struct doc *record; /* uid, created_ms, first_ms, last_ms, ingested_ms, size_bytes, sequence, offset */
};

/* ERR_NOT_FOUND with AWS's words. The name may be an ARN. */
int group_open(struct place *, const char *name_or_arn, struct log_group *ret, struct err *err);
int group_save(struct place *, const struct log_group *, struct err *err);
int group_create(struct place *, const char *name, int64_t now_ms, struct log_group *ret,
                 struct err *err);                                           /* AWS's refusal when there */
int group_remove(struct place *, const struct log_group *, struct err *err); /* streams and events too */
const char *group_arn(struct place *, const char *name); /* without the ":*" */
const char *group_name_of(struct arena *, const char *name_or_arn);

int stream_open(struct place *, const char *group, const char *name, struct log_stream *ret, struct err *err);
int stream_save(struct place *, const struct log_stream *, struct err *err);
int stream_create(struct place *, const char *group, const char *name, struct rand *, int64_t now_ms,
                  struct log_stream *ret, struct err *err);
int stream_remove(struct place *, const struct log_stream *, struct err *err);

/* Streams whose name starts with 'prefix', from 'after' (exclusive, NULL: the first), in the order of names. */
int stream_list(struct place *, const char *group, const char *prefix, const char *after, int limit,
                struct log_stream **ret, int *ret_count, struct err *err);
int group_list(struct place *, const char *prefix, const char *after, int limit, struct log_group **ret, int *ret_count,
               struct err *err);

/* Events. */
struct log_event {
    int64_t at_ms, sequence, ingested_ms;
    struct str message;
};

struct str event_key(struct arena *, const struct log_stream *, int64_t at_ms, int64_t sequence);
int event_scan(struct place *, const struct log_stream *, const struct range *, struct log_event **ret, int *ret_count,
               struct err *err);

/* Appends: the record of the stream is changed, not saved. */
int event_append(struct place *, struct log_stream *, int64_t at_ms, int64_t now_ms, struct str message,
                 struct err *err);

int logs_create_group(struct call *, struct err *);
int logs_delete_group(struct call *, struct err *);
int logs_describe_groups(struct call *, struct err *);
int logs_put_retention(struct call *, struct err *);
int logs_delete_retention(struct call *, struct err *);
int logs_tag(struct call *, struct err *);
int logs_untag(struct call *, struct err *);
int logs_list_tags(struct call *, struct err *);
int logs_put_policy(struct call *, struct err *);
int logs_delete_policy(struct call *, struct err *);
int logs_describe_policies(struct call *, struct err *);
int logs_create_stream(struct call *, struct err *);
int logs_delete_stream(struct call *, struct err *);
int logs_describe_streams(struct call *, struct err *);
int logs_put_events(struct call *, struct err *);
int logs_get_events(struct call *, struct err *);
int logs_filter_events(struct call *, struct err *);

#endif
