/* logs.c - one pass: read what has grown, cut it into lines, note in logs.json which bytes are about to be sent, send
 * them, note that they were. A pass that died between the notes is made again with the same bytes, so that events and
 * metrics keep their offsets and ids. */
#include "agent/logs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "agent/lines.h"
#include "agent/messenger.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "doc/json.h"
#include "run/folder.h"

#define STATE_FILE "logs.json"

enum {
    BATCH_BYTES = 256 << 10,
    BATCH_LINES = 2000,
    GATHER_MS = 40,      /* between two messages, so that a chatty job fills them */
    UNWATCHED_MS = 500,  /* without inotify */
    KEEP_BYTES = 1 << 20,
    GIVE_BACK_BYTES = 4 << 20,
    QUEUE_MAX = 200,
};

struct message {
    struct list link;
    char body[];
};

struct last {
    double value;
    int64_t at_ms;
    bool seen;
};

struct logs {
    struct logs_options options;
    pthread_t thread;
    int wake;   /* eventfd: something was asked */
    int cancel; /* eventfd: stop now */
    int watch;  /* inotify, -1: none */
    struct metrics *metrics;

    pthread_mutex_t lock; /* what follows */
    struct list queue;    /* metrics messages */
    int queued;
    bool poke, ended, done, stop;
    struct last *last;

    /* The thread's own. */
    int64_t offset, pending; /* sent; about to be sent, 0: nothing */
    int64_t given_back;      /* bytes at the front that take no more room */
    struct messenger *admin; /* NULL: nobody is told */
    int output;
};

static void signal_fd(int fd)
{
    uint64_t one = 1;

    if (write(fd, &one, sizeof one) < 0)
        assert(errno == EAGAIN);
}

struct doc *logs_final_metrics(struct logs *l, struct arena *a)
{
    struct doc *list = doc_list(a);

    pthread_mutex_lock(&l->lock);
    for (int i = 0; i < metrics_count(l->metrics); i++) {
        struct doc *m;

        if (!l->last[i].seen)
            continue;
        m = doc_map(a);
        doc_set_string(a, m, "name", metrics_name(l->metrics, i));
        doc_set_real(a, m, "value", l->last[i].value);
        doc_set_integer(a, m, "at_ms", l->last[i].at_ms);
        doc_append(a, list, m);
    }
    pthread_mutex_unlock(&l->lock);
    return list;
}

static void save_state(struct logs *l)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *d = doc_map(a);
    struct err err = { 0 };

    doc_set_integer(a, d, "offset", l->offset);
    doc_set_integer(a, d, "pending", l->pending);
    doc_set(a, d, "metrics", logs_final_metrics(l, a));
    /* A full disk costs repetition after a crash, not the log. */
    if (folder_write(a, l->options.folder, STATE_FILE, d, false, &err) < 0)
        log_warning("logs.unsaved", "why=%s", log_quote(a, err.text));
}

static void load_state(struct logs *l)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct doc *d, *list;
    struct err ignored;

    if (folder_read(a, l->options.folder, STATE_FILE, &d, &ignored) < 0 || !d)
        return;
    l->offset = doc_int(d, "offset", 0);
    l->pending = doc_int(d, "pending", 0);
    list = doc_get(d, "metrics");
    for (size_t i = 0; i < list_count(list); i++)
        for (int m = 0; m < metrics_count(l->metrics); m++)
            if (doc_is(list->items[i], "name", metrics_name(l->metrics, m)))
                l->last[m] =
                    (struct last){ doc_number(list->items[i], "value", 0), doc_int(list->items[i], "at_ms", 0), true };
}

static struct doc *about(struct logs *l, struct arena *a)
{
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "account", l->options.order->account);
    doc_set_string(a, d, "region", l->options.order->region);
    return d;
}

struct batch {
    struct arena *arena;
    struct doc *events, *data;
    int64_t from, to;
};

static struct doc *datum(struct logs *l, struct arena *a, int metric, double value, int64_t at_ms)
{
    struct doc *m = doc_map(a), *dimensions = doc_map(a);

