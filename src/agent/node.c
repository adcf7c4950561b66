/* node.c - sagebrush-node FOLDER: an agent on a node of Slurm's that is another machine than the server.
 *
 * On the server's own machine it becomes the agent, as soon as nobody elsewhere is. Elsewhere the agent works in a
 * place of the node's own disk, and never notices: what it sends to the sockets of its order comes out at the
 * server's public port (node_link.c). This program takes its reports to the server, and brings what the runtime has
 * to say to it, once a second. Of the agent's folder on the server it only reads the order; nothing else has to be
 * seen by two machines at once.
 *
 * The server lends the agent's name to one place at a time. A place that has not heard from the server for a while
 * cuts the agent's connections, before the server lends the name to another: what an agent uploads is never older
 * than what its successor has read. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/node_here.h"
#include "agent/node_link.h"
#include "agent/node_place.h"
#include "agent/slurm_node.h"
#include "agent/transport.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/program.h"
#include "base/str.h"
#include "doc/json.h"
#include "run/exitrecord.h"
#include "run/folder.h"

enum {
    TALK_MS = 1000,
    LOOK_MS = 100,           /* at the agent's report */
    LEND_MS = 30000,         /* half of what the server waits before it lends the name to another */
    REACH_MS = 120000,       /* a server that was never reached: the order, or the network, is wrong */
    AGENT_AGAIN_MOST_MS = 30000,
    LAST_WORDS_MS = 10000,   /* between the agent's last report and its end */
};

struct node {
    struct arena *arena; /* of the program's life */
    struct node_place place;
    const struct doc *order; /* the server's */
    const char *bearer;
    struct node_link *link;
    struct transport *transport;
    int signals;
    int64_t began_ms, talk_ms; /* when it is time to talk again */
    bool lent;                 /* the name is ours */
    bool away;                 /* the server did not answer the last time */

    pid_t agent; /* 0: it does not run */
    int64_t agent_ms, agent_wait_ms;

    struct stat report_stat; /* of the file that 'report' was read from */
    bool told_all, told_end;
    int64_t told_end_ms;
};

static int64_t now_ms(void)
{
    return clock_boot_ms(clock_system());
}

/* --- The agent --- */

static int start_agent(struct node *n, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *program;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int r;

    if (program_path(a, "sagebrush-agent", &program, err) < 0)
        return -1;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    r = posix_spawn(&n->agent, program, NULL, &attributes,
                    (char *[]){ (char *)program, (char *)n->place.folder, NULL }, environ);
    posix_spawnattr_destroy(&attributes);
    if (r) {
        n->agent = 0;
        return fail_errno(err, r, "start %s", program);
    }
    n->agent_wait_ms = n->agent_wait_ms ? n->agent_wait_ms * 2 : LOOK_MS;
    if (n->agent_wait_ms > AGENT_AGAIN_MOST_MS)
        n->agent_wait_ms = AGENT_AGAIN_MOST_MS;
    n->agent_ms = now_ms() + n->agent_wait_ms;
    return 0;
}

/* One that was killed finds everything by its name, as on the server's machine. */
static void tend_agent(struct node *n)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err;

    if (n->agent && waitpid(n->agent, NULL, WNOHANG) == n->agent)
        n->agent = 0;
    if (n->agent || !n->lent || n->told_end || now_ms() < n->agent_ms)
        return;
    if (start_agent(n, &err) < 0)
        log_error("node.failed", "name=%s why=%s", n->place.name, log_quote(a, err.text));
}

/* So that it looks at once; one that misses the signal looks every five seconds. */
static void nudge(struct node *n, struct arena *a)
{
    struct err ignored;

    lock_signal(arena_printf(a, "%s/" FOLDER_AGENT, n->place.folder), SIGUSR1, &ignored);
}

/* --- What the server is told, and says --- */

enum answer { ANSWER_AWAY, ANSWER_LENT, ANSWER_WAIT /* another place has the name still */, ANSWER_OVER };

/* NULL: there is none, or the server has it. */
static const struct doc *report_to_tell(struct node *n, struct arena *a, struct stat *ret)
{
    const struct doc *report;
    struct err ignored;

    if (stat(arena_printf(a, "%s/" FOLDER_REPORT, n->place.folder), ret) < 0 ||
        (n->told_all && ret->st_ino == n->report_stat.st_ino &&
         ret->st_mtim.tv_sec == n->report_stat.st_mtim.tv_sec &&
         ret->st_mtim.tv_nsec == n->report_stat.st_mtim.tv_nsec) ||
        folder_read(a, n->place.folder, FOLDER_REPORT, &report, &ignored) < 0)
        return NULL;
    return report;
}

