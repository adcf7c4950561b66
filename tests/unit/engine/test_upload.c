/* Bodies in and out over a real loop and real threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* ours is a function */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/map.h"
#include "engine/download.h"
#include "engine/upload.h"
#include "net/loop.h"
#include "store/blob.h"

static char folder[64];
static struct loop *loop;
static struct blobs *blobs;
static struct bodies *bodies;
static struct map *needed; /* what a record refers to */

static bool referenced(void *context, const char *uid)
{
    return map_get(needed, str_of(uid)) != NULL;
}

static bool count_it(void *context, const char *uid)
{
    (*(int *)context)++;
    return true;
}

static int blob_count(int64_t *ret_unfinished)
{
    struct err err = { 0 };
    int count = 0;

    assert_int_equal(blobs_collect(blobs, count_it, &count, ret_unfinished, &err), 0);
    return count;
}

static int setup_with_reserve(int64_t reserve_bytes)
{
    struct err err = { 0 };

    strcpy(folder, "/tmp/sagebrush-upload-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(loop_new(&loop, &err), 0);
    assert_int_equal(blobs_open(folder, reserve_bytes, rand_system(), &blobs, &err), 0);
    needed = map_new();
    bodies = bodies_new(loop, blobs, referenced, NULL);
    return 0;
}

static int setup(void **state)
{
    return setup_with_reserve(0);
}

static int teardown(void **state)
{
    struct err err = { 0 };

    loop_free(loop);
    bodies_free(bodies);
    blobs_free(blobs);
    map_free(needed);
    return tree_remove(folder, &err);
}

struct sender {
    struct uploading *u;
    bool room, done, failed;
    struct upload result;
    struct err err;
};

static void room(void *owner)
{
    ((struct sender *)owner)->room = true;
}

static void done(void *owner, const struct upload *result)
{
    struct sender *s = owner;

    s->done = true;
    s->result = *result;
}

static void failed(void *owner, const struct err *err)
{
    struct sender *s = owner;

    s->failed = true;
    s->err = *err;
}

static const struct upload_events events = { room, done, failed };

/* Sends in odd pieces, waits when told to, and for the end. headers: "name=value\n" lines. */
static void send(struct sender *s, const char *headers, const char *trailer, const char *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *map = doc_map(a), *trailers = doc_map(a);
    struct str line, rest = str_of(headers), name, value;
    struct err err = { 0 };

    *s = (struct sender){ .room = true };
    while (str_cut(rest, '\n', &line, &rest))
        if (str_cut(line, '=', &name, &value))
            doc_set(a, map, str_dup(a, name), doc_str(a, value));
    s->u = upload_new(loop, bodies, &events, s);
    if (upload_headers(s->u, map, &err) < 0) {
        s->failed = true;
        s->err = err;
        return;
    }
    for (size_t at = 0, n; at < size && !s->failed; at += n) {
        n = size - at < 70001 ? size - at : 70001;
        while (!s->room && !s->failed)
            loop_turn(loop, true);
        s->room = upload_write(s->u, data + at, n);
    }
    if (*trailer && str_cut(str_of(trailer), '=', &name, &value)) {
        doc_set(a, trailers, str_dup(a, name), doc_str(a, value));
        if (upload_trailers(s->u, trailers, &err) < 0) {
            s->failed = true;
            s->err = err;
            return;
        }
    }
    upload_finish(s->u);
    while (!s->done && !s->failed)
        loop_turn(loop, true);
}

static void nothing(void *data)
{
}

static void note(void *data)
{
    *(bool *)data = true;
}

/* There is one thread for work: what is asked of it now comes after all that was. Some of that makes more. */
static void settle(void)
{
    for (int i = 0; i < 10; i++) {
        bool over = false;

        loop_work(loop, nothing, note, &over);
        while (!over)
            loop_turn(loop, true);
    }
}

static void release(struct sender *s, bool keep)
{
    if (keep)
        map_set(needed, str_of(s->result.blob_uid), s);
    upload_free(s->u);
    bodies_sweep(bodies);
    settle();
}

static void a_body_is_measured_and_kept(void **state)
{
    enum { SIZE = 9 * 1000 * 1000 };
    char *data = malloc(SIZE);
    struct sender s;
    int64_t unfinished;

    for (int i = 0; i < SIZE; i++)
        data[i] = (char)(i % 251);
    send(&s, "content-length=9000000\n", "", data, SIZE);
    assert_true(s.done);
    assert_int_equal(s.result.size_bytes, SIZE);
    assert_int_equal(s.result.checksum, UPLOAD_CRC64NVME);
    assert_false(s.result.checksum_stated);
    release(&s, true);
    assert_int_equal(blob_count(&unfinished), 1);
    /* Nobody needs the second one. */
    send(&s, "", "", data, 1000);
    release(&s, false);
    assert_int_equal(blob_count(&unfinished), 1);
    assert_int_equal(unfinished, 0);
    /* Nothing has no blob. */
    send(&s, "content-length=0\n", "", "", 0);
    assert_true(s.done);
    assert_string_equal(s.result.blob_uid, "");
    upload_free(s.u);
    free(data);
}

static void what_is_stated_must_be_true(void **state)
{
    static const struct {
        const char *headers, *trailer, *code; /* code NULL: it is fine */
    } cases[] = {
        { "content-md5=XrY7u+Ae7tCTyyK7j1rNww==\n", "", NULL },
        { "content-md5=AAAAAAAAAAAAAAAAAAAAAA==\n", "", "BadDigest" },
        { "content-md5=nonsense\n", "", "InvalidDigest" },
        /* Who needs no MD5 and states one is held against it. */
        { "x-sagebrush-any-etag=1\n", "", NULL },
        { "x-sagebrush-any-etag=1\ncontent-md5=XrY7u+Ae7tCTyyK7j1rNww==\n", "", NULL },
        { "x-sagebrush-any-etag=1\ncontent-md5=AAAAAAAAAAAAAAAAAAAAAA==\n", "", "BadDigest" },
        { "x-sagebrush-any-etag=1\nx-amz-checksum-crc32=DUoRhA==\n", "", "BadDigest" },
        { "content-length=12\n", "", "IncompleteBody" },
        { "content-length=10\n", "", "IncompleteBody" },
        { "x-amz-checksum-crc32=DUoRhQ==\n", "", NULL },
        { "x-amz-checksum-crc32=DUoRhA==\n", "", "BadDigest" },
        { "x-amz-checksum-crc32=DUoR\n", "", "InvalidRequest" },
        { "x-amz-checksum-crc32c=yZRlqg==\n", "", NULL },
        { "x-amz-checksum-sha1=Kq5sNclPz7QV2+lfQIuc6R7oRu0=\n", "", NULL },
        { "x-amz-checksum-sha256=uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=\n", "", NULL },
        { "x-amz-checksum-sha256=AAAnuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=\n", "", "BadDigest" },
        { "x-amz-checksum-sha512=AAAA\n", "", "InvalidRequest" },
        { "x-amz-checksum-crc32=DUoRhQ==\nx-amz-checksum-crc32c=yZRlqg==\n", "", "InvalidRequest" },
        { "x-amz-sdk-checksum-algorithm=CRC32\n", "", "InvalidRequest" },
        { "x-amz-trailer=x-amz-checksum-crc32\n", "x-amz-checksum-crc32=DUoRhQ==", NULL },
        { "x-amz-trailer=x-amz-checksum-crc32\n", "x-amz-checksum-crc32=DUoRhA==", "BadDigest" },
        { "x-amz-trailer=x-amz-checksum-crc32\n", "", "MalformedTrailerError" },
        { "x-amz-trailer=x-amz-checksum-crc32\n", "x-amz-checksum-crc32c=yZRlqg==", "InvalidRequest" },
        { "x-amz-content-sha256=b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9\n", "", NULL },
        { "x-amz-content-sha256=094d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9\n", "",
          "XAmzContentSHA256Mismatch" },
        { "x-amz-content-sha256=UNSIGNED-PAYLOAD\n", "", NULL },
    };
    struct sender s;
    int64_t unfinished;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        send(&s, cases[i].headers, cases[i].trailer, "hello world", 11);
        if ((cases[i].code == NULL) != s.done || (cases[i].code && strcmp(s.err.code, cases[i].code) != 0)) {
            print_error("%s%s: %s %s\n", cases[i].headers, cases[i].trailer, s.err.code, s.err.text);
            assert_true(false);
        }
        release(&s, false);
        assert_int_equal(blob_count(&unfinished), 0);
        assert_int_equal(unfinished, 0);
    }
}

