/* data.c - sagebrush-data FOLDER: fills the pipes and answers for the FastFile mounts of the order in the folder, for
 * as long as the folder is there and nobody ends it. Started by the agent, with the mounts' descriptors from FEEDER_FD
 * on. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/fastfile.h"
#include "agent/feeder.h"
#include "agent/helper.h"
#include "agent/pipe.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "run/folder.h"

struct served {
    const struct transfer *transfer;
    struct channel channel;
    int fd;
};

/* As long as we live; it tells the agent who we are. */
static int claim(struct arena *a, const char *folder, bool *ret_ours, struct err *err)
{
    const char *path = arena_printf(a, "%s/" FEEDER_LOCK, folder);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return fail_errno(err, errno, "open %s", path);
    *ret_ours = fcntl(fd, F_SETLK, &lock) == 0;
    return 0;
}

/* The agent finds it and ends the job. Whoever reads from a pipe waits until then. */
static void tell(const struct transfer *t, const struct channel *c, const struct err *why)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *text = arena_printf(a, "%s: Data download failed: channel %s: %s",
                                    why->kind == ERR_INTERNAL ? "InternalServerError" : "ClientError", c->name,
                                    why->text);
    struct err err;

    log_error("channel.failed", "name=%s why=%s", c->name, log_quote(a, why->text));
    while (file_write_atomic(arena_printf(a, "%s/" FEEDER_FAILED, t->folder), text, strlen(text), 0600, &err) < 0 &&
           sleep(1) == 0)
        ;
}

static void *serve(void *data)
{
    struct served *s = data;
    struct err err = { 0 };
    int r = s->channel.mode == CHANNEL_PIPE ? pipe_serve(s->transfer, &s->channel, &err)
                                            : fastfile_serve(s->transfer, &s->channel, s->fd, &err);

    if (r < 0)
        tell(s->transfer, &s->channel, &err);
    return NULL;
}

static int run(struct arena *a, const char *folder, struct err *err)
{
    const struct doc *d;
    struct order order;
    struct transfer t = { .order = &order, .folder = folder, .ml = arena_printf(a, "%s/ml", folder),
                          .clock = clock_system(), .cancel_fd = -1 };
    int fd = FEEDER_FD;
    bool ours = false;

    if (claim(a, folder, &ours, err) < 0)
        return -1;
    if (!ours)
        return 0;
    if (folder_read(a, folder, FOLDER_ORDER, &d, err) < 0)
        return -1;
    if (!d)
        return fail(err, ERR_NOT_FOUND, "%s has no order", folder);
    if (order_read(d, &order, err) < 0)
        return -1;
    for (size_t i = 0; i < list_count(order.channels); i++) {
        struct served *s = arena_new_of(a, struct served);
        pthread_t thread;
        int r;

        s->transfer = &t;
        if (channel_read(a, &order, order.channels->items[i], &s->channel, err) < 0)
            return -1;
        if (s->channel.mode != CHANNEL_PIPE && s->channel.mode != CHANNEL_FAST)
            continue;
        if (s->channel.mode == CHANNEL_FAST)
            s->fd = fd++;
        r = pthread_create(&thread, NULL, serve, s);
        assert(r == 0);
        pthread_detach(thread);
    }
    log_info("feeder.started", "name=%s", order.name);
    helper_stay(folder);
    return 0;
}

int main(int argc, char **argv)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err = { 0 };

    log_setup("sagebrush-data", LOG_INFO);
    if (argc != 2 || argv[1][0] != '/') {
        fprintf(stderr, "usage: sagebrush-data FOLDER\n\nFills the pipes of the order in FOLDER. Started by "
                        "sagebrush-agent.\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (run(a, argv[1], &err) == 0)
        return 0;
    log_error("feeder.failed", "folder=%s why=%s", argv[1], log_quote(a, err.text));
    return 1;
}
