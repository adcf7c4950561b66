/* cuda.h - the memory of one GPU, by CUDA's driver API (libcuda.so.1), as far as a check needs it.
 *
 * The library may hang with a driver that does, or end the process: use it in a process that can be spared. Nothing is
 * ever given back: the end of the process does that. */
#ifndef RUN_CUDA_H
#define RUN_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cuda;

struct cuda *cuda_load(char *why, size_t why_size); /* NULL: it is not there, for this reason */

/* The GPU that NVML calls so becomes the calling thread's, as programs of the CUDA runtime see it. An 'err' of these
 * says which function failed, with the driver's words; ERR_UNAVAILABLE: CUDA itself does, whatever the GPU. */
int cuda_use(struct cuda *, const char *uuid, struct err *err);

int cuda_alloc(struct cuda *, size_t bytes, uint64_t *ret_at, struct err *err);
int cuda_write(struct cuda *, uint64_t at, const void *from, size_t bytes, struct err *err);
int cuda_read(struct cuda *, void *to, uint64_t at, size_t bytes, struct err *err);

void *cuda_stream(struct cuda *); /* cudaStream_t: what the GPU does in order */
int cuda_idle(struct cuda *, bool *ret, struct err *err); /* all of the stream is done */

#endif
