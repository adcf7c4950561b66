/* crc.c - cyclic checksums: carry-less multiplication where the processor has it, tables of eight elsewhere.
 *
 * All three are bit-reflected with all-ones at both ends, so one algorithm with three polynomials does. Folding: a
 * register of 128 bits is moved over the next D bits by two multiplications with x^D mod P; the register left at the
 * end is fed to the table as if it were the message. The constants are computed, not written down. */
#include "base/crc.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

struct crc {
    uint64_t poly; /* reflected */
    int width;
    uint64_t table[8][256];
    uint64_t fold_512[2], fold_128[2]; /* multipliers of the low and the high half of the register */
};

static struct crc crcs[] = {
    [CRC_32] = { 0xedb88320, 32 },
    [CRC_32C] = { 0x82f63b78, 32 },
    [CRC_64NVME] = { 0x9a6c9329ac4bc9b5, 64 },
};
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Polynomials below are reflected: the top bit of the width is x^0, bit 0 the highest power. */
static uint64_t times_x(const struct crc *c, uint64_t a)
{
    return (a >> 1) ^ (a & 1 ? c->poly : 0);
}

static uint64_t multiply(const struct crc *c, uint64_t a, uint64_t b)
{
    uint64_t product = 0;

    for (uint64_t bit = 1ull << (c->width - 1); bit != 0; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = times_x(c, b);
    }
    return product;
}

static uint64_t power_of_x(const struct crc *c, uint64_t n)
{
    uint64_t result = 1ull << (c->width - 1), square = result >> 1;

    for (; n != 0; n >>= 1) {
        if (n & 1)
            result = multiply(c, result, square);
        square = multiply(c, square, square);
    }
    return result;
}

static void prepare(void)
{
    for (size_t k = 0; k < sizeof crcs / sizeof crcs[0]; k++) {
        struct crc *c = &crcs[k];
        int shift = 64 - c->width; /* multipliers have x^0 in bit 63, whatever the width */

        for (int i = 0; i < 256; i++) {
            uint64_t crc = (uint64_t)i;

            for (int bit = 0; bit < 8; bit++)
                crc = times_x(c, crc);
            c->table[0][i] = crc;
        }
        for (int t = 1; t < 8; t++)
            for (int i = 0; i < 256; i++)
                c->table[t][i] = (c->table[t - 1][i] >> 8) ^ c->table[0][c->table[t - 1][i] & 0xff];
        /* A product of reflected halves stands one bit too low, which is a factor x: hence the powers less one. */
        c->fold_512[0] = power_of_x(c, 512 + 63) << shift;
        c->fold_512[1] = power_of_x(c, 512 - 1) << shift;
        c->fold_128[0] = power_of_x(c, 128 + 63) << shift;
        c->fold_128[1] = power_of_x(c, 128 - 1) << shift;
    }
}

static uint64_t by_table(const struct crc *c, uint64_t crc, const unsigned char *at, size_t size)
{
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;

        memcpy(&word, at, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        word ^= crc;
        crc = c->table[7][word & 0xff] ^ c->table[6][(word >> 8) & 0xff] ^ c->table[5][(word >> 16) & 0xff] ^
              c->table[4][(word >> 24) & 0xff] ^ c->table[3][(word >> 32) & 0xff] ^ c->table[2][(word >> 40) & 0xff] ^
              c->table[1][(word >> 48) & 0xff] ^ c->table[0][word >> 56];
    }
    for (; size > 0; at++, size--)
        crc = (crc >> 8) ^ c->table[0][(crc ^ *at) & 0xff];
    return crc;
}

#if defined(__x86_64__)

__attribute__((target("pclmul,sse4.1")))
static __m128i fold(__m128i reg, __m128i by, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(reg, by, 0x00), high = _mm_clmulepi64_si128(reg, by, 0x11);

    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

__attribute__((target("pclmul,sse4.1")))
static uint64_t by_folding(const struct crc *c, uint64_t crc, const unsigned char *at, size_t size)
{
    const __m128i by_512 = _mm_set_epi64x((int64_t)c->fold_512[1], (int64_t)c->fold_512[0]);
    const __m128i by_128 = _mm_set_epi64x((int64_t)c->fold_128[1], (int64_t)c->fold_128[0]);
    const __m128i *from = (const __m128i *)(const void *)at;
    __m128i reg[4];
    unsigned char rest[16];

    for (int i = 0; i < 4; i++)
        reg[i] = _mm_loadu_si128(from + i);
    reg[0] = _mm_xor_si128(reg[0], _mm_cvtsi64_si128((int64_t)crc));
    for (from += 4, size -= 64; size >= 64; from += 4, size -= 64)
        for (int i = 0; i < 4; i++)
            reg[i] = fold(reg[i], by_512, _mm_loadu_si128(from + i));
    for (int i = 1; i < 4; i++)
        reg[0] = fold(reg[0], by_128, reg[i]);
    for (; size >= 16; from++, size -= 16)
        reg[0] = fold(reg[0], by_128, _mm_loadu_si128(from));
    _mm_storeu_si128((__m128i *)(void *)rest, reg[0]);
    crc = by_table(c, 0, rest, sizeof rest);
    return by_table(c, crc, (const unsigned char *)from, size);
}

static bool can_fold(void)
{
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

#else

static uint64_t by_folding(const struct crc *c, uint64_t crc, const unsigned char *at, size_t size)
{
    return by_table(c, crc, at, size);
}

static bool can_fold(void)
{
    return false;
}

#endif

static uint64_t all_ones(const struct crc *c)
{
    return c->width == 64 ? UINT64_MAX : (1ull << c->width) - 1;
}

uint64_t crc_update(enum crc_kind kind, uint64_t crc, const void *data, size_t size)
{
    const struct crc *c = &crcs[kind];

    pthread_once(&once, prepare);
    crc ^= all_ones(c);
    crc = size >= 128 && can_fold() ? by_folding(c, crc, data, size) : by_table(c, crc, data, size);
    return crc ^ all_ones(c);
}

uint64_t crc_combine(enum crc_kind kind, uint64_t crc_a, uint64_t crc_b, uint64_t size_b)
{
    /* Parts of an object are all of one size but the last, and the power is what costs. */
    static _Thread_local struct { enum crc_kind kind; uint64_t size, power; } last;
    const struct crc *c = &crcs[kind];

    pthread_once(&once, prepare);
    if (!last.power || last.kind != kind || last.size != size_b) {
        last.kind = kind;
        last.size = size_b;
        last.power = power_of_x(c, size_b * 8);
    }
    /* The all-ones of both ends cancel, so moving A over B's bits is all there is. */
    return multiply(c, crc_a, last.power) ^ crc_b;
}
