/* baseline.c - baseline.json: {"memory_errors", "gpus": {UUID: {index, what gpu_watch.h has counted}}}. By UUID: after
 * one has fallen off the bus the driver numbers the others anew.
 *
 * A disk that is full costs no more than the memory of it: the agent that looks has its own. */
#include "agent/baseline.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "run/folder.h"

#define BASELINE_FILE "baseline.json"

void baseline_forget(const char *folder)
{
    _cleanup_arena_ struct arena *a = arena_new();

    unlink(arena_printf(a, "%s/" BASELINE_FILE, folder));
}

static int place_of(struct gpu_monitor *m, const char *uuid)
{
    for (int i = 0; i < gpu_monitor_count(m); i++)
        if (strcmp(gpu_monitor_gpu(m, i)->uuid, uuid) == 0)
            return i;
    return -1;
}

void baseline_recall(struct baseline *b, struct gpu_monitor *m)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct doc *d, *gpus;
    struct err ignored;

    if (folder_read(a, b->folder, BASELINE_FILE, &d, &ignored) < 0 || !d)
        return;
    b->memory_errors = doc_int(d, "memory_errors", b->memory_errors);
    gpus = doc_get(d, "gpus");
    for (uint32_t i = 0; gpus && gpus->type == DOC_MAP && i < gpus->count; i++) {
        const char *uuid = gpus->members[i].key;
        int place = place_of(m, uuid);

        if (place >= 0) {
            gpu_watch_recall(&b->watched, place, gpus->members[i].value);
        } else if (*gpu_monitor_driver(m)) {
            /* A driver that does not answer says nothing about its GPUs. */
            b->gone.index = (int)doc_int(gpus->members[i].value, "index", 0);
            snprintf(b->gone.uuid, sizeof b->gone.uuid, "%s", uuid);
        }
    }
}

void baseline_keep(const struct baseline *b, struct gpu_monitor *m)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct doc *before;
    struct doc *d, *gpus;
    struct err ignored;

    if (folder_read(a, b->folder, BASELINE_FILE, &before, &ignored) < 0)
        before = NULL;
    /* One that this agent does not see stays, for the next. */
    d = before ? doc_copy(a, before) : doc_map(a);
    gpus = doc_member(a, d, "gpus", DOC_MAP);
    doc_set_integer(a, d, "memory_errors", b->memory_errors);
    for (int i = 0; i < gpu_monitor_count(m); i++) {
        struct doc *counted = gpu_watch_before(a, &b->watched, i);

        if (!counted)
            continue;
        doc_set_integer(a, counted, "index", gpu_monitor_gpu(m, i)->index);
        doc_set(a, gpus, gpu_monitor_gpu(m, i)->uuid, counted);
    }
    if (!before || !doc_equal(before, d))
        folder_write(a, b->folder, BASELINE_FILE, d, false, &ignored);
}