    doc_set_string(a, m, "name", metrics_name(l->metrics, metric));
    doc_set_real(a, m, "value", value);
    doc_set_string(a, m, "unit", "None");
    doc_set_integer(a, m, "at_ms", at_ms);
    doc_set_string(a, dimensions, "TrainingJobName", l->options.order->job_name);
    doc_set(a, m, "dimensions", dimensions);
    return m;
}

static void take_line(struct logs *l, struct batch *b, struct str line, int64_t offset, int64_t at_ms)
{
    _cleanup_buf_ struct buf text = { 0 };
    struct doc *e = doc_map(b->arena);
    struct str escaped;

    line_escape(&text, line);
    escaped = (struct str){ text.data ? text.data : "", text.size };
    doc_set_integer(b->arena, e, "offset", offset);
    doc_set_integer(b->arena, e, "at_ms", at_ms);
    doc_set(b->arena, e, "message", doc_str(b->arena, escaped));
    doc_append(b->arena, b->events, e);
    for (int i = 0; i < metrics_count(l->metrics); i++) {
        double value;

        if (!metrics_find(l->metrics, i, escaped, &value))
            continue;
        doc_append(b->arena, b->data, datum(l, b->arena, i, value, at_ms));
        pthread_mutex_lock(&l->lock);
        l->last[i] = (struct last){ value, at_ms, true };
        pthread_mutex_unlock(&l->lock);
    }
}

/* When what stands in the output was there at the latest: lines that are read long after the container's end, because
 * the server was away, were not written then. */
static int64_t written_ms(const struct logs *l)
{
    int64_t now_ms = clock_wall_ms(l->options.clock), touched_ms;
    struct stat st;

    if (fstat(l->output, &st) < 0)
        return now_ms;
    touched_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    return touched_ms < now_ms ? touched_ms : now_ms;
}

/* How many of the 'most' bytes from the offset on somebody has written, after the offset was moved to the first of
 * them; *ret_cut: what comes then nobody has. The output is a file, which a job can make as long as it likes without
 * writing into it: that would be read, and told to the server, for ever. */
static size_t find_written(struct logs *l, size_t most, bool *ret_cut)
{
    off_t data, hole;
    struct stat st;

    /* The size first: what is written meanwhile is no end of a hole. */
    if (fstat(l->output, &st) < 0 || st.st_size <= l->offset)
        return 0;
    data = lseek(l->output, l->offset, SEEK_DATA);
    if (data < 0 && errno != ENXIO)
        return most; /* a file system that does not tell */
    l->offset = data < 0 ? st.st_size : data;
    hole = data < 0 ? data : lseek(l->output, data, SEEK_HOLE);
    *ret_cut = hole >= 0 && hole < st.st_size && (size_t)(hole - data) <= most;
    return *ret_cut ? (size_t)(hole - data) : most;
}

