/* s3_test.h - a world with nothing but S3 in it: a memory store, a folder of blobs, a clock that is set by hand. */
#ifndef TESTS_S3_TEST_H
#define TESTS_S3_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* ours is a function */
#define give_up(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aws/model.h"
#include "base/fd.h"
#include "doc/json.h"
#include "engine/bodies.h"
#include "engine/engine.h"
#include "engine/integrity.h"
#include "services/s3/s3.h"
#include "store/blob.h"
#include "store/store.h"

static int64_t test_now_ms = 1700000000000;

static int64_t test_clock_ms(struct clock *c)
{
    (void)c;
    return test_now_ms;
}

struct s3_world {
    char folder[64];
    struct clock clock;
    struct rand rand;
    struct store *store;
    struct blobs *blobs;
    struct bodies *bodies;
    struct engine *engine;
    struct arena *arena;
    struct principal root, *principal; /* principal: who asks */
    const char *region;

    /* Of the last call. */
    struct doc *output;
    struct download download;
    struct doc *extra_headers;
    int http_status;
    struct err err;
};

static inline void s3_world_new(struct s3_world *w)
{
    static const struct service_ops *const services[] = { &s3_ops, NULL };
    static const struct kind *const kinds[] = { NULL };
    struct engine_world world;

    *w = (struct s3_world){ .folder = "/tmp/sagebrush-s3-XXXXXX", .clock = { test_clock_ms, test_clock_ms },
                            .rand = rand_seeded(1), .region = "us-east-1" };
    w->root = (struct principal){ .account = "123456789012", .arn = "arn:aws:iam::123456789012:root",
                                  .user_id = "123456789012", .access_key_id = "AKIAROOT", .trusted = true };
    w->principal = &w->root;
    assert_non_null(mkdtemp(w->folder));
    w->arena = arena_new();
    w->store = store_new_memory();
    assert_int_equal(blobs_open(w->folder, 0, rand_system(), &w->blobs, &w->err), 0);
    w->bodies = bodies_new(NULL, w->blobs, s3_blob_referenced, w->store);
    world = (struct engine_world){ .store = w->store, .bodies = w->bodies, .clock = &w->clock, .rand = &w->rand,
                                   .services = services, .kinds = kinds, .default_region = "us-east-1",
                                   .account = "123456789012" };
    assert_int_equal(engine_new(&world, &w->engine, &w->err), 0);
}

static inline void s3_world_free(struct s3_world *w)
{
    engine_free(w->engine);
    bodies_free(w->bodies);
    blobs_free(w->blobs);
    store_free(w->store);
    arena_free(w->arena);
    tree_remove(w->folder, &w->err);
}

/* A body as the gateway gives it. */
static inline struct upload *s3_upload(struct s3_world *w, const void *data, size_t size)
{
    struct integrity in;
    char uid[BLOB_UID_SIZE + 1];
    struct upload *u = arena_new_of(w->arena, struct upload);
    struct doc *none = doc_map(w->arena);

    integrity_start(&in);
    assert_int_equal(integrity_headers(&in, none, UPLOAD_CRC64NVME, &w->err), 0);
    integrity_update(&in, data, size);
    assert_int_equal(integrity_finish(&in, &w->err), 0);
    *u = in.measured;
    u->blob_uid = "";
    if (size > 0) {
        int fd = blob_create(w->blobs, uid, &w->err);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, data, size, &w->err), 0);
        assert_int_equal(blob_publish(w->blobs, uid, fd, &w->err), 0);
        close(fd);
        u->blob_uid = arena_strdup(w->arena, uid);
    }
    return u;
}

static inline int s3_run(struct s3_world *w, const char *operation, const struct doc *input,
                         const struct upload *upload)
{
    struct call c = {
        .engine = w->engine,
        .arena = w->arena,
        .operation = model_operation(model_service("s3"), str_of(operation)),
        .principal = w->principal,
        .region = w->region,
        .request_id = "R",
        .source_ip = "127.0.0.1",
        .now_ms = test_now_ms,
        .input = input,
        .output = doc_map(w->arena),
        .upload = upload,
        .download = &w->download,
    };
    int result;

    assert_non_null(c.operation);
    w->err = (struct err){ 0 };
    w->download = (struct download){ 0 };
    result = engine_run(w->engine, &c, &w->err);
    assert_int_equal(engine_commit(w->engine, &(struct err){ 0 }), 0);
    if (upload && upload->blob_uid[0])
        bodies_release(w->bodies, upload->blob_uid); /* as upload_free() does */
    bodies_sweep(w->bodies);
    w->output = c.output;
    w->http_status = c.http_status;
    w->extra_headers = c.extra_headers;
    return result;
}

