/* gpu_bank.h - the GPUs of this machine by index: which are cordoned, and which agent uses which.
 *
 * Who is given which is the scheduler's business; here stands whom they serve as long as its agent is not swept, so
 * that none is given out a second time before. A holder is an instance by the name of its agent; what it holds stands
 * in its order, and a restarted control plane tells it again (gpu_bank_hold). What is cordoned, by the GPU's uuid,
 * stands in a file. Every function takes NULL for a machine without GPUs. */
#ifndef FLEET_GPU_BANK_H
#define FLEET_GPU_BANK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { GPU_BANK_MOST = 64 };

struct gpu_bank;

struct gpu_seat {
    int index;
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
const struct gpu_seat *gpu_bank_seat(const struct gpu_bank *, int place);

/* It uses these, by their indices, a bit each; the others no longer. */
void gpu_bank_hold(struct gpu_bank *, const char *holder, uint64_t gpus);
uint64_t gpu_bank_held(const struct gpu_bank *, const char *holder);
void gpu_bank_give(struct gpu_bank *, const char *holder); /* nothing of it is left; having none is fine */

/* Saved when they return. A GPU that is not of this machine is fine. */
int gpu_bank_cordon(struct gpu_bank *, const char *uuid, const char *why, int64_t now_ms, struct err *err);
int gpu_bank_uncordon(struct gpu_bank *, int index, struct err *err); /* ERR_NOT_FOUND, ERR_CONFLICT: it is not */

#endif