static bool open_output(struct logs *l, struct arena *a)
{
    if (l->output < 0)
        l->output =
            open(arena_printf(a, "%s/" FOLDER_OUTPUT, l->options.folder), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return l->output >= 0;
}

/* The lines between 'offset' and 'pending', or as many as are there; false: none. */
static bool read_batch(struct logs *l, char *block, bool ended, struct batch *b)
{
    bool cut = false, again;
    size_t most;
    int64_t at_ms;
    struct str text = { block, 0 }, line;
    ssize_t n;

    if (!open_output(l, b->arena))
        return false;
    most = find_written(l, BATCH_BYTES, &cut);
    again = l->pending > l->offset;
    if (again && (size_t)(l->pending - l->offset) < most)
        most = (size_t)(l->pending - l->offset);
    do
        n = pread(l->output, block, most, l->offset);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return false;
    text.size = (size_t)n;
    at_ms = written_ms(l);
    b->from = b->to = l->offset;
    /* What was about to be sent ends where a line ended then; what stands at the end of the block only ends with the
     * output. */
    while (b->events->count < BATCH_LINES && line_next(&text, again || cut || (ended && (size_t)n < most), &line)) {
        take_line(l, b, line, b->to, at_ms);
        b->to = l->offset + (text.data - block);
    }
    return b->to > b->from;
}

/* What the server has is no more needed here: a job that prints for days fills no disk. The tail stays, for the reason
 * of a failure. */
static void give_back(struct logs *l)
{
    int64_t until = (l->offset - KEEP_BYTES) / GIVE_BACK_BYTES * GIVE_BACK_BYTES;

    if (until <= l->given_back || !l->admin)
        return;
    /* A file system that cannot do it keeps the bytes. */
    if (fallocate(l->output, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, l->given_back, until - l->given_back) == 0 ||
        errno == EOPNOTSUPP)
        l->given_back = until;
}

static int tell_batch(struct logs *l, struct batch *b, struct err *err)
{
    const struct order *o = l->options.order;
    struct arena *a = b->arena;
    struct doc *d = about(l, a);

    /* Only ids of metrics need the same bytes again; events carry offsets of their own. */
    if (b->data->count)
        save_state(l);
    doc_set_string(a, d, "group", o->log_group);
    doc_set_string(a, d, "stream", o->log_stream);
    doc_set(a, d, "events", b->events);
    if (messenger_tell(l->admin, "logs", json_text(a, d), err) < 0)
        return -1;
    if (!b->data->count)
        return 0;
    d = about(l, a);
    doc_set_string(a, d, "namespace", "/aws/sagemaker/TrainingJobs");
    doc_set(a, d, "data", b->data);
    doc_set_string(a, d, "id", arena_printf(a, "%s:%lld", o->name, (long long)b->from));
    return messenger_tell(l->admin, "metrics", json_text(a, d), err);
}

static int send_batch(struct logs *l, struct batch *b, struct err *err)
{
    l->pending = b->to;
    if (l->admin && tell_batch(l, b, err) < 0)
        return -1;
    l->offset = b->to;
    l->pending = 0;
    save_state(l);
    give_back(l);
    if (b->data->count)
        l->options.changed(l->options.data);
    return 0;
}

static void send_poke(struct logs *l)
{
    bool poke;

    pthread_mutex_lock(&l->lock);
    poke = l->poke;
    l->poke = false;
    pthread_mutex_unlock(&l->lock);
    if (poke && l->admin)
        messenger_poke(l->admin);
}

/* What was asked of us beside the output. */
static int serve_queue(struct logs *l, struct err *err)
{
    for (;;) {
        struct message *m = NULL;
        int r;

        send_poke(l);
        pthread_mutex_lock(&l->lock);
        if (!list_empty(&l->queue)) {
            m = list_entry(l->queue.next, struct message, link);
            list_remove(&m->link);
            l->queued--;
        }
        pthread_mutex_unlock(&l->lock);
        if (!m)
            return 0;
        r = l->admin ? messenger_tell(l->admin, "metrics", m->body, err) : 0;
        free(m);
        if (r < 0)
            return -1;
    }
}

static bool watch_output(struct logs *l)
{
    _cleanup_arena_ struct arena *a = arena_new();

    return l->watch >= 0 && inotify_add_watch(l->watch, arena_printf(a, "%s/" FOLDER_OUTPUT, l->options.folder),
                                              IN_MODIFY | IN_CLOSE_WRITE) >= 0;
}

/* Sleeps until the output has grown, something is asked, or the time is up. */
static void wait_for_work(struct logs *l, int ms)
{
    struct pollfd p[2] = { { .fd = l->wake, .events = POLLIN }, { .fd = l->watch, .events = POLLIN } };
    char drop[4096];

    poll(p, 2, ms);
    if (p[0].revents && read(l->wake, drop, sizeof(uint64_t)) < 0)
        return;
    if (p[1].revents)
        while (read(l->watch, drop, sizeof drop) > 0)
            ;
}

/* The output has ended and the server has it: done, but for what is asked until then. */
static void finish(struct logs *l)
{
    bool done;

    pthread_mutex_lock(&l->lock);
    done = l->done = list_empty(&l->queue) && !l->poke;
    pthread_mutex_unlock(&l->lock);
    if (done)
        l->options.changed(l->options.data);
}

/* One pass. 0: look again at once, 1: there is nothing more to be read, -1: we were told to stop. */
static int pass(struct logs *l, char *block)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct batch b = { .arena = a, .events = doc_list(a), .data = doc_list(a) };
    bool ended, stop;
    struct err err;

    /* Asked before the file is read: what is written before the end is then seen. */
    pthread_mutex_lock(&l->lock);
    ended = l->ended;
    stop = l->stop;
    pthread_mutex_unlock(&l->lock);
    if (stop || serve_queue(l, &err) < 0) {
        /* The last report is saved just before the stop: its poke still goes. */
        send_poke(l);
        return -1;
    }
    if (read_batch(l, block, ended, &b)) {
        if (send_batch(l, &b, &err) < 0)
            return -1;
        if (!ended)
            poll(&(struct pollfd){ .fd = l->cancel, .events = POLLIN }, 1, GATHER_MS);
        return 0;
    }
    if (ended)
        finish(l);
    return 1;
}

