/* gpu_bank.h - the GPUs of this machine by index: who holds which, who waits for some, and which are cordoned.
 *
 * A holder is an instance by the name of its agent. Who holds what stands in the agents' orders, and a restarted
 * control plane tells it again (gpu_bank_hold); what is cordoned, by the GPU's uuid, stands in a file. Every function
 * takes NULL for a machine without GPUs. */
#ifndef FLEET_GPU_BANK_H
#define FLEET_GPU_BANK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { GPU_BANK_MOST = 64 };

struct gpu_bank;

struct gpu_seat {
    int index;
    bool adopted;  /* held since before this control plane */
    bool cordoned; /* not given out again until it is uncordoned */
    int64_t cordoned_ms;
    char uuid[96], name[96], holder[96]; /* holder "": free */
    char why[256]; /* it is cordoned */
};

/* 'path' of the cordons: NULL keeps none. */
int gpu_bank_new(const char *path, struct gpu_bank **ret, struct err *err);
void gpu_bank_free(struct gpu_bank *);
void gpu_bank_add(struct gpu_bank *, int index, const char *uuid, const char *name);

int gpu_bank_count(const struct gpu_bank *);
int gpu_bank_unused(const struct gpu_bank *); /* neither held nor cordoned */
int gpu_bank_cordoned(const struct gpu_bank *);
const struct gpu_seat *gpu_bank_seat(const struct gpu_bank *, int place);

/* So many for 'holder', or a place in the line for them, where those who came first go first; 'urgent' stands at its
 * head. 'uid' is told by gpu_bank_give(). Again is fine. */
bool gpu_bank_take(struct gpu_bank *, const char *holder, const char *uid, int count, bool urgent);

/* The same for holders that only make sense together: each has so many, or none has any. */
bool gpu_bank_take_all(struct gpu_bank *, const char *const *holders, int holder_count, const char *uid, int each,
                       bool urgent);
uint64_t gpu_bank_held(const struct gpu_bank *, const char *holder); /* a bit an index */
int gpu_bank_waiting_before(const struct gpu_bank *, const char *holder);

/* It is known to have these, whoever else believes so. */
void gpu_bank_hold(struct gpu_bank *, const char *holder, uint64_t gpus);

/* Gives back what it holds, or its place in the line; having neither is fine. */
void gpu_bank_give(struct gpu_bank *, const char *holder);

/* The uid of who can have what it waits for; "": nobody. Valid until the next call. */
const char *gpu_bank_next(const struct gpu_bank *);

/* Saved when they return. A GPU that is not of this machine is fine. */
int gpu_bank_cordon(struct gpu_bank *, const char *uuid, const char *why, int64_t now_ms, struct err *err);
int gpu_bank_uncordon(struct gpu_bank *, int index, struct err *err); /* ERR_NOT_FOUND, ERR_CONFLICT: it is not */

#endif
