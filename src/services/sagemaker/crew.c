/* crew.c - the instances of a job, as their reports tell. */
#include "services/sagemaker/crew.h"

#include <string.h>

#include "base/str.h"
#include "engine/engine.h"
#include "engine/tags.h"
#include "run/runtime.h"
#include "services/platform.h"
#include "services/sagemaker/instance_gpus.h"
#include "sign/digest.h"
#include "sign/esp.h"

static const struct doc *noted_of(const struct resource *r, const char *name, const char *host)
{
    const struct doc *of_hosts = doc_get(r->status, name);

    return of_hosts && of_hosts->type == DOC_MAP ? doc_get(of_hosts, host) : NULL;
}

static void note_of(struct arena *a, struct resource *r, const char *name, const char *host, int64_t value)
{
    doc_set_integer(a, doc_member(a, r->status, name, DOC_MAP), host, value);
}

int crew_look(struct pass *p, const struct resource *r, const struct crew_of *of, struct crew *ret, struct err *err)
{
    struct mate *all = arena_array_of(p->arena, struct mate, (size_t)of->count);

    for (int i = 0; i < of->count; i++) {
        struct mate *m = &all[i];
        enum runtime_state state;
        const struct doc *seen;

        *m = (struct mate){ .host = crew_host(p->arena, i), .agent = of->agent(p->arena, r, i) };
        if (runtime_inspect(p->runtime, p->arena, m->agent, &state, &seen, err) < 0)
            return -1;
        m->seen = noted_of(r, "_Seen", m->host) != NULL;
        m->there = state != RUNTIME_NONE;
        m->report = report_read(seen);
    }
    *ret = (struct crew){ all, of->count };
    return 0;
}

const char *crew_host(struct arena *a, int instance)
{
    return arena_printf(a, "algo-%d", instance + 1);
}

void crew_tell_hosts(struct arena *a, const struct resource *r, const struct crew_of *of, int instance,
                     struct doc *order)
{
    struct doc *hosts = doc_list(a), *peers = doc_map(a);

    for (int i = 0; i < of->count; i++) {
        const char *host = crew_host(a, i);

        doc_append(a, hosts, doc_string(a, host));
        doc_set_string(a, peers, host, of->agent(a, r, i));
    }
    doc_set_string(a, order, "host_name", crew_host(a, instance));
    doc_set(a, order, "hosts", hosts);
    doc_set(a, order, "peers", of->count > 1 ? peers : NULL);
}

/* Derived, not kept: there is no place to read it from, and an instance that is started later gets the same. */
void crew_tell_tunnel(struct pass *p, const struct resource *r, int attempt, bool encrypted, struct doc *order)
{
    const struct platform *platform = engine_context(p->engine);
    const char *purpose = arena_printf(p->arena, "sagebrush tunnel/%s/%d", r->row.uid, attempt);
    unsigned char secret[ESP_SECRET_SIZE];

    if (!doc_has(order, "peers") || !(encrypted || p->runtime->spans))
        return;
    hkdf_sha256(secret, sizeof secret,
                (struct str){ (const char *)platform->session_key, sizeof platform->session_key }, STR(""),
                str_of(purpose));
    doc_set_string(p->arena, doc_member(p->arena, order, "tunnel", DOC_MAP), "secret",
                   base64_encode(p->arena, secret, sizeof secret));
}

static bool is_lost(const struct mate *m)
{
    return m->seen && !m->there;
}

bool mate_is_missing(const struct mate *m)
{
    return !m->there && !m->seen;
}

bool mate_has_ended(const struct mate *m)
{
    return m->there && strcmp(m->report.phase, "Ended") == 0;
}

static bool ended_as(const struct mate *m, const char *outcome)
{
    return mate_has_ended(m) && strcmp(m->report.outcome, outcome) == 0;
}

int crew_take_gpu_faults(struct pass *p, const struct crew *crew, struct err *err)
{
    for (int i = 0; i < crew->count; i++)
        if (instance_gpus_fault(p, crew->mates[i].agent, &crew->mates[i].report, err) < 0)
            return -1;
    return 0;
}

/* --- What was seen --- */

const struct doc *mate_phase(const struct mate *m, const char *phase)
{
    for (size_t i = 0; i < doc_count(m->report.phases, ""); i++)
        if (doc_is(m->report.phases->items[i], "phase", phase))
            return m->report.phases->items[i];
    return NULL;
}

/* The download counts: "you are billed for the time interval between this time and TrainingEndTime". 0: not yet. */
static int64_t start_of(const struct mate *m)
{
    for (size_t i = 0; i < doc_count(m->report.phases, ""); i++) {
        const struct doc *phase = m->report.phases->items[i];

        if (!doc_is(phase, "phase", "Starting") && !doc_is(phase, "phase", "Ended"))
            return doc_int(phase, "at_ms", 0);
    }
    return 0;
}

