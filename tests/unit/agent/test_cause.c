/* The last words of programs as they really end. */
#include "agent/cause.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void the_last_words_count(void **state)
{
    static const char *const cases[][2] = {
        { "", "" },
        { "\n \n", "" },
        { "one", "one" },
        { "one\ntwo\r\n\n", "two" },
        { "Traceback (most recent call last):\n  File \"x.py\", line 1, in <module>\n    import nothing\n"
          "ModuleNotFoundError: No module named 'nothing'\n",
          "ModuleNotFoundError: No module named 'nothing'" },
        /* gunicorn */
        { "[2026] [7] [ERROR] Exception in worker process\nTraceback (most recent call last):\n  File \"a\"\n"
          "    load()\nValueError: weights are damaged\n[2026] [7] [INFO] Worker exiting (pid: 7)\n"
          "[2026] [1] [INFO] Shutting down: Master\n[2026] [1] [INFO] Reason: Worker failed to boot.\n",
          "ValueError: weights are damaged" },
        /* The later one of two that belong together. */
        { "Traceback (most recent call last):\n  File \"a\"\nKeyError: 'x'\n\nDuring handling of the above exception, "
          "another exception occurred:\n\nTraceback (most recent call last):\n  File \"b\"\nOSError: gone\n",
          "OSError: gone" },
        /* One of long ago, which was caught. */
        { "Traceback (most recent call last):\n  a\nKeyError: 1\n1\n2\n3\n4\n5\n6\n7\n8\nout of handles\n",
          "out of handles" },
        /* Cut off. */
        { "Traceback (most recent call last):\n  File \"a\"\n    load()", "load()" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str cause = cause_in(str_of(cases[i][0]));

        if (!str_is(cause, cases[i][1]))
            fail_msg("case %zu: '%.*s'", i, (int)cause.size, cause.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_last_words_count) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
