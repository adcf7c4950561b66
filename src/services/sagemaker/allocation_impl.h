/* allocation_impl.h - what allocation*.c and spot_market.c share; nobody else includes it. */
#ifndef SERVICES_SAGEMAKER_ALLOCATION_IMPL_H
#define SERVICES_SAGEMAKER_ALLOCATION_IMPL_H

#include "base/list.h"
#include "base/map.h"
#include "fleet/calendar.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/allocation_record.h"

/* Somebody who wants or holds instances, in memory. What was asked in a turn is done when the turn is committed, by
 * what is on disk then: a request or a pass that was not saved has asked for nothing. */
struct stand {
    struct list unsettled; /* something was asked of it in this turn */
    bool fresh;            /* the row may not have been saved */
    bool given, again;
    bool retagged;         /* its record says of another owner or priority than the scheduler */
    bool kept;             /* what it holds is to be told to the scheduler anew: another work, or another's instances */
    char inherits[64];     /* from that key, "" for none */
    char key[64], row_uid[80];
    int64_t since_ms;      /* when its row was made */
    const char *cause;     /* when it was told to leave by the market, or was "asked" to */
    const char *to_come;   /* the same, at 'due' */
    struct calendar_entry due; /* of spot: when the market speaks next */
};

struct allocations {
    const struct fleet *fleet;
    struct clock *clock;
    int64_t boot_to_wall_ms; /* of the scheduler's clock, which never goes back */
    struct scheduler *scheduler;
    struct map *stands; /* by key */
    struct list unsettled;
    struct calendar *market;
    int64_t market_sequence, market_due_ms;
    int64_t gpus_due_ms; /* when to look again whether an agent has left its GPUs */
};

struct allocations *allocations_of(struct engine *);
int64_t allocations_now_ms(const struct allocations *); /* the scheduler's time */
int64_t allocations_wall_ms(const struct allocations *, int64_t at_ms); /* of a moment of the scheduler */

/* What the scheduler is told of one whose row is saved. */
int allocation_work(struct arena *, struct engine *, const struct row *, const struct wish *, struct work *ret,
                    struct err *err);

/* It was started, and has only to be written down. */
int allocation_note(struct pass *, struct allocations *, struct stand *, const struct row *, const struct wish *,
                    const struct work *, struct allocation *ret, struct err *err);

int allocation_drop(struct pass *, const char *key, struct err *err); /* the record; none is fine */

/* --- allocation_again.c --- */

/* For allocation_take(), of one that has a record of the attempt before. */
int allocation_take_again(struct pass *, struct allocations *, struct stand *, const struct row *, const struct wish *,
                          struct allocation_record *, struct allocation *ret, struct err *err);

bool allocation_moves(const struct allocation_record *); /* instances of it are to get other places */

/* --- allocations.c --- */

struct stand *stand_find(const struct allocations *, const char *key); /* NULL: nobody */
struct stand *stand_make(struct allocations *, const char *key, const char *row_uid, int64_t since_ms); /* or find */
void stand_unsettle(struct allocations *, struct stand *);
void stand_free(struct allocations *, struct stand *);

/* --- spot_market.c: when spot capacity is taken back by price or by chance, as the fleet file models it --- */

/* False: the price forbids it now; its row is touched when it no longer does. */
bool market_allows(struct allocations *, struct stand *, const struct work *);
bool market_forbids(const struct stand *); /* market_allows() said so, and its time has not come */

/* It holds its instances since then (the scheduler's time), for the 'attempt'th time. */
void market_watch(struct allocations *, struct stand *, const struct work *, int64_t since_ms, int64_t attempt);
void market_forget(struct allocations *, struct stand *);

/* One whose moment has come: interrupted, or touched. False: there is none. */
bool market_move(struct engine *, struct allocations *, int64_t now_ms);
int64_t market_due_ms(const struct allocations *); /* INT64_MAX: never */

#endif
