/* What is read next of a tree: "a" a folder, "b" a big file, then 40 small ones. */
#include "agent/foresight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { FIRST = 3, LAST = 42, SMALL = 100 };

static struct fast_entry entries[LAST + 1];
static const struct fast_index tree = { .entries = entries, .count = LAST + 1 };
static struct foresight f;

static int make(void **state)
{
    entries[0] = (struct fast_entry){ .is_folder = 1, .first = 1, .count = LAST };
    entries[1] = (struct fast_entry){ .is_folder = 1, .first = LAST + 1 };
    entries[2] = (struct fast_entry){ .size_bytes = 10 * SMALL };
    for (uint32_t i = FIRST; i <= LAST; i++)
        entries[i] = (struct fast_entry){ .size_bytes = SMALL };
    foresight_init(&f, &tree, SMALL);
    return 0;
}

/* Reading 'entry' makes these be had: none when to < from. */
static void expect(uint32_t entry, uint32_t from, uint32_t to)
{
    uint32_t first = 0, count = foresight_begun(&f, entry, &first);

    assert_int_equal(count, to >= from ? to - from + 1 : 0);
    if (count)
        assert_int_equal(first, from);
}

static void who_reads_on(void **state)
{
    expect(10, 1, 0);
    expect(11, 12, 11 + FORESIGHT_FILES);
    /* One more each time, and none twice. */
    expect(12, 12 + FORESIGHT_FILES, 12 + FORESIGHT_FILES);
    expect(14, 13 + FORESIGHT_FILES, 14 + FORESIGHT_FILES);
    /* He began anew. */
    expect(10, 1, 0);
    expect(11, 12, 11 + FORESIGHT_FILES);
}

static void who_jumps_about(void **state)
{
    for (uint32_t i = 0; i < 1000; i++)
        expect(FIRST + i * 17 % 40, 1, 0);
}

static void several_at_a_time(void **state)
{
    expect(5, 1, 0);
    expect(25, 1, 0);
    expect(6, 7, 6 + FORESIGHT_FILES);
    expect(26, 27, 26 + FORESIGHT_FILES);
    expect(7, 7 + FORESIGHT_FILES, 7 + FORESIGHT_FILES);
}

static void the_end_and_what_is_big(void **state)
{
    expect(LAST - 3, 1, 0);
    expect(LAST - 2, LAST - 1, LAST);
    expect(LAST - 1, 1, 0);
    expect(LAST, 1, 0);
    entries[20].size_bytes = 2 * SMALL;
    expect(16, 1, 0);
    expect(17, 18, 19);
    expect(18, 1, 0);
    /* Behind it, it goes on. */
    expect(20, 21, 20 + FORESIGHT_FILES);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup(t, make)
    const struct CMUnitTest tests[] = { TEST(who_reads_on), TEST(who_jumps_about), TEST(several_at_a_time),
                                        TEST(the_end_and_what_is_big) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
