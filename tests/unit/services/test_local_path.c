#include "services/sagemaker/local_path.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void channels_are_folders(void **state)
{
    struct err err = { 0 };

    assert_int_equal(local_path_check_channel(1, "train", &err), 0);
    assert_int_equal(local_path_check_channel(1, "...", &err), 0);
    assert_int_equal(local_path_check_channel(1, ".hidden", &err), 0);
    assert_int_equal(local_path_check_channel(1, ".", &err), -1);
    assert_int_equal(local_path_check_channel(2, "..", &err), -1);
    assert_string_equal(err.code, "ValidationException");
    assert_non_null(strstr(err.text, "Value '..' at 'inputDataConfig.2.member.channelName' failed to satisfy"));
}

static void checkpoints_have_a_place_of_their_own(void **state)
{
    static const char *const good[] = { "", "/opt/ml/checkpoints", "/opt/ml/checkpoints/", "/opt/ml/checkpoints/a",
                                        "/opt/ml/modelled", "/tmp/checkpoints", "/checkpoints", "/usrlocal" };
    static const char *const unclean[] = { "checkpoints", "./a", "/opt/ml/checkpoints/../../../etc", "/opt//ml/x", "//",
                                           "/opt/ml/checkpoints/..", "/opt/ml/./x", "/." };
    static const char *const overlapping[] = { "/", "/opt", "/opt/", "/opt/ml", "/opt/ml/input", "/opt/ml/input/data/x",
                                               "/opt/ml/model/", "/opt/ml/output/data", "/etc/passwd", "/proc", "/usr/lib",
                                               "/dev/shm", "/opt/sagebrush/x" };
    struct err err = { 0 };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(local_path_check_checkpoints(good[i], &err), 0);
    for (size_t i = 0; i < sizeof unclean / sizeof *unclean; i++) {
        assert_int_equal(local_path_check_checkpoints(unclean[i], &err), -1);
        assert_non_null(strstr(err.text, "at 'checkpointConfig.localPath' failed to satisfy constraint: Member must be"));
    }
    for (size_t i = 0; i < sizeof overlapping / sizeof *overlapping; i++) {
        assert_int_equal(local_path_check_checkpoints(overlapping[i], &err), -1);
        assert_string_equal(err.code, "ValidationException");
        assert_non_null(strstr(err.text, "must not overlap with /"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(channels_are_folders),
        cmocka_unit_test(checkpoints_have_a_place_of_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
