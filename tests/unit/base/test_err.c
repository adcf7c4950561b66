#include "base/err.h"

#include <errno.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#undef fail /* cmocka has a macro of that name */

static void paths_of_this_machine_are_cut(void **state)
{
    static const struct {
        const char *text, *told;
    } cases[] = {
        { "open /var/lib/sagebrush/blobs/ab: No such file or directory", "open ab: No such file or directory" },
        { "/var/lib/x", "x" },
        { "copy /a/b to /c/d/e, then \"/f/g\" (/h/i)", "copy b to e, then \"g\" (i)" },
        { "s3://bucket/a/b: it is no file", "s3://bucket/a/b: it is no file" },
        { "open /opt/ml/model/x of /var/ml/x", "open /opt/ml/model/x of x" },
        { "1 / 2, a/b, and/or", "1 / 2, a/b, and/or" },
        { "open /var/lib/x/:", "open :" },
        { "", "" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = { 0 };

        fail(&err, ERR_INTERNAL, "%s", cases[i].text);
        assert_int_equal(err_hide_paths(&err), strcmp(cases[i].text, cases[i].told) != 0);
        assert_string_equal(err.text, cases[i].told);
        assert_false(err_hide_paths(&err));
    }
}

static void texts_for_the_user_stay(void **state)
{
    struct err err = { 0 };

    fail(&err, ERR_INVALID, "the image has no /etc/passwd");
    assert_false(err_hide_paths(&err));
    assert_string_equal(err.text, "the image has no /etc/passwd");
    fail_code(&err, ERR_DENIED, "AccessDenied", "arn /a/b");
    assert_false(err_hide_paths(&err));
    assert_string_equal(err.text, "arn /a/b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_of_this_machine_are_cut),
        cmocka_unit_test(texts_for_the_user_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
