/* cargo.c - the order in which an instance's files come and go. */
#include "agent/cargo.h"

#include <stdio.h>

#include "agent/handover.h"
#include "agent/ml.h"
#include "agent/outputs.h"
#include "agent/savings.h"
#include "agent/source.h"
#include "agent/syncer.h"
#include "agent/transfer.h"

static struct transfer transfer_of(const struct cargo *c, int cancel)
{
    return (struct transfer) {
        .order = c->order, .folder = c->folder, .ml = c->ml, .clock = c->clock, .cancel_fd = cancel
    };
}

static int need_outputs(struct cargo *c, struct err *err)
{
    struct transfer t = transfer_of(c, -1);

    return c->outputs ? 0 : outputs_new(&t, &c->outputs, err);
}

static int need_syncer(struct cargo *c, struct err *err)
{
    struct transfer t = transfer_of(c, -1);

    return c->syncer ? 0 : syncer_new(&t, c->checkpoints, &c->syncer, err);
}

bool cargo_waits(const struct cargo *c)
{
    const struct order *o = c->order;

    return list_count(o->channels) || list_count(o->models) || *o->checkpoint_s3_uri || *o->output_s3_uri ||
           list_count(o->outputs) || source_wanted(o);
}

static int restore_checkpoints(const struct cargo *c, const struct transfer *t, struct err *err)
{
    return *c->order->checkpoint_s3_uri ? syncer_restore(t, c->checkpoints, err) : 0;
}

int cargo_bring(struct cargo *c, const struct image *image, int cancel_fd, struct err *err)
{
    struct transfer t = transfer_of(c, cancel_fd);

    if (order_ends(c->order) && transfer_check_targets(&t, err) < 0)
        return -1;
    if (image->kind == IMAGE_HOST && source_wanted(c->order) && source_fetch(&t, err) < 0)
        return -1;
    if (order_ends(c->order) ? transfer_channels(&t, err) == 0 && restore_checkpoints(c, &t, err) == 0
                             : transfer_models(&t, err) == 0)
        return 0;
    if (err->kind == ERR_CONFLICT || err->kind == ERR_INTERNAL || !order_ends(c->order))
        return -1;
    return fail(err, err->kind, "Data download failed: %s", err->text);
}

int cargo_follow(struct cargo *c, struct err *err)
{
    if (list_count(c->order->outputs)) {
        if (need_outputs(c, err) < 0)
            return -1;
        outputs_run(c->outputs);
    }
    if (!*c->order->checkpoint_s3_uri)
        return 0;
    if (need_syncer(c, err) < 0)
        return -1;
    syncer_run(c->syncer);
    return 0;
}

struct doc *cargo_saving(const struct cargo *c, struct arena *a)
{
    return c->syncer ? savings_report(syncer_savings(c->syncer), a, c->order) : NULL;
}

void cargo_hurry(struct cargo *c, enum box_signal what)
{
    if (c->syncer && what == BOX_TERMINATE)
        syncer_hurry(c->syncer);
    if (c->outputs)
        outputs_hurry(c->outputs);
    if (c->syncer && what == BOX_KILL)
        syncer_before_kill(c->syncer);
}

/* The rest of the checkpoints. A container that was ended by force has left half files. */
static int finish_checkpoints(struct cargo *c, int cancel_fd, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct exit_record record;
    bool whole = box_look(a, c->box, &record, err) == 0 && record.state == EXIT_ENDED && record.exit_code < 128;

    if (!*c->order->checkpoint_s3_uri)
        return 0;
    if (need_syncer(c, err) < 0)
        return -1;
    return syncer_finish(c->syncer, whole ? CHECKPOINT_ENDED : CHECKPOINT_KILLED, cancel_fd, err);
}

static int finish_outputs(struct cargo *c, int cancel_fd, struct err *err)
{
    if (!list_count(c->order->outputs))
        return 0;
    return need_outputs(c, err) < 0 ? -1 : outputs_finish(c->outputs, cancel_fd, err);
}

static int save_results(const struct cargo *c, const struct transfer *t, struct arena *a, const char **ret_model,
                        struct err *err)
{
    bool with_model = c->saving == SAVE_MODEL;

    *ret_model = "";
    if (ml_check_results(a, t->ml, with_model, err) < 0)
        return -1;
    if (!handover_leads(t->order))
        return handover_give(t, c->uplink, with_model, err);
    if (with_model && handover_take(t->order, t->ml, err) < 0)
        return -1;
    return transfer_results(t, a, with_model, ret_model, err);
}

int cargo_save(struct cargo *c, int cancel_fd, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct transfer t = transfer_of(c, cancel_fd);
    struct err why = { 0 };
    const char *model = "";
    int r;

    if (order_processes(c->order))
        return finish_outputs(c, cancel_fd, err);
    /* Checkpoints first: they are what a next attempt starts from. When they cannot be saved, the results still can. */
    r = finish_checkpoints(c, cancel_fd, err);
    if (!(r < 0 && err->kind == ERR_CONFLICT) && finish_outputs(c, cancel_fd, &why) < 0) {
        if (r == 0 || why.kind == ERR_CONFLICT)
            *err = why;
        r = -1;
    }
    if (c->saving != SAVE_CHECKPOINTS && !(r < 0 && err->kind == ERR_CONFLICT) &&
        save_results(c, &t, a, &model, &why) < 0) {
        if (r == 0)
            *err = why;
        r = -1;
    }
    snprintf(c->model, sizeof c->model, "%s", model);
    return r;
}

void cargo_end(struct cargo *c)
{
    syncer_free(c->syncer);
    outputs_free(c->outputs);
}
