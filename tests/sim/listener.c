/* listener.c - somebody has a rule for all that training jobs become, and its events go to a log group: each state of
 * each job is told once, in the order in which they came, whatever died meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "doc/json.h"
#include "services/events/events.h"
#include "sim.h"

enum { SEQUENCE_AT = 24, SEQUENCE_SIZE = 8, STAMP_SIZE = 8 }; /* services/logs/records.h */

static void ask(struct arena *a, const char *operation, const char *input_text)
{
    struct doc *input, *output;
    struct err err;

    if (json_parse(a, str_of(input_text), &input, &err) < 0 ||
        engine_call(a, w.engine, NULL, "us-east-1", "events", operation, input, &output, &err) < 0)
        broken("%s: %s", operation, err.text);
}

void listener_begin(void)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err;

    if (!LISTENS)
        return;
    ask(a, "PutRule", "{\"Name\":\"r\",\"EventPattern\":\"{\\\"detail-type\\\":[\\\"SageMaker Training Job State "
                      "Change\\\"]}\"}");
    ask(a, "PutTargets", "{\"Rule\":\"r\",\"Targets\":[{\"Id\":\"t\",\"InputPath\":\"$.detail\",\"Arn\":"
                         "\"arn:aws:logs:us-east-1:111122223333:log-group:g\"}]}");
    if (store_commit(w.store, &err) < 0)
        broken("the first commit: %s", err.text);
}

void listener_move(void)
{
    struct err err;

    /* A full disk: again in the next turn. */
    if (LISTENS && !w.dying)
        (void)events_deliver(w.engine, &err);
}

/* By the sequence of the stream: the times in it are the wall's, which jumps. */
static int by_sequence(const void *a, const void *b)
{
    return memcmp(((const struct pair *)a)->key.data + SEQUENCE_AT, ((const struct pair *)b)->key.data + SEQUENCE_AT,
                  SEQUENCE_SIZE);
}

static const char *key_of(struct arena *a, const char *name, long long created_ms)
{
    return arena_printf(a, "%s of %lld", name, created_ms);
}

/* How many states of each job were told, by its key. */
static void check_told(struct arena *a, struct map *told)
{
    struct pair *pairs;
    struct err err;
    int count;

    if (store_scan(a, w.store, "logs_events", &(struct range){ .limit = 100000 }, &pairs, &count, &err) < 0)
        broken("what was told cannot be read: %s", err.text);
    if (count)
        qsort(pairs, (size_t)count, sizeof *pairs, by_sequence);
    for (int i = 0; i < count; i++) {
        const struct str text = { pairs[i].value.data + STAMP_SIZE, pairs[i].value.size - STAMP_SIZE };
        const char *key;
        size_t before, now;
        struct doc *d;

        if (!str_starts(text, "{")) /* a processing job's, in its own stream: why it waits */
            continue;
        if (json_parse(a, text, &d, &err) < 0)
            broken("an event cannot be read: %s", err.text);
        key = key_of(a, doc_text(d, "TrainingJobName"), strtoll(doc_text(d, "CreationTime"), NULL, 10));
        before = (size_t)map_get(told, str_of(key));
        now = doc_count(d, "SecondaryStatusTransitions");
        if (now != before + 1)
            broken("%s: state %zu was told after state %zu", key, now, before);
        map_set(told, str_of(key), (void *)now);
    }
}

void listener_check(struct arena *a)
{
    struct row_filter jobs = { .kind = training_job.name, .limit = 1000 };
    struct map *told;
    struct row *rows;
    struct err err;
    int count;

    if (!LISTENS)
        return;
    told = map_new();
    check_told(a, told);
    if (store_row_list(a, w.store, &jobs, &rows, &count, &jobs.after, &err) < 0)
        broken("rows cannot be listed: %s", err.text);
    for (int i = 0; i < count; i++) {
        const char *key = key_of(a, rows[i].name, (long long)rows[i].created_ms);
        size_t states = doc_count(rows[i].status, "SecondaryStatusTransitions");

        if ((size_t)map_get(told, str_of(key)) != states)
            broken("%s: %zu states, and %zu were told", key, states, (size_t)map_get(told, str_of(key)));
    }
    map_free(told);
}
