/* s3_put.c - a file becomes an object: by one request, or by parts that go several at a time.
 *
 * A small file is held against the hash that it had when it was looked at; a part needs none, for the object is made
 * only after all parts were read and the file was still what it had been before the first. */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/s3_impl.h"
#include "sign/digest.h"

enum { PART_BYTES = 16 << 20, PARTS_MAX = 10000 };

/* An object of parts has an ETag that is no MD5. To measure it of each part is most of what an upload costs the server,
 * and takes that from the job. */
static const struct http_header any_etag = { STR("x-sagebrush-any-etag"), STR("1") };

struct put {
    struct s3 *s3;
    struct arena *arena;
    const char *bucket, *key, *what;
    int fd;
    const struct s3_put_options *options;
};

static int check_unchanged(const struct put *p, struct err *err)
{
    if (!p->options->unchanged || p->options->unchanged(p->options->data))
        return 0;
    return fail(err, ERR_UNAVAILABLE, "%s: the file changed while it was read", p->what);
}

/* --- By one request --- */

/* Hex SHA-256 of a file. */
static int hash_file(int fd, int64_t size, char ret[static 2 * SHA256_SIZE + 1], struct err *err)
{
    unsigned char block[65536], sum[SHA256_SIZE];
    struct digest d;
    int64_t at = 0;

    digest_start(&d, DIGEST_SHA256);
    while (at < size) {
        ssize_t n = pread(fd, block, (size_t)(size - at < (int64_t)sizeof block ? size - at : (int64_t)sizeof block),
                          at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail_errno(err, n < 0 ? errno : EIO, "read what is to be uploaded");
        digest_update(&d, block, (size_t)n);
        at += n;
    }
    digest_finish(&d, sum);
    hex_encode(ret, sum, sizeof sum);
    return 0;
}

/* The server holds what it is sent against the hash, so the file as it was hashed, or nothing, becomes the object. */
static int put_whole(const struct put *p, int64_t size, struct err *err)
{
    char hash[2 * SHA256_SIZE + 1];
    struct transport_request q = { .method = "PUT", .target = s3_target(p->arena, p->bucket, p->key, NULL), .fd = p->fd,
                                   .size_bytes = size, .pace = p->options->pace };
    struct transport_answer answer = { 0 };
    int r;

    if (hash_file(p->fd, size, hash, err) < 0 || check_unchanged(p, err) < 0)
        return -1;
    r = s3_call(p->s3, p->arena, &q, str_of(hash), &answer, p->what, err);
    buf_free(&answer.body);
    return r;
}

/* --- By parts --- */

struct parts {
    const struct put *put;
    const char *upload; /* its id, as it stands in a query */
    int64_t size, part_bytes;
    int count;
    struct str *etags; /* one for each, in 'arena' */
    struct arena *arena;
    pthread_mutex_t lock;
    int next;
    bool failed;
    struct err err;
};

static int put_part(const struct parts *x, struct s3 *s3, struct arena *a, int part, struct str *ret_etag,
                    struct err *err)
{
    int64_t at = part * x->part_bytes, left = x->size - at;
    const char *query = arena_printf(a, "partNumber=%d&uploadId=%s", part + 1, x->upload);
    struct transport_request q = { .method = "PUT", .target = s3_target(a, x->put->bucket, x->put->key, query),
                                   .headers = &any_etag, .header_count = 1, .fd = x->put->fd, .offset = at,
                                   .size_bytes = left < x->part_bytes ? left : x->part_bytes,
                                   .pace = x->put->options->pace };
    struct transport_answer answer = { 0 };
    int r = s3_call(s3, a, &q, STR("UNSIGNED-PAYLOAD"), &answer, x->put->what, err);

    buf_free(&answer.body);
    *ret_etag = answer.etag;
    return r;
}

static void carry_parts(struct parts *x, struct s3 *s3)
{
    _cleanup_arena_ struct arena *a = arena_new();

    for (;;) {
        struct err err = { 0 };
        struct str etag;
        int part, r;

        pthread_mutex_lock(&x->lock);
        part = x->failed || x->next == x->count ? -1 : x->next++;
        pthread_mutex_unlock(&x->lock);
        if (part < 0)
            return;
        arena_reset(a);
        r = put_part(x, s3, a, part, &etag, &err);
        pthread_mutex_lock(&x->lock);
        if (r == 0)
            x->etags[part] = str_of(str_dup(x->arena, etag));
        else if (!x->failed)
            x->err = err;
        x->failed |= r < 0;
        pthread_mutex_unlock(&x->lock);
    }
}

static void *help(void *data)
{
    struct parts *x = data;
    struct s3 *s3 = s3_new(&x->put->s3->options);

    carry_parts(x, s3);
    s3_free(s3);
    return NULL;
}

/* Takes up to 'wanted' of those that nobody else has. */
static int take_helpers(atomic_int *spare, int wanted)
{
    int left = atomic_load(spare), taken;

    do
        taken = left < wanted ? left : wanted;
    while (taken > 0 && !atomic_compare_exchange_weak(spare, &left, left - taken));
    return taken;
}

static int carry_all(struct parts *x, struct err *err)
{
    atomic_int own = S3_PUT_HELPERS, *spare = x->put->options->helpers ? x->put->options->helpers : &own;
    int taken = take_helpers(spare, x->count - 1 < S3_PUT_HELPERS ? x->count - 1 : S3_PUT_HELPERS), started = 0;
    pthread_t threads[S3_PUT_HELPERS];

    while (started < taken && pthread_create(&threads[started], NULL, help, x) == 0)
        started++;
    carry_parts(x, x->put->s3);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    atomic_fetch_add(spare, taken);
    if (!x->failed)
        return 0;
    *err = x->err;
    return -1;
}

static int begin_upload(const struct put *p, const char **ret, struct err *err)
{
    struct transport_request q = { .method = "POST", .target = s3_target(p->arena, p->bucket, p->key, "uploads=") };
    struct transport_answer answer = { 0 };
    _cleanup_buf_ struct buf encoded = { 0 };
    char hash[2 * SHA256_SIZE + 1];
    struct str xml, id;
    int r;

    sha256_hex(hash, "", 0);
    r = s3_call(p->s3, p->arena, &q, str_of(hash), &answer, p->what, err);
    xml = (struct str){ answer.body.data, answer.body.size };
    if (r == 0 && !s3_element(&xml, "UploadId", &id))
        r = fail(err, ERR_INTERNAL, "%s: the server gave no upload id", p->what);
    if (r == 0)
        uri_encode(&encoded, s3_unescape(p->arena, id), false);
    buf_free(&answer.body);
    if (r < 0)
        return -1;
    *ret = arena_strndup(p->arena, encoded.data, encoded.size);
    return 0;
}

/* The parts become the object. */
static int complete(const struct put *p, const struct parts *x, const char *target, struct err *err)
{
    struct transport_request q = { .method = "POST", .target = target };
    struct transport_answer answer = { 0 };
    _cleanup_buf_ struct buf list = { 0 };
    char hash[2 * SHA256_SIZE + 1];
    struct str xml, code;
    int r;

    buf_append_str(&list, "<CompleteMultipartUpload>");
    for (int i = 0; i < x->count; i++)
        buf_printf(&list, "<Part><PartNumber>%d</PartNumber><ETag>" STR_FMT "</ETag></Part>", i + 1,
                   STR_ARG(x->etags[i]));
    buf_append_str(&list, "</CompleteMultipartUpload>");
    q.body = (struct str){ list.data, list.size };
    sha256_hex(hash, list.data, list.size);
    r = s3_call(p->s3, p->arena, &q, str_of(hash), &answer, p->what, err);
    xml = (struct str){ answer.body.data, answer.body.size };
    /* S3 may say 200 first and find an error later. */
    if (r == 0 && s3_element(&xml, "Code", &code))
        r = fail(err, ERR_INTERNAL, "%s: " STR_FMT, p->what, STR_ARG(code));
    buf_free(&answer.body);
    return r;
}

int s3_abandon(struct s3 *c, const char *bucket, const char *key, const char *upload, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct transport_request q = { .method = "DELETE",
                                   .target = s3_target(a, bucket, key, arena_printf(a, "uploadId=%s", upload)) };
    struct transport_answer answer = { 0 };
    char hash[2 * SHA256_SIZE + 1];
    int r;

    sha256_hex(hash, "", 0);
    r = s3_call(c, a, &q, str_of(hash), &answer, arena_printf(a, "abandon s3://%s/%s", bucket, key), err);
    buf_free(&answer.body);
    return r < 0 && err->kind == ERR_NOT_FOUND ? 0 : r;
}

static int put_parts(const struct put *p, int64_t size, struct err *err)
{
    struct parts x = { .put = p, .size = size, .part_bytes = PART_BYTES, .arena = p->arena,
                       .lock = PTHREAD_MUTEX_INITIALIZER };
    const char *target;
    struct err ignored;
    int r;

    while (size / x.part_bytes >= PARTS_MAX)
        x.part_bytes *= 2;
    x.count = (int)((size + x.part_bytes - 1) / x.part_bytes);
    x.etags = arena_array_of(p->arena, struct str, (size_t)x.count);
    if (begin_upload(p, &x.upload, err) < 0)
        return -1;
    if (p->options->begun)
        p->options->begun(p->options->begun_data, x.upload);
    target = s3_target(p->arena, p->bucket, p->key, arena_printf(p->arena, "uploadId=%s", x.upload));
    r = carry_all(&x, err);
    if (r == 0)
        r = check_unchanged(p, err);
    if (r == 0)
        r = complete(p, &x, target, err);
    /* One that is cancelled is in a hurry, and leaves its parts to the control plane, as one that is killed does. */
    if (r < 0 && err->kind != ERR_CONFLICT)
        s3_abandon(p->s3, p->bucket, p->key, x.upload, &ignored);
    pthread_mutex_destroy(&x.lock);
    return r;
}

int s3_put(struct s3 *c, const char *bucket, const char *key, int fd, const struct s3_put_options *options,
           struct err *err)
{
    static const struct s3_put_options none;
    _cleanup_arena_ struct arena *a = arena_new();
    struct put p = { c, a, bucket, key, arena_printf(a, "put s3://%s/%s", bucket, key), fd, options ? options : &none };
    struct stat st;

    if (fstat(fd, &st) < 0)
        return fail_errno(err, errno, "%s", p.what);
    if (!S_ISREG(st.st_mode))
        return fail(err, ERR_INVALID, "%s: it is no file", p.what);
    return st.st_size > PART_BYTES ? put_parts(&p, st.st_size, err) : put_whole(&p, st.st_size, err);
}