static void a_body_cut_short_leaves_nothing(void **state)
{
    char *data = calloc(1, 3000000);
    struct sender s = { 0 };
    struct err err = { 0 };
    int64_t unfinished;

    for (int turns = 0; turns < 4; turns++) {
        _cleanup_arena_ struct arena *a = arena_new();

        s.u = upload_new(loop, bodies, &events, &s);
        assert_int_equal(upload_headers(s.u, doc_map(a), &err), 0);
        upload_write(s.u, data, turns == 0 ? 100 : 3000000);
        for (int i = 0; i < turns; i++)
            loop_turn(loop, false);
        upload_free(s.u); /* the connection broke: no call after it */
        settle();
        assert_false(s.done || s.failed);
        assert_int_equal(blob_count(&unfinished), 0);
        assert_int_equal(unfinished, 0);
    }
    free(data);
}

static void a_full_disk_is_said_early(void **state)
{
    struct sender s;
    int64_t unfinished;
    char *data = calloc(1, 3000000);

    teardown(state);
    setup_with_reserve(INT64_MAX / 2); /* no disk has so much */
    send(&s, "content-length=3000000\n", "", data, 3000000);
    assert_true(s.failed);
    assert_int_equal(s.err.kind, ERR_UNAVAILABLE);
    release(&s, false);
    assert_int_equal(blob_count(&unfinished), 0);
    free(data);
}

