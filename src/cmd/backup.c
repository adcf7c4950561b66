/* backup.c - `sagebrush backup` and `sagebrush restore`: a data directory as one folder that can be copied.
 *
 * The running server writes its records and objects into the folder, consistently; the command adds what does not
 * change while it runs. 'manifest.json' is written last: a folder without it is no backup. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "cmd/client.h"
#include "cmd/command.h"
#include "cmd/folder.h"
#include "cmd/settings.h"
#include "doc/json.h"

static const char *const parts[] = { "store", "blobs", "secrets", "config", NULL };

static int absolute(struct arena *a, const char *path, const char **ret, struct err *err)
{
    char here[PATH_MAX];

    if (*path == '/')
        *ret = path;
    else if (getcwd(here, sizeof here))
        *ret = arena_printf(a, "%s/%s", here, path);
    else
        return fail_errno(err, errno, "cannot tell the current directory");
    return 0;
}

static int write_manifest(struct arena *a, const char *folder, struct err *err)
{
    struct doc *manifest = doc_map(a);
    char *text;

    doc_set_integer(a, manifest, "version", 1);
    doc_set_string(a, manifest, "program", SAGEBRUSH_VERSION);
    doc_set_string(a, manifest, "made_at", time_iso8601(a, clock_wall_ms(clock_system()), false));
    text = json_text(a, manifest);
    return file_write_atomic(arena_printf(a, "%s/manifest.json", folder), text, strlen(text), 0600, err);
}

static int run_backup(struct arena *a, char **words, int count, struct err *err)
{
    const struct doc *answer;
    struct doc *order = doc_map(a);
    const char *data, *folder, *blobs, *saved_blobs;
    struct err ignored = { 0 };
    int result;

    if (settings_data_folder(a, command_data, &data, err) < 0 || absolute(a, words[0], &folder, err) < 0)
        return -1;
    blobs = arena_printf(a, "%s/blobs", data);
    saved_blobs = arena_printf(a, "%s/blobs", folder);
    if (path_exists(folder))
        return fail(err, ERR_CONFLICT, "%s is there already; a backup goes into a new folder", folder);
    if (folder_make(arena_printf(a, "%s/store", folder), 0700, err) < 0)
        return -1;
    doc_set_string(a, order, "folder", arena_printf(a, "%s/store", folder));
    /* Bodies never change, and from the moment that the records are copied until we say so none is removed: what is
     * gathered afterwards is all that they name. Most of it is gathered before, so that this takes a moment. A backup
     * that dies in between leaves removed bodies lying until the server's next start. */
    result = folder_gather(a, blobs, saved_blobs, err);
    if (result == 0) {
        result = client_admin(a, data, "POST", "/_sagebrush/admin/v1/backup", order, &answer, err);
        if (result == 0)
            result = folder_gather(a, blobs, saved_blobs, err);
        client_admin(a, data, "DELETE", "/_sagebrush/admin/v1/backup", NULL, &answer, &ignored);
    }
    if (result < 0) {
        tree_remove(folder, &ignored);
        return -1;
    }
    for (const char *const *part = parts; *part; part++) {
        const char *to = arena_printf(a, "%s/%s", folder, *part);

        if (!path_exists(to) && folder_copy(a, arena_printf(a, "%s/%s", data, *part), to, err) < 0)
            return -1;
    }
    if (write_manifest(a, folder, err) < 0)
        return -1;
    printf("%s is a backup of %s; it holds secret keys, keep it as you keep those.\n", folder, data);
    return 0;
}

static int run_restore(struct arena *a, char **words, int count, struct err *err)
{
    _cleanup_fd_ int lock = -1;
    const char *data, *folder;
    struct doc *manifest;
    struct str text;

    if (settings_data_folder(a, command_data, &data, err) < 0 || absolute(a, words[0], &folder, err) < 0)
        return -1;
    if (file_read(a, arena_printf(a, "%s/manifest.json", folder), 65536, &text, err) < 0)
        return fail(err, err->kind, "%s is no (finished) backup: %s", folder, err->text);
    if (json_parse(a, text, &manifest, err) < 0)
        return fail(err, err->kind, "%s/manifest.json is damaged: %s", folder, err->text);
    if (doc_int(manifest, "version", 0) != 1)
        return fail(err, ERR_INVALID, "%s was made by a newer Sagebrush (%s)", folder, doc_text(manifest, "program"));
    if (path_exists(arena_printf(a, "%s/config", data)))
        return fail(err, ERR_CONFLICT,
                    "%s holds a server already: restore into a new directory (--data DIR), or move it "
                    "out of the way first",
                    data);
    if (folder_make(data, 0755, err) < 0 || folder_lock(a, data, &lock, err) < 0)
        return -1;
    for (const char *const *part = parts; *part; part++) {
        const char *to = arena_printf(a, "%s/%s", data, *part);

        /* What an earlier restore left half done; config comes last, so that half a restore is never taken for a whole.
         */
        if (tree_remove(to, err) < 0 || folder_copy(a, arena_printf(a, "%s/%s", folder, *part), to, err) < 0)
            return -1;
    }
    if (folder_sync(data, err) < 0)
        return -1;
    printf("%s is restored from the backup of %s; start it with `sagebrush up --data %s`.\n", data,
           doc_text(manifest, "made_at"), data);
    return 0;
}

const struct command backup_command = {
    .name = "backup",
    .usage = "FOLDER",
    .summary = "copy everything of a running server into a new folder",
    .about =
        "Copies records, objects, settings and keys into FOLDER, which must not be there yet, while the server is in "
        "use: everything that was answered before the command started is in it.\n"
        "\n"
        "The folder holds secret keys. It is restored with `sagebrush restore`.",
    .least = 1,
    .most = 1,
    .run = run_backup,
};

const struct command restore_command = {
    .name = "restore",
    .usage = "FOLDER",
    .summary = "make a data directory from a backup",
    .about =
        "Makes the data directory from a folder that `sagebrush backup` wrote. The directory must not hold a server "
        "already; `sagebrush up` starts one on it. Jobs that were running when the backup was made are found gone, and "
        "say so.",
    .least = 1,
    .most = 1,
    .run = run_restore,
};
