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
        /* One whose frames somebody stripped, as the SDK's drivers do. */
        { "Traceback (most recent call last):\nFile \"bad.py\", line 2, in <module>\nf()\n^^^\nValueError: no label\n",
          "ValueError: no label" },
        /* Cut off. */
        { "Traceback (most recent call last):\n  File \"a\"\n    load()", "load()" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str cause = cause_in(str_of(cases[i][0]));

        if (!str_is(cause, cases[i][1]))
            fail_msg("case %zu: '%.*s'", i, (int)cause.size, cause.data);
    }
}

static void what_a_launcher_called_said_why(void **state)
{
    static const char *const cases[][2] = {
        { "", "" },
        { "ValueError: no label\n", "" },
        { "Traceback (most recent call last):\n  a\nCalledProcessError\n", "" },
        { "up\nTraceback (most recent call last):\n  a\nValueError: no label\nbye\n"
          "Command failed. Traceback: Traceback (most recent call last):\n  b\nCalledProcessError\nexit code 1\n",
          "ValueError: no label" },
        { "Traceback (most recent call last):\nFile \"bad.py\"\nf()\nValueError: no label\n"
          "Traceback (most recent call last):\n  b\nCalledProcessError\n",
          "ValueError: no label" },
        { "ld: no such symbol\nTraceback (most recent call last):\n  b\nCalledProcessError\n", "ld: no such symbol" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str cause = cause_of_called(str_of(cases[i][0]));

        if (!str_is(cause, cases[i][1]))
            fail_msg("case %zu: '%.*s'", i, (int)cause.size, cause.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_words_count),
        cmocka_unit_test(what_a_launcher_called_said_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
