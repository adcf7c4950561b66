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

struct eras {
    char boot_id[64];
    struct era all[ERAS]; /* the newest last */
    int count;
    int64_t looked_boot_ms; /* at the clock, last */
    enum { ERAS_SAVED, ERAS_WRITTEN /* in this turn */, ERAS_NEW } state;
};

struct engine {
    struct engine_world world;
    struct map *ops;      /* struct operation * -> struct op * */
    struct map *kinds;    /* name -> struct kind * */
    struct list touched;  /* struct touch, the oldest first */
    struct map *touches;  /* uid -> struct touch */
    struct map *troubles; /* uid -> struct trouble */
    struct list visited;  /* struct touch: in this turn, to come again if the commit fails */

    struct eras eras;
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

/* eras.c */
int eras_begin(struct engine *, struct err *err); /* at start: those that are known */
bool eras_look(struct engine *);                  /* at the clock; true: the wall clock went back */
void eras_committed(struct engine *, bool saved); /* the turn ended */
int64_t eras_start_boot_ms(const struct engine *, int64_t wall_ms); /* the last that it may have been */
int64_t eras_end_boot_ms(const struct engine *, int64_t wall_ms, int64_t start_ms); /* the first from 'start_ms' on;
    where nobody had looked at the clock before it jumped, that jump */

/* orphans.c */
void orphans_end(struct engine *); /* one step, when it is time to look for them: at the start, and rarely after */
int64_t orphans_due_ms(const struct engine *, int64_t now_ms); /* when that is, wall time */

#endif
