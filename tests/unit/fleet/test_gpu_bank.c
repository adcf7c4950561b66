#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fleet/gpu_bank.h"
#include "fleet/instance_type.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct err err;

static struct gpu_bank *bank_of(int count, const char *path)
{
    static const char *const uuids[] = { "GPU-a", "GPU-b", "GPU-c", "GPU-d" };
    struct gpu_bank *b;

    assert_int_equal(gpu_bank_new(path, &b, &err), 0);
    for (int i = 0; i < count; i++)
        gpu_bank_add(b, i, uuids[i], "A100");
    return b;
}

static void a_gpu_has_one_holder(void **state)
{
    struct gpu_bank *b = bank_of(4, NULL);

    assert_true(gpu_bank_take(b, "one", "u1", 1, false));
    assert_true(gpu_bank_take(b, "two", "u2", 2, false));
    assert_true(gpu_bank_take(b, "one", "u1", 1, false)); /* again */
    assert_true(gpu_bank_held(b, "one") == 1 && gpu_bank_held(b, "two") == 6);
    assert_int_equal(gpu_bank_unused(b), 1);
    assert_false(gpu_bank_take(b, "three", "u3", 2, false));
    assert_true(gpu_bank_held(b, "three") == 0);
    assert_true(gpu_bank_take(b, "cpu", "u4", 0, false)); /* wants none */
    gpu_bank_give(b, "one");
    assert_true(gpu_bank_take(b, "three", "u3", 2, false));
    assert_true(gpu_bank_held(b, "three") == 9);
    gpu_bank_give(b, "never");
    gpu_bank_free(b);
}

/* A wish for many is not overtaken by wishes for few. */
static void the_line_is_kept(void **state)
{
    struct gpu_bank *b = bank_of(2, NULL);

    assert_true(gpu_bank_take(b, "a", "ua", 1, false));
    assert_false(gpu_bank_take(b, "b", "ub", 2, false));
    assert_false(gpu_bank_take(b, "c", "uc", 1, false));
    assert_int_equal(gpu_bank_waiting_before(b, "c"), 1);
    assert_string_equal(gpu_bank_next(b), "");
    gpu_bank_give(b, "a");
    assert_string_equal(gpu_bank_next(b), "ub");
    assert_false(gpu_bank_take(b, "c", "uc", 1, false));
    gpu_bank_give(b, "b"); /* it was stopped while it waited */
    assert_string_equal(gpu_bank_next(b), "uc");
    assert_true(gpu_bank_take(b, "c", "uc", 1, false));
    assert_false(gpu_bank_take(b, "d", "ud", 2, false));
    assert_false(gpu_bank_take(b, "e", "ue", 2, true));
    gpu_bank_give(b, "c");
    assert_string_equal(gpu_bank_next(b), "ue");
    gpu_bank_free(b);
}

static void together_or_not_at_all(void **state)
{
    static const char *const one[] = { "a-1", "a-2" }, *const other[] = { "b-1", "b-2" };
    struct gpu_bank *b = bank_of(3, NULL);

    assert_true(gpu_bank_take_all(b, one, 2, "a", 1, false));
    assert_true(gpu_bank_held(b, "a-1") == 1 && gpu_bank_held(b, "a-2") == 2);
    assert_false(gpu_bank_take_all(b, other, 2, "b", 1, false));
    assert_int_equal(gpu_bank_unused(b), 1);
    gpu_bank_give(b, "a-1");
    assert_string_equal(gpu_bank_next(b), "b");
    assert_true(gpu_bank_take_all(b, other, 2, "b", 1, false));
    assert_true(gpu_bank_held(b, "b-1") == 1 && gpu_bank_held(b, "b-2") == 4);
    assert_true(gpu_bank_take_all(b, one, 2, "a", 1, true) == false); /* the one that was given back */
    gpu_bank_give(b, "b-2");
    assert_true(gpu_bank_take_all(b, one, 2, "a", 1, true));
    assert_true(gpu_bank_held(b, "a-1") == 4 && gpu_bank_held(b, "a-2") == 2);
    gpu_bank_free(b);
}