/* What the runtime writes into the agent's folder on its own machine. */
static int put(struct node *n, struct arena *a, const char *file, const struct doc *d, struct err *err)
{
    const struct doc *before;

    if (!d || d->type != DOC_MAP || folder_read(a, n->place.folder, file, &before, err) < 0)
        return d ? -1 : 0;
    if (before && doc_equal(before, d))
        return 0;
    /* The notice of Slurm may have come first: that one stays, unless it leaves more time. */
    if (before && strcmp(file, FOLDER_STOP) == 0 && doc_int(before, "grace_s", 0) <= doc_int(d, "grace_s", 0))
        return 0;
    if (folder_write(a, n->place.folder, file, d, false, err) < 0)
        return -1;
    nudge(n, a);
    return 0;
}

static bool has_begun(struct node *n, struct arena *a)
{
    return path_exists(arena_printf(a, "%s/" FOLDER_REPORT, n->place.folder));
}

static int take_answer(struct node *n, struct arena *a, const struct doc *answer, struct err *err)
{
    /* The last word of a place that is gone: the agent says what became of the container then. */
    if (!has_begun(n, a) && put(n, a, FOLDER_REPORT, doc_get(answer, "report"), err) < 0)
        return -1;
    return put(n, a, FOLDER_STOP, doc_get(answer, "stop"), err) < 0
               ? -1
               : put(n, a, FOLDER_REBALANCE, doc_get(answer, "rebalance"), err);
}

static enum answer answer_of(struct node *n, struct arena *a, const struct transport_answer *answer, struct err *err)
{
    struct doc *d;

    fail(err, ERR_UNAVAILABLE, "the server answered %d: %.200s", answer->status,
         answer->body.data ? answer->body.data : "");
    switch (answer->status) {
    case 200:
        if (json_parse(a, (struct str){ answer->body.data, answer->body.size }, &d, err) < 0 ||
            take_answer(n, a, d, err) < 0)
            return ANSWER_AWAY;
        return ANSWER_LENT;
    case 403: /* the order is another one, or there is none */
    case 404:
        return ANSWER_OVER;
    case 409:
        return n->lent || has_begun(n, a) ? ANSWER_OVER : ANSWER_WAIT;
    default:
        return ANSWER_AWAY;
    }
}

static enum answer talk(struct node *n, struct arena *a, struct err *err)
{
    struct transport_answer answer = { .arena = a };
    struct doc *body = doc_map(a);
    int64_t before_ms = now_ms();
    struct stat st = { 0 };
    const struct doc *report = report_to_tell(n, a, &st);
    enum answer what;

    if (report)
        doc_set(a, body, "report", doc_copy(a, report));
    if (transport_post(n->transport, "/_sagebrush/node/v1/work", n->bearer, json_text(a, body), &answer, err) < 0)
        what = ANSWER_AWAY;
    else
        what = answer_of(n, a, &answer, err);
    buf_free(&answer.body);
    if (what != ANSWER_LENT)
        return what;
    n->lent = true;
    node_link_open_until(n->link, before_ms + LEND_MS);
    if (report) {
        n->report_stat = st;
        n->told_all = true;
        if (doc_is(report, "phase", "Ended") && !n->told_end) {
            n->told_end = true;
            n->told_end_ms = now_ms();
        }
    }
    return what;
}

/* --- The cycle --- */

/* SIGTERM is Slurm's: the instance is taken back. The agent has it too, but may have been too young to hear it. */
static int take_notice(struct node *n, struct arena *a, struct err *err)
{
    log_info("node.notice", "name=%s", n->place.name);
    if (slurm_node_notice(a, n->place.folder, doc_int(n->order, "notice_s", 30), err) < 0)
        return -1;
    nudge(n, a);
    return 0;
}

/* Until there is something to do. */
static int rest(struct node *n, struct arena *a, struct err *err)
{
    struct pollfd p = { .fd = n->signals, .events = POLLIN };
    struct signalfd_siginfo info;

    poll(&p, 1, LOOK_MS);
    while (read(n->signals, &info, sizeof info) == sizeof info)
        if (info.ssi_signo == SIGTERM && take_notice(n, a, err) < 0)
            return -1;
    return 0;
}

static bool time_to_talk(struct node *n, struct arena *a)
{
    struct stat st;

    return now_ms() >= n->talk_ms || (n->lent && !n->away && report_to_tell(n, a, &st));
}

/* 1: it is over. */
static int turn(struct node *n, struct arena *a, struct err *err)
{
    struct err why = { 0 };

    tend_agent(n);
    if (n->told_end)
        return !n->agent || now_ms() > n->told_end_ms + LAST_WORDS_MS;
    if (!time_to_talk(n, a))
        return 0;
    switch (talk(n, a, &why)) {
    case ANSWER_OVER:
        log_info("node.over", "name=%s why=%s", n->place.name, log_quote(a, why.text));
        return 1;
    case ANSWER_WAIT:
        break;
    case ANSWER_LENT:
        if (n->away)
            log_info("node.answered", "name=%s", n->place.name);
        n->away = false;
        n->talk_ms = now_ms() + TALK_MS;
        return 0;
    case ANSWER_AWAY:
        if (why.kind == ERR_CONFLICT) /* a signal came in between */
            return 0;
        if (!n->away)
            log_warning("node.no_answer", "name=%s why=%s", n->place.name, log_quote(a, why.text));
        n->away = true;
        if (!n->lent && now_ms() > n->began_ms + REACH_MS)
            return fail(err, ERR_UNAVAILABLE, "the server was not reached from here: %s", why.text);
        break;
    }
    n->talk_ms = now_ms() + 2 * TALK_MS;
    return 0;
}

