/* crew_health.c - what the reports of a crew say of its instances. */
#include "services/sagemaker/crew_health.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "engine/engine.h"
#include "services/events/events.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/node_health.h"

enum { NOTICE_S = 1800 };

/* Every decision is an event, with what it was made on. */
static int tell(struct pass *p, const struct resource *r, const char *what, const struct doc *detail, struct err *err)
{
    return events_tell(p->arena, p->engine,
                       &(struct telling){ .source = "sagebrush.health", .detail_type = what, .account = r->row.account,
                                          .region = r->row.region, .resource = r->row.arn, .detail = detail }, err);
}

static struct doc *detail_of(struct arena *a, const struct resource *r)
{
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "job-name", r->row.name);
    return d;
}

/* --- Instances that are not fit --- */

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
    struct doc *d = detail_of(p->arena, r);

    if (doc_has(r->status, "_Checked"))
        return 0;
    for (int i = 0; i < crew->count; i++)
        if (!crew->mates[i].report.checks || !crew->mates[i].report.started_ms)
            return 0;
    doc_set(p->arena, d, "checks", evidence_of(p->arena, crew));
    doc_set_boolean(p->arena, r->status, "_Checked", true);
    return tell(p, r, "Infrastructure Check Passed", d, err);
}

static int tell_ailment(struct pass *p, const struct resource *r, const struct crew *crew, const struct ailment *ill,
                        struct err *err)
{
    struct doc *d = detail_of(p->arena, r);

    doc_set_string(p->arena, d, "told-by", crew->mates[ill->told_by].host);
    doc_set_string(p->arena, d, "host", ill->bad >= 0 ? crew->mates[ill->bad].host : NULL);
    doc_set_string(p->arena, d, "check", ill->check);
    doc_set_string(p->arena, d, "why", ill->why);
    doc_set_boolean(p->arena, d, "before-work", ill->before_work);
    doc_set(p->arena, d, "checks", evidence_of(p->arena, crew));
    return tell(p, r, "Instance Unhealthy", d, err);
}

static int blame_node(struct pass *p, const struct resource *r, const struct crew *crew, const struct ailment *ill,
                      struct err *err)
{
    const struct placed *placed;
    bool ignored;
    int count;

    if (ill->bad < 0)
        return 0;
    if (allocation_nodes(p->arena, p->engine, r->row.uid, &placed, &count, err) < 0)
        return -1;
    if (ill->bad >= count)
        return 0;
    return node_health_failed(p->arena, p->engine,
                              &(struct node_failure){ .node = placed[ill->bad].node, .check = ill->check,
                                                      .by = crew->mates[ill->bad].agent, .why = ill->why,
                                                      .job = &r->row }, &ignored, err);
}

int crew_blame(struct pass *p, const struct resource *r, const struct crew *crew, const struct ailment *ill,
               struct err *err)
{
    return tell_ailment(p, r, crew, ill, err) < 0 ? -1 : blame_node(p, r, crew, ill, err);
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

/* --- Instances that do nothing --- */

static struct str asked_for(const struct doc *environment)
{
    return str_of(doc_text(environment, HANG_VARIABLE));
}

int hang_check(const struct doc *environment, struct err *err)
{
    int64_t ms;

    if (!asked_for(environment).size || duration_parse(asked_for(environment), &ms))
        return 0;
    return fail_code(err, ERR_INVALID, "ValidationException",
                     "The variable " HANG_VARIABLE " is \"%s\"; it has to be a duration such as 30m, or off.",
                     asked_for(environment).data);
}

int64_t hang_after_s(const struct platform *platform, const struct doc *environment)
{
    int64_t ms;

    return asked_for(environment).size && duration_parse(asked_for(environment), &ms) ? ms / 1000
                                                                                    : platform->hang_after_s;
}

int64_t quiet_after_s(const struct platform *platform, const struct doc *environment)
{
    int64_t limit_s = hang_after_s(platform, environment);

    return limit_s ? limit_s : NOTICE_S;
}

int64_t crew_quiet_since_ms(struct arena *a, const struct crew *crew, const char **ret_words)
{
    const char *words = "";
    int64_t since_ms = 0;

    for (int i = 0; i < crew->count; i++) {
        const struct mate *m = &crew->mates[i];
        int64_t quiet_ms = doc_int(m->report.quiet, "since_ms", 0);

        if (mate_has_ended(m))
            continue;
        /* What it does after its container has ended shows elsewhere. */
        if (!quiet_ms || (strcmp(m->report.phase, "Training") != 0 && strcmp(m->report.phase, "Processing") != 0))
            return 0;
        if (quiet_ms > since_ms)
            since_ms = quiet_ms;
        words = arena_printf(a, "%s%s%s: %s", words, *words ? "; " : "", m->host, doc_text(m->report.quiet, "why"));
    }
    *ret_words = words;
    return since_ms;
}

/* That it does nothing, and whether it is ended for that. */
static int tell_quiet(struct pass *p, const struct resource *r, int64_t since_ms, const char *words, bool ended,
                      struct err *err)
{
    struct doc *d = detail_of(p->arena, r);

    doc_set_string(p->arena, d, "since", time_iso8601(p->arena, since_ms, false));
    doc_set_integer(p->arena, d, "seconds", (p->now_ms - since_ms) / 1000);
    doc_set_string(p->arena, d, "why", words);
    return tell(p, r, ended ? "Job Hung" : "Job Quiet", d, err);
}

int crew_look_for_life(struct pass *p, struct resource *r, const struct crew *crew, const struct doc *environment,
                       bool *ret_news, struct err *err)
{
    int64_t limit_s = hang_after_s(engine_context(p->engine), environment), quiet_ms;
    const char *words;

    *ret_news = false;
    quiet_ms = crew_quiet_since_ms(p->arena, crew, &words);
    if (quiet_ms == doc_int(r->status, "_Quiet", 0))
        return 0;
    doc_set(p->arena, r->status, "_Quiet", quiet_ms ? doc_integer(p->arena, quiet_ms) : NULL);
    if (!quiet_ms)
        return 0;
    if (limit_s)
        doc_set_string(p->arena, r->status, "_Hung",
                       arena_printf(p->arena, "InternalServerError: the job hung: for %" PRId64 " s it wrote no line "
                                              "and used neither a core nor a GPU (%s)", (p->now_ms - quiet_ms) / 1000,
                                    words));
    *ret_news = true;
    return tell_quiet(p, r, quiet_ms, words, limit_s > 0, err);
}
