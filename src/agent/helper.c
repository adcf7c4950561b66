#include "agent/helper.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/program.h"
#include "run/exitrecord.h"
#include "run/folder.h"

extern char **environ;

enum { GONE_MS = 5000, LOOK_S = 2 };

static const char **arguments_of(struct arena *a, const struct helper *h, const char *program)
{
    const char **arguments;
    size_t count = 0;

    while (h->arguments && h->arguments[count])
        count++;
    arguments = arena_array_of(a, const char *, count + 3);
    arguments[0] = program;
    arguments[1] = h->folder;
    for (size_t i = 0; i < count; i++)
        arguments[i + 2] = h->arguments[i];
    return arguments;
}

int helper_start(const struct helper *h, pid_t *ret, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *program, *log = arena_printf(a, "%s/" FOLDER_LOG, h->folder);
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int r;

    if (program_path(a, h->program, &program, err) < 0)
        return -1;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    for (int i = 0; i < h->count; i++)
        posix_spawn_file_actions_adddup2(&actions, h->fds[i], h->first_fd + i);
    posix_spawn_file_actions_addclosefrom_np(&actions, h->first_fd + h->count);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    r = posix_spawn(ret, program, &actions, &attributes, (char **)arguments_of(a, h, program), environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return r ? fail_errno(err, r, "start %s", program) : 0;
}

int helper_end(const char *lock, struct err *err)
{
    bool gone;

    return lock_signal(lock, SIGKILL, err) < 0 ? -1 : lock_wait(lock, GONE_MS, &gone, err);
}

void helper_stay(const char *folder)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *order = arena_printf(a, "%s/" FOLDER_ORDER, folder);

    /* Usually it is killed; only a data directory that was removed takes it along, and nothing waits for that: it is
     * looked for now and then, for watches are few. */
    while (access(order, F_OK) == 0)
        sleep(LOOK_S);
}
