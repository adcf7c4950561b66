/* crew_life.c - one instance that waits for another one is as it should be: a job does nothing when all of it does. */
#include "services/sagemaker/crew_life.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "engine/engine.h"
#include "services/sagemaker/health_events.h"

enum { NOTICE_S = 1800, HOSTS_NAMED = 4 };

/* --- How long --- */

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

/* --- What is seen --- */

static bool is_at_work(const struct mate *m)
{
    return strcmp(m->report.phase, "Training") == 0 || strcmp(m->report.phase, "Processing") == 0;
}

int64_t crew_quiet_since_ms(struct arena *a, const struct crew *crew, const char **ret_words)
{
    const char *words = "";
    int64_t since_ms = 0;
    int quiet = 0;

    for (int i = 0; i < crew->count; i++) {
        const struct mate *m = &crew->mates[i];
        int64_t quiet_ms = doc_int(m->report.quiet, "since_ms", 0);

        if (mate_has_ended(m))
            continue;
        /* What it does after its container has ended shows elsewhere. */
        if (!quiet_ms || !is_at_work(m))
            return 0;
        if (quiet_ms > since_ms)
            since_ms = quiet_ms;
        if (quiet++ < HOSTS_NAMED)
            words = arena_printf(a, "%s%s%s: %s", words, *words ? "; " : "", m->host, doc_text(m->report.quiet, "why"));
    }
    *ret_words = quiet > HOSTS_NAMED ? arena_printf(a, "%s; so do %d more", words, quiet - HOSTS_NAMED) : words;
    return since_ms;
}

const char *crew_quiet_words(struct arena *a, const struct crew *crew)
{
    const char *words;
    int64_t since_ms = crew_quiet_since_ms(a, crew, &words);

    if (!since_ms)
        return "";
    return arena_printf(a, "The job has done nothing since %s: %s.", time_iso8601(a, since_ms, false), words);
}

/* --- What is told --- */

static int say(struct pass *p, const struct log_line *of, const char *words, struct err *err)
{
    struct log_line line = *of;

    line.text = arena_printf(p->arena, "sagebrush: %s", words);
    return logs_say(p->arena, engine_world_of(p->engine)->store, &line, p->now_ms, err);
}

static int tell(struct pass *p, const struct resource *r, const char *what, int64_t since_ms, const char *words,
                struct err *err)
{
    struct doc *d = doc_map(p->arena);

    doc_set_string(p->arena, d, "since", time_iso8601(p->arena, since_ms, false));
    doc_set_integer(p->arena, d, "seconds", (p->now_ms - since_ms) / 1000);
    doc_set_string(p->arena, d, "why", *words ? words : NULL);
    return health_tell(p->arena, p->engine, what, &r->row, d, err);
}

static int tell_of_life(struct pass *p, const struct resource *r, const struct log_line *of, struct err *err)
{
    if (say(p, of, "this job works again", err) < 0)
        return -1;
    return tell(p, r, "Job Works Again", doc_int(r->status, "_Quiet", 0), "", err);
}

int crew_look_for_life(struct pass *p, struct resource *r, const struct crew *crew, const struct doc *environment,
                       const struct log_line *of, bool *ret_news, struct err *err)
{
    int64_t limit_s = hang_after_s(engine_context(p->engine), environment);
    const char *words;
    int64_t quiet_ms = crew_quiet_since_ms(p->arena, crew, &words);

    *ret_news = false;
    if ((quiet_ms != 0) == doc_has(r->status, "_Quiet"))
        return 0;
    if (!quiet_ms && tell_of_life(p, r, of, err) < 0)
        return -1;
    doc_set(p->arena, r->status, "_Quiet", quiet_ms ? doc_integer(p->arena, quiet_ms) : NULL);
    if (!quiet_ms)
        return 0;
    if (limit_s)
        doc_set_string(p->arena, r->status, "_Hung",
                       arena_printf(p->arena, "InternalServerError: the job hung: for %" PRId64 " s it wrote no line "
                                              "and used neither a core nor a GPU (%s)", (p->now_ms - quiet_ms) / 1000,
                                    words));
    *ret_news = true;
    if (say(p, of, crew_quiet_words(p->arena, crew), err) < 0)
        return -1;
    return tell(p, r, limit_s ? "Job Hung" : "Job Quiet", quiet_ms, words, err);
}
