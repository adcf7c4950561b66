#include "cmd/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static int set(struct arena *a, struct settings *s, const char *key, const char *value)
{
    struct err err;

    return settings_set(a, s, key, value, &err);
}

/* What each may be, beside its default. */
static const char *const good[][2] = {
    { "bind", "::1" }, { "port", "65535" }, { "region", "eu-west-1" }, { "account", "123456789012" },
    { "runtime", "slurm" }, { "slurm-partition", "a,b" }, { "slurm-account", "it" }, { "slurm-qos", "high" },
    { "slurm-spot-partition", "c" }, { "slurm-spot-qos", "low" }, { "slurm-gpu-types", "ml.p4d:a100 ml.g5:a10g" },
    { "slurm-options", "--comment=a b" }, { "slurm-notice", "86400" }, { "slurm-server", "192.0.2.1" },
    { "slurm-scratch", "/scratch" }, { "names", "a.example, 192.0.2.1" }, { "images", "/i" }, { "fleet", "/f.toml" },
    { "disk-reserve", "2K" }, { "checkpoint-rate", "0" }, { "hang-after", "30m" }, { "silent-after", "2h" },
    { "nccl-library", "/l.so" }, { "file-systems", "fs-0123abcd:/srv" }, { "vpc", "subnet-0a1b, sg-0c2d" },
    { "log-level", "debug" },
};

static const char *const bad[][2] = {
    { "bind", "localhost" }, { "port", "0" }, { "port", "65536" }, { "region", "Here" }, { "account", "12" },
    { "runtime", "docker" }, { "slurm-partition", "a b" }, { "slurm-gpu-types", "p4d:a100" },
    { "slurm-options", "comment" }, { "slurm-notice", "0" }, { "slurm-server", "127.0.0.1" },
    { "slurm-scratch", "scratch" }, { "slurm-scratch", "" }, { "names", "a\"" }, { "images", "i" }, { "fleet", "f" },
    { "disk-reserve", "-1" }, { "checkpoint-rate", "9999999999999G" }, { "hang-after", "soon" },
    { "nccl-library", "l.so" }, { "file-systems", "fs-1:/srv" }, { "vpc", "vpc-0a1b" }, { "log-level", "all" },
};

static void every_setting_is_kept(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    char folder[] = "/tmp/sagebrush-settings-XXXXXX";
    struct settings s, kept;
    struct err err;

    assert_non_null(mkdtemp(folder));
    settings_defaults(&s);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(set(a, &s, good[i][0], good[i][1]), 0);
    assert_int_equal(settings_write(folder, &s, &err), 0);
    assert_int_equal(settings_read(a, folder, &kept, &err), 0);
    for (const struct setting *row = setting_table; row->key; row++) {
        const void *one = (const char *)&s + row->at, *other = (const char *)&kept + row->at;

        if (row->read)
            assert_int_equal(*(const int64_t *)one, *(const int64_t *)other);
        else
            assert_string_equal(*(const char *const *)one, *(const char *const *)other);
    }
    assert_string_equal(kept.slurm.qos, "high");
    assert_int_equal(kept.silent_after_s, 7200);
    assert_int_equal(kept.disk_reserve_bytes, 2048);
    tree_remove(folder, &err);
}

static void what_cannot_be_changes_nothing(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct settings s, before;

    settings_defaults(&s);
    before = s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(set(a, &s, bad[i][0], bad[i][1]), -1);
    assert_int_equal(set(a, &s, "prot", "8443"), -1);
    assert_memory_equal(&s, &before, sizeof s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_setting_is_kept),
        cmocka_unit_test(what_cannot_be_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
