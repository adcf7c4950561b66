#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "run/archive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static char folder[] = "/tmp/sgb-archive-XXXXXX";
static char path[512];

static const char *at(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int setup(void **state)
{
    strcpy(folder, "/tmp/sgb-archive-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(mkdir(at("out"), 0755), 0);
    return 0;
}

static int teardown(void **state)
{
    struct err err;

    return tree_remove(folder, &err);
}

/* One ustar entry. */
static void add(struct buf *b, const char *name, char type, const char *link, const char *data, unsigned mode)
{
    char h[512] = { 0 };
    unsigned sum = 0;
    size_t size = strlen(data);

    memcpy(h, name, strnlen(name, 100));
    snprintf(h + 100, 8, "%07o", mode);
    memcpy(h + 108, "0000000", 7);
    memcpy(h + 116, "0000000", 7);
    snprintf(h + 124, 12, "%011o", (unsigned)size);
    memcpy(h + 136, "00000000000", 11);
    memset(h + 148, ' ', 8);
    h[156] = type;
    memcpy(h + 157, link, strnlen(link, 100));
    memcpy(h + 257, "ustar\00000", 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    buf_append(b, h, 512);
    buf_append(b, data, size);
    while (b->size % 512)
        buf_append_char(b, '\0');
}

static int unpack(struct buf *b, enum archive_form form, const struct archive_limits *limits, struct err *err)
{
    char end[1024] = { 0 };

    buf_append(b, end, sizeof end);
    return archive_unpack_memory(b->data, b->size, at("out"), form, limits, err);
}

static void refused(const char *name, char type, const char *link, const char *words)
{
    _cleanup_buf_ struct buf b = { 0 };
    struct err err = { 0 };

    add(&b, name, type, link, "", 0644);
    assert_int_equal(unpack(&b, ARCHIVE_DATA, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    if (!strstr(err.text, words))
        fail_msg("%s", err.text);
}

static void what_leads_out_is_refused(void **state)
{
    refused("../x", '0', "", "..");
    refused("a/../../x", '0', "", "..");
    refused("/etc/x", '0', "", "absolute");
    refused("l", '2', "/etc/passwd", "leads out");
    refused("l", '2', "..", "leads out");
    refused("a/l", '2', "../../x", "leads out");
    refused("h", '1', "../x", "..");
    refused("h", '1', "not/there", "not in it");
    refused("d", '3', "", "neither");
    refused("d", '4', "", "neither");
    refused("p", '6', "", "neither");
    assert_false(path_exists(at("x")));
}

static void no_link_is_followed(void **state)
{
    _cleanup_buf_ struct buf b = { 0 };
    struct err err = { 0 };
    char victim[512];
    struct stat st;

    /* Each alone is fine: together the second would write where the first points. */
    assert_int_equal(mkdir(at("out/real"), 0755), 0);
    add(&b, "l", '2', "real", "", 0777);
    add(&b, "l/x", '0', "", "data", 0644);
    assert_int_equal(unpack(&b, ARCHIVE_DATA, NULL, &err), -1);
    assert_false(path_exists(at("out/real/x")));
    buf_clear(&b);
    /* A link that was there before is replaced, not written through. */
    snprintf(victim, sizeof victim, "%s/victim", folder);
    assert_int_equal(symlink(victim, at("out/f")), 0);
    add(&b, "f", '0', "", "data", 0644);
    assert_int_equal(unpack(&b, ARCHIVE_DATA, NULL, &err), 0);
    assert_int_equal(lstat(at("out/f"), &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_false(path_exists(victim));
}

static void limits_hold(void **state)
{
    _cleanup_buf_ struct buf b = { 0 };
    struct err err = { 0 };

    add(&b, "a", '0', "", "0123456789", 0644);
    add(&b, "b", '0', "", "0123456789", 0644);
    assert_int_equal(unpack(&b, ARCHIVE_DATA, &(struct archive_limits){ .bytes = 15 }, &err), -1);
    assert_int_equal(err.kind, ERR_LIMIT);
    assert_int_equal(unpack(&b, ARCHIVE_DATA, &(struct archive_limits){ .files = 1 }, &err), -1);
    assert_int_equal(err.kind, ERR_LIMIT);
    assert_int_equal(unpack(&b, ARCHIVE_DATA, &(struct archive_limits){ .bytes = 20, .files = 2 }, &err), 0);
}

static void garbage_is_refused(void **state)
{
    struct err err = { 0 };

    assert_int_equal(archive_unpack_memory("this is no archive at all", 25, at("out"), ARCHIVE_DATA, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
}

static void set_user_bits_are_dropped(void **state)
{
    _cleanup_buf_ struct buf b = { 0 };
    struct err err = { 0 };
    struct stat st;

    add(&b, "s", '0', "", "x", 06755);
    add(&b, "d/", '5', "", "", 0);
    assert_int_equal(unpack(&b, ARCHIVE_DATA, NULL, &err), 0);
    assert_int_equal(stat(at("out/s"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(stat(at("out/d"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void layers_hide_what_is_below(void **state)
{
    _cleanup_buf_ struct buf b = { 0 };
    struct err err = { 0 };
    struct stat st;
    char value[4];

    if (geteuid() != 0)
        skip();
    add(&b, "dir/", '5', "", "", 0755);
    add(&b, "dir/.wh.gone", '0', "", "", 0644);
    add(&b, "all/.wh..wh..opq", '0', "", "", 0644);
    add(&b, "dev/null", '3', "", "", 0666);
    add(&b, "abs", '2', "/etc/passwd", "", 0777);
    if (unpack(&b, ARCHIVE_LAYER, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(lstat(at("out/dir/gone"), &st), 0);
    assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
    assert_int_equal(getxattr(at("out/all"), "trusted.overlay.opaque", value, sizeof value), 1);
    assert_false(path_exists(at("out/dev/null")));
    assert_true(path_exists(at("out/abs")));
}

static void packs_are_equal_and_come_back(void **state)
{
    char one[512], two[512], back[512], in[512];
    _cleanup_arena_ struct arena *a = arena_new();
    struct str x, y, text;
    struct err err = { 0 };
    int64_t files;

    snprintf(in, sizeof in, "%s/in", folder);
    snprintf(one, sizeof one, "%s/1.tar.gz", folder);
    snprintf(two, sizeof two, "%s/2.tar.gz", folder);
    snprintf(back, sizeof back, "%s/out", folder);
    assert_int_equal(folder_make(at("in/sub/deep"), 0755, &err), 0);
    assert_int_equal(file_write_atomic(at("in/b"), "bee", 3, 0644, &err), 0);
    assert_int_equal(file_write_atomic(at("in/sub/deep/a"), "ay", 2, 0755, &err), 0);
    assert_int_equal(symlink("b", at("in/stays")), 0);
    assert_int_equal(symlink("/etc/shadow", at("in/leaves")), 0);
    assert_int_equal(mkfifo(at("in/pipe"), 0600), 0);
    assert_int_equal(archive_pack(in, one, -1, &files, &err), 0);
    assert_int_equal(files, 5);
    sleep(1);
    assert_int_equal(archive_pack(in, two, -1, NULL, &err), 0);
    assert_int_equal(file_read(a, one, 1 << 20, &x, &err), 0);
    assert_int_equal(file_read(a, two, 1 << 20, &y, &err), 0);
    assert_true(str_eq(x, y));
    if (archive_unpack(one, back, ARCHIVE_DATA, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(file_read(a, at("out/sub/deep/a"), 100, &text, &err), 0);
    assert_true(str_is(text, "ay"));
    assert_int_equal(file_read(a, at("out/stays"), 100, &text, &err), 0);
    assert_true(str_is(text, "bee"));
    assert_false(path_exists(at("out/leaves")));
}

static void packing_can_be_ended(void **state)
{
    struct err err = { 0 };
    char out[512];
    int cancel[2];

    assert_int_equal(folder_make(at("holes"), 0755, &err), 0);
    assert_int_equal(file_write_atomic(at("holes/a"), "", 0, 0644, &err), 0);
    /* A terabyte that takes no room takes an hour to pack. */
    assert_int_equal(truncate(at("holes/a"), (off_t)1 << 40), 0);
    assert_int_equal(pipe(cancel), 0);
    assert_int_equal(write(cancel[1], "x", 1), 1);
    snprintf(out, sizeof out, "%s/holes.tar.gz", folder);
    assert_int_equal(archive_pack(at("holes"), out, cancel[0], NULL, &err), -1);
    assert_int_equal(err.kind, ERR_CONFLICT);
    close(cancel[0]);
    close(cancel[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packing_can_be_ended),
        cmocka_unit_test_setup_teardown(what_leads_out_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(no_link_is_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(set_user_bits_are_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(layers_hide_what_is_below, setup, teardown),
        cmocka_unit_test_setup_teardown(packs_are_equal_and_come_back, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
