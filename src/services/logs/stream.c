/* stream.c - log streams: made, removed, described. */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "services/logs/records.h"

enum { PAGE = 50, SORTED_AT_MOST = 100000 };

int logs_create_stream(struct call *c, struct err *err)
{
    struct place p = place_of(c);
    struct log_stream s;
    struct log_group g;

    if (group_open(&p, doc_text(c->input, "logGroupName"), &g, err) < 0)
        return -1;
    return stream_create(&p, g.name, doc_text(c->input, "logStreamName"), engine_world_of(c->engine)->rand, c->now_ms,
                         &s, err);
}

int logs_delete_stream(struct call *c, struct err *err)
{
    struct place p = place_of(c);
    struct log_stream s;
    struct log_group g;

    if (group_open(&p, doc_text(c->input, "logGroupName"), &g, err) < 0 ||
        stream_open(&p, g.name, doc_text(c->input, "logStreamName"), &s, err) < 0)
        return -1;
    return stream_remove(&p, &s, err);
}

static struct doc *describe(struct place *p, const struct log_stream *s)
{
    static const char *const times[][2] = {
        { "firstEventTimestamp", "first_ms" },
        { "lastEventTimestamp", "last_ms" },
        { "lastIngestionTime", "ingested_ms" },
    };
    struct arena *a = p->arena;
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "logStreamName", s->name);
    doc_set_integer(a, d, "creationTime", doc_int(s->record, "created_ms", 0));
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (doc_has(s->record, times[i][1]))
            doc_set_integer(a, d, times[i][0], doc_int(s->record, times[i][1], 0));
    doc_set_string(a, d, "arn", arena_printf(a, "%s:log-stream:%s", group_arn(p, s->group), s->name));
    doc_set_integer(a, d, "storedBytes", 0); /* AWS answers 0 since 2019 */
    return d;
}

static int by_last_event(const void *a, const void *b)
{
    const struct log_stream *x = a, *y = b;
    int64_t left = doc_int(x->record, "last_ms", 0), right = doc_int(y->record, "last_ms", 0);

    return left != right ? (left > right) - (left < right) : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct log_stream *)a)->name, ((const struct log_stream *)b)->name);
}

/* An order that the table does not have: sorted here; the token is the name of the last one shown. */
static int sorted_page(struct call *c, struct place *p, const char *group, const char *prefix, bool by_time,
                       bool descending, const char *after, int limit, struct err *err)
{
    struct doc *list = doc_list(c->arena);
    struct log_stream *found;
    int count, at = 0;

    if (stream_list(p, group, prefix, NULL, SORTED_AT_MOST, &found, &count, err) < 0)
        return -1;
    qsort(found, (size_t)count, sizeof *found, by_time ? by_last_event : by_name);
    for (int i = 0; descending && i < count / 2; i++) {
        struct log_stream other = found[i];

        found[i] = found[count - 1 - i];
        found[count - 1 - i] = other;
    }
    while (after && at < count && strcmp(found[at].name, after) != 0)
        at++;
    if (after && at < count)
        at++;
    for (; at < count && list->count < (uint32_t)limit; at++)
        doc_append(c->arena, list, describe(p, &found[at]));
    doc_set(c->arena, c->output, "logStreams", list);
    if (at < count && list->count)
        doc_set_string(c->arena, c->output, "nextToken", found[at - 1].name);
    return 0;
}

/* A token only when there truly is more: the SageMaker SDK calls again without it for as long as one comes. */
int logs_describe_streams(struct call *c, struct err *err)
{
    const char *prefix = doc_text(c->input, "logStreamNamePrefix");
    const char *name = doc_text_or(c->input, "logGroupName", doc_text(c->input, "logGroupIdentifier"));
    const char *after = doc_has(c->input, "nextToken") ? doc_text(c->input, "nextToken") : NULL;
    bool by_time = doc_is(c->input, "orderBy", "LastEventTime"), descending = doc_bool(c->input, "descending", false);
    int limit = (int)doc_int(c->input, "limit", PAGE), count;
    struct doc *list = doc_list(c->arena);
    struct place p = place_of(c);
    struct log_stream *found;
    struct log_group g;

    if (by_time && *prefix)
        return fail_code(err, ERR_INVALID, "InvalidParameterException",
                         "Cannot order by LastEventTime with a logStreamNamePrefix.");
    if (group_open(&p, name, &g, err) < 0)
        return -1;
    if (by_time || descending)
        return sorted_page(c, &p, g.name, prefix, by_time, descending, after, limit, err);
    if (stream_list(&p, g.name, prefix, after, limit + 1, &found, &count, err) < 0)
        return -1;
    for (int i = 0; i < count && i < limit; i++)
        doc_append(c->arena, list, describe(&p, &found[i]));
    doc_set(c->arena, c->output, "logStreams", list);
    if (count > limit)
        doc_set_string(c->arena, c->output, "nextToken", found[limit - 1].name);
    return 0;
}
