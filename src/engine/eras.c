/* eras.c - at which boot time the wall clock said what.
 *
 * Wall time may jump while boot time goes on. Where the wall said the same thing twice, because it went back, the
 * answer is the one that makes an interval shorter: it begins late, and ends early. Across a reboot only wall time is
 * left. */
#include <stdio.h>
#include <string.h>

#include "doc/json.h"
#include "engine/impl.h"
#include "store/store.h"

enum { JUMP_MS = 500 }; /* less is the drift of a clock that is kept right */

static const char table[] = "core_usage_eras";

/* Again in each turn until one is committed: a jump that is not on disk is not known to the next process. */
static void eras_save(struct engine *e)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *d = doc_map(a), *list = doc_list(a);
    struct err err = { 0 };

    for (int i = 0; i < e->eras.count; i++) {
        struct doc *era = doc_map(a);

        doc_set_integer(a, era, "from_boot_ms", e->eras.all[i].from_boot_ms);
        doc_set_integer(a, era, "seen_boot_ms", e->eras.all[i].seen_boot_ms);
        doc_set_integer(a, era, "offset_ms", e->eras.all[i].offset_ms);
        doc_append(a, list, era);
    }
    doc_set_string(a, d, "boot_id", e->eras.boot_id);
    doc_set(a, d, "eras", list);
    if (store_put(e->world.store, table, STR("eras"), str_of(json_text(a, d)), &err) == 0)
        e->eras.state = ERAS_WRITTEN; /* else the turn is lost, and the commit says so */
}

static void era_add(struct engine *e, struct era era)
{
    if (e->eras.count == ERAS) {
        memmove(e->eras.all, e->eras.all + 1, (ERAS - 1) * sizeof *e->eras.all);
        e->eras.count--;
    }
    e->eras.all[e->eras.count++] = era;
}

int eras_begin(struct engine *e, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct doc *saved;
    struct str text;

    e->eras.count = 0;
    if (e->world.boot_id)
        snprintf(e->eras.boot_id, sizeof e->eras.boot_id, "%s", e->world.boot_id);
    else
        rand_name(e->world.rand, e->eras.boot_id, 26);
    if (store_get(a, e->world.store, table, STR("eras"), &text, err) < 0) {
        if (err->kind != ERR_NOT_FOUND)
            return -1;
    } else {
        if (json_parse(a, text, &saved, err) < 0)
            return fail(err, ERR_INTERNAL, "the record of the clocks cannot be read: %s", err->text);
        for (size_t i = 0; doc_is(saved, "boot_id", e->eras.boot_id) && i < doc_count(saved, "eras"); i++) {
            const struct doc *era = doc_get(saved, "eras")->items[i];

            era_add(e, (struct era){ doc_int(era, "from_boot_ms", 0), doc_int(era, "seen_boot_ms", 0),
                                     doc_int(era, "offset_ms", 0) });
        }
    }
    if (e->eras.count)
        e->eras.looked_boot_ms = e->eras.all[e->eras.count - 1].seen_boot_ms;
    eras_look(e);
    return 0;
}

bool eras_look(struct engine *e)
{
    int64_t boot_ms = clock_boot_ms(e->world.clock), offset_ms = clock_wall_ms(e->world.clock) - boot_ms;
    int64_t before_ms = e->eras.count ? e->eras.all[e->eras.count - 1].offset_ms : offset_ms;
    bool jumped = offset_ms - before_ms >= JUMP_MS || before_ms - offset_ms >= JUMP_MS;

    if (jumped || !e->eras.count) {
        era_add(e, (struct era){ e->eras.looked_boot_ms, boot_ms, offset_ms });
        e->eras.state = ERAS_NEW;
    }
    e->eras.looked_boot_ms = boot_ms;
    if (e->eras.state == ERAS_NEW)
        eras_save(e);
    return jumped && offset_ms < before_ms;
}

void eras_committed(struct engine *e, bool saved)
{
    if (e->eras.state == ERAS_WRITTEN)
        e->eras.state = saved ? ERAS_SAVED : ERAS_NEW;
}

/* The boot times at which the wall said wall_ms, by eras: false when there is none, for the stamp is of an era that
 * nobody saw. */
static bool boots_of_wall(const struct engine *e, int64_t wall_ms, int64_t not_before_ms, int64_t *ret_first_ms,
                          int64_t *ret_last_ms)
{
    int64_t now_ms = clock_boot_ms(e->world.clock);
    bool found = false;

    for (int i = 0; i < e->eras.count; i++) {
        int64_t boot_ms = wall_ms - e->eras.all[i].offset_ms;
        int64_t end_ms = i + 1 < e->eras.count ? e->eras.all[i + 1].seen_boot_ms : now_ms;

        /* The first era also has the stamps from before we looked at the clock for the first time. */
        if ((i > 0 && boot_ms < e->eras.all[i].from_boot_ms) || boot_ms > end_ms + JUMP_MS)
            continue;
        if (boot_ms > end_ms)
            boot_ms = end_ms;
        if (boot_ms < not_before_ms)
            continue;
        if (!found || boot_ms < *ret_first_ms)
            *ret_first_ms = boot_ms;
        if (!found || boot_ms > *ret_last_ms)
            *ret_last_ms = boot_ms;
        found = true;
    }
    return found;
}

int64_t eras_start_boot_ms(const struct engine *e, int64_t wall_ms)
{
    int64_t first_ms, last_ms;

    return boots_of_wall(e, wall_ms, INT64_MIN, &first_ms, &last_ms) ? last_ms : clock_boot_ms(e->world.clock);
}

int64_t eras_end_boot_ms(const struct engine *e, int64_t wall_ms, int64_t start_ms)
{
    int64_t first_ms, last_ms;

    if (boots_of_wall(e, wall_ms, start_ms, &first_ms, &last_ms))
        return first_ms;
    for (int i = 0; i < e->eras.count; i++)
        if (e->eras.all[i].from_boot_ms >= start_ms)
            return e->eras.all[i].from_boot_ms;
    return start_ms;
}
