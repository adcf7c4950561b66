/* share.h - fair share: who used little of late goes first.
 *
 * Usage is money, at list price, so that an hour of eight GPUs counts for what it is worth. It fades with a half-life,
 * as in Slurm's multifactor plugin (PriorityDecayHalfLife), and whoever has the least usage for its weight is first:
 * the order of Slurm's classic factor F = 2^(-U/S), U the part of all usage, S the part of all weights
 * (slurm.schedmd.com/classic_fair_share.html).
 *
 * All usage fades by the same factor at any moment, so instead of fading what was used, what is used now is weighed
 * more: usage only grows, and the order changes only when something is charged. */
#ifndef FLEET_SHARE_H
#define FLEET_SHARE_H

#include <stdbool.h>
#include <stdint.h>

struct fleet;
struct share;

struct owner {
    const char *name;
    double weight;
    int64_t priority;
    double usage; /* dollars, those of today weighed more than those of yesterday */
    double usd_hour; /* of what runs now */
    double credit; /* dollars charged ahead for what ended early */
};

struct share *share_new(const struct fleet *, int64_t now_ms);
void share_free(struct share *); /* NULL is fine */
struct owner *share_owner(struct share *, const char *name); /* made when it comes for the first time */

/* Running work is charged one period ahead: what an owner starts counts against it at once. */
void share_start(struct share *, struct owner *, double usd_hour, int64_t now_ms);
void share_stop(struct share *, struct owner *, double usd_hour, int64_t now_ms);

/* At start, before anybody is in a queue: what the owner used before. */
void share_recall(struct share *, struct owner *, double usd_hour, int64_t from_ms, int64_t to_ms);

/* Charges the periods that have begun; false: none has. When *ret_scale is not 1, usage of everybody, and so every
 * share_key() that was kept, was multiplied by it. */
bool share_tick(struct share *, int64_t now_ms, double *ret_scale);
int64_t share_next_ms(const struct share *);

/* The lower goes first. Grows with each charge, never falls. */
static inline double share_key(const struct owner *o)
{
    return o->usage / o->weight;
}

double share_usd(const struct share *, const struct owner *, int64_t now_ms); /* usage as faded until now */

#endif
