/* crew_health.c - what the reports of a crew say of its instances. */
#include "services/sagemaker/crew_health.h"

#include <string.h>

#include "base/str.h"
#include "engine/engine.h"
#include "run/runtime.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/health_events.h"
#include "services/sagemaker/node_health.h"

static bool has_failed(const struct mate *m)
{
    return strcmp(m->report.outcome, "Failed") == 0 && (m->report.unhealthy || m->report.gpu_fault);
}

static bool has_worked(const struct crew *crew)
{
    for (int i = 0; i < crew->count; i++)
        if (crew->mates[i].report.started_ms)
            return true;
    return false;
}

static int index_of(const struct crew *crew, const char *host)
{
    for (int i = 0; i < crew->count; i++)
        if (strcmp(crew->mates[i].host, host) == 0)
            return i;
    return -1;
}

static const char *blamed_by(const struct mate *m)
{
    return doc_text(m->report.unhealthy, "blames");
}

static int votes_for(const struct crew *crew, const char *host)
{
    int votes = 0;

    for (int i = 0; i < crew->count; i++)
        votes += strcmp(blamed_by(&crew->mates[i]), host) == 0;
    return votes;
}

/* The instance that most of the others name: of two who cannot reach each other nobody knows which it is. */
static int most_blamed(const struct crew *crew)
{
    int most = 0, found = -1;

    for (int i = 0; i < crew->count; i++) {
        int votes = votes_for(crew, crew->mates[i].host);

        if (votes == most)
            found = -1;
        if (votes > most) {
            most = votes;
            found = i;
        }
    }
    return found;
}

static bool is_of_two(const struct mate *m)
{
    return strcmp(doc_text(m->report.unhealthy, "check"), CHECK_OF_TWO) == 0;
}

/* What an instance says of itself is more than what it says of the way to another. */
static const struct mate *first_failed(const struct crew *crew, bool of_itself)
{
    const struct mate *first = NULL;

    for (int i = 0; i < crew->count; i++) {
        const struct mate *m = &crew->mates[i];

        if (has_failed(m) && is_of_two(m) != of_itself && (!first || m->report.ended_ms < first->report.ended_ms))
            first = m;
    }
    return first;
}

bool crew_ailment(const struct crew *crew, struct ailment *ret)
{
    const struct mate *lost = crew_first_lost(crew), *told = first_failed(crew, true);
    bool of_two = false;

    if (!told && !lost) {
        told = first_failed(crew, false);
        of_two = true;
    }
    if (!told && !lost)
        return false;
    *ret = (struct ailment){ .before_work = !has_worked(crew) && !lost };
    if (!told) {
        ret->told_by = ret->bad = index_of(crew, lost->host);
        ret->check = "instance";
        ret->why = "the instance was lost, with its data";
        return true;
    }
    ret->told_by = index_of(crew, told->host);
    ret->bad = of_two ? most_blamed(crew) : ret->told_by;
    ret->check = doc_text_or(told->report.unhealthy, "check", "GPU");
    ret->why = doc_text(told->report.unhealthy ? told->report.unhealthy : told->report.gpu_fault, "why");
    return true;
}

const char *ailment_words(struct arena *a, const struct crew *crew, const struct ailment *ill)
{
    return crew->count == 1 ? ill->why : arena_printf(a, "%s: %s", crew->mates[ill->told_by].host, ill->why);
}

const bool *ailment_moves(struct arena *a, const struct crew *crew, const struct ailment *ill)
{
    bool *moves = arena_array_of(a, bool, (size_t)crew->count);

    for (int i = 0; i < crew->count; i++)
        moves[i] = ill->bad < 0 || i == ill->bad;
    return moves;
}

/* By host: each check, and what it saw. */
static struct doc *evidence_of(struct arena *a, const struct crew *crew)
{
    struct doc *hosts = doc_map(a);

    for (int i = 0; i < crew->count; i++)
        if (crew->mates[i].report.checks)
            doc_set(a, hosts, crew->mates[i].host, doc_copy(a, crew->mates[i].report.checks));
    return hosts;
}

int crew_take_checks(struct pass *p, struct resource *r, const struct crew *crew, struct err *err)
{
    struct doc *d = doc_map(p->arena);

    if (doc_has(r->status, "_Checked"))
        return 0;
    for (int i = 0; i < crew->count; i++)
        if (!crew->mates[i].report.checks || !crew->mates[i].report.started_ms)
            return 0;
    doc_set(p->arena, d, "checks", evidence_of(p->arena, crew));
    doc_set_boolean(p->arena, r->status, "_Checked", true);
    return health_tell(p->arena, p->engine, "Infrastructure Check Passed", &r->row, d, err);
}

