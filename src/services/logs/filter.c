/* filter.c - FilterLogEvents: the events of many streams of a group as one row in time, thinned by a pattern.
 *
 * The streams are merged: each has a small page in hand, the earliest event of all is next. Events of one millisecond
 * stand in the order of the streams' names. A token says where to go on; a call looks at a bounded number of
 * events, so one that finds little answers with a token, as AWS does. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "services/logs/pattern.h"
#include "services/logs/records.h"

enum {
    PAGE = 10000,
    PAGE_MAX_BYTES = 1 << 20,
    LOOKED_AT_MOST = 100000, /* events of a call */
    IN_HAND = 64,            /* events of a stream */
    STREAMS_AT_MOST = 10000,
};

struct source { /* one stream being read */
    struct log_stream *stream;
    struct log_event *events;
    int count, at;
    struct range range;
    bool ended;
};

/* The event after which to go on. */
struct token {
    bool given;
    int64_t at_ms, sequence;
    const char *stream;
};

/* 16 hex digits of the time, 16 of the sequence, the stream's name. */
static int read_token(const char *text, struct token *ret, struct err *err)
{
    unsigned char bytes[16];

    if (!*text)
        return 0;
    if (strlen(text) < 34 || text[32] != '/' || !hex_decode(bytes, (struct str){ text, 32 }))
        return fail_code(err, ERR_INVALID, "InvalidParameterException", "The specified nextToken is invalid.");
    *ret = (struct token){ true, store_int64_of_key((char *)bytes), store_int64_of_key((char *)bytes + 8), text + 33 };
    /* One is added to either. */
    if (ret->at_ms == INT64_MAX || ret->sequence == INT64_MAX)
        return fail_code(err, ERR_INVALID, "InvalidParameterException", "The specified nextToken is invalid.");
    return 0;
}

static const char *write_token(struct arena *a, const struct log_event *e, const char *stream)
{
    char bytes[16], hex[33];

    store_key_int64(bytes, e->at_ms);
    store_key_int64(bytes + 8, e->sequence);
    hex_encode(hex, bytes, sizeof bytes);
    return arena_printf(a, "%s/%s", hex, stream);
}

static void start(struct arena *a, struct source *s, int64_t start_ms, int64_t end_ms, const struct token *t)
{
    int64_t at_ms = start_ms, sequence = 0;

    if (t->given && t->at_ms >= start_ms) {
        int order = strcmp(s->stream->name, t->stream);

        at_ms = order < 0 ? t->at_ms + 1 : t->at_ms;
        sequence = order == 0 ? t->sequence + 1 : 0;
    }
    s->range = (struct range){ .from = event_key(a, s->stream, at_ms, sequence),
                               .to = event_key(a, s->stream, end_ms, INT64_MAX), .limit = IN_HAND };
}

/* The event in hand, NULL at the end. */
static int peek(struct place *p, struct source *s, const struct log_event **ret, struct err *err)
{
    *ret = NULL;
    if (s->at == s->count && !s->ended) {
        if (event_scan(p, s->stream, &s->range, &s->events, &s->count, err) < 0)
            return -1;
        s->at = 0;
        s->ended = s->count < IN_HAND;
        if (s->count)
            s->range.from =
                event_key(p->arena, s->stream, s->events[s->count - 1].at_ms, s->events[s->count - 1].sequence + 1);
    }
    if (s->at < s->count)
        *ret = &s->events[s->at];
    return 0;
}

/* Streams are in the order of their names: the first of equals stays. */
static int next(struct place *p, struct source *sources, int count, struct source **ret, struct err *err)
{
    const struct log_event *best = NULL, *e;

    *ret = NULL;
    for (int i = 0; i < count; i++) {
        if (peek(p, &sources[i], &e, err) < 0)
            return -1;
        if (e && (!best || e->at_ms < best->at_ms)) {
            best = e;
            *ret = &sources[i];
        }
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct log_stream *)a)->name, ((const struct log_stream *)b)->name);
}

