/* main.c - sagebrush-serve, the data plane: the public port.
 *
 * It inherits the listening socket and needs nothing else to serve but the routing snapshot and the certificate in
 * the data directory: killed at any moment, the next one goes on where it was. The main thread watches the snapshot
 * and writes the acknowledgement, whose fsync must not hold up a request; the workers serve. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "net/listener.h"
#include "net/tls.h"
#include "serve/worker.h"

enum {
    FIRST_LISTEN_FD = 3,
    LISTEN_FDS_MAX = 8,
    SNAPSHOT_MAX_BYTES = 256 << 20,
    LOOK_AGAIN_MS = 1000, /* the folder is watched; this is for the notice that was lost */
    DRAIN_MS = 10000,
    THREADS_MAX = 64,
};

struct plane {
    struct loop *loop;
    const char *snapshot_path, *ack_path;
    struct worker **workers;
    int worker_count;
    struct counters *counters;
    struct loop_timer again;
    int64_t generation; /* handed to the workers */
    struct timespec seen_mtime;
    ino_t seen_inode;
    struct route_ack written;
    bool started, stopping;
    bool over; /* the workers are gone: there is nobody to ask */
};

/* --- The acknowledgement --- */

static void acknowledge(void *data)
{
    struct plane *p = data;
    struct route_ack ack = { INT64_MAX, INT64_MAX };
    struct err err;

    if (p->over)
        return;
    for (int i = 0; i < p->worker_count; i++) {
        int64_t applied = atomic_load(&p->workers[i]->applied), drained = atomic_load(&p->workers[i]->drained);

        ack.applied = applied < ack.applied ? applied : ack.applied;
        ack.drained = drained < ack.drained ? drained : ack.drained;
    }
    if (ack.applied == p->written.applied && ack.drained == p->written.drained)
        return;
    if (route_ack_write(p->ack_path, &ack, &err) < 0) {
        log_error("routes.acknowledge", "error=\"%s\"", err.text);
        return;
    }
    p->written = ack;
    log_info("routes.acknowledged", "applied=%" PRId64 " drained=%" PRId64, ack.applied, ack.drained);
}

static void progress(void *data)
{
    struct plane *p = data;

    loop_post(p->loop, acknowledge, p);
}

/* --- The snapshot --- */

static void look(struct plane *p)
{
    _cleanup_arena_ struct arena *a = NULL;
    struct route_snapshot s;
    struct stat st;
    struct str text;
    struct err err;

    if (stat(p->snapshot_path, &st) < 0 ||
        (st.st_ino == p->seen_inode && st.st_mtim.tv_sec == p->seen_mtime.tv_sec &&
         st.st_mtim.tv_nsec == p->seen_mtime.tv_nsec))
        return;
    a = arena_new();
    if (file_read(a, p->snapshot_path, SNAPSHOT_MAX_BYTES, &text, &err) < 0) {
        if (err.kind != ERR_NOT_FOUND)
            log_error("routes.unreadable", "error=\"%s\"", err.text);
        return;
    }
    p->seen_inode = st.st_ino;
    p->seen_mtime = st.st_mtim;
    if (route_snapshot_parse(a, text, &s, &err) < 0) {
        log_error("routes.refused", "kept=%" PRId64 " error=\"%s\"", p->generation, err.text);
        return;
    }
    if (s.generation <= p->generation) {
        if (s.generation < p->generation)
            log_error("routes.refused", "kept=%" PRId64 " error=\"generation %" PRId64 " is older\"", p->generation,
                      s.generation);
        return;
    }
    p->generation = s.generation;
    for (int i = 0; i < p->worker_count; i++) {
        if (p->started)
            worker_apply(p->workers[i], text);
        else if (worker_take(p->workers[i], text, &err) < 0)
            log_error("routes.refused", "error=\"%s\"", err.text);
    }
}

static void changed(void *data, const char *name)
{
    if (!name || strcmp(name, "route.json") == 0)
        look(data);
}

static void look_again(struct loop_timer *timer)
{
    struct plane *p = list_entry(timer, struct plane, again);

    look(p);
    acknowledge(p); /* what could not be written before */
    loop_timer_set(p->loop, timer, loop_now_ms(p->loop) + LOOK_AGAIN_MS);
}

/* --- Start and end --- */

static void stop(void *data, int number)
{
    struct plane *p = data;

    if (!p->stopping)
        log_info("serve.stopping", "signal=%d", number);
    p->stopping = true;
    loop_stop(p->loop);
}

/* Two descriptors a request: what the hard limit gives is ours to use. */
static int descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > 1000000 ? 1000000 : (int)limit.rlim_cur;
}

static void *work(void *data)
{
    struct worker *w = data;

    loop_run(w->loop);
    return NULL;
}

static int usage(FILE *to, int code)
{
    fputs("usage: sagebrush-serve --data DIR [--threads N] [--port N]\n"
          "\n"
          "The data plane: serves the listening socket that it inherits as descriptor 3.\n"
          "\n"
          "  --data DIR     the data directory\n"
          "  --threads N    worker threads; default: one for each two processors\n"
          "  --port N       listen on 127.0.0.1, on this port (0: any, which is told on standard output)\n"
          "                 instead of inheriting a socket\n",
          to);
    return code;
}

static bool listens(int fd)
{
    int value = 0;
    socklen_t size = sizeof value;

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value;
}

