/* training_crew.c - the instances of an attempt, as their reports tell. */
#include "services/sagemaker/training_crew.h"

#include <string.h>

#include "engine/engine.h"
#include "fleet/instance_type.h"
#include "run/runtime.h"

static int64_t noted(const struct resource *r, const char *name)
{
    return doc_int(r->status, name, 0);
}

static const struct doc *noted_of(const struct resource *r, const char *name, const char *host)
{
    const struct doc *of_hosts = doc_get(r->status, name);

    return of_hosts && of_hosts->type == DOC_MAP ? doc_get(of_hosts, host) : NULL;
}

static void note_of(struct arena *a, struct resource *r, const char *name, const char *host, int64_t value)
{
    doc_set_integer(a, doc_member(a, r->status, name, DOC_MAP), host, value);
}

/* "Cannot tell" is not "not there": -1, conclude nothing and be called again. */
int crew_look(struct pass *p, const struct resource *r, struct crew *ret, struct err *err)
{
    int count = training_instances(r);
    struct mate *all = arena_array_of(p->arena, struct mate, (size_t)count);

    for (int i = 0; i < count; i++) {
        struct mate *m = &all[i];
        enum runtime_state state;
        const struct doc *seen;

        *m = (struct mate){ .host = training_host(p->arena, i),
                              .agent = training_agent(p->arena, r, i, training_attempt(r)) };
        if (runtime_inspect(p->runtime, p->arena, m->agent, &state, &seen, err) < 0)
            return -1;
        m->seen = noted_of(r, "_Seen", m->host) != NULL;
        m->there = state != RUNTIME_NONE;
        m->report = report_read(seen);
    }
    *ret = (struct crew){ all, count };
    return 0;
}

static bool is_lost(const struct mate *m)
{
    return m->seen && !m->there;
}

bool mate_has_ended(const struct mate *m)
{
    return m->there && strcmp(m->report.phase, "Ended") == 0;
}

static bool ended_as(const struct mate *m, const char *outcome)
{
    return mate_has_ended(m) && strcmp(m->report.outcome, outcome) == 0;
}

/* --- What was seen --- */

/* In their order, with the words of AWS's own transitions, as printed by the SDK. */
static const struct {
    const char *name, *message;
} phases[] = {
    { "Starting", "Preparing the instances for training" },
    { "Downloading", "Downloading input data" },
    { "Training", "Training image download completed. Training in progress." },
    { "Uploading", "Uploading generated training model" },
};
enum { PHASES = sizeof phases / sizeof *phases };

/* The entry of a phase in a report; NULL: it had none, or not yet. */
static const struct doc *entry_of(const struct mate *m, const char *phase)
{
    for (size_t i = 0; i < doc_count(m->report.phases, ""); i++)
        if (doc_is(m->report.phases->items[i], "phase", phase))
            return m->report.phases->items[i];
    return NULL;
}

static bool has_reached(const struct mate *m, int phase)
{
    for (int i = phase; i < PHASES; i++)
        if (entry_of(m, phases[i].name))
            return true;
    return mate_has_ended(m);
}

/* The secondary status goes on when the last instance does, and shows Stopping throughout once the job stops. */
void crew_take_phases(struct arena *a, struct resource *r, const struct crew *crew)
{
    int64_t taken = noted(r, "_Phases");

    for (; taken < PHASES; taken++) {
        const char *message = phases[taken].message;
        int64_t at_ms = 0;

        for (int i = 0; i < crew->count; i++) {
            const struct doc *entry = entry_of(&crew->mates[i], phases[taken].name);

            if (!has_reached(&crew->mates[i], (int)taken))
                goto done;
            if (entry && doc_int(entry, "at_ms", 0) > at_ms) {
                at_ms = doc_int(entry, "at_ms", 0);
                message = doc_text_or(entry, "message", message);
            }
        }
        if (at_ms && strcmp(get_state(r), "InProgress") == 0)
            training_enter(a, r->status, phases[taken].name, *message ? message : phases[taken].message, at_ms);
    }
done:
    doc_set_integer(a, r->status, "_Phases", taken);
}

/* The download counts: "you are billed for the time interval between this time and TrainingEndTime". 0: not yet. */
static int64_t start_of(const struct mate *m)
{
    for (int i = 0; i < PHASES; i++) {
        const struct doc *entry = strcmp(phases[i].name, "Starting") != 0 ? entry_of(m, phases[i].name) : NULL;

        if (entry)
            return doc_int(entry, "at_ms", 0);
    }
    return 0;
}

void crew_take_starts(struct arena *a, struct resource *r, const struct crew *crew)
{
    for (int i = 0; i < crew->count; i++) {
        const struct mate *m = &crew->mates[i];
        int64_t start_ms = start_of(m);

        if (m->there && *m->report.phase)
            note_of(a, r, "_Seen", m->host, 1);
        if (!start_ms || noted_of(r, "_StartedMs", m->host))
            continue;
        note_of(a, r, "_StartedMs", m->host, start_ms);
        if (!doc_has(r->status, "TrainingStartTime"))
            doc_set_integer(a, r->status, "TrainingStartTime", start_ms);
    }
}

void crew_take_metrics(struct arena *a, struct resource *r, const struct crew *crew)
{
    struct doc *list = doc_list(a);

    for (int i = 0; i < crew->count && !list->count; i++) {
        const struct doc *seen = crew->mates[i].report.final_metrics;

        for (size_t j = 0; j < doc_count(seen, ""); j++) {
            struct doc *m = doc_map(a);

            doc_set_string(a, m, "MetricName", doc_text(seen->items[j], "name"));
            doc_set_real(a, m, "Value", doc_number(seen->items[j], "value", 0));
            doc_set_integer(a, m, "Timestamp", doc_int(seen->items[j], "at_ms", 0));
            doc_append(a, list, m);
        }
    }
    doc_set(a, r->status, "FinalMetricDataList", list->count ? list : NULL);
}

/* --- Usage: an interval for each instance of each attempt --- */

static int open_usage(struct pass *p, const struct resource *r, const struct mate *m, struct err *err)
{
    struct training_spec s = training_spec_of(r->row.spec);
    const struct instance_type *type = instance_type(s.instance_type);
    const struct doc *started = noted_of(r, "_StartedMs", m->host);
    struct doc *attributes = doc_map(p->arena);

    if (!started)
        return 0;
    doc_set_string(p->arena, attributes, "owner_arn", r->row.arn);
    doc_set_string(p->arena, attributes, "role_arn", s.role_arn);
    doc_set_string(p->arena, attributes, "instance_type", s.instance_type);
    doc_set_string(p->arena, attributes, "work", "training");
    doc_set_boolean(p->arena, attributes, "spot", s.spot);
    if (type && type->usd_hour >= 0)
        doc_set_real(p->arena, attributes, "usd_hour", type->usd_hour * training_price_share(r, &s));
    return usage_open(p->engine, m->agent, started->integer, attributes, err);
}

int64_t mate_ended_ms(const struct pass *p, const struct mate *m)
{
    return mate_has_ended(m) && m->report.ended_ms ? m->report.ended_ms : p->now_ms;
}

int crew_take_usage(struct pass *p, const struct resource *r, const struct crew *crew, struct err *err)
{
    for (int i = 0; i < crew->count; i++) {
        const struct mate *m = &crew->mates[i];

        if (open_usage(p, r, m, err) < 0)
            return -1;
        if ((mate_has_ended(m) || is_lost(m)) && usage_close(p->engine, m->agent, mate_ended_ms(p, m), err) < 0)
            return -1;
    }
    return 0;
}

/* --- Ends --- */

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

