/* What a host gets of a channel, how it is wrapped, unpacked, and shown as a tree. */
#include "agent/channel.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "agent/fastindex.h"
#include "agent/fetch.h"
#include "agent/inflate.h"
#include "agent/recordio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void hosts_share_everything_once(void **state)
{
    enum { COUNT = 1000, HOSTS = 7 };

    for (int shuffled = 0; shuffled < 2; shuffled++)
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            bool taken[COUNT] = { false };
            size_t all = 0;

            for (size_t place = 0; place < HOSTS; place++) {
                struct channel c = { .sharded = true, .shuffled = shuffled, .seed = -5, .place = place,
                                     .hosts = HOSTS };
                uint32_t order[COUNT];
                size_t n = channel_share(&c, epoch, order, COUNT);

                assert_in_range(n, COUNT / HOSTS, COUNT / HOSTS + 1);
                all += n;
                for (size_t i = 0; i < n; i++) {
                    assert_false(taken[order[i]]);
                    taken[order[i]] = true;
                }
            }
            assert_int_equal(all, COUNT);
        }
}

static void epochs_differ_and_repeat(void **state)
{
    const struct channel c = { .shuffled = true, .seed = 3, .hosts = 1 };
    uint32_t first[100], again[100], second[100];

    assert_int_equal(channel_share(&c, 0, first, 100), 100);
    channel_share(&c, 0, again, 100);
    channel_share(&c, 1, second, 100);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, second, sizeof first);
    assert_int_equal(channel_share(&c, 0, first, 0), 0);
}

static void frames(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *framed;
        size_t framed_size;
    } cases[] = {
        { "", 0, "\x0a\x23\xd7\xce\0\0\0\0", 8 },
        { "abc", 3, "\x0a\x23\xd7\xce\3\0\0\0abc\0", 12 },
        { "1234\x0a\x23\xd7\xce" "5", 9,
          "\x0a\x23\xd7\xce\x04\0\0\x20" "1234" "\x0a\x23\xd7\xce\x01\0\0\x60" "5\0\0\0", 24 },
        /* Not at a multiple of four: no frame could begin there. */
        { "1\x0a\x23\xd7\xce", 5, "\x0a\x23\xd7\xce\5\0\0\0" "1\x0a\x23\xd7\xce\0\0\0", 16 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_buf_ struct buf b = { 0 };

        recordio_wrap(&b, (struct str){ cases[i].bytes, cases[i].size });
        assert_int_equal(b.size, cases[i].framed_size);
        assert_memory_equal(b.data, cases[i].framed, b.size);
    }
}

static int collect(void *data, struct str bytes, struct err *err)
{
    buf_append(data, bytes.data, bytes.size);
    return 0;
}

static size_t pack(unsigned char *to, size_t room, const char *text)
{
    z_stream z = { 0 };

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)text;
    z.avail_in = (unsigned)strlen(text);
    z.next_out = to;
    z.avail_out = (unsigned)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

static void members_in_pieces(void **state)
{
    unsigned char packed[256];
    size_t size = pack(packed, sizeof packed, "one "), step;

    size += pack(packed + size, sizeof packed - size, "two");
    for (step = 1; step <= size; step++) {
        struct inflate *i = inflate_new();
        struct buf out = { 0 };
        struct err err = { 0 };

        for (size_t at = 0; at < size; at += step)
            assert_int_equal(inflate_feed(i, (struct str){ (char *)packed + at, size - at < step ? size - at : step },
                                          collect, &out, &err), 0);
        assert_int_equal(inflate_end(i, &err), 0);
        assert_int_equal(out.size, 7);
        assert_memory_equal(out.data, "one two", 7);
        buf_free(&out);
        inflate_free(i);
    }
}

static void what_is_no_gzip(void **state)
{
    unsigned char packed[256];
    size_t size = pack(packed, sizeof packed, "some text");
    struct inflate *i = inflate_new();
    _cleanup_buf_ struct buf out = { 0 };
    struct err err = { 0 };

    assert_int_equal(inflate_feed(i, (struct str){ (char *)packed, size - 1 }, collect, &out, &err), 0);
    assert_int_equal(inflate_end(i, &err), -1);
    inflate_free(i);
    i = inflate_new();
    assert_int_equal(inflate_feed(i, STR("plain text"), collect, &out, &err), -1);
    inflate_free(i);
}

