#include "agent/tunnel.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/helper.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "run/exitrecord.h"
#include "run/tunnel_device.h"
#include "sign/esp.h"

enum { LOOK_MS = 500, HIGH_FD = 100 };

static const char dead[] = "InternalServerError: the process that carries the traffic between the instances ended. "
                           "Start the job again.";

enum { WORDS_MOST = 4096 };

struct tunnel {
    struct arena *arena;
    struct loop *loop; /* NULL: nobody watches yet */
    struct loop_timer timer;
    const char *lock, *failed_path;
    void (*died)(void *data);
    void *data;
    pid_t child; /* to be waited for; 0: it is another one's */
    const char *failed; /* why; NULL: it lives */
};

bool tunnel_wanted(const struct order *o)
{
    return o->peers && *o->tunnel_secret;
}

static const char *peer_text(struct arena *a, int number, const char *address, const char *host)
{
    return arena_printf(a, "%d:%s:%s", number, address, host);
}

static const char *const *arguments_of(struct arena *a, const struct tunnel_options *options)
{
    const struct order *o = options->order;
    const char **arguments = arena_array_of(a, const char *, list_count(o->hosts) + 1);
    int own = order_number(o, o->host_name), peer = 0, last = 0;

    arguments[last++] = peer_text(a, own, options->address, "");
    for (int number = 1; number <= (int)list_count(o->hosts); number++)
        if (number != own) {
            arguments[last++] = peer_text(a, number, options->peers[peer].address, options->peers[peer].host);
            peer++;
        }
    assert(peer == options->count);
    return arguments;
}

static const char *const *addresses_of(struct arena *a, const struct tunnel_options *options)
{
    const char **addresses = arena_array_of(a, const char *, (size_t)options->count + 1);

    for (int i = 0; i < options->count; i++)
        addresses[i] = options->peers[i].address;
    return addresses;
}

/* Out of the way of the places that they get in the other process. */
static int move_up(int *fd, struct err *err)
{
    int moved = fcntl(*fd, F_DUPFD_CLOEXEC, HIGH_FD);

    if (moved < 0)
        return fail_errno(err, errno, "keep a descriptor");
    fd_cleanup(fd);
    *fd = moved;
    return 0;
}

static int start(struct tunnel *t, const struct tunnel_options *options, struct err *err)
{
    const struct tunnel_device d = { .network = options->network, .address = options->address,
                                     .peers = addresses_of(t->arena, options),
                                     .server = options->order->mesh_server };
    _cleanup_fd_ int device = -1, s = -1;
    int fds[2];

    if (list_count(options->order->hosts) > ESP_HOSTS_MOST || !order_number(options->order, options->order->host_name))
        return fail(err, ERR_INVALID, "the order's hosts cannot have a tunnel");
    if (tunnel_device_check(err) < 0 || tunnel_device_open(&d, &device, &s, err) < 0 || move_up(&device, err) < 0 ||
        move_up(&s, err) < 0)
        return -1;
    fds[0] = device;
    fds[1] = s;
    return helper_start(&(struct helper){ .program = "sagebrush-tunnel", .folder = options->folder,
                                          .arguments = arguments_of(t->arena, options), .fds = fds, .count = 2,
                                          .first_fd = TUNNEL_DEVICE_FD }, &t->child, err);
}

/* A child that has not claimed its lock yet lives, too. What cannot be told is asked again. */
static bool lives(struct tunnel *t)
{
    struct err ignored;
    pid_t holder;

    if (t->child && waitpid(t->child, NULL, WNOHANG) == t->child)
        t->child = 0;
    return t->child || lock_holder(t->lock, &holder, &ignored) < 0 || holder;
}

/* What it left, or that nobody knows. */
static const char *last_words_of(struct tunnel *t)
{
    struct err ignored;
    struct str text;

    return file_read(t->arena, t->failed_path, WORDS_MOST, &text, &ignored) == 0 && text.size
               ? str_dup(t->arena, text) : dead;
}

static void due(struct loop_timer *timer)
{
    struct tunnel *t = (struct tunnel *)(void *)((char *)timer - offsetof(struct tunnel, timer));

    if (lives(t)) {
        loop_timer_set(t->loop, timer, loop_now_ms(t->loop) + LOOK_MS);
        return;
    }
    log_warning("tunnel.died", "lock=%s", t->lock);
    t->failed = last_words_of(t);
    t->died(t->data);
}

int tunnel_new(const struct tunnel_options *options, struct tunnel **ret, struct err *err)
{
    struct tunnel *t = calloc(1, sizeof *t);
    pid_t holder = 0;

    assert(t);
    t->arena = arena_new();
    t->lock = arena_printf(t->arena, "%s/" TUNNEL_LOCK, options->folder);
    t->failed_path = arena_printf(t->arena, "%s/" TUNNEL_FAILED, options->folder);
    if (lock_holder(t->lock, &holder, err) < 0 ||
        (!holder && !path_exists(t->lock) && start(t, options, err) < 0)) {
        tunnel_free(t);
        return -1;
    }
    *ret = t;
    return 0;
}

void tunnel_watch(struct tunnel *t, struct loop *loop, void (*died)(void *data), void *data)
{
    if (!t || t->loop)
        return;
    t->loop = loop;
    t->died = died;
    t->data = data;
    t->timer.run = due;
    loop_timer_set(loop, &t->timer, loop_now_ms(loop));
}

void tunnel_free(struct tunnel *t)
{
    if (!t)
        return;
    if (t->loop)
        loop_timer_stop(t->loop, &t->timer);
    arena_free(t->arena);
    free(t);
}

const char *tunnel_failed(const struct tunnel *t)
{
    return t && t->failed ? t->failed : "";
}

bool tunnel_is_gone(const char *folder)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *lock = arena_printf(a, "%s/" TUNNEL_LOCK, folder);
    struct err ignored;
    pid_t holder;

    return path_exists(lock) && lock_holder(lock, &holder, &ignored) == 0 && !holder;
}

int tunnel_remove(const char *folder, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();

    return helper_end(arena_printf(a, "%s/" TUNNEL_LOCK, folder), err);
}
