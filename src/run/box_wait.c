/* box_wait.c - whether a container fits an order is not argued, it is compared: config.json as it would be written for
 * the order, without command and environment, must be the one that the container was made with. */
#include "run/box_wait.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "run/box_bundle.h"
#include "run/waiting.h"

enum { WAKE_MS = 5000, LOOK_US = 100, KEY_LIMIT = 1 << 20 };

static const char *path_of(struct arena *a, const struct box *b, const char *name)
{
    return arena_printf(a, "%s/box/%s", b->folder, name);
}

static const char *key_path(struct arena *a, const struct box *b)
{
    return arena_printf(a, "%s/waiting.key", b->folder);
}

bool box_waits(struct arena *a, const struct box *b)
{
    struct err ignored;
    pid_t pid;

    return lock_holder(path_of(a, b, WAITING_LOCK), &pid, &ignored) == 0 && pid != 0;
}

static int key_of(struct arena *a, const struct box *b, const struct box_order *o, const char **ret, struct err *err)
{
    static const char *const nothing[] = { NULL };
    const char *image = o->image->title;
    char *config;

    if (box_config(a, b, o, nothing, nothing, &config, err) < 0)
        return -1;
    for (int i = 0; i < o->image->layer_count; i++)
        image = arena_printf(a, "%s %s", image, o->image->layers[i]);
    *ret = arena_printf(a, "%s\n%s\n", image, config);
    return 0;
}

int box_note_waiting(struct arena *a, const struct box *b, const struct box_order *o, const char *const *helper,
                     const char *const **ret_arguments, struct err *err)
{
    const char *key, **arguments;
    size_t count = 0;

    while (helper[count])
        count++;
    arguments = arena_array_of(a, const char *, count + 3);
    arguments[0] = BOX_INIT;
    arguments[1] = "--wait";
    memcpy(arguments + 2, helper, count * sizeof *helper);
    *ret_arguments = arguments;
    if (key_of(a, b, o, &key, err) < 0)
        return -1;
    return box_write(key_path(a, b), str_of(key), err);
}

static bool fits(struct arena *a, const struct box *b, const struct box_order *o)
{
    struct err ignored;
    struct str made_for;
    const char *key;

    return file_read(a, key_path(a, b), KEY_LIMIT, &made_for, &ignored) == 0 &&
           key_of(a, b, o, &key, &ignored) == 0 && str_is(made_for, key);
}

static void add_words(struct buf *b, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        buf_append(b, words[i], strlen(words[i]) + 1);
}

static int write_command(struct arena *a, const struct box *b, const struct box_order *o, struct err *err)
{
    const char *path = path_of(a, b, WAITING_COMMAND), *temporary = arena_printf(a, "%s.tmp", path), *user;
    _cleanup_buf_ struct buf text = { 0 };
    int count = 0;

    if (box_user(a, b, o->image, &user, err) < 0)
        return -1;
    while (o->arguments[count])
        count++;
    add_words(&text, (const char *const[]){ o->image->working_folder, user ? user : "", arena_printf(a, "%d", count),
                                            NULL });
    add_words(&text, o->arguments);
    add_words(&text, box_environment(a, o));
    if (box_write(temporary, (struct str){ text.data, text.size }, err) < 0)
        return -1;
    return rename(temporary, path) < 0 ? fail_errno(err, errno, "rename %s", temporary) : 0;
}

int box_wake(struct arena *a, const struct box *b, const struct box_order *o, struct exit_record *record,
             struct err *err)
{
    int64_t until_ms = clock_boot_ms(clock_system()) + WAKE_MS;

    if (!box_waits(a, b) || !fits(a, b, o))
        return 0;
    if (box_name_hosts(a, b, o, err) < 0 || write_command(a, b, o, err) < 0 ||
        lock_signal(path_of(a, b, WAITING_LOCK), SIGUSR1, err) < 0)
        return -1;
    /* It takes a tenth of a millisecond, less than a watch of the folder would take to make, of which a user has only
     * so many. One that has died meanwhile is found by its lock. */
    do {
        if (exit_record_read(a, arena_printf(a, "%s/box", b->folder), record, err) < 0)
            return -1;
        if (record->state != EXIT_NONE && record->started_ms)
            return 0;
        usleep(LOOK_US);
    } while (box_waits(a, b) && clock_boot_ms(clock_system()) < until_ms);
    return exit_record_read(a, arena_printf(a, "%s/box", b->folder), record, err);
}