struct receiver {
    struct downloading *d;
    struct buf got;
    bool ended, failed, slow, free_early;
    int calls;
};

static size_t take(void *owner, const void *data, size_t size)
{
    struct receiver *r = owner;

    buf_append(&r->got, data, size);
    r->calls++;
    if (r->free_early)
        download_free(r->d);
    return r->slow ? 1 << 20 : 0;
}

static void end(void *owner, const struct err *err)
{
    struct receiver *r = owner;

    r->ended = true;
    r->failed = err != NULL;
}

static const struct download_events receiving = { take, end };

static void pieces_come_in_order(void **state)
{
    enum { SIZE = 2 * 1000 * 1000 };
    char *data = malloc(SIZE), first[BLOB_UID_SIZE + 1], second[BLOB_UID_SIZE + 1];
    struct piece pieces[5];
    struct download what = { pieces, 5 };
    struct buf want = { 0 };
    struct sender s;

    for (int i = 0; i < SIZE; i++)
        data[i] = (char)(i * 31 + i / 997);
    send(&s, "", "", data, SIZE);
    strcpy(first, s.result.blob_uid);
    release(&s, true);
    send(&s, "", "", data, 1000);
    strcpy(second, s.result.blob_uid);
    release(&s, true);
    pieces[0] = (struct piece){ first, 10, 1500000 };
    pieces[1] = (struct piece){ first, 0, 0 };
    pieces[2] = (struct piece){ first, 5, 20 };
    pieces[3] = (struct piece){ second, 999, 1 };
    pieces[4] = (struct piece){ first, 1000000, 1000000 };
    buf_append(&want, data + 10, 1500000);
    buf_append(&want, data + 5, 20);
    buf_append(&want, data + 999, 1);
    buf_append(&want, data + 1000000, 1000000);
    for (int slow = 0; slow < 2; slow++) {
        struct receiver r = { .slow = slow };

        r.d = download_new(loop, bodies, &what, &receiving, &r);
        assert_int_equal(download_size_bytes(r.d), want.size);
        download_start(r.d);
        while (!r.ended) {
            loop_turn(loop, !slow);
            if (slow && r.calls > 0)
                download_go_on(r.d);
        }
        assert_false(r.failed);
        assert_int_equal(r.got.size, want.size);
        assert_memory_equal(r.got.data, want.data, want.size);
        download_free(r.d);
        buf_free(&r.got);
    }
    {
        struct receiver stuck = { .slow = true }, gone = { .free_early = true };

        /* Without a word from the receiver no more than one chunk comes. */
        stuck.d = download_new(loop, bodies, &what, &receiving, &stuck);
        download_start(stuck.d);
        settle();
        assert_int_equal(stuck.calls, 1);
        /* Removed while it is read: stays until the reader is gone. */
        map_remove(needed, str_of(first));
        bodies_release(bodies, first);
        bodies_sweep(bodies);
        stuck.slow = false;
        download_go_on(stuck.d);
        while (!stuck.ended)
            loop_turn(loop, true);
        assert_false(stuck.failed);
        assert_memory_equal(stuck.got.data, want.data, want.size);
        gone.d = download_new(loop, bodies, &what, &receiving, &gone);
        download_free(stuck.d);
        download_start(gone.d);
        while (gone.calls == 0)
            loop_turn(loop, true);
        settle();
        assert_false(gone.ended);
        bodies_sweep(bodies);
        settle();
        buf_free(&gone.got);
        buf_free(&stuck.got);
    }
    {
        struct receiver r = { 0 };

        r.d = download_new(loop, bodies, &what, &receiving, &r);
        download_start(r.d);
        while (!r.ended)
            loop_turn(loop, true);
        assert_true(r.failed); /* it is gone now */
        download_free(r.d);
        buf_free(&r.got);
    }
    {
        struct download nothing = { 0 };
        struct receiver r = { 0 };

        r.d = download_new(loop, bodies, &nothing, &receiving, &r);
        download_start(r.d);
        while (!r.ended)
            loop_turn(loop, true);
        assert_false(r.failed);
        download_free(r.d);
    }
    buf_free(&want);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_body_is_measured_and_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_stated_must_be_true, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_cut_short_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_said_early, setup, teardown),
        cmocka_unit_test_setup_teardown(pieces_come_in_order, setup, teardown),
    };

    log_setup("test_upload", LOG_ERROR);
    loop_work_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
