#include "base/rand.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

static void system_fill(struct rand *r, void *ret, size_t size)
{
    char *p = ret;

    (void)r;
    while (size) {
        ssize_t n = getrandom(p, size, 0);

        assert((n > 0 || errno == EINTR) && "the kernel has no randomness");
        if (n > 0) {
            p += n;
            size -= (size_t)n;
        }
    }
}

struct rand *rand_system(void)
{
    static struct rand system = { .fill = system_fill };

    return &system;
}

/* Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014). */
static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void seeded_fill(struct rand *r, void *ret, size_t size)
{
    char *p = ret;

    while (size) {
        uint64_t word = splitmix64(&r->state);
        size_t n = size < sizeof word ? size : sizeof word;

        memcpy(p, &word, n);
        p += n;
        size -= n;
    }
}

struct rand rand_seeded(uint64_t seed)
{
    return (struct rand){ .fill = seeded_fill, .state = seed };
}

uint64_t rand_u64(struct rand *r)
{
    uint64_t word;

    r->fill(r, &word, sizeof word);
    return word;
}

uint64_t rand_below(struct rand *r, uint64_t limit)
{
    uint64_t word, rest = (UINT64_MAX % limit + 1) % limit;

    assert(limit > 0);
    do
        word = rand_u64(r);
    while (word > UINT64_MAX - rest);
    return word % limit;
}

double rand_unit(struct rand *r)
{
    return (double)(rand_u64(r) >> 11) * 0x1p-53;
}

void rand_name(struct rand *r, char *ret, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ret[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[rand_below(r, 36)];
    ret[size] = '\0';
}