static int find_sockets(int port, int *fds, struct err *err)
{
    int count = 0;

    if (port >= 0) {
        if (listen_tcp("127.0.0.1", port, &fds[0], &port, err) < 0)
            return -1;
        printf("%d\n", port);
        fflush(stdout);
        return 1;
    }
    while (count < LISTEN_FDS_MAX && listens(FIRST_LISTEN_FD + count)) {
        fds[count] = FIRST_LISTEN_FD + count;
        fcntl(fds[count], F_SETFD, FD_CLOEXEC);
        count++;
    }
    if (count == 0)
        return fail(err, ERR_INVALID,
                    "descriptor %d is no listening socket: start this by sagebrush up, or give --port",
                    FIRST_LISTEN_FD);
    return count;
}

static int find_certificate(struct arena *a, const char *data, struct tls_server **ret, struct err *err)
{
    const char *certificate = arena_printf(a, "%s/secrets/server.pem", data);

    *ret = NULL;
    if (!path_exists(certificate)) {
        log_warning("serve.no_tls", "reason=\"%s is not there: plain HTTP from this machine only\"", certificate);
        return 0;
    }
    return tls_server_new(certificate, arena_printf(a, "%s/secrets/server.key", data), ret, err);
}

static int serve(struct arena *a, const char *data, int threads, int port, struct err *err)
{
    struct plane p = { .again.run = look_again };
    int fds[LISTEN_FDS_MAX];
    struct worker_options options = {
        .api_socket = arena_printf(a, "%s/run/api.sock", data),
        .fds = fds,
        .clock = clock_system(),
        .progress = progress,
        .progress_data = &p,
    };
    struct loop_watch *watch;

    p.snapshot_path = arena_printf(a, "%s/route.json", data);
    p.ack_path = arena_printf(a, "%s/route.ack", data);
    p.workers = arena_array_of(a, struct worker *, threads);
    options.fd_count = find_sockets(port, fds, err);
    if (options.fd_count < 0 || find_certificate(a, data, &options.tls, err) < 0 || loop_new(&p.loop, err) < 0 ||
        loop_watch_new(p.loop, data, changed, &p, &watch, err) < 0 ||
        loop_signal(p.loop, SIGTERM, stop, &p, err) < 0 || loop_signal(p.loop, SIGINT, stop, &p, err) < 0)
        return -1;
    /* Counting is not worth refusing to serve. */
    if (counters_open(arena_printf(a, "%s/run/serve.counters", data), true, &p.counters, err) < 0)
        log_error("serve.counters", "error=\"%s\"", err->text);
    options.counters = p.counters;
    options.max_connections = descriptor_limit() / 3 / threads;
    for (; p.worker_count < threads; p.worker_count++)
        if (worker_new(&options, &p.workers[p.worker_count], err) < 0)
            return -1;
    /* Routes before requests: the first request must not find an empty table because its thread was quicker. */
    look(&p);
    p.started = true;
    for (int i = 0; i < threads; i++) {
        int status = pthread_create(&p.workers[i]->thread, NULL, work, p.workers[i]);

        if (status)
            return fail_errno(err, status, "start a thread");
    }
    log_info("serve.started", "threads=%d generation=%" PRId64 " tls=%d", threads, p.generation, options.tls != NULL);
    loop_timer_set(p.loop, &p.again, loop_now_ms(p.loop) + LOOK_AGAIN_MS);
    loop_run(p.loop);

    for (int i = 0; i < threads; i++)
        worker_drain(p.workers[i], DRAIN_MS);
    for (int i = 0; i < threads; i++)
        pthread_join(p.workers[i]->thread, NULL);
    acknowledge(&p);
    p.over = true;
    for (int i = 0; i < threads; i++)
        worker_free(p.workers[i]);
    loop_watch_free(watch);
    loop_timer_stop(p.loop, &p.again);
    loop_free(p.loop);
    counters_close(p.counters);
    tls_server_free(options.tls);
    log_info("serve.stopped", "%s", "reason=\"asked to\"");
    return 0;
}

static int number_of(const char *text, int64_t least, int64_t most)
{
    int64_t value;

    return str_to_int64(str_of(text), &value) && value >= least && value <= most ? (int)value : -1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "data", required_argument, NULL, 'd' }, { "threads", required_argument, NULL, 't' },
        { "port", required_argument, NULL, 'p' }, { "help", no_argument, NULL, 'h' },
        {},
    };
    _cleanup_arena_ struct arena *a = arena_new();
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int threads = processors > 3 ? (int)(processors / 2) : 1, port = -1, option;
    const char *data = NULL;
    struct err err;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'd':
            data = optarg;
            break;
        case 't':
            threads = number_of(optarg, 1, THREADS_MAX);
            if (threads < 0)
                return usage(stderr, 2);
            break;
        case 'p':
            port = number_of(optarg, 0, 65535);
            if (port < 0)
                return usage(stderr, 2);
            break;
        case 'h':
            return usage(stdout, 0);
        default:
            return usage(stderr, 2);
        }
    }
    if (!data || optind < argc)
        return usage(stderr, 2);
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    log_setup("sagebrush-serve", LOG_INFO);
    if (serve(a, data, threads, port, &err) < 0) {
        log_error("serve.failed", "error=\"%s\"", err.text);
        return 1;
    }
    return 0;
}
