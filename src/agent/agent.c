/* agent.c - sagebrush-agent FOLDER: carries out the order in the folder, and can be killed at any line.
 *
 * A second agent on the same folder goes away at once; one that comes after a killed one finds everything by its name
 * and goes on. SIGUSR1: look at stop.json. SIGTERM ends the agent, not its container: the next one adopts it;
 * under Slurm it is the cluster's notice that the instance is taken back. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/host.h"
#include "agent/order.h"
#include "agent/report.h"
#include "agent/serve.h"
#include "agent/slurm_node.h"
#include "agent/train.h"
#include "agent/warm_box.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "net/loop.h"
#include "run/folder.h"

enum { FOLDER_MS = 5000 };

struct agent {
    struct loop *loop;
    struct warm_box *warm; /* of one that was started without an order */
    bool waiting;          /* there still is none */
    struct host *host;
    struct order order;
    struct report *report;
    struct train train;
    struct serve serve;
    struct loop_timer timer, folder_timer;
    const char *folder, *order_path;
    int folder_fd;
    bool stepping, again, over;
};

/* The lock says that an agent lives here, the text is for people. It goes with the process. */
static int claim(struct arena *a, const char *folder, bool *ret_ours, struct err *err)
{
    const char *path = arena_printf(a, "%s/" FOLDER_AGENT, folder);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    const char *text = arena_printf(a, "%d\n", (int)getpid());

    if (fd < 0)
        return fail_errno(err, errno, "open %s", path);
    *ret_ours = fcntl(fd, F_SETLK, &lock) == 0;
    if (!*ret_ours) {
        close(fd);
        return 0;
    }
    if (ftruncate(fd, 0) < 0)
        return fail_errno(err, errno, "write %s", path);
    return fd_write_all(fd, text, strlen(text), err);
}

/* The server learns by the report what Slurm has told this node alone. */
static void report_notice(struct agent *g)
{
    _cleanup_arena_ struct arena *a = NULL;

    if (!g->order.notice_s || doc_bool(report_doc(g->report), "noticed", false))
        return;
    a = arena_new();
    if (slurm_node_noticed(a, g->folder))
        report_set_bool(g->report, "noticed", true);
}

static void step(void *data)
{
    struct agent *g = data;
    int64_t next_ms;

    /* What happens inside a step is looked at after it. */
    if (g->over)
        return;
    if (g->stepping) {
        g->again = true;
        return;
    }
    g->stepping = true;
    do {
        g->again = false;
        report_notice(g);
        g->over = order_ends(&g->order) ? train_step(&g->train, &next_ms) : serve_step(&g->serve, &next_ms);
    } while (g->again && !g->over);
    g->stepping = false;
    if (g->over)
        loop_stop(g->loop);
    else if (next_ms == INT64_MAX)
        loop_timer_stop(g->loop, &g->timer);
    else
        loop_timer_set(g->loop, &g->timer, loop_now_ms(g->loop) + (next_ms - clock_wall_ms(clock_system())));
}

static void timer_due(struct loop_timer *timer)
{
    step((char *)timer - offsetof(struct agent, timer));
}

static void on_look(void *data, int number)
{
    struct agent *g = data;

    if (g->waiting)
        warm_box_look(g->warm);
    else
        step(g);
}

static void on_end(void *data, int number)
{
    struct agent *g = data;
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err = { 0 };

    if (!g->order.notice_s) {
        loop_stop(g->loop);
        return;
    }
    log_info("agent.notice", "name=%s seconds=%lld", g->order.name, (long long)g->order.notice_s);
    if (slurm_node_notice(a, g->folder, g->order.notice_s, &err) < 0)
        log_error("agent.failed", "name=%s why=%s", g->order.name, log_quote(a, err.text));
    step(g);
}

/* A data directory that was removed takes its agents along, and they their containers: nobody could end
 * them any more. */
static void folder_due(struct loop_timer *timer)
{
    struct agent *g = (struct agent *)(void *)((char *)timer - offsetof(struct agent, folder_timer));
    struct stat ours, there;
    struct err err = { 0 };

    if (fstat(g->folder_fd, &ours) == 0 && ours.st_nlink > 0 &&
        !(stat(g->order_path, &there) < 0 && (errno == ENOENT || errno == ENOTDIR))) {
        loop_timer_set(g->loop, timer, loop_now_ms(g->loop) + FOLDER_MS);
        return;
    }
    log_warning("agent.abandoned", "name=%s folder=%s", g->order.name, g->folder);
    if (host_abandon(g->host, &err) < 0) {
        _cleanup_arena_ struct arena *a = arena_new();

        log_error("agent.failed", "name=%s why=%s", g->order.name, log_quote(a, err.text));
    }
    g->over = true;
    loop_stop(g->loop);
}

