/* The check values of the three algorithms, the fast way against the plain one, and combination. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/crc.h"
#include "base/rand.h"

static const struct {
    enum crc_kind kind;
    uint64_t poly, check;
    int width;
} kinds[] = {
    { CRC_32, 0xedb88320, 0xcbf43926, 32 },
    { CRC_32C, 0x82f63b78, 0xe3069283, 32 },
    { CRC_64NVME, 0x9a6c9329ac4bc9b5, 0xae8b14860a799888, 64 },
};

static uint64_t plain(uint64_t poly, int width, const unsigned char *at, size_t size)
{
    uint64_t ones = width == 64 ? UINT64_MAX : 0xffffffff, crc = ones;

    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? poly : 0);
    }
    return crc ^ ones;
}

static void check_values(void **state)
{
    for (size_t k = 0; k < 3; k++)
        assert_int_equal(crc_update(kinds[k].kind, 0, "123456789", 9), kinds[k].check);
}

static void any_size_any_split(void **state)
{
    struct rand r = rand_seeded(7);
    static unsigned char data[3000];

    r.fill(&r, data, sizeof data);
    for (int round = 0; round < 600; round++) {
        size_t from = rand_below(&r, 20), size = rand_below(&r, sizeof data - 20), cut = rand_below(&r, size + 1);

        for (size_t k = 0; k < 3; k++) {
            uint64_t whole = plain(kinds[k].poly, kinds[k].width, data + from, size);
            uint64_t a = crc_update(kinds[k].kind, 0, data + from, cut);
            uint64_t b = crc_update(kinds[k].kind, 0, data + from + cut, size - cut);

            assert_int_equal(crc_update(kinds[k].kind, 0, data + from, size), whole);
            assert_int_equal(crc_update(kinds[k].kind, a, data + from + cut, size - cut), whole);
            assert_int_equal(crc_combine(kinds[k].kind, a, b, size - cut), whole);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(check_values), cmocka_unit_test(any_size_any_split) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
