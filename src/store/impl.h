/* impl.h - what an implementation of the store gives to store.c, which checks arguments, counts brackets, loses turns
 * and does what all have in common. Not for anyone outside of this folder. */
#ifndef STORE_IMPL_H
#define STORE_IMPL_H

#include "base/err.h"
#include "store/store.h"

struct store {
    const struct store_class *class;
    int depth;         /* open brackets */
    bool dirty;        /* something was written in this turn */
    bool lost;         /* a write of this turn failed for want of disk: everything of it is gone */
    char why_lost[sizeof ((struct err *)0)->text];
};

/* Where a page of a list ended: the sort value and uid of its last row. */
struct place {
    bool set;
    const char *text; /* of ROWS_BY_NAME and ROWS_BY_STATE */
    int64_t number;   /* of ROWS_BY_CREATED and ROWS_BY_MODIFIED */
    const char *uid;
};

struct saved { /* what a save of a row needs to know of the one before */
    const char *kind, *name, *state;
    int64_t generation, revision;
};

struct row_class {
    int (*saved)(struct arena *, struct store *, const char *uid, struct saved *ret, struct err *);
    int (*insert)(struct store *, const struct row *, struct err *);
    int (*update)(struct store *, const struct row *, bool want, struct err *); /* all but want is always written */
    int (*delete)(struct store *, const char *uid, struct err *);
    int (*by_uid)(struct arena *, struct store *, const char *uid, struct row *ret, struct err *);
    int (*by_arn)(struct arena *, struct store *, const char *arn_key, struct row *ret, struct err *);
    int (*by_name)(struct arena *, struct store *, const char *account, const char *region, const char *kind,
                   const char *name, const char *parent_uid /* NULL: any */, struct row *ret, struct err *);
    int (*list)(struct arena *, struct store *, const struct row_filter *, const struct place *, struct row **ret,
                int *ret_count, struct err *); /* up to limit + 1 rows */
    int (*uids)(struct arena *, struct store *, const char *kind, const char *state, const char ***ret_uids,
                int *ret_count, struct err *);
    int (*due)(struct arena *, struct store *, int64_t now_ms, int limit, const char ***ret_uids, int *ret_count,
               struct err *);
    int64_t (*next_due)(struct store *);
    int (*states)(struct arena *, struct store *, struct state_count **ret, int *ret_count, struct err *);
};

struct event_class {
    int (*add)(struct store *, const struct event *, struct err *); /* gives the sequence itself */
    int (*scan)(struct arena *, struct store *, int64_t after_sequence, int limit, struct event **ret,
                int *ret_count, struct err *);
    int (*trim)(struct store *, int64_t through_sequence, struct err *);
};

struct table_class {
    int (*put)(struct store *, const char *table, struct str key, struct str value, struct err *);
    int (*get)(struct arena *, struct store *, const char *table, struct str key, struct str *ret, struct err *);
    int (*remove)(struct store *, const char *table, struct str key, struct err *);
    int (*scan)(struct arena *, struct store *, const char *table, const struct range *, struct pair **ret,
                int *ret_count, struct err *);
    int (*remove_range)(struct store *, const char *table, const struct range *, struct err *);
};

/* A write that fails with ERR_UNAVAILABLE loses the turn: 'rollback' is then called, once. 'begin' may be lazy. */
struct store_class {
    void (*free)(struct store *);
    int (*keep)(struct store *, struct err *);
    int (*drop)(struct store *, struct err *);
    void (*rollback)(struct store *);
    int (*commit)(struct store *, struct err *);
    int (*backup)(struct store *, const char *folder, struct err *);

    const struct row_class *rows;
    const struct event_class *events;
    const struct table_class *tables;
};

/* row.c: documents as they are saved. Text is JSON; what JSON does not have (bytes, NaN) is a map of one member whose
 * name begins with '$', and so is a map that looks like one. */
const char *doc_to_saved(struct arena *, const struct doc *); /* NULL gives "{}" */
int doc_of_saved(struct arena *, struct str text, struct doc **ret, struct err *err);
int doc_can_be_saved(const struct doc *, const char *what, struct err *err); /* UTF-8, and not nested too deeply */

struct state_count *states_with_room(struct arena *, struct state_count *, int count); /* for one more */
const char **uids_with_room(struct arena *, const char **uids, int count); /* for one more */
struct row row_copy(struct arena *, const struct row *); /* deep; NULL strings become "" */
char *text_lower(struct arena *, const char *);          /* ASCII */
bool row_passes(const struct row *, const struct row_filter *);

/* The page token: base64 of the place, bound to the filter by a checksum. */
const char *place_to_token(struct arena *, const struct row_filter *, const struct row *last);
int place_of_token(struct arena *, const struct row_filter *, struct place *ret, struct err *err);
bool order_is_text(enum row_order);

#endif
