/* training_crew.c - what the instances of an attempt say, as a training job tells it. */
#include "services/sagemaker/training_crew.h"

#include <string.h>

#include "services/sagemaker/crew_life.h"

static int64_t noted(const struct resource *r, const char *name)
{
    return doc_int(r->status, name, 0);
}

/* In their order, with the words of AWS's own transitions, as printed by the SDK. */
static const struct {
    const char *name, *message;
} phases[] = {
    { "Starting", "Preparing the instances for training" },
    { "Downloading", "Downloading input data" },
    { "Training", "Training image download completed. Training in progress." },
    { "Uploading", "Uploading generated training model" },
};
enum { TRAINING = 2, PHASES = sizeof phases / sizeof *phases };

static bool has_reached(const struct mate *m, int phase)
{
    for (int i = phase; i < PHASES; i++)
        if (mate_phase(m, phases[i].name))
            return true;
    return mate_has_ended(m);
}

/* What there is to know while it trains stands behind AWS's words. */
static void take_news(struct arena *a, struct resource *r, const struct crew *crew)
{
    const char *usual = phases[TRAINING].message, *quiet = crew_life_words(a, crew);
    const char *advice = doc_text(crew->mates[0].report.checkpoint, "advice");
    struct doc *all = doc_member(a, r->status, "SecondaryStatusTransitions", DOC_LIST);
    struct doc *last = all->count ? all->items[all->count - 1] : NULL;

    /* One that is gone, has ended, or is ended for what it did not do, does not work again. */
    if (!crew->mates[0].there || mate_has_ended(&crew->mates[0]) || doc_has(r->status, "_Hung"))
        return;
    if (last && doc_is(last, "Status", "Training"))
        doc_set_string(a, last, "StatusMessage",
                       arena_printf(a, "%s%s%s%s%s", usual, *advice ? " " : "", advice, *quiet ? " " : "", quiet));
}

/* The secondary status goes on when the last instance does, and shows Stopping throughout once the job stops. */
void crew_take_phases(struct arena *a, struct resource *r, const struct crew *crew)
{
    int64_t taken = noted(r, "_Phases");

    for (; taken < PHASES; taken++) {
        const char *message = phases[taken].message;
        int64_t at_ms = 0;

        if (taken > TRAINING && crew_overran_ms(crew))
            training_begin_to_stop(a, r, crew_overran_ms(crew));
        for (int i = 0; i < crew->count; i++) {
            const struct doc *entry = mate_phase(&crew->mates[i], phases[taken].name);

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
    take_news(a, r, crew);
}

void crew_take_waiting(struct arena *a, struct resource *r, const struct crew *crew, int64_t now_ms)
{
    const char *why = crew->mates[0].report.waiting;
    const struct doc *all = doc_get(r->status, "SecondaryStatusTransitions");

    if (!*why || noted(r, "_Phases") || strcmp(get_state(r), "InProgress") != 0)
        return;
    if (!doc_is(r->status, "SecondaryStatus", "Pending"))
        training_enter(a, r->status, "Pending", why, now_ms);
    else if (!doc_is(all->items[all->count - 1], "StatusMessage", why))
        doc_set_string(a, all->items[all->count - 1], "StatusMessage", why);
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