static void *run(void *data)
{
    struct logs *l = data;
    char *block = malloc(BATCH_BYTES);
    bool watched = false;
    int more;

    assert(block);
    do {
        if (!watched)
            watched = watch_output(l);
        more = pass(l, block);
        if (more > 0)
            wait_for_work(l, watched ? -1 : UNWATCHED_MS);
    } while (more >= 0);
    free(block);
    return NULL;
}

struct logs *logs_new(const struct logs_options *options)
{
    struct logs *l = calloc(1, sizeof *l);
    int r;

    assert(l);
    l->options = *options;
    l->output = -1;
    l->metrics = metrics_new(options->order->metric_definitions);
    l->last = calloc((size_t)metrics_count(l->metrics) + 1, sizeof *l->last);
    assert(l->last);
    list_init(&l->queue);
    pthread_mutex_init(&l->lock, NULL);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* Few are to be had (fs.inotify.max_user_instances): without one the file is looked at now and then. */
    l->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    assert(l->wake >= 0 && l->cancel >= 0);
    if (*options->order->admin_socket)
        l->admin = messenger_new(options->order, l->cancel);
    load_state(l);
    r = pthread_create(&l->thread, NULL, run, l);
    assert(r == 0);
    return l;
}

void logs_free(struct logs *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_mutex_unlock(&l->lock);
    signal_fd(l->cancel);
    signal_fd(l->wake);
    pthread_join(l->thread, NULL);
    list_each(node, &l->queue)
        free(list_entry(node, struct message, link));
    messenger_free(l->admin);
    metrics_free(l->metrics);
    fd_cleanup(&l->wake);
    fd_cleanup(&l->cancel);
    fd_cleanup(&l->watch);
    fd_cleanup(&l->output);
    pthread_mutex_destroy(&l->lock);
    free(l->last);
    free(l);
}

void logs_poke(struct logs *l)
{
    pthread_mutex_lock(&l->lock);
    l->poke = true;
    pthread_mutex_unlock(&l->lock);
    signal_fd(l->wake);
}

void logs_metrics(struct logs *l, const char *body)
{
    struct message *m = malloc(sizeof *m + strlen(body) + 1);

    assert(m);
    strcpy(m->body, body);
    list_init(&m->link);
    pthread_mutex_lock(&l->lock);
    /* While the server is away the newest count: charts can miss a minute. */
    if (l->queued == QUEUE_MAX) {
        struct message *oldest = list_entry(l->queue.next, struct message, link);

        list_remove(&oldest->link);
        free(oldest);
        l->queued--;
    }
    list_append(&l->queue, &m->link);
    l->queued++;
    l->done = false;
    pthread_mutex_unlock(&l->lock);
    signal_fd(l->wake);
}

void logs_line(struct logs *l, const char *text)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_fd_ int fd = open(arena_printf(a, "%s/" FOLDER_OUTPUT, l->options.folder),
                               O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    const char *line = arena_printf(a, "%s\n", text);
    struct err ignored;

    if (fd >= 0)
        fd_write_all(fd, line, strlen(line), &ignored);
    signal_fd(l->wake);
}

void logs_end(struct logs *l)
{
    pthread_mutex_lock(&l->lock);
    l->ended = true;
    pthread_mutex_unlock(&l->lock);
    signal_fd(l->wake);
}

bool logs_done(struct logs *l)
{
    bool done;

    pthread_mutex_lock(&l->lock);
    done = l->done;
    pthread_mutex_unlock(&l->lock);
    return done;
}
