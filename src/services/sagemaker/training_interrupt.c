#include "services/sagemaker/training_interrupt.h"

#include <string.h>

#include "engine/engine.h"
#include "run/instance_id.h"
#include "run/runtime.h"
#include "services/events/events.h"
#include "services/sagemaker/kinds.h"
#include "services/sagemaker/training_fleet.h"

enum { ROWS_A_PAGE = 1000 };

static bool is_asked(const struct resource *r)
{
    return doc_int(r->row.want, "Interrupt.Attempt", -1) == training_attempt(r);
}

const char *training_interrupted_by(const struct resource *r)
{
    return is_asked(r) ? doc_text(r->row.want, "Interrupt.By") : "";
}

int64_t training_taken_back_ms(const struct resource *r)
{
    if (training_taken(r))
        return 0;
    return is_asked(r) ? doc_int(r->row.want, "Interrupt.NoticeMs", 0) : INT64_MAX;
}

/* What was told is not taken back when the clock goes back; and one that has gone back to before it was asked says
 * nothing of when: then it is at once. */
bool training_is_taken_back(const struct resource *r, int64_t now_ms)
{
    return training_taken(r) ||
           (is_asked(r) && (now_ms >= training_taken_back_ms(r) ||
                           now_ms < doc_int(r->row.want, "Interrupt.RecommendMs", 0) ||
                           doc_int(r->status, "_Noticed", 0) == training_attempt(r) + 1));
}

/* --- Telling --- */

/* EC2's own words; its notice names the instance by its zone, its recommendation by its account. */
static const struct notice {
    const char *detail_type, *noted;
    bool by_zone;
} recommendation = { "EC2 Instance Rebalance Recommendation", "_Recommended", false },
  interruption_notice = { "EC2 Spot Instance Interruption Warning", "_Noticed", true };

static int tell_of(struct pass *p, const struct resource *r, const struct notice *n, const char *agent,
                   struct err *err)
{
    const char *id = instance_id(p->arena, agent), *region = r->row.region;
    struct doc *detail = doc_map(p->arena);
    struct telling t = { .source = "aws.ec2", .detail_type = n->detail_type, .account = r->row.account,
                         .region = region, .detail = detail };

    doc_set_string(p->arena, detail, "instance-id", id);
    if (n->by_zone)
        doc_set_string(p->arena, detail, "instance-action", "terminate");
    t.resource = n->by_zone ? arena_printf(p->arena, "arn:aws:ec2:%s:instance/%s", instance_zone(p->arena, region), id)
                            : instance_arn(p->arena, region, r->row.account, id);
    return events_tell(p->arena, p->engine, &t, err);
}

/* Once an attempt, of each instance that still runs, or ended by what it was told. */
static int tell(struct pass *p, struct resource *r, const struct crew *crew, const struct notice *n, struct err *err)
{
    int64_t number = training_attempt(r) + 1;

    if (doc_int(r->status, n->noted, 0) == number)
        return 0;
    for (int i = 0; i < crew->count; i++)
        if (crew->mates[i].there && (crew->mates[i].report.noticed || !mate_has_ended(&crew->mates[i])) &&
            tell_of(p, r, n, crew->mates[i].agent, err) < 0)
            return -1;
    doc_set_integer(p->arena, r->status, n->noted, number);
    return 0;
}

int training_recommend(struct pass *p, struct resource *r, const struct crew *crew, struct err *err)
{
    int64_t at_ms = doc_int(r->row.want, "Interrupt.RecommendMs", 0);

    if (!is_asked(r) || !at_ms || doc_int(r->status, recommendation.noted, 0) == training_attempt(r) + 1)
        return 0;
    for (int i = 0; i < crew->count; i++)
        if (crew->mates[i].there && runtime_recommend(p->runtime, crew->mates[i].agent, at_ms, err) < 0)
            return -1;
    return tell(p, r, crew, &recommendation, err);
}

/* The notice itself is a recommendation to those that had none. */
int training_take_back(struct pass *p, struct resource *r, const struct crew *crew, struct err *err)
{
    const struct platform *platform = engine_context(p->engine);
    int64_t notice_s = (platform->fleet->spot.notice_ms + 999) / 1000;

    allocation_leave(p, r->row.uid);
    if (crew_stop(p, crew, notice_s, STOP_TAKEN_BACK, err) < 0 || tell(p, r, crew, &recommendation, err) < 0)
        return -1;
    return tell(p, r, crew, &interruption_notice, err);
}

