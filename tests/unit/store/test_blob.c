#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "store/blob.h"

/* Last: it has a macro of the name of fail(). */
#include <cmocka.h>

static bool keeps(void *context, const char *uid)
{
    return strcmp(uid, context) == 0;
}

static void blobs_are_whole_or_not_there(void **state)
{
    char folder[] = "/tmp/sagebrush-test-XXXXXX", kept[BLOB_UID_SIZE + 1], gone[BLOB_UID_SIZE + 1],
         half[BLOB_UID_SIZE + 1];
    struct err err = { 0 };
    struct blobs *b;
    int64_t size, removed;
    char text[8] = "";
    int fd;

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(blobs_open(folder, 0, rand_system(), &b, &err), 0);

    fd = blob_create(b, kept, &err);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "hello", 5), 5);
    assert_int_equal(blob_open(b, kept, &size, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_int_equal(blob_publish(b, kept, fd, &err), 0);
    close(fd);
    fd = blob_open(b, kept, &size, &err);
    assert_true(fd >= 0);
    assert_int_equal(size, 5);
    assert_int_equal(read(fd, text, 5), 5);
    assert_string_equal(text, "hello");
    close(fd);

    fd = blob_create(b, half, &err);
    close(fd);
    blob_discard(b, half);
    fd = blob_create(b, half, &err); /* as after a crash */
    close(fd);
    fd = blob_create(b, gone, &err);
    assert_int_equal(blob_publish(b, gone, fd, &err), 0);
    close(fd);
    blobs_free(b);

    assert_int_equal(blobs_open(folder, 0, rand_system(), &b, &err), 0);
    assert_int_equal(blobs_collect(b, keeps, kept, &removed, &err), 0);
    assert_int_equal(removed, 2);
    assert_int_equal(blob_open(b, gone, &size, &err), -1);
    fd = blob_open(b, kept, &size, &err);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(blob_remove(b, kept, &err), 0);
    assert_int_equal(blob_remove(b, kept, &err), 0);
    blobs_free(b);

    assert_int_equal(blobs_open(folder, INT64_MAX, rand_system(), &b, &err), 0);
    assert_int_equal(blob_has_room(b, 1, &err), -1);
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    assert_int_equal(blob_create(b, half, &err), -1);
    blobs_free(b);
    blobs_free(NULL);
    assert_int_equal(tree_remove(folder, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(blobs_are_whole_or_not_there) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