static int open_streams(struct call *c, struct place *p, const char *group, struct log_stream **ret, int *ret_count,
                        struct err *err)
{
    const struct doc *names = doc_get(c->input, "logStreamNames");
    const char *prefix = doc_text(c->input, "logStreamNamePrefix");
    struct log_stream *streams;

    if (!names)
        return stream_list(p, group, prefix, NULL, STREAMS_AT_MOST, ret, ret_count, err);
    if (*prefix)
        return fail_code(err, ERR_INVALID, "InvalidParameterException",
                         "LogStreamNames and LogStreamNamePrefix are mutually exclusive.");
    streams = arena_array_of(c->arena, struct log_stream, names->count);
    for (uint32_t i = 0; i < names->count; i++)
        if (stream_open(p, group, doc_value_text(names->items[i]), &streams[i], err) < 0)
            return -1;
    /* The order that tokens go by, each once. */
    qsort(streams, names->count, sizeof *streams, by_name);
    *ret = streams;
    *ret_count = 0;
    for (uint32_t i = 0; i < names->count; i++)
        if (i == 0 || strcmp(streams[i].name, streams[i - 1].name) != 0)
            streams[(*ret_count)++] = streams[i];
    return 0;
}

static struct doc *show(struct arena *a, const struct log_stream *s, const struct log_event *e)
{
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "logStreamName", s->name);
    doc_set_integer(a, d, "timestamp", e->at_ms);
    doc_set(a, d, "message", doc_str(a, e->message));
    doc_set_integer(a, d, "ingestionTime", e->ingested_ms);
    doc_set_string(
        a, d, "eventId",
        arena_printf(a, "%020" PRId64 "%016" PRId64 "%s", e->at_ms, e->sequence, doc_text(s->record, "uid")));
    return d;
}

int logs_filter_events(struct call *c, struct err *err)
{
    const char *name = doc_text_or(c->input, "logGroupName", doc_text(c->input, "logGroupIdentifier"));
    int64_t start_ms = doc_int(c->input, "startTime", 0), end_ms = doc_int(c->input, "endTime", INT64_MAX);
    uint32_t limit = (uint32_t)doc_int(c->input, "limit", PAGE);
    struct doc *list = doc_list(c->arena);
    struct place p = place_of(c);
    struct token token = { 0 };
    struct log_pattern *pattern;
    struct log_stream *streams;
    struct source *sources, *s;
    size_t size = 0;
    struct log_group g;
    int count;

    if (read_token(doc_text(c->input, "nextToken"), &token, err) < 0 || group_open(&p, name, &g, err) < 0 ||
        log_pattern_parse(c->arena, str_of(doc_text(c->input, "filterPattern")), &pattern, err) < 0 ||
        open_streams(c, &p, g.name, &streams, &count, err) < 0)
        return -1;
    sources = arena_array_of(c->arena, struct source, (size_t)count);
    for (int i = 0; i < count; i++) {
        sources[i].stream = &streams[i];
        start(c->arena, &sources[i], start_ms, end_ms, &token);
    }
    for (int looked = 0;; looked++) {
        const struct log_event *e;

        if (next(&p, sources, count, &s, err) < 0)
            return -1;
        if (!s)
            break;
        e = &s->events[s->at++];
        if (log_pattern_matches(pattern, e->message)) {
            doc_append(c->arena, list, show(c->arena, s->stream, e));
            size += e->message.size;
        }
        if (list->count == limit || size > PAGE_MAX_BYTES || looked == LOOKED_AT_MOST) {
            doc_set_string(c->arena, c->output, "nextToken", write_token(c->arena, e, s->stream->name));
            break;
        }
    }
    doc_set(c->arena, c->output, "events", list);
    doc_set(c->arena, c->output, "searchedLogStreams", doc_list(c->arena));
    return 0;
}
