/* orphans.c - agents that no row owns: their row was lost, or is of a backup that does not know them.
 *
 * Agents are started and forgotten by passes, on this thread, for rows that are saved. So when nothing waits for its
 * commit, an agent that is there has its row, and a create can never be overtaken: names are read first, then rows.
 * What cannot be read, or is of a kind that does not say what it owns, is left alone.
 *
 * The end of an orphan goes as that of any other: stop, the end that its report tells of is saved, and then it is
 * forgotten; each step may be the last before a crash. */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "engine/impl.h"
#include "run/runtime.h"
#include "store/store.h"

enum {
    GRACE_S = 30,
    LOOK_MS = 1000, /* while one is on its way out, or something could not be told */
    LOOK_LATER_MS = 10 * 60 * 1000,
};

struct agent {
    const char *name, *owner; /* owner: a uid, "" for none */
    bool has_row;
};

static int is_orphan(struct arena *a, struct engine *e, struct agent *x, bool *ret, struct err *err)
{
    struct resource r;
    const struct kind *k;
    struct row row;

    if (runtime_owner(e->world.runtime, a, x->name, &x->owner, err) < 0)
        return -1;
    *ret = true;
    if (!*x->owner)
        return 0;
    if (store_row_by_uid(a, e->world.store, x->owner, &row, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    x->has_row = true;
    k = map_get(e->kinds, str_of(row.kind));
    if (!k || !k->owns) {
        *ret = false;
        return 0;
    }
    r = resource_of(k, &row);
    *ret = !k->owns(a, &r, x->name);
    return 0;
}

/* Intervals go by the agent's name or by its owner's uid; those of a row that is there are the row's to close. */
static int close_usage(struct engine *e, const struct agent *x, int64_t at_ms, bool *ret_closed, struct err *err)
{
    const char *const uids[] = { x->name, x->has_row ? "" : x->owner };

    *ret_closed = false;
    for (size_t i = 0; i < sizeof uids / sizeof *uids; i++) {
        bool is_open = false;

        if (*uids[i] && usage_is_open(e, uids[i], &is_open, err) < 0)
            return -1;
        if (is_open && usage_close(e, uids[i], at_ms, err) < 0)
            return -1;
        *ret_closed = *ret_closed || is_open;
    }
    return 0;
}

/* One step towards its end; *ret_gone when nothing of it is left. */
static int end_orphan(struct arena *a, struct engine *e, const struct agent *x, bool *ret_gone, struct err *err)
{
    struct runtime *runtime = e->world.runtime;
    enum runtime_state state;
    const struct doc *report;
    bool closed;

    *ret_gone = false;
    if (runtime_inspect(runtime, a, x->name, &state, &report, err) < 0)
        return -1;
    if (state == RUNTIME_THERE && !doc_is(report, "phase", "Ended"))
        return runtime_stop(runtime, x->name, GRACE_S, "no job and no endpoint owns it", err);
    if (close_usage(e, x, doc_int(report, "ended_ms", engine_now_ms(e)), &closed, err) < 0 || closed)
        return closed ? 0 : -1;
    if (runtime_forget(runtime, x->name, err) < 0)
        return -1;
    log_warning("orphan.removed", "agent=%s owner=%s", x->name, x->owner);
    *ret_gone = true;
    return 0;
}

static int look_at(struct arena *a, struct engine *e, const char *name, bool *ret_settled, struct err *err)
{
    struct agent x = { .name = name, .owner = "" };
    bool orphan;
    int result;

    *ret_settled = true;
    if (is_orphan(a, e, &x, &orphan, err) < 0)
        return -1;
    if (!orphan)
        return 0;
    if (store_begin(e->world.store, err) < 0)
        return -1;
    result = end_orphan(a, e, &x, ret_settled, err);
    if (result < 0)
        store_drop(e->world.store);
    else
        result = store_keep(e->world.store, err);
    return result;
}

static bool look_at_all(struct engine *e)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *const *names;
    bool all = true, settled;
    struct err err;
    int count;

    if (runtime_list(e->world.runtime, a, &names, &count, &err) < 0) {
        log_warning("orphans.list", "error=%s", log_quote(a, err.text));
        return false;
    }
    for (int i = 0; i < count; i++) {
        _cleanup_arena_ struct arena *once = arena_new();

        if (look_at(once, e, names[i], &settled, &err) < 0) {
            log_warning("orphan.trouble", "agent=%s error=%s", names[i], log_quote(once, err.text));
            settled = false;
        }
        all = all && settled;
    }
    return all;
}

int64_t orphans_due_ms(const struct engine *e, int64_t now_ms)
{
    return e->world.runtime ? now_ms + e->orphans_boot_ms - clock_boot_ms(e->world.clock) : INT64_MAX;
}

void orphans_end(struct engine *e)
{
    int64_t boot_ms = clock_boot_ms(e->world.clock);

    if (!e->world.runtime || boot_ms < e->orphans_boot_ms || store_dirty(e->world.store))
        return;
    e->orphans_boot_ms = boot_ms + (look_at_all(e) ? LOOK_LATER_MS : LOOK_MS);
}