/* Slurm tells the instances, and they us. That it also told a job that is no spot job is no matter of spot capacity. */
int training_tell_eviction(struct pass *p, struct resource *r, const struct crew *crew, struct err *err)
{
    bool noticed = false;

    for (int i = 0; i < crew->count; i++)
        noticed = noticed || (crew->mates[i].there && crew->mates[i].report.noticed);
    if (!noticed || !training_spec_of(r->row.spec).spot)
        return 0;
    return tell(p, r, crew, &recommendation, err) < 0 ? -1 : tell(p, r, crew, &interruption_notice, err);
}

/* --- Asking --- */

static int load(struct arena *a, struct engine *e, const char *arn, struct resource *ret, struct err *err)
{
    struct row row;

    if (store_row_by_arn(a, engine_world_of(e)->store, arn, &row, err) < 0)
        return err->kind == ERR_NOT_FOUND ? fail(err, ERR_NOT_FOUND, "there is no training job %s", arn) : -1;
    if (strcmp(row.kind, training_job.name) != 0)
        return fail(err, ERR_INVALID, "%s is no training job", arn);
    return resource_load(a, e, row.uid, ret, err);
}

int training_job_interrupt(struct arena *a, struct engine *e, const char *arn, const struct interruption *i,
                           struct err *err)
{
    struct doc *wanted;
    struct resource r;

    if (load(a, e, arn, &r, err) < 0)
        return -1;
    if (!training_spec_of(r.row.spec).spot)
        return fail(err, ERR_INVALID,
                    "%s is no spot job: only what was created with EnableManagedSpotTraining can be interrupted",
                    r.row.name);
    if (strcmp(get_state(&r), "InProgress") != 0)
        return fail(err, ERR_CONFLICT, "%s is %s: there is nothing to interrupt", r.row.name, get_state(&r));
    if (!doc_has(r.status, "_Seen"))
        return fail(err, ERR_CONFLICT, "%s has no instance at the moment: it is %s", r.row.name,
                    doc_text(r.status, "SecondaryStatus"));
    /* Whoever takes it back first, does. */
    if (training_taken_back_ms(&r) <= i->notice_ms)
        return 0;
    wanted = doc_member(a, r.want, "Interrupt", DOC_MAP);
    doc_set_integer(a, wanted, "Attempt", training_attempt(&r));
    doc_set_integer(a, wanted, "RecommendMs", i->recommend_ms);
    doc_set_integer(a, wanted, "NoticeMs", i->notice_ms);
    doc_set_string(a, wanted, "By", i->by ? i->by : "");
    return resource_want(e, &r, err);
}

int training_job_spare(struct arena *a, struct engine *e, const char *uid, int attempt, struct err *err)
{
    struct resource r;

    if (resource_load(a, e, uid, &r, err) < 0)
        return -1;
    if (!is_asked(&r) || training_attempt(&r) != attempt || training_is_taken_back(&r, engine_now_ms(e)))
        return 0;
    doc_set(a, r.want, "Interrupt", NULL);
    return resource_want(e, &r, err);
}

/* --- What there is --- */

static struct spot_instance *append_of(struct arena *a, const struct row *row, struct spot_instance *to)
{
    const struct resource r = { .row = *row, .kind = &training_job, .status = (struct doc *)row->status };

    for (int i = 0; i < training_instances(&r); i++, to++) {
        const char *id = instance_id(a, training_present_agent(a, &r, i));

        *to = (struct spot_instance){ id, instance_arn(a, row->region, row->account, id), row->uid, row->arn,
                                      training_attempt(&r) };
    }
    return to;
}

static bool runs_on_spot(const struct row *row)
{
    return training_spec_of(row->spec).spot && doc_has(row->status, "_Seen");
}

int training_spot_instances(struct arena *a, struct engine *e, const char *account, const char *region,
                            struct spot_instance **ret, int *ret_count, struct err *err)
{
    struct row_filter f = { .account = account, .region = region, .kind = training_job.name, .state = "InProgress",
                            .order = ROWS_BY_STATE, .limit = ROWS_A_PAGE };
    struct spot_instance *all = NULL;
    int count = 0;

    do {
        struct spot_instance *more, *end;
        struct row *rows;
        int row_count, room = count;

        if (store_row_list(a, engine_world_of(e)->store, &f, &rows, &row_count, &f.after, err) < 0)
            return -1;
        for (int i = 0; i < row_count; i++)
            room += runs_on_spot(&rows[i])
                        ? training_instances(&(struct resource){ .row = rows[i], .kind = &training_job }) : 0;
        more = end = arena_array_of(a, struct spot_instance, (size_t)room + 1);
        if (count)
            memcpy(more, all, (size_t)count * sizeof *all);
        end += count;
        for (int i = 0; i < row_count; i++)
            end = runs_on_spot(&rows[i]) ? append_of(a, &rows[i], end) : end;
        all = more;
        count = room;
    } while (f.after);
    *ret = all;
    *ret_count = count;
    return 0;
}