static int work(struct node *n, struct err *err)
{
    int r = 0;

    while (r == 0) {
        _cleanup_arena_ struct arena *a = arena_new();

        r = turn(n, a, err);
        if (r == 0 && rest(n, a, err) < 0)
            r = -1;
    }
    return r < 0 ? -1 : 0;
}

/* --- Start --- */

static int connect_server(struct node *n, struct err *err)
{
    const struct node_link_options options = { .address = doc_text(n->order, "remote.address"),
                                               .port = (int)doc_int(n->order, "remote.port", 0),
                                               .authority = doc_text(n->order, "remote.authority"),
                                               .socket_path = n->place.socket_path,
                                               .control_path = n->place.control_path };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL); /* before there is a thread */
    n->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (n->signals < 0)
        return fail_errno(err, errno, "signalfd");
    if (node_link_new(&options, &n->link, err) < 0)
        return -1;
    n->transport = transport_new(n->place.control_path, n->signals);
    return 0;
}

static int be_agent(struct arena *a, const char *folder, struct err *err)
{
    const char *program;

    if (program_path(a, "sagebrush-agent", &program, err) < 0)
        return -1;
    execv(program, (char *[]){ (char *)program, (char *)folder, NULL });
    return fail_errno(err, errno, "start %s", program);
}

static int run_elsewhere(struct arena *a, const struct doc *order, const char *boot_id, struct err *err)
{
    struct node n = { .arena = a, .order = order, .signals = -1, .began_ms = now_ms() };
    const char *instance;
    int lock, r;

    n.place = node_place_of(a, node_place_root(a, order), doc_text(order, "name"), doc_text(order, "run_folder"));
    if (node_place_claim(&n.place, &lock, err) < 0 || node_place_start_keeper(a, &n.place, err) < 0)
        return -1;
    node_place_sweep(a, &n.place);
    if (node_place_make(a, &n.place, order, boot_id, &instance, err) < 0)
        return -1;
    n.bearer = arena_printf(a, "Bearer %s:%s:%s", n.place.name, instance, doc_text(order, "remote.token"));
    if (connect_server(&n, err) < 0)
        return -1;
    log_info("node.started", "name=%s folder=%s server=%s", n.place.name, n.place.folder,
             doc_text(order, "remote.address"));
    r = work(&n, err);
    if (r == 0)
        r = node_place_clear(a, &n.place, err);
    transport_free(n.transport);
    node_link_free(n.link);
    close(n.signals);
    close(lock);
    return r;
}

static int run(struct arena *a, const char *folder, struct err *err)
{
    const struct doc *order;
    struct str boot_id;
    bool ours;

    if (folder_read(a, folder, FOLDER_ORDER, &order, err) < 0 ||
        file_read(a, "/proc/sys/kernel/random/boot_id", 64, &boot_id, err) < 0)
        return -1;
    if (!order)
        return 0; /* the server has forgotten it */
    if (!doc_has(order, "remote"))
        return be_agent(a, folder, err);
    if (doc_is(order, "boot_id", str_dup(a, str_trim(boot_id))))
        return node_here_claim(a, folder, order, &ours, err) < 0 ? -1 : ours ? be_agent(a, folder, err) : 0;
    return run_elsewhere(a, order, str_dup(a, str_trim(boot_id)), err);
}

static int keep(struct arena *a, char **words, struct err *err)
{
    const struct node_place place = node_place_of(a, words[0], words[1], words[2]);
    pid_t child = fork();

    if (child < 0)
        return fail_errno(err, errno, "fork");
    return child ? 0 : node_place_keep(a, &place, err);
}

int main(int argc, char **argv)
{
    _cleanup_arena_ struct arena *a = arena_new();
    bool keeps = argc == 5 && strcmp(argv[1], "--keep") == 0;
    struct err err = { 0 };
    int r;

    log_setup("sagebrush-node", LOG_INFO);
    if (!keeps && (argc != 2 || argv[1][0] != '/')) {
        fprintf(stderr,
                "usage: sagebrush-node FOLDER\n\nCarries out the order in FOLDER on a node of a Slurm cluster (see "
                "docs/ARCHITECTURE.md). Started by Slurm.\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    r = keeps ? keep(a, argv + 2, &err) : run(a, argv[1], &err);
    if (r < 0)
        log_error("node.failed", "folder=%s why=%s", argv[keeps ? 3 : 1], log_quote(a, err.text));
    return r < 0 ? 1 : 0;
}
