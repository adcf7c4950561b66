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

struct still {
    int64_t since_ms;  /* 0: some instance is not */
    const char *words; /* what was seen of each */
};

/* Every instance that still works is so. */
static struct still look(const struct stillness *k, struct arena *a, const struct crew *crew)
{
    struct still still = { .words = "" };
    int count = 0;

    for (int i = 0; i < crew->count; i++) {
        const struct mate *m = &crew->mates[i];
        int64_t at_ms = doc_int(seen_of(k, m), "since_ms", 0);

        if (mate_has_ended(m))
            continue;
        /* What it does after its container has ended shows elsewhere. */
        if (!at_ms || !is_at_work(m))
            return (struct still){ 0 };
        if (at_ms > still.since_ms)
            still.since_ms = at_ms;
        if (count++ < HOSTS_NAMED)
            still.words = arena_printf(a, "%s%s%s: %s", still.words, *still.words ? "; " : "", m->host,
                                       doc_text(seen_of(k, m), "why"));
    }
    if (count > HOSTS_NAMED)
        still.words = arena_printf(a, "%s; so do %d more", still.words, count - HOSTS_NAMED);
    return still;
}

static const char *sentence(const struct stillness *k, struct arena *a, const struct still *still)
{
    return arena_printf(a, "%s %s: %s.", k->sentence, time_iso8601(a, still->since_ms, false), still->words);
}

/* One that does nothing says nothing either: the first is enough. */
const char *crew_life_words(struct arena *a, const struct crew *crew)
{
    for (int i = 0; i < KINDS; i++) {
        struct still still = look(&kinds[i], a, crew);

        if (still.since_ms)
            return sentence(&kinds[i], a, &still);
    }
    return "";
}

/* --- What is told --- */

static int say(struct pass *p, const struct log_place *log, const char *words, struct err *err)
{
    return logs_say(p->arena, engine_world_of(p->engine)->store, log, arena_printf(p->arena, "sagebrush: %s", words),
                    p->now_ms, err);
}

static int tell(struct pass *p, const struct resource *r, const char *what, const struct still *still, struct err *err)
{
    struct doc *d = doc_map(p->arena);

    doc_set_string(p->arena, d, "since", time_iso8601(p->arena, still->since_ms, false));
    doc_set_integer(p->arena, d, "seconds", (p->now_ms - still->since_ms) / 1000);
    doc_set_string(p->arena, d, "why", still->words);
    return health_tell(p->arena, p->engine, what, &r->row, d, err);
}

static int tell_over(const struct stillness *k, struct pass *p, struct resource *r, const struct log_place *log,
                     struct err *err)
{
    const struct still was = { .since_ms = doc_int(r->status, k->since, 0) };

    doc_set(p->arena, r->status, k->since, NULL);
    return say(p, log, k->over, err) < 0 ? -1 : tell(p, r, k->told_over, &was, err);
}

static int tell_still(const struct stillness *k, struct pass *p, struct resource *r, const struct still *still,
                      int64_t most_s, const struct log_place *log, struct err *err)
{
    doc_set_integer(p->arena, r->status, k->since, still->since_ms);
    if (most_s)
        doc_set_string(p->arena, r->status, "_Hung",
                       arena_printf(p->arena, "InternalServerError: the job hung: for %" PRId64 " s it %s (%s)",
                                    (p->now_ms - still->since_ms) / 1000, k->hung, still->words));
    if (say(p, log, sentence(k, p->arena, still), err) < 0)
        return -1;
    return tell(p, r, most_s ? "Job Hung" : k->told, still, err);
}

int crew_look_for_life(struct pass *p, struct resource *r, const struct crew *crew, const struct doc *environment,
                       const struct log_place *log, bool *ret_news, struct err *err)
{
    *ret_news = false;
    for (int i = 0; i < KINDS && !*ret_news; i++) {
        const struct stillness *k = &kinds[i];
        const struct still still = look(k, p->arena, crew);
        int64_t most_s = limit_s(k, engine_context(p->engine), environment);

        *ret_news = still.since_ms && !doc_has(r->status, k->since);
        if (*ret_news && tell_still(k, p, r, &still, most_s, log, err) < 0)
            return -1;
        if (!still.since_ms && doc_has(r->status, k->since) && tell_over(k, p, r, log, err) < 0)
            return -1;
    }
    return 0;
}
