/* reset.c - `sagebrush reset`: a development server from the beginning, with the keys and settings it had. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cmd/command.h"
#include "cmd/folder.h"
#include "cmd/process.h"
#include "cmd/settings.h"
#include "run/box.h"
#include "run/mount.h"

enum { END_MS = 30000 };

static bool yes;

static const struct command_option options[] = {
    { "yes", NULL, "Does not ask.", .flag = &yes },
    {},
};

static const char *const removed[] = { "store", "blobs", "agents", "log", "route.json", "route.ack", NULL };

static int confirm(const char *data, struct err *err)
{
    char line[16];

    if (yes)
        return 0;
    if (!isatty(STDIN_FILENO))
        return fail(err, ERR_INVALID, "this removes every bucket, job and endpoint of %s; say --yes", data);
    printf("Remove every bucket, object, job, model and endpoint of %s? [y/N] ", data);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin) || (line[0] != 'y' && line[0] != 'Y'))
        return fail(err, ERR_INVALID, "nothing was removed");
    return 0;
}

/* An agent is known by the folder that it was started with: a pid alone may be somebody else's by now. */
static int kill_agent(struct arena *a, const char *folder, struct err *err)
{
    struct process agent = PROCESS_NONE;
    struct pollfd pollfd = { .events = POLLIN };
    struct str pid, words;
    struct err ignored = { 0 };
    const char *program, *second;
    int64_t number = 0;

    if (file_read(a, arena_printf(a, "%s/agent.pid", folder), 64, &pid, &ignored) < 0)
        return 0;
    pid = str_trim(pid);
    pid.size = strcspn(pid.data, " \n");
    if (!str_to_int64(pid, &number) || number <= 1 || process_open((pid_t)number, &agent, &ignored) < 0)
        return 0;
    if (file_read(a, arena_printf(a, "/proc/%d/cmdline", (int)number), 65536, &words, &ignored) == 0) {
        program = words.data;
        second = program + strlen(program) + 1;
        if (second < words.data + words.size && strcmp(second, folder) == 0)
            process_signal(&agent, SIGKILL);
        else
            process_close(&agent);
    }
    pollfd.fd = agent.fd;
    if (agent.fd >= 0 && poll(&pollfd, 1, END_MS) <= 0) {
        process_close(&agent);
        return fail(err, ERR_UNAVAILABLE, "process %d (of %s) does not end", (int)number, folder);
    }
    process_close(&agent);
    return 0;
}

/* Ends what the server left running and clears away its mounts, cgroups and networks: a folder that holds a mount
 * cannot be removed. Not by way of the runtime: an agent would first want to deliver logs and models to a server. */
static int end_work(struct arena *a, const char *data, const char *run_folder, const struct settings *s,
                    struct err *err)
{
    const char *agents = arena_printf(a, "%s/agents", data);
    struct dirent *entry;
    DIR *folder;
    int count = 0;

    folder = opendir(agents);
    if (!folder)
        return errno == ENOENT ? 0 : fail_errno(err, errno, "read %s", agents);
    while ((entry = readdir(folder)) != NULL) {
        const char *its = arena_printf(a, "%s/%s", agents, entry->d_name);
        struct box box = { .name = entry->d_name,
                           .folder = its,
                           .run_folder = run_folder,
                           .process = strcmp(s->runtime, "process") == 0 };

        if (entry->d_name[0] == '.')
            continue;
        if (kill_agent(a, its, err) < 0 || box_remove(a, &box, err) < 0) {
            closedir(folder);
            return -1;
        }
        count++;
    }
    closedir(folder);
    if (count)
        printf("%d job%s or endpoint instance%s removed.\n", count, count > 1 ? "s" : "", count > 1 ? "s" : "");
    return 0;
}

static int run(struct arena *a, char **words, int count, struct err *err)
{
    _cleanup_fd_ int lock = -1;
    struct settings s;
    const char *data, *run_folder;

    if (settings_data_folder(a, command_data, &data, err) < 0 || settings_read(a, data, &s, err) < 0 ||
        settings_run_folder(a, data, &run_folder, err) < 0 || confirm(data, err) < 0 ||
        folder_lock(a, data, &lock, err) < 0 || end_work(a, data, run_folder, &s, err) < 0)
        return -1;
    /* With what the data plane counted for endpoints that are no more, and networks whose agents have no folder. */
    if (mount_clear(a, run_folder, err) < 0 || tree_remove(run_folder, err) < 0)
        return -1;
    for (const char *const *part = removed; *part; part++)
        if (tree_remove(arena_printf(a, "%s/%s", data, *part), err) < 0)
            return -1;
    printf("%s is empty again; keys and settings stayed.\n", data);
    return 0;
}

const struct command reset_command = {
    .name = "reset",
    .usage = "[--yes]",
    .summary = "remove everything but keys and settings (development)",
    .about =
        "Removes every resource, object, log and metric of a server that is not running, and ends the jobs and "
        "endpoints "
        "that it left running. Access keys made at the first start, the certificate authority, settings and unpacked "
        "images stay, so that shells with `sagebrush env` go on working.",
    .options = options,
    .run = run,
};