static void a_tree_of_keys(void **state)
{
    static const char *const keys[] = { "p/a-b", "p/a/x", "p/a/y/z", "p/a", "p/d/", "p/c", "p/a0", "p/e/e/e" };
    enum { COUNT = sizeof keys / sizeof *keys };
    _cleanup_arena_ struct arena *a = arena_new();
    struct channel_object objects[COUNT];
    char path[] = "/tmp/index-XXXXXX";
    struct fast_index x;
    struct err err = { 0 };
    uint32_t at;

    close(mkstemp(path));
    for (size_t i = 0; i < COUNT; i++)
        objects[i] = (struct channel_object){ "bucket", keys[i], fetch_local_path(a, "p/", keys[i]), (int64_t)i };
    assert_int_equal(fast_index_write(path, "bucket", objects, COUNT, &err), 0);
    assert_int_equal(fast_index_open(path, &x, &err), 0);
    assert_string_equal(x.bucket, "bucket");
    assert_int_equal(x.entries[0].count, 6); /* a, a-b, a0, c, d, e */
    at = fast_index_find(&x, 0, STR("a"));
    assert_true(x.entries[at].is_folder); /* it hides the object of its name */
    at = fast_index_find(&x, at, STR("y"));
    assert_true(x.entries[at].is_folder);
    at = fast_index_find(&x, at, STR("z"));
    assert_string_equal(x.texts + x.entries[at].key, "p/a/y/z");
    assert_int_equal(x.entries[at].size_bytes, 2);
    assert_int_equal(x.entries[fast_index_find(&x, 0, STR("d"))].count, 0);
    assert_int_equal(x.entries[fast_index_find(&x, 0, STR("c"))].size_bytes, 5);
    assert_int_equal(fast_index_find(&x, 0, STR("b")), UINT32_MAX);
    assert_int_equal(fast_index_find(&x, 0, STR("")), UINT32_MAX);
    for (uint32_t i = 1; i < x.entries[0].count; i++) {
        const struct fast_entry *one = &x.entries[x.entries[0].first + i - 1], *two = one + 1;

        assert_true(str_compare((struct str){ x.texts + one->name, one->name_size },
                                (struct str){ x.texts + two->name, two->name_size }) < 0);
    }
    fast_index_close(&x);
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(fast_index_open(path, &x, &err), -1);
    unlink(path);
}

static void a_tree_of_many(void **state)
{
    enum { COUNT = 20000 };
    _cleanup_arena_ struct arena *a = arena_new();
    struct channel_object *objects = arena_array_of(a, struct channel_object, COUNT);
    char path[] = "/tmp/index-XXXXXX";
    struct fast_index x;
    struct err err = { 0 };

    close(mkstemp(path));
    for (int i = 0; i < COUNT; i++) {
        const char *key = arena_printf(a, "%d/%d/%d", i % 7, i % 1000, i);

        objects[i] = (struct channel_object){ "b", key, key, i };
    }
    assert_int_equal(fast_index_write(path, "b", objects, COUNT, &err), 0);
    assert_int_equal(fast_index_open(path, &x, &err), 0);
    for (int i = 0; i < COUNT; i += 37) {
        uint32_t at = fast_index_find(&x, 0, str_of(arena_printf(a, "%d", i % 7)));

        at = fast_index_find(&x, at, str_of(arena_printf(a, "%d", i % 1000)));
        at = fast_index_find(&x, at, str_of(arena_printf(a, "%d", i)));
        assert_int_equal(x.entries[at].size_bytes, i);
        assert_string_equal(x.texts + x.entries[at].key, arena_printf(a, "%d/%d/%d", i % 7, i % 1000, i));
    }
    fast_index_close(&x);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_share_everything_once),
        cmocka_unit_test(epochs_differ_and_repeat),
        cmocka_unit_test(frames),
        cmocka_unit_test(members_in_pieces),
        cmocka_unit_test(what_is_no_gzip),
        cmocka_unit_test(a_tree_of_keys),
        cmocka_unit_test(a_tree_of_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