/* An order that cannot be understood ends all the same: the report says why. It is ours, and no fault of the user's. */
static int refuse(struct arena *a, const char *folder, struct err *err)
{
    struct report *r = report_new(NULL);
    int64_t now_ms = clock_wall_ms(clock_system());
    int result;

    err->kind = ERR_INTERNAL;
    report_enter(r, "Starting", "", now_ms);
    report_set_text(r, "outcome", "Failed");
    report_set_text(r, "failure_reason", report_blame(a, err));
    report_set_int(r, "ended_ms", now_ms);
    report_enter(r, "Ended", "", now_ms);
    result = folder_write(a, folder, FOLDER_REPORT, report_next(r), true, err);
    report_free(r);
    return result;
}

/* *ret stays NULL when none came. */
static int wait_for_order(struct agent *g, struct arena *a, const char *folder, const struct doc **ret, struct err *err)
{
    if (warm_box_new(g->loop, folder, &g->warm, err) < 0)
        return -1;
    g->waiting = !warm_box_over(g->warm);
    if (g->waiting)
        loop_run(g->loop);
    g->waiting = false;
    return warm_box_ordered(g->warm) ? folder_read(a, folder, FOLDER_ORDER, ret, err) : 0;
}

static int run(struct agent *g, struct arena *a, const char *folder, struct err *err)
{
    const struct doc *order, *before;
    struct world *world;
    struct str boot_id;
    bool ours, fresh;

    if (claim(a, folder, &ours, err) < 0)
        return -1;
    if (!ours)
        return 0;
    if (folder_read(a, folder, FOLDER_ORDER, &order, err) < 0 ||
        folder_read(a, folder, FOLDER_REPORT, &before, err) < 0)
        return -1;
    if (doc_is(before, "phase", "Ended"))
        return 0;
    if (loop_new(&g->loop, err) < 0 || loop_signal(g->loop, SIGUSR1, on_look, g, err) < 0 ||
        loop_signal(g->loop, SIGTERM, on_end, g, err) < 0)
        return -1;
    if (!order && wait_for_order(g, a, folder, &order, err) < 0)
        return -1;
    if (!order)
        return 0;
    if (file_read(a, "/proc/sys/kernel/random/boot_id", 64, &boot_id, err) < 0)
        return -1;
    if (slurm_node_order(a, order, str_dup(a, str_trim(boot_id)), slurm_node_gpus(), slurm_node_listed(order), &order,
                         err) < 0 ||
        order_read(order, &g->order, err) < 0)
        return refuse(a, folder, err);
    fresh = !before || doc_is(before, "phase", "Starting") || doc_is(before, "phase", "Downloading");
    if (host_new(
            &(struct host_options) {
                .loop = g->loop, .folder = folder, .order = &g->order, .fresh = fresh, .happened = step, .data = g,
                .network = g->warm ? warm_box_network(g->warm, &g->order) : NULL },
            &g->host, err) < 0)
        return -1;
    world = host_world(g->host);
    g->report = report_new(before);
    if (doc_is(order, "runtime", "slurm") && slurm_node_name())
        slurm_node_note(g->report, slurm_node_name());
    g->train = (struct train){ .world = world, .order = &g->order, .report = g->report };
    g->serve = (struct serve){ .world = world, .order = &g->order, .report = g->report };
    g->timer.run = timer_due;
    g->folder = folder;
    g->order_path = arena_printf(a, "%s/" FOLDER_ORDER, folder);
    g->folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (g->folder_fd < 0)
        return fail_errno(err, errno, "open %s", folder);
    g->folder_timer.run = folder_due;
    loop_timer_set(g->loop, &g->folder_timer, loop_now_ms(g->loop) + FOLDER_MS);
    log_info("agent.started", "name=%s work=%s phase=%s", g->order.name, g->order.work, report_phase(g->report));
    step(g);
    if (!g->over)
        loop_run(g->loop);
    log_info("agent.ended", "name=%s phase=%s outcome=%s", g->order.name, report_phase(g->report),
             doc_text(report_doc(g->report), "outcome"));
    return 0;
}

int main(int argc, char **argv)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct agent g = { 0 };
    struct err err = { 0 };
    char folder[4096];
    int r;

    log_setup("sagebrush-agent", LOG_INFO);
    if (argc != 2 || argv[1][0] == '-') {
        fprintf(
            stderr,
            "usage: sagebrush-agent FOLDER\n\nCarries out the order in FOLDER (see docs/ARCHITECTURE.md). Started by "
            "sagebrushd.\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN); /* until there is a loop to hear it: everything is looked at then */
    umask(022);
    if (!realpath(argv[1], folder)) {
        fprintf(stderr, "sagebrush-agent: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    r = run(&g, a, folder, &err);
    if (r < 0)
        log_error("agent.failed", "folder=%s why=%s", folder, log_quote(a, err.text));
    host_free(g.host);
    report_free(g.report);
    warm_box_free(g.warm);
    loop_free(g.loop);
    return r < 0 ? 1 : 0;
}
