/* fetch.c - objects are cut into ranges, and a few threads fetch them. */
#include "agent/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "base/fd.h"

enum { THREADS = 4, RANGE_BYTES = 32 << 20 };

struct s3 *fetch_client(const struct transfer *t)
{
    return s3_new(&(struct s3_options){ .socket_path = t->order->api_socket, .region = t->order->region,
                                        .access_key_id = t->order->access_key_id,
                                        .secret_access_key = t->order->secret_access_key,
                                        .session_token = t->order->session_token, .clock = t->clock,
                                        .cancel_fd = t->cancel_fd });
}

void fetch_add_piece(struct arena *a, struct fetch *f, const struct fetch_piece *p)
{
    if (f->count == f->room) {
        int room = f->room ? f->room * 2 : 64;
        struct fetch_piece *more = arena_array_of(a, struct fetch_piece, (size_t)room);

        if (f->count)
            memcpy(more, f->pieces, sizeof *more * (size_t)f->count);
        f->pieces = more;
        f->room = room;
    }
    f->pieces[f->count++] = *p;
}

/* --- Several at a time --- */

struct run {
    const struct transfer *transfer;
    int (*one)(void *data, int number, struct s3 *, struct err *err);
    void *data;
    int count;
    pthread_mutex_t lock;
    int next;
    bool failed;
    struct err err;
};

static void *run_thread(void *data)
{
    struct run *r = data;
    struct s3 *s3 = fetch_client(r->transfer);

    for (;;) {
        struct err err = { 0 };
        int number;

        pthread_mutex_lock(&r->lock);
        number = r->failed || r->next == r->count ? -1 : r->next++;
        pthread_mutex_unlock(&r->lock);
        if (number < 0)
            break;
        if (r->one(r->data, number, s3, &err) < 0) {
            pthread_mutex_lock(&r->lock);
            if (!r->failed)
                r->err = err;
            r->failed = true;
            pthread_mutex_unlock(&r->lock);
        }
    }
    s3_free(s3);
    return NULL;
}

int fetch_each(const struct transfer *t, int count, int (*one)(void *data, int number, struct s3 *, struct err *err),
               void *data, struct err *err)
{
    struct run r = { .transfer = t, .one = one, .data = data, .count = count, .lock = PTHREAD_MUTEX_INITIALIZER };
    pthread_t threads[THREADS];
    int started = 0;

    /* One thing needs no thread of its own; this one takes part. */
    while (started < THREADS - 1 && started + 1 < count &&
           pthread_create(&threads[started], NULL, run_thread, &r) == 0)
        started++;
    run_thread(&r);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    pthread_mutex_destroy(&r.lock);
    if (!r.failed)
        return 0;
    *err = r.err;
    return -1;
}

/* --- Pieces --- */

static int fetch_piece(void *data, int number, struct s3 *s3, struct err *err)
{
    const struct fetch_piece *p = &((const struct fetch *)data)->pieces[number];
    _cleanup_fd_ int fd = open(p->path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    int64_t got;

    if (fd < 0)
        return fail_errno(err, errno, "create %s", p->path);
    if (p->size == 0)
        return 0;
    if (s3_get(s3, p->bucket, p->key, fd, p->offset, p->size, &got, err) < 0)
        return -1;
    if (p->size > 0 && got != p->size)
        return fail(err, ERR_INVALID, "s3://%s/%s changed while it was downloaded", p->bucket, p->key);
    return 0;
}

int fetch_all(struct fetch *f, struct err *err)
{
    return fetch_each(f->transfer, f->count, fetch_piece, f, err);
}

const char *fetch_local_path(struct arena *a, const char *prefix, const char *key)
{
    size_t size = strlen(prefix);
    const char *slash = strrchr(prefix, '/'), *path;

    if (strncmp(key, prefix, size) != 0)
        return NULL;
    if (size && (prefix[size - 1] == '/' || key[size] == '/'))
        path = key + size; /* the prefix names a folder */
    else
        path = key + (slash ? slash - prefix + 1 : 0); /* an object, or the start of a name */
    while (*path == '/')
        path++;
    for (const char *p = path; *p;) {
        size_t part = strcspn(p, "/");

        if (part == 0 || part > 255 || (part == 1 && p[0] == '.') || (part == 2 && p[0] == '.' && p[1] == '.'))
            return NULL;
        p += part;
        if (p[0] == '/' && p[1] == '\0')
            break; /* a folder's own object */
        p += *p == '/';
    }
    return arena_strdup(a, path);
}

static int make_parents(struct arena *a, const char *path, struct err *err)
{
    return folder_make(arena_strndup(a, path, (size_t)(strrchr(path, '/') - path)), 0755, err);
}

int fetch_add(struct arena *a, struct fetch *f, const char *bucket, const char *key, int64_t size, const char *path,
              struct err *err)
{
    /* Consoles make objects that stand for a folder. */
    if (*path && path[strlen(path) - 1] == '/')
        return size > 0 ? 0 : folder_make(arena_strndup(a, path, strlen(path) - 1), 0755, err);
    if (make_parents(a, path, err) < 0)
        return -1;
    /* A whole small object needs no range, and an empty one cannot have one. */
    for (int64_t at = 0; at == 0 || at < size; at += RANGE_BYTES) {
        int64_t rest = size - at;

        fetch_add_piece(a, f, &(struct fetch_piece){ bucket, key, path, at, rest < RANGE_BYTES ? rest : RANGE_BYTES });
    }
    return 0;
}