static void who_ran_before_keeps_its_own(void **state)
{
    struct gpu_bank *b = bank_of(3, NULL);

    gpu_bank_hold(b, "old", 2);
    assert_true(gpu_bank_seat(b, 1)->adopted);
    assert_true(gpu_bank_take(b, "old", "u", 1, false));
    assert_true(gpu_bank_held(b, "old") == 2);
    assert_true(gpu_bank_take(b, "new", "u", 2, false));
    assert_true(gpu_bank_held(b, "new") == 5);
    gpu_bank_give(b, "old");
    assert_false(gpu_bank_seat(b, 1)->adopted);
    gpu_bank_free(b);
}

static void a_cordoned_gpu_is_not_given_out(void **state)
{
    char path[] = "/tmp/sagebrush-gpus-XXXXXX";
    struct gpu_bank *b;

    assert_true(mkstemp(path) >= 0);
    unlink(path);
    b = bank_of(2, path);
    assert_true(gpu_bank_take(b, "a", "ua", 1, false));
    assert_int_equal(gpu_bank_cordon(b, "GPU-a", "XID 79", 5, &err), 0);
    assert_int_equal(gpu_bank_cordon(b, "GPU-a", "a later one", 6, &err), 0);
    assert_int_equal(gpu_bank_cordon(b, "GPU-elsewhere", "lost", 7, &err), 0);
    assert_true(gpu_bank_held(b, "a") == 1);
    gpu_bank_give(b, "a");
    assert_int_equal(gpu_bank_unused(b), 1);
    assert_false(gpu_bank_take(b, "both", "ub", 2, false)); /* waits beside the line */
    assert_true(gpu_bank_take(b, "c", "uc", 1, false));
    assert_true(gpu_bank_held(b, "c") == 2);
    gpu_bank_free(b);

    b = bank_of(2, path); /* after a restart */
    assert_int_equal(gpu_bank_cordoned(b), 1);
    assert_string_equal(gpu_bank_seat(b, 0)->why, "XID 79");
    assert_int_equal(gpu_bank_seat(b, 0)->cordoned_ms, 5);
    assert_int_equal(gpu_bank_uncordon(b, 1, &err), -1);
    assert_int_equal(err.kind, ERR_CONFLICT);
    assert_int_equal(gpu_bank_uncordon(b, 7, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_int_equal(gpu_bank_uncordon(b, 0, &err), 0);
    assert_int_equal(gpu_bank_unused(b), 2);
    gpu_bank_free(b);
    b = bank_of(2, path);
    assert_int_equal(gpu_bank_cordoned(b), 0);
    gpu_bank_free(b);
    unlink(path);
}

static void no_bank_is_no_gpu(void **state)
{
    assert_int_equal(gpu_bank_count(NULL), 0);
    assert_true(gpu_bank_take(NULL, "a", "u", 8, false));
    assert_true(gpu_bank_held(NULL, "a") == 0);
    assert_string_equal(gpu_bank_next(NULL), "");
    gpu_bank_give(NULL, "a");
    gpu_bank_free(NULL);
}

static void types_have_gpus(void **state)
{
    assert_int_equal(instance_type_gpus("ml.g5.xlarge"), 1);
    assert_int_equal(instance_type_gpus("ml.p4d.24xlarge"), 8);
    assert_int_equal(instance_type_gpus("ml.m5.xlarge"), 0);
    assert_int_equal(instance_type_gpus("ml.trn1.2xlarge"), 0);
    assert_int_equal(instance_type_gpus("no.such"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gpu_has_one_holder),            cmocka_unit_test(the_line_is_kept),
        cmocka_unit_test(together_or_not_at_all),
        cmocka_unit_test(who_ran_before_keeps_its_own),    cmocka_unit_test(a_cordoned_gpu_is_not_given_out),
        cmocka_unit_test(no_bank_is_no_gpu),               cmocka_unit_test(types_have_gpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
