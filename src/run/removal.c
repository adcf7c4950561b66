/* removal.c - what is on its way out stands beside the others as ".gone-<name>.<number>": the thread reads the folder
 * for such names, and keeps no list that a crash could lose. One that cannot be removed, because something is mounted
 * below it, is tried again. */
#include "run/removal.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

#define GONE_PREFIX ".gone-"

enum { AGAIN_S = 30 };

struct removal {
    char *folder;
    pthread_t thread;
    unsigned taken;
    atomic_bool ending;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool wanted; /* under the lock */
};

/* --- The thread --- */

/* False: there is one that cannot go now. */
static bool remove_all(struct removal *r)
{
    _cleanup_arena_ struct arena *a = arena_new();
    DIR *folder = opendir(r->folder);
    struct dirent *entry;
    bool all = folder != NULL;
    struct err err;

    while (folder && !r->ending && (entry = readdir(folder)) != NULL) {
        if (!text_starts(entry->d_name, GONE_PREFIX))
            continue;
        if (tree_remove_until(arena_printf(a, "%s/%s", r->folder, entry->d_name), &r->ending, &err) < 0) {
            log_warning("removal.failed", "folder=%s error=%s", entry->d_name, log_quote(a, err.text));
            all = false;
        }
    }
    if (folder)
        closedir(folder);
    return all;
}

static void *work(void *data)
{
    struct removal *r = data;
    struct timespec again;
    bool all = true;

    while (!r->ending) {
        clock_gettime(CLOCK_MONOTONIC, &again);
        again.tv_sec += AGAIN_S;
        pthread_mutex_lock(&r->lock);
        while (!r->wanted && !r->ending)
            if (all)
                pthread_cond_wait(&r->wake, &r->lock);
            else if (pthread_cond_timedwait(&r->wake, &r->lock, &again) == ETIMEDOUT)
                break;
        r->wanted = false;
        pthread_mutex_unlock(&r->lock);
        all = remove_all(r);
    }
    return NULL;
}

static void wake(struct removal *r)
{
    pthread_mutex_lock(&r->lock);
    r->wanted = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

/* --- From outside --- */

int removal_take(struct removal *r, const char *name, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *from = arena_printf(a, "%s/%s", r->folder, name);

    /* One of the same name may be on its way still, and there are those of the process before. An empty one may be
     * replaced: it goes as well. */
    while (rename(from, arena_printf(a, "%s/" GONE_PREFIX "%s.%u", r->folder, name, r->taken++)) < 0) {
        if (errno == ENOENT)
            return 0;
        if (errno != EEXIST && errno != ENOTEMPTY)
            return fail_errno(err, errno, "remove %s", from);
    }
    wake(r);
    return 0;
}

struct removal *removal_new(const char *folder)
{
    struct removal *r = calloc(1, sizeof *r);
    pthread_condattr_t monotonic;
    int started;

    assert(r && "out of memory");
    r->folder = strdup(folder);
    assert(r->folder && "out of memory");
    r->wanted = true;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    started = pthread_create(&r->thread, NULL, work, r);
    assert(started == 0);
    return r;
}

void removal_free(struct removal *r)
{
    if (!r)
        return;
    r->ending = true;
    wake(r);
    pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    free(r->folder);
    free(r);
}
