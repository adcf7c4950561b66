#include "base/rand.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

/* A thread's stock, so that an id of 16 bytes costs no system call. What was given out is wiped; a child has none. */
static _Thread_local struct {
    unsigned char bytes[1024];
    size_t left;
} stock;

static void forget_stock(void)
{
    stock.left = 0;
}

static void expect_forks(void)
{
    pthread_atfork(NULL, NULL, forget_stock);
}

static void ask_kernel(void *ret, size_t size)
{
    char *p = ret;

    while (size) {
        ssize_t n = getrandom(p, size, 0);

        assert((n > 0 || errno == EINTR) && "the kernel has no randomness");
        if (n > 0) {
            p += n;
            size -= (size_t)n;
        }
    }
}

static void system_fill(struct rand *r, void *ret, size_t size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    unsigned char *at;

    (void)r;
    if (size > sizeof stock.bytes / 8) {
        ask_kernel(ret, size);
        return;
    }
    pthread_once(&once, expect_forks);
    if (stock.left < size) {
        ask_kernel(stock.bytes, sizeof stock.bytes);
        stock.left = sizeof stock.bytes;
    }
    at = stock.bytes + stock.left - size;
    memcpy(ret, at, size);
    explicit_bzero(at, size);
    stock.left -= size;
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

/* Bytes below 252 are seven times the 36 characters, evenly; the others are thrown away. The bytes are asked for in one
 * go, for each time may be a call of the kernel. */
void rand_name(struct rand *r, char *ret, size_t size)
{
    unsigned char bytes[32];
    size_t left = 0;

    for (size_t i = 0; i < size;) {
        if (left == 0) {
            r->fill(r, bytes, sizeof bytes);
            left = sizeof bytes;
        }
        if (bytes[--left] < 252)
            ret[i++] = "abcdefghijklmnopqrstuvwxyz0123456789"[bytes[left] % 36];
    }
    ret[size] = '\0';
}
