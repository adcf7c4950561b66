/* checkpoint.c - boosters saved as they grow.
 *
 * The folder is synchronized with S3 while we write. Two names are agreed with the agent: <file>.sagemaker-uploading
 * stands while it uploads, <file>.sagemaker-uploaded when it is done; a file between the two is left alone, for its
 * upload would be torn. */
#include "algo/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "algo/container.h"
#include "base/fd.h"
#include "base/str.h"

#define PREFIX "xgboost-checkpoint."
#define KEPT 5
#define TRIES 5

/* The iterations of the checkpoints in the folder, the largest first. */
static int list(struct arena *a, const char *folder, int **ret, size_t *ret_count, struct err *err)
{
    DIR *d = opendir(folder);
    size_t capacity = 16, count = 0;
    int *found = arena_array_of(a, int, capacity);
    struct dirent *e;
    int64_t n;

    *ret_count = 0;
    *ret = found;
    if (!d)
        return errno == ENOENT ? 0 : fail_errno(err, errno, "reading the checkpoint folder %s", folder);
    while ((e = readdir(d))) {
        if (!text_starts(e->d_name, PREFIX) || !str_to_int64(str_of(e->d_name + strlen(PREFIX)), &n) || n < 0 ||
            n >= INT32_MAX)
            continue;
        if (count == capacity) {
            int *more = arena_array_of(a, int, capacity * 2);

            memcpy(more, found, count * sizeof *more);
            found = more;
            capacity *= 2;
        }
        size_t at = count++;
        for (; at > 0 && found[at - 1] < n; at--)
            found[at] = found[at - 1];
        found[at] = (int)n;
    }
    closedir(d);
    *ret = found;
    *ret_count = count;
    return 0;
}

int checkpoint_load(struct arena *a, const char *folder, struct booster *b, int *ret_next, struct err *err)
{
    size_t count;
    int *found;

    *ret_next = 0;
    if (list(a, folder, &found, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count && i < TRIES; i++) {
        const char *path = arena_printf(a, "%s/" PREFIX "%d", folder, found[i]);
        struct err wrong = { 0 };

        if (booster_load(b, path, &wrong) == 0) {
            say("INFO", "Checkpoint loaded from %s", path);
            say("INFO", "Resuming from iteration %d", found[i] + 1);
            *ret_next = found[i] + 1;
            return 0;
        }
        say("WARNING", "Wrong checkpoint model format %s: %s", path, wrong.text);
    }
    return 0;
}

static void drop(struct arena *a, const char *folder, int newest, bool even_uploading)
{
    struct err ignored = { 0 };
    size_t count;
    int *found;

    if (list(a, folder, &found, &count, &ignored) < 0)
        return;
    for (size_t i = 0; i < count; i++) {
        const char *path = arena_printf(a, "%s/" PREFIX "%d", folder, found[i]);
        bool uploading = path_exists(arena_printf(a, "%s.sagemaker-uploading", path)) &&
                         !path_exists(arena_printf(a, "%s.sagemaker-uploaded", path));

        if (found[i] <= newest - KEPT && (even_uploading || !uploading))
            unlink(path);
    }
}

int checkpoint_save(struct arena *a, const char *folder, struct booster *b, int iteration, struct err *err)
{
    if (folder_make(folder, 0755, err) < 0 ||
        booster_save(b, arena_printf(a, "%s/" PREFIX "%d", folder, iteration), err) < 0)
        return -1;
    drop(a, folder, iteration, false);
    return 0;
}

void checkpoint_finish(struct arena *a, const char *folder, int last_iteration)
{
    drop(a, folder, last_iteration, true);
}
