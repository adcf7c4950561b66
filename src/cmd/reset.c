/* reset.c - `sagebrush reset`: a development server from the beginning, with the keys and settings it had. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cmd/command.h"
#include "cmd/folder.h"
#include "cmd/settings.h"

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

static int run(struct arena *a, char **words, int count, struct err *err)
{
    _cleanup_fd_ int lock = -1;
    struct settings s;
    const char *data;

    if (settings_data_folder(a, command_data, &data, err) < 0 || settings_read(a, data, &s, err) < 0 ||
        confirm(data, err) < 0 || folder_lock(a, data, &lock, err) < 0)
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
        "Removes every resource, object, log and metric of a server that is not running. Access keys made at the first "
        "start, the certificate authority, settings and unpacked images stay, so that shells with `sagebrush env` go "
        "on "
        "working.",
    .options = options,
    .run = run,
};
