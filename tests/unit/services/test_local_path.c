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

static void tensorboard_writes_below_output(void **state)
{
    static const char *const good[] = { "", "/opt/ml/output/tensorboard", "/opt/ml/output/tensorboard/",
                                        "/opt/ml/output/a/b" };
    static const char *const bad[] = { "/opt/ml/output", "/opt/ml/output/", "/opt/ml/outputs",
                                       "/opt/ml/output/../model",
                                       "/opt/ml/output//a", "/tmp/tensorboard", "tensorboard" };
    struct err err = { 0 };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(local_path_check_tensorboard(good[i], &err), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(local_path_check_tensorboard(bad[i], &err), -1);
        assert_non_null(strstr(err.text, "at 'tensorBoardOutputConfig.localPath' failed to satisfy constraint"));
    }
}

static void checkpoints_have_a_place_of_their_own(void **state)
{
    static const char *const good[] = { "", "/opt/ml/checkpoints", "/opt/ml/checkpoints/", "/opt/ml/checkpoints/a",
                                        "/opt/ml/modelled", "/tmp/checkpoints", "/checkpoints", "/usrlocal" };
    static const char *const unclean[] = { "checkpoints", "./a", "/opt/ml/checkpoints/../../../etc", "/opt//ml/x", "//",
                                           "/opt/ml/checkpoints/..", "/opt/ml/./x", "/." };
    static const char *const overlapping[] = { "/", "/opt", "/opt/", "/opt/ml", "/opt/ml/input", "/opt/ml/input/data/x",
                                               "/opt/ml/model/", "/opt/ml/output/data", "/etc/passwd", "/proc",
                                               "/usr/lib", "/dev/shm", "/opt/sagebrush/x" };
    struct err err = { 0 };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(local_path_check_checkpoints(good[i], &err), 0);
    for (size_t i = 0; i < sizeof unclean / sizeof *unclean; i++) {
        assert_int_equal(local_path_check_checkpoints(unclean[i], &err), -1);
        assert_non_null(strstr(err.text,
                               "at 'checkpointConfig.localPath' failed to satisfy constraint: Member must be"));
    }
    for (size_t i = 0; i < sizeof overlapping / sizeof *overlapping; i++) {
        assert_int_equal(local_path_check_checkpoints(overlapping[i], &err), -1);
        assert_string_equal(err.code, "ValidationException");
        assert_non_null(strstr(err.text, "must not overlap with /"));
    }
}

static void processing_has_its_own_folders(void **state)
{
    static const char *const good[] = { "/opt/ml/processing/a", "/opt/ml/processing/a/", "/opt/ml/processing/a/b.c/d" };
    static const char *const bad[] = { "", "a", "/opt/ml/processing", "/opt/ml/processing/", "/opt/ml/processing/../x",
                                       "/opt/ml/processing/a//b", "/opt/ml/processing/./a", "/opt/ml/processingx/a",
                                       "/opt/ml/input", "/etc", "/opt/ml/processing/a/.." };
    struct err err = { 0 };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(local_path_check_processing("Input", "i", good[i], &err), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(local_path_check_processing("Input", "i", bad[i], &err), -1);
        assert_string_equal(err.code, "ValidationException");
        assert_non_null(strstr(err.text, "Input i: LocalPath must be a folder below /opt/ml/processing/"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(channels_are_folders),
        cmocka_unit_test(tensorboard_writes_below_output),
        cmocka_unit_test(checkpoints_have_a_place_of_their_own),
        cmocka_unit_test(processing_has_its_own_folders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
