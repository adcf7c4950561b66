/* impl.h - what the files of the engine share with each other and with nobody else. */
#ifndef ENGINE_IMPL_H
#define ENGINE_IMPL_H

#include "base/list.h"
#include "base/map.h"
#include "engine/engine.h"

enum { ERAS = 16 };

/* A stretch of time in which wall and boot time ran side by side: wall = boot + offset. A jump begins the next, between
 * the last look that did not see it and the first that did. */
struct era {
    int64_t from_boot_ms, seen_boot_ms, offset_ms;
};

struct engine {
    struct engine_world world;
    struct map *ops;      /* struct operation * -> struct op * */
    struct map *kinds;    /* name -> struct kind * */
    struct list touched;  /* struct touch, the oldest first */
    struct map *touches;  /* uid -> struct touch */
    struct map *troubles; /* uid -> struct trouble */
    struct list visited;  /* struct touch: in this turn, to come again if the commit fails */

    char boot_id[64];
    struct era eras[ERAS]; /* the newest last */
    int era_count;
    int64_t looked_boot_ms; /* at the clock, last */
    enum { ERAS_SAVED, ERAS_WRITTEN /* in this turn */, ERAS_NEW } eras_state;
    bool settled;           /* nothing was written since next_ms was found */
    int64_t next_ms;        /* when a row is due next, wall time */
    int64_t housekeeping_boot_ms; /* when it was done last */
    int64_t orphans_boot_ms; /* when they are looked for next */
};

/* authorize.c */
int authorize_call(struct call *, const struct op *, struct err *err); /* the operation's own question */

/* reconcile.c */
void reconcile_new(struct engine *);
void reconcile_free(struct engine *);
int reconcile_begin(struct engine *, struct err *err); /* after a start: looks at all that was on its way or waits */
void reconcile_committed(struct engine *, const struct err *failed); /* the turn ended; NULL: it was saved */

/* verbs.c */
int verb_run(struct call *, const struct op *, struct err *err);

/* resource.c */
struct doc *without_nulls(struct arena *, const struct doc *);
int resource_missing(struct call *, const struct kind *, const char *arn, struct err *err);
int resource_save(struct call *, struct resource *, struct err *err);   /* the API's side */
int resource_remove(struct engine *, const struct row *, struct err *err); /* the row and what goes with it */
int resource_changed(struct engine *, struct arena *, const struct row *before, const struct row *after,
                     struct err *err); /* tells whoever listens */
struct resource resource_of(const struct kind *, const struct row *); /* may change the row's want and status */

/* usage.c */
int usage_begin(struct engine *, struct err *err);   /* at start: the eras that are known */
bool usage_look_at_clock(struct engine *);            /* true: the wall clock went back */
void usage_committed(struct engine *, bool saved);   /* the turn ended */

/* orphans.c */
void orphans_end(struct engine *); /* one step, when it is time to look for them: at the start, and rarely after */
int64_t orphans_due_ms(const struct engine *, int64_t now_ms); /* when that is, wall time */

#endif
