/* nccl.h - one rank of NVIDIA's collective communication (libnccl.so.2), as far as a check needs it.
 *
 * What is said of cuda.h holds here twice: nccl_join() returns when all ranks have come, or never. */
#ifndef RUN_NCCL_H
#define RUN_NCCL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { NCCL_ID_SIZE = 128 };

struct nccl;

/* 'library' is its path, or "" for what the loader finds. NULL: it is not there, for this reason. */
struct nccl *nccl_load(const char *library, char *why, size_t why_size);

int nccl_version(const struct nccl *); /* 22105; 0: it does not tell */

/* An 'err' of these says which function failed, with NCCL's words; ERR_UNAVAILABLE: another rank or the way to it may
 * be the cause, ERR_INTERNAL: it is something here. */
int nccl_make_id(struct nccl *, unsigned char ret[static NCCL_ID_SIZE], struct err *err); /* lives with this process */
int nccl_join(struct nccl *, const unsigned char id[static NCCL_ID_SIZE], int ranks, int rank, struct err *err);

/* The sums of all ranks' words, by the stream; then nccl_trouble() until that is done. */
int nccl_sum(struct nccl *, uint64_t from, uint64_t to, size_t words, void *stream, struct err *err);
int nccl_trouble(struct nccl *, struct err *err); /* -1: what was begun will not be done */

#endif
