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

static void who_holds_which_is_known(void **state)
{
    struct gpu_bank *b = bank_of(4, NULL);

    gpu_bank_hold(b, "one", 1);
    gpu_bank_hold(b, "two", 6);
    gpu_bank_hold(b, "two", 6); /* again */
    assert_true(gpu_bank_held(b, "one") == 1 && gpu_bank_held(b, "two") == 6);
    assert_string_equal(gpu_bank_seat(b, 2)->holder, "two");
    assert_string_equal(gpu_bank_seat(b, 3)->holder, "");
    gpu_bank_hold(b, "two", 12); /* others */
    assert_true(gpu_bank_held(b, "two") == 12);
    gpu_bank_hold(b, "cpu", 0);
    gpu_bank_give(b, "one");
    gpu_bank_give(b, "never");
    assert_true(gpu_bank_held(b, "one") == 0);
    gpu_bank_free(b);
}

static void a_cordon_outlives_the_process(void **state)
{
    char path[] = "/tmp/sagebrush-gpus-XXXXXX";
    struct gpu_bank *b;

    assert_true(mkstemp(path) >= 0);
    unlink(path);
    b = bank_of(2, path);
    gpu_bank_hold(b, "a", 1);
    assert_int_equal(gpu_bank_cordon(b, "GPU-a", "XID 79", 5, &err), 0);
    assert_int_equal(gpu_bank_cordon(b, "GPU-a", "a later one", 6, &err), 0);
    assert_int_equal(gpu_bank_cordon(b, "GPU-elsewhere", "lost", 7, &err), 0);
    assert_true(gpu_bank_held(b, "a") == 1);
    gpu_bank_free(b);

    b = bank_of(2, path); /* after a restart */
    assert_true(gpu_bank_seat(b, 0)->cordoned && !gpu_bank_seat(b, 1)->cordoned);
    assert_string_equal(gpu_bank_seat(b, 0)->why, "XID 79");
    assert_int_equal(gpu_bank_seat(b, 0)->cordoned_ms, 5);
    assert_int_equal(gpu_bank_uncordon(b, 1, &err), -1);
    assert_int_equal(err.kind, ERR_CONFLICT);
    assert_int_equal(gpu_bank_uncordon(b, 7, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_int_equal(gpu_bank_uncordon(b, 0, &err), 0);
    assert_false(gpu_bank_seat(b, 0)->cordoned);
    gpu_bank_free(b);
    b = bank_of(2, path);
    assert_false(gpu_bank_seat(b, 0)->cordoned);
    gpu_bank_free(b);
    unlink(path);
}

static void no_bank_is_no_gpu(void **state)
{
    assert_int_equal(gpu_bank_count(NULL), 0);
    gpu_bank_hold(NULL, "a", 8);
    assert_true(gpu_bank_held(NULL, "a") == 0);
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

static void a_damaged_file_is_named(void **state)
{
    char path[] = "/tmp/sagebrush-gpus-XXXXXX";
    struct gpu_bank *b;
    int fd = mkstemp(path);

    assert_int_equal(write(fd, "{\"cordoned\":", 12), 12);
    close(fd);
    assert_int_equal(gpu_bank_new(path, &b, &err), -1);
    assert_int_equal(strncmp(err.text, path, strlen(path)), 0);
    assert_non_null(strstr(err.text, "is no JSON"));
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_holds_which_is_known),
        cmocka_unit_test(a_cordon_outlives_the_process),
        cmocka_unit_test(no_bank_is_no_gpu),
        cmocka_unit_test(types_have_gpus),
        cmocka_unit_test(a_damaged_file_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
