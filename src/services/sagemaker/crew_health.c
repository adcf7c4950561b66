/* crew_health.c - what the reports of a crew say of its instances. */
#include "services/sagemaker/crew_health.h"

#include <string.h>

#include "base/clock.h"
#include "engine/engine.h"

enum { NOTICE_S = 1800 };

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
        ret->why = "it was lost, with its data";
        return true;
    }
    ret->told_by = index_of(crew, told->host);
    ret->bad = of_two ? most_blamed(crew) : ret->told_by;
    ret->check = doc_text_or(told->report.unhealthy, "check", "GPU");
    ret->why = told->report.unhealthy ? doc_text(told->report.unhealthy, "why") : doc_text(told->report.gpu_fault, "why");
    return true;
}

const char *ailment_words(struct arena *a, const struct crew *crew, const struct ailment *ill)
{
    return arena_printf(a, "%s (%s): %s", crew->mates[ill->told_by].host, ill->check, ill->why);
}

int crew_waive(struct pass *p, const struct resource *r, const struct crew *crew, const struct ailment *ill,
               struct err *err)
{
    const char *words = ailment_words(p->arena, crew, ill);

    for (int i = 0; i < crew->count; i++)
        if (usage_waive(p->engine, crew->mates[i].agent, words, err) < 0)
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
                     "The environment variable " HANG_VARIABLE " is \"%s\"; it has to be a duration such as 30m, or off.",
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
