/* warm_box.c - lost at any line, it is a cold start. */
#include "agent/warm_box.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/launch.h"
#include "agent/order.h"
#include "agent/uplink.h"
#include "base/fd.h"
#include "base/log.h"
#include "run/agents.h"
#include "run/folder.h"
#include "run/image_list.h"

enum { LOOK_MS = 5000 }; /* for a signal that was lost, and for a folder that was removed */

struct warm_box {
    struct loop *loop;
    struct arena *arena;
    const char *folder;
    struct order order; /* the like of which may come */
    struct box box;
    struct uplink uplink;
    struct loop_timer timer;
    bool over, ordered;
};

static bool there(const struct warm_box *w, const char *file)
{
    _cleanup_arena_ struct arena *a = arena_new();

    return path_exists(arena_printf(a, "%s/%s", w->folder, file));
}

static int make_ready(struct warm_box *w, struct err *err)
{
    const struct order *o = &w->order;
    const struct image_places places = { o->data_folder, o->archives_folder };
    const char *ml = arena_printf(w->arena, "%s/ml", w->folder);
    struct image image;

    if (image_find(w->arena, &places, o->image, order_has_script(o->doc), &image, err) < 0 ||
        folder_make(ml, 0755, err) < 0)
        return -1;
    /* Its address alone: who its peers are is not known yet. */
    uplink_early(&w->uplink);
    uplink_wait(&w->uplink);
    if (!w->uplink.network.namespace_path)
        return fail(err, ERR_INTERNAL, "there is no network: %s", w->uplink.early.err.text);
    return launch_prepare(w->arena, &(struct launch){ .order = o, .folder = w->folder, .ml = ml, .checkpoints = "",
                                                      .image = &image, .uplink = &w->uplink }, &w->box, err);
}

/* Nobody has any use for it any more. */
static void discard(struct warm_box *w)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err;

    if (box_remove(a, &w->box, &err) < 0)
        log_warning("warm.not_removed", "name=%s why=%s", w->order.name, log_quote(a, err.text));
}

void warm_box_look(struct warm_box *w)
{
    w->ordered = there(w, FOLDER_ORDER);
    w->over = w->ordered || there(w, FOLDER_STOP) || !there(w, FOLDER_WARM);
    if (!w->over) {
        loop_timer_set(w->loop, &w->timer, loop_now_ms(w->loop) + LOOK_MS);
        return;
    }
    if (!w->ordered)
        discard(w);
    loop_timer_stop(w->loop, &w->timer);
    loop_stop(w->loop);
}

bool warm_box_over(const struct warm_box *w)
{
    return w->over;
}

static void timer_due(struct loop_timer *timer)
{
    warm_box_look((struct warm_box *)(void *)((char *)timer - offsetof(struct warm_box, timer)));
}

int warm_box_new(struct loop *loop, const char *folder, struct warm_box **ret, struct err *err)
{
    struct warm_box *w = calloc(1, sizeof *w);
    const struct doc *d;
    struct err why;

    assert(w);
    w->loop = loop;
    w->arena = arena_new();
    w->folder = folder;
    w->timer.run = timer_due;
    *ret = w;
    if (folder_read(w->arena, folder, FOLDER_WARM, &d, err) < 0)
        return -1;
    if (!d)
        return fail(err, ERR_NOT_FOUND, "%s has no order", folder);
    if (order_read(d, &w->order, err) < 0)
        return -1;
    w->box = (struct box){ .name = w->order.name, .folder = folder, .run_folder = w->order.run_folder,
                           .images = arena_printf(w->arena, "%s/images", w->order.data_folder) };
    w->uplink = (struct uplink){ .order = &w->order, .folder = folder };
    uplink_init(&w->uplink);
    if (!there(w, FOLDER_STOP) && make_ready(w, &why) < 0)
        log_warning("warm.not_ready", "name=%s why=%s", w->order.name, log_quote(w->arena, why.text));
    warm_box_look(w);
    return 0;
}

bool warm_box_ordered(const struct warm_box *w)
{
    return w->ordered;
}

const struct network *warm_box_network(const struct warm_box *w, const struct order *o)
{
    bool same = o->isolated == w->order.isolated && !o->peers == !w->order.peers &&
                tunnel_wanted(o) == tunnel_wanted(&w->order) &&
                order_spans_machines(o) == order_spans_machines(&w->order) && strcmp(o->work, w->order.work) == 0;

    return same && w->uplink.network.namespace_path ? &w->uplink.network : NULL;
}

void warm_box_free(struct warm_box *w)
{
    if (!w)
        return;
    loop_timer_stop(w->loop, &w->timer);
    if (w->uplink.order)
        uplink_end(&w->uplink);
    arena_free(w->arena);
    free(w);
}
