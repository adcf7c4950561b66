/* rand.h - randomness, handed in, so that a simulation replays from one number. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

struct rand {
    void (*fill)(struct rand *, void *ret, size_t size);
    uint64_t state; /* of a seeded one */
};

struct rand *rand_system(void);          /* the kernel's, fit for secrets */
struct rand rand_seeded(uint64_t seed);  /* splitmix64: for simulation and tests, never for secrets */

uint64_t rand_u64(struct rand *);
uint64_t rand_below(struct rand *, uint64_t limit); /* 0 <= result < limit, unbiased; limit > 0 */
double rand_unit(struct rand *);                    /* 0 <= result < 1 */

/* 'size' lower-case letters and digits, NUL-terminated; ret has room for size + 1. 26 of them carry 134 bits. */
void rand_name(struct rand *, char *ret, size_t size);

#endif