static int tell_warning(struct pass *p, const struct resource *r, const struct mate *m, const char *why,
                        const struct log_place *log, struct err *err)
{
    const char *line = *why ? arena_printf(p->arena, "sagebrush: warning: %s: %s", m->host, why)
                            : arena_printf(p->arena, "sagebrush: %s: what was warned of is over", m->host);
    struct doc *d = doc_map(p->arena);

    doc_set_string(p->arena, d, "host", m->host);
    doc_set_string(p->arena, d, "check", "GPU");
    doc_set_string(p->arena, d, "why", *why ? why : NULL);
    if (logs_say(p->arena, engine_world_of(p->engine)->store, log, line, p->now_ms, err) < 0)
        return -1;
    return health_tell(p->arena, p->engine, *why ? "Instance Warning" : "Instance Warning Over", &r->row, d, err);
}

int crew_take_warnings(struct pass *p, struct resource *r, const struct crew *crew, const struct log_place *log,
                       struct err *err)
{
    for (int i = 0; i < crew->count; i++) {
        const struct mate *m = &crew->mates[i];
        const char *why = doc_text(m->report.warned, "why"), *known = doc_text(doc_get(r->status, "_Warned"), m->host);

        /* One that is gone, or has ended, says nothing any more. */
        if (!m->there || mate_has_ended(m) || strcmp(why, known) == 0)
            continue;
        if (tell_warning(p, r, m, why, log, err) < 0)
            return -1;
        doc_set_string(p->arena, doc_member(p->arena, r->status, "_Warned", DOC_MAP), m->host, *why ? why : NULL);
    }
    return 0;
}

static int tell_ailment(struct pass *p, const struct resource *r, const struct crew *crew, const struct ailment *ill,
                        const char *node, struct err *err)
{
    struct doc *d = doc_map(p->arena);

    doc_set_string(p->arena, d, "told-by", crew->mates[ill->told_by].host);
    doc_set_string(p->arena, d, "host", ill->bad >= 0 ? crew->mates[ill->bad].host : NULL);
    doc_set_string(p->arena, d, "node", node);
    doc_set_string(p->arena, d, "check", ill->check);
    doc_set_string(p->arena, d, "why", ill->why);
    doc_set_boolean(p->arena, d, "before-work", ill->before_work);
    doc_set(p->arena, d, "checks", evidence_of(p->arena, crew));
    return health_tell(p->arena, p->engine, "Instance Unhealthy", &r->row, d, err);
}

/* The fleet has one node for a whole cluster. Of one that the cluster itself has given up it knows. */
static const char *cluster_node(const struct pass *p, const struct mate *m, const struct ailment *ill)
{
    bool known = runtime_has_nodes(p->runtime) && *m->report.node && strcmp(ill->check, "Slurm") != 0;

    return known ? m->report.node : NULL;
}

/* ret->node NULL: nobody knows which instance it was, or it stands nowhere any more. */
static int node_to_blame(struct pass *p, const struct resource *r, const struct crew *crew, const struct ailment *ill,
                         struct node_failure *ret, struct err *err)
{
    const struct placed *placed;
    const struct mate *bad;
    int count;

    *ret = (struct node_failure){ .check = ill->check, .why = ill->why, .job = &r->row };
    if (ill->bad < 0)
        return 0;
    bad = &crew->mates[ill->bad];
    ret->by = bad->agent;
    ret->node = cluster_node(p, bad, ill);
    ret->of_cluster = ret->node;
    if (ret->of_cluster)
        return 0;
    if (allocation_nodes(p->arena, p->engine, r->row.uid, &placed, &count, err) < 0)
        return -1;
    if (ill->bad < count)
        ret->node = placed[ill->bad].node;
    return 0;
}

int crew_blame(struct pass *p, const struct resource *r, const struct crew *crew, const struct ailment *ill,
               struct err *err)
{
    struct node_failure f;
    bool ignored;

    if (node_to_blame(p, r, crew, ill, &f, err) < 0 || tell_ailment(p, r, crew, ill, f.node, err) < 0)
        return -1;
    return f.node ? node_health_failed(p->arena, p->engine, &f, &ignored, err) : 0;
}

#define OURS "InternalServerError: "

bool failure_is_ours(const char *reason)
{
    return text_starts(reason, OURS);
}

int crew_waive(struct pass *p, const struct crew *crew, const char *reason, struct err *err)
{
    const char *why = failure_is_ours(reason) ? reason + strlen(OURS) : reason;

    for (int i = 0; i < crew->count; i++)
        if (usage_waive(p->engine, crew->mates[i].agent, why, err) < 0)
            return -1;
    return 0;
}