/* The input in JSON with single quotes for double ones. */
static inline struct doc *s3_input(struct s3_world *w, const char *format, va_list ap)
{
    char *text = arena_vprintf(w->arena, format, ap);
    struct doc *input;

    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    if (json_parse(w->arena, str_of(text), &input, &w->err) < 0)
        give_up("%s: %s", text, w->err.text);
    return input;
}

/* Works. */
__attribute__((format(printf, 3, 4))) static inline const struct doc *s3_do(struct s3_world *w, const char *operation,
                                                                           const char *format, ...)
{
    struct doc *input;
    va_list ap;

    va_start(ap, format);
    input = s3_input(w, format, ap);
    va_end(ap);
    if (s3_run(w, operation, input, NULL) < 0)
        give_up("%s %s: %s: %s", operation, format, w->err.code, w->err.text);
    return w->output;
}

/* Fails with that code. */
__attribute__((format(printf, 4, 5))) static inline void s3_fails(struct s3_world *w, const char *code,
                                                                  const char *operation, const char *format, ...)
{
    struct doc *input;
    va_list ap;

    va_start(ap, format);
    input = s3_input(w, format, ap);
    va_end(ap);
    if (s3_run(w, operation, input, NULL) == 0)
        give_up("%s %s: worked, and should have failed with %s", operation, format, code);
    if (strcmp(w->err.code, code) != 0)
        give_up("%s %s: %s (%s), and not %s", operation, format, w->err.code, w->err.text, code);
}

/* Puts with a body; the result of the call. */
__attribute__((format(printf, 5, 6)))
static inline int s3_send(struct s3_world *w, const char *operation, const void *data, size_t size, const char *format,
                          ...)
{
    struct doc *input;
    va_list ap;

    va_start(ap, format);
    input = s3_input(w, format, ap);
    va_end(ap);
    return s3_run(w, operation, input, s3_upload(w, data, size));
}

static inline void s3_put(struct s3_world *w, const char *bucket, const char *key, const char *text)
{
    struct doc *input = doc_map(w->arena);

    doc_set_string(w->arena, input, "Bucket", bucket);
    doc_set_string(w->arena, input, "Key", key);
    if (s3_run(w, "PutObject", input, s3_upload(w, text, strlen(text))) < 0)
        give_up("put %s: %s", key, w->err.text);
}

/* What the last GetObject gives. */
static inline struct str s3_body(struct s3_world *w)
{
    struct buf b = { 0 };
    struct str all;

    for (int i = 0; i < w->download.piece_count; i++) {
        const struct piece *p = &w->download.pieces[i];
        int64_t size;
        int fd = blob_open(w->blobs, p->blob_uid, &size, &w->err);

        assert_true(fd >= 0);
        assert_true(p->offset + p->size_bytes <= size);
        assert_int_equal(pread(fd, buf_reserve(&b, (size_t)p->size_bytes), (size_t)p->size_bytes, p->offset),
                         p->size_bytes);
        b.size += (size_t)p->size_bytes;
        close(fd);
    }
    all = (struct str){ arena_copy(w->arena, b.data ? b.data : "", b.size + 1), b.size };
    buf_free(&b);
    return all;
}

static inline bool s3_keep(void *context, const char *uid)
{
    (*(int *)context)++;
    return true;
}

/* Blobs on disk; what no record needs must not be among them. */
static inline int s3_blob_count(struct s3_world *w)
{
    int count = 0;
    int64_t removed;

    assert_int_equal(blobs_collect(w->blobs, s3_keep, &count, &removed, &w->err), 0);
    assert_int_equal(removed, 0);
    return count;
}

static inline int s3_table_count(struct s3_world *w, const char *table)
{
    struct range range = { .limit = 100000 };
    struct pair *pairs;
    int count;

    assert_int_equal(store_scan(w->arena, w->store, table, &range, &pairs, &count, &w->err), 0);
    return count;
}

#endif