void crew_take_starts(struct arena *a, struct resource *r, const struct crew *crew, const char *start_member)
{
    for (int i = 0; i < crew->count; i++) {
        const struct mate *m = &crew->mates[i];
        int64_t start_ms = start_of(m);

        if (m->there && *m->report.phase)
            note_of(a, r, "_Seen", m->host, 1);
        if (!start_ms || noted_of(r, "_StartedMs", m->host))
            continue;
        note_of(a, r, "_StartedMs", m->host, start_ms);
        if (!doc_has(r->status, start_member))
            doc_set_integer(a, r->status, start_member, start_ms);
    }
}

int64_t mate_ended_ms(const struct pass *p, const struct mate *m)
{
    return mate_has_ended(m) && m->report.ended_ms ? m->report.ended_ms : p->now_ms;
}

int64_t crew_ended_ms(const struct pass *p, const struct crew *crew)
{
    int64_t at_ms = 0;

    for (int i = 0; i < crew->count; i++)
        if (mate_ended_ms(p, &crew->mates[i]) > at_ms)
            at_ms = mate_ended_ms(p, &crew->mates[i]);
    return at_ms;
}

int crew_take_usage(struct pass *p, const struct resource *r, const struct crew *crew,
                    struct doc *(*attributes)(struct arena *, const struct platform *, const struct resource *,
                                              int instance),
                    struct err *err)
{
    const struct platform *platform = engine_context(p->engine);
    struct doc *tags;

    if (tags_of(p->arena, p->engine, r->row.uid, &tags, err) < 0)
        return -1;
    for (int i = 0; i < crew->count; i++) {
        const struct mate *m = &crew->mates[i];
        const struct doc *started = noted_of(r, "_StartedMs", m->host);

        if (started) {
            struct doc *used = attributes(p->arena, platform, r, i);

            doc_set(p->arena, used, "tags", tags);
            if (usage_open(p->engine, m->agent, started->integer, used, err) < 0)
                return -1;
        }
        if ((mate_has_ended(m) || is_lost(m)) && usage_close(p->engine, m->agent, mate_ended_ms(p, m), err) < 0)
            return -1;
    }
    return 0;
}

/* --- Ends --- */

int64_t crew_overran_ms(const struct crew *crew)
{
    int64_t first_ms = 0;

    for (int i = 0; i < crew->count; i++) {
        int64_t at_ms = crew->mates[i].report.overran_ms;

        if (at_ms && (!first_ms || at_ms < first_ms))
            first_ms = at_ms;
    }
    return first_ms;
}

/* The first of them that ended in this way; NULL: none did. */
const struct mate *crew_first_ended_as(const struct crew *crew, const char *outcome)
{
    const struct mate *first = NULL;

    for (int i = 0; i < crew->count; i++)
        if (ended_as(&crew->mates[i], outcome) &&
            (!first || crew->mates[i].report.ended_ms < first->report.ended_ms))
            first = &crew->mates[i];
    return first;
}

static bool is_known(const char *outcome)
{
    static const char *const known[] = { "Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "Interrupted" };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(outcome, known[i]) == 0)
            return true;
    return false;
}

const char *crew_ended_otherwise(struct arena *a, const struct crew *crew)
{
    for (int i = 0; i < crew->count; i++)
        if (mate_has_ended(&crew->mates[i]) && !is_known(crew->mates[i].report.outcome))
            return arena_printf(a, "InternalServerError: %s ended as \"%.40s\", which this server does not know. Start "
                                   "the job again.", crew->mates[i].host, crew->mates[i].report.outcome);
    return NULL;
}

const struct mate *crew_first_lost(const struct crew *crew)
{
    for (int i = 0; i < crew->count; i++)
        if (is_lost(&crew->mates[i]))
            return &crew->mates[i];
    return NULL;
}

/* One instance ended otherwise than the job ends when all goes well: the others wait for nothing any more. */
bool crew_is_doomed(const struct crew *crew)
{
    for (int i = 0; i < crew->count; i++)
        if (is_lost(&crew->mates[i]) ||
            (mate_has_ended(&crew->mates[i]) && !ended_as(&crew->mates[i], "Completed")))
            return true;
    return false;
}

bool crew_is_over(const struct crew *crew, bool more_start)
{
    for (int i = 0; i < crew->count; i++) {
        const struct mate *m = &crew->mates[i];

        if (!mate_has_ended(m) && !is_lost(m) && (m->there || more_start))
            return false;
    }
    return true;
}

int crew_stop(struct pass *p, const struct crew *crew, int64_t grace_s, const char *reason, struct err *err)
{
    for (int i = 0; i < crew->count; i++)
        if (crew->mates[i].there && !mate_has_ended(&crew->mates[i]) &&
            runtime_stop(p->runtime, crew->mates[i].agent, grace_s, reason, err) < 0)
            return -1;
    return 0;
}
