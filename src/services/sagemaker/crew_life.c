/* crew_life.c - one instance that waits for another one is as it should be: a job does nothing when all of it does. */
#include "services/sagemaker/crew_life.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "engine/engine.h"
#include "services/sagemaker/health_events.h"

enum { HOSTS_NAMED = 4 };

static const struct stillness {
    const char *variable, *member; /* of the order */
    size_t limit;                  /* the server's setting, in struct platform */
    int64_t notice_s;              /* it is told of, where nothing follows from it */
    size_t seen;                   /* in struct report */
    const char *since;             /* of the status */
    const char *sentence, *hung, *over;
    const char *told, *told_over;  /* events */
} kinds[] = {
    { HANG_VARIABLE, "quiet_after_s", offsetof(struct platform, hang_after_s), 30 * 60,
      offsetof(struct report, quiet), "_Quiet", "The job has done nothing since",
      "wrote no line and used neither a core nor a GPU", "this job works again", "Job Quiet", "Job Works Again" },
    { SILENT_VARIABLE, "silent_after_s", offsetof(struct platform, silent_after_s), 2 * 3600,
      offsetof(struct report, silent), "_Silent", "The job has written no line since", "wrote no line",
      "this job writes again", "Job Silent", "Job Writes Again" },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* --- How long --- */

static struct str asked_for(const struct stillness *k, const struct doc *environment)
{
    return str_of(doc_text(environment, k->variable));
}

int hang_check(const struct doc *environment, struct err *err)
{
    int64_t ms;

    for (int i = 0; i < KINDS; i++)
        if (asked_for(&kinds[i], environment).size && !duration_parse(asked_for(&kinds[i], environment), &ms))
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "The variable %s is \"%s\"; it has to be a duration such as 30m, or off.",
                             kinds[i].variable, asked_for(&kinds[i], environment).data);
    return 0;
}

/* In seconds; 0: as long as it likes. */
static int64_t limit_s(const struct stillness *k, const struct platform *platform, const struct doc *environment)
{
    const struct str asked = asked_for(k, environment);
    int64_t ms;

    if (asked.size && duration_parse(asked, &ms))
        return ms / 1000;
    return *(const int64_t *)(const void *)((const char *)platform + k->limit);
}

void order_set_patience(struct arena *a, struct doc *order, const struct platform *platform,
                        const struct doc *environment)
{
    for (int i = 0; i < KINDS; i++) {
        int64_t most_s = limit_s(&kinds[i], platform, environment);

        doc_set_integer(a, order, kinds[i].member, most_s ? most_s : kinds[i].notice_s);
    }
}

/* --- What is seen --- */

static const struct doc *seen_of(const struct stillness *k, const struct mate *m)
{
    return *(const struct doc *const *)(const void *)((const char *)&m->report + k->seen);
}

static bool is_at_work(const struct mate *m)
{
    return strcmp(m->report.phase, "Training") == 0 || strcmp(m->report.phase, "Processing") == 0;
}

/* Since when every instance that still works is so, and what was seen of each; 0: one is not. */
static int64_t since_ms_of(const struct stillness *k, struct arena *a, const struct crew *crew, const char **ret_words)
{
    const char *words = "";
    int64_t since_ms = 0;
    int count = 0;

    for (int i = 0; i < crew->count; i++) {
        const struct mate *m = &crew->mates[i];
        int64_t at_ms = doc_int(seen_of(k, m), "since_ms", 0);

        if (mate_has_ended(m))
            continue;
        /* What it does after its container has ended shows elsewhere. */
        if (!at_ms || !is_at_work(m))
            return 0;
        if (at_ms > since_ms)
            since_ms = at_ms;
        if (count++ < HOSTS_NAMED)
            words = arena_printf(a, "%s%s%s: %s", words, *words ? "; " : "", m->host, doc_text(seen_of(k, m), "why"));
    }
    *ret_words = count > HOSTS_NAMED ? arena_printf(a, "%s; so do %d more", words, count - HOSTS_NAMED) : words;
    return since_ms;
}

static const char *words_of(const struct stillness *k, struct arena *a, const struct crew *crew)
{
    const char *words;
    int64_t since_ms = since_ms_of(k, a, crew, &words);

    return since_ms ? arena_printf(a, "%s %s: %s.", k->sentence, time_iso8601(a, since_ms, false), words) : "";
}

/* One that does nothing says nothing either: the first is enough. */
const char *crew_life_words(struct arena *a, const struct crew *crew)
{
    const char *words = "";

    for (int i = 0; !*words && i < KINDS; i++)
        words = words_of(&kinds[i], a, crew);
    return words;
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

static int tell_over(const struct stillness *k, struct pass *p, struct resource *r, const struct log_line *of,
                     struct err *err)
{
    int64_t since_ms = doc_int(r->status, k->since, 0);

    doc_set(p->arena, r->status, k->since, NULL);
    return say(p, of, k->over, err) < 0 ? -1 : tell(p, r, k->told_over, since_ms, "", err);
}

static int tell_still(const struct stillness *k, struct pass *p, struct resource *r, const struct crew *crew,
                      int64_t most_s, const struct log_line *of, struct err *err)
{
    const char *words;
    int64_t since_ms = since_ms_of(k, p->arena, crew, &words);

    doc_set_integer(p->arena, r->status, k->since, since_ms);
    if (most_s)
        doc_set_string(p->arena, r->status, "_Hung",
                       arena_printf(p->arena, "InternalServerError: the job hung: for %" PRId64 " s it %s (%s)",
                                    (p->now_ms - since_ms) / 1000, k->hung, words));
    if (say(p, of, words_of(k, p->arena, crew), err) < 0)
        return -1;
    return tell(p, r, most_s ? "Job Hung" : k->told, since_ms, words, err);
}

int crew_look_for_life(struct pass *p, struct resource *r, const struct crew *crew, const struct doc *environment,
                       const struct log_line *of, bool *ret_news, struct err *err)
{
    *ret_news = false;
    for (int i = 0; i < KINDS && !*ret_news; i++) {
        const struct stillness *k = &kinds[i];
        const char *words;
        int64_t most_s = limit_s(k, engine_context(p->engine), environment);
        bool is_still = since_ms_of(k, p->arena, crew, &words) != 0;

        if (is_still == doc_has(r->status, k->since))
            continue;
        if ((is_still ? tell_still(k, p, r, crew, most_s, of, err) : tell_over(k, p, r, of, err)) < 0)
            return -1;
        *ret_news = is_still;
    }
    return 0;
}
