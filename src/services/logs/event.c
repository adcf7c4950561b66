/* event.c - log events: put, got back in order, and appended by agents. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/rand.h"
#include "engine/engine.h"
#include "services/logs/logs.h"
#include "services/logs/records.h"

enum {
    BATCH_MAX_BYTES = 1048576, /* PutLogEvents: the messages, and 26 bytes each */
    EVENT_OVERHEAD_BYTES = 26,
    PAGE = 10000,
    AT_A_TIME = 200,           /* events read before it is asked whether they fit */
    PAGE_MAX_BYTES = 1 << 20,  /* GetLogEvents answers at most 1 MB */
    GROUPS_AT_MOST = 100000,
};

static const int64_t day_ms = 24 * 3600 * 1000, future_ms = 2 * 3600 * 1000;

/* --- Put --- */

static int check_batch(const struct doc *events, int64_t now_ms, struct doc *rejected, struct arena *a, struct err *err)
{
    int64_t last = INT64_MIN, size = 0, too_old = 0, too_new = -1;

    for (size_t i = 0; i < doc_count(events, ""); i++) {
        int64_t at_ms = doc_int(events->items[i], "timestamp", 0);

        if (at_ms < last)
            return fail_code(err, ERR_INVALID, "InvalidParameterException",
                             "Log events in a single PutLogEvents request must be in chronological order.");
        last = at_ms;
        size += (int64_t)doc_get(events->items[i], "message")->text.size + EVENT_OVERHEAD_BYTES;
        if (at_ms < now_ms - 14 * day_ms)
            too_old = (int64_t)i + 1;
        if (at_ms > now_ms + future_ms && too_new < 0)
            too_new = (int64_t)i;
    }
    if (size > BATCH_MAX_BYTES)
        return fail_code(err, ERR_INVALID, "InvalidParameterException",
                         "Upload too large: %" PRId64 " bytes exceeds limit of %d", size, BATCH_MAX_BYTES);
    if (too_old)
        doc_set_integer(a, rejected, "tooOldLogEventEndIndex", too_old);
    if (too_new >= 0)
        doc_set_integer(a, rejected, "tooNewLogEventStartIndex", too_new);
    return 0;
}

int logs_put_events(struct call *c, struct err *err)
{
    const struct doc *events = doc_get(c->input, "logEvents");
    struct doc *rejected = doc_map(c->arena);
    struct place p = place_of(c);
    struct log_stream s;
    struct log_group g;
    int64_t from, to;

    if (group_open(&p, doc_text(c->input, "logGroupName"), &g, err) < 0 ||
        stream_open(&p, g.name, doc_text(c->input, "logStreamName"), &s, err) < 0 ||
        check_batch(events, c->now_ms, rejected, c->arena, err) < 0)
        return -1;
    from = doc_int(rejected, "tooOldLogEventEndIndex", 0);
    to = doc_int(rejected, "tooNewLogEventStartIndex", (int64_t)doc_count(events, ""));
    for (int64_t i = from; i < to; i++)
        if (event_append(&p, &s, doc_int(events->items[i], "timestamp", 0), c->now_ms,
                         doc_get(events->items[i], "message")->text, err) < 0)
            return -1;
    if (rejected->count)
        doc_set(c->arena, c->output, "rejectedLogEventsInfo", rejected);
    /* Sequence tokens are no longer asked for; AWS still answers one. */
    doc_set_string(c->arena, c->output, "nextSequenceToken",
                   arena_printf(c->arena, "%056" PRId64, doc_int(s.record, "sequence", 0)));
    return stream_save(&p, &s, err);
}

static int stream_make(struct place *p, const char *group, const char *name, int64_t now_ms, struct log_stream *ret,
                       struct err *err)
{
    struct log_group g;

    if (group_open(p, group, &g, err) < 0 &&
        (err->kind != ERR_NOT_FOUND || group_create(p, group, now_ms, &g, err) < 0))
        return -1;
    if (stream_open(p, group, name, ret, err) == 0)
        return 0;
    return err->kind == ERR_NOT_FOUND ? stream_create(p, group, name, rand_system(), now_ms, ret, err) : -1;
}

int logs_append(struct arena *a, struct store *store, const struct doc *batch, int64_t now_ms, struct err *err)
{
    struct place p = { a, store, doc_text(batch, "account"), doc_text(batch, "region") };
    const char *group = doc_text(batch, "group"), *name = doc_text(batch, "stream");
    const struct doc *events = doc_get(batch, "events");
    struct log_stream s;
    int64_t known;

    if (!*p.account || !*group || !*name)
        return fail(err, ERR_INVALID, "a batch of log events needs account, group and stream");
    if (stream_make(&p, group, name, now_ms, &s, err) < 0)
        return -1;
    /* An agent counts the bytes of its file: what lies before the last one known came already. */
    known = doc_int(s.record, "offset", -1);
    for (size_t i = 0; i < doc_count(events, ""); i++) {
        const struct doc *event = events->items[i], *message = doc_get(event, "message");
        int64_t offset = doc_int(event, "offset", -1);

        if (offset <= known || !message || message->type != DOC_STRING)
            continue;
        if (event_append(&p, &s, doc_int(event, "at_ms", now_ms), now_ms, message->text, err) < 0)
            return -1;
        known = offset;
    }
    doc_set_integer(a, s.record, "offset", known);
    return stream_save(&p, &s, err);
}

int logs_say(struct arena *a, struct store *store, const struct log_place *at, const char *text, int64_t now_ms,
             struct err *err)
{
    struct place p = { a, store, at->account, at->region };
    struct log_stream s;

    if (stream_make(&p, at->group, at->stream, now_ms, &s, err) < 0 ||
        event_append(&p, &s, now_ms, now_ms, str_of(text), err) < 0)
        return -1;
    return stream_save(&p, &s, err);
}

/* --- Get --- */

/* "f/<time><sequence>" goes on after that event, "b/..." before it; 16 hex digits each. */
struct token {
    bool backward;
    int64_t at_ms, sequence;
};

static int read_token(const char *text, struct token *ret, struct err *err)
{
    unsigned char bytes[16];

    if ((text[0] != 'f' && text[0] != 'b') || text[1] != '/' || strlen(text) != 34 ||
        !hex_decode(bytes, (struct str){ text + 2, 32 }))
        return fail_code(err, ERR_INVALID, "InvalidParameterException", "The specified nextToken is invalid.");
    *ret = (struct token){ text[0] == 'b', store_int64_of_key((char *)bytes), store_int64_of_key((char *)bytes + 8) };
    /* One is added to it, or taken from it. */
    if (ret->sequence == INT64_MAX || ret->sequence == INT64_MIN)
        return fail_code(err, ERR_INVALID, "InvalidParameterException", "The specified nextToken is invalid.");
    return 0;
}

static const char *write_token(struct arena *a, char direction, int64_t at_ms, int64_t sequence)
{
    char bytes[16], hex[33];

    store_key_int64(bytes, at_ms);
    store_key_int64(bytes + 8, sequence);
    hex_encode(hex, bytes, sizeof bytes);
    return arena_printf(a, "%c/%s", direction, hex);
}

static struct doc *show(struct arena *a, const struct log_event *e)
{
    struct doc *d = doc_map(a);

    doc_set_integer(a, d, "timestamp", e->at_ms);
    doc_set(a, d, "message", doc_str(a, e->message));
    doc_set_integer(a, d, "ingestionTime", e->ingested_ms);
    return d;
}

/* What fits in an answer, and some at a time: lines may be long. What does not fit is left out at the far end. */
static int read_page(struct place *p, const struct log_stream *s, struct range range, struct log_event **ret,
                     int *ret_count, struct err *err)
{
    int limit = range.limit, count = 0, taken = 0;
    struct log_event *all = NULL, *some;
    int64_t size = 0;
    bool full = false;

    do {
        range.limit = limit - taken < AT_A_TIME ? limit - taken : AT_A_TIME;
        if (event_scan(p, s, &range, &some, &count, err) < 0)
            return -1;
        if (count && !all)
            all = arena_array_of(p->arena, struct log_event, (size_t)limit);
        for (int i = 0; i < count && !full; i++) {
            size += (int64_t)some[i].message.size + EVENT_OVERHEAD_BYTES;
            full = size > PAGE_MAX_BYTES && taken > 0;
            if (!full)
                all[taken++] = some[i];
        }
        if (count && range.reverse)
            range.to = event_key(p->arena, s, some[count - 1].at_ms, some[count - 1].sequence);
        else if (count)
            range.from = event_key(p->arena, s, some[count - 1].at_ms, some[count - 1].sequence + 1);
    } while (count == AT_A_TIME && taken < limit && !full);
    *ret = all;
    *ret_count = taken;
    return 0;
}

int logs_get_events(struct call *c, struct err *err)
{
    const char *name = doc_text_or(c->input, "logGroupName", doc_text(c->input, "logGroupIdentifier"));
    const char *text = doc_text(c->input, "nextToken");
    int64_t start_ms = doc_int(c->input, "startTime", 0), end_ms = doc_int(c->input, "endTime", INT64_MAX);
    bool head = doc_bool(c->input, "startFromHead", false);
    struct place p = place_of(c);
    struct token t = { .backward = !head };
    struct doc *list = doc_list(c->arena);
    struct log_event *found;
    struct log_stream s;
    struct log_group g;
    struct range range;
    int count;

    if ((*text && read_token(text, &t, err) < 0) || group_open(&p, name, &g, err) < 0 ||
        stream_open(&p, g.name, doc_text(c->input, "logStreamName"), &s, err) < 0)
        return -1;
    range = (struct range){
        .from = event_key(c->arena, &s, start_ms, 0),
        .to = event_key(c->arena, &s, end_ms, end_ms == INT64_MAX ? INT64_MAX : 0),
        .reverse = t.backward,
        .limit = (int)doc_int(c->input, "limit", PAGE),
    };
    if (*text && !t.backward && (t.at_ms > start_ms || (t.at_ms == start_ms && t.sequence >= 0)))
        range.from = event_key(c->arena, &s, t.at_ms, t.sequence + 1);
    if (*text && t.backward && t.at_ms < end_ms)
        range.to = event_key(c->arena, &s, t.at_ms, t.sequence);
    if (read_page(&p, &s, range, &found, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        doc_append(c->arena, list, show(c->arena, &found[t.backward ? count - 1 - i : i]));
    doc_set(c->arena, c->output, "events", list);
    if (count) {
        const struct log_event *first = &found[t.backward ? count - 1 : 0], *last = &found[t.backward ? 0 : count - 1];

        doc_set_string(c->arena, c->output, "nextForwardToken",
                       write_token(c->arena, 'f', last->at_ms, last->sequence));
        doc_set_string(c->arena, c->output, "nextBackwardToken",
                       write_token(c->arena, 'b', first->at_ms, first->sequence));
        return 0;
    }
    /* At either end the tokens stay where they are: asking again with the same one finds what came meanwhile. */
    if (!*text)
        t = (struct token){ .at_ms = start_ms, .sequence = -1 };
    doc_set_string(c->arena, c->output, "nextForwardToken",
                   write_token(c->arena, 'f', t.at_ms, t.backward && *text ? t.sequence - 1 : t.sequence));
    doc_set_string(c->arena, c->output, "nextBackwardToken",
                   write_token(c->arena, 'b', t.at_ms, t.backward ? t.sequence : t.sequence + 1));
    return 0;
}

/* --- Expiry --- */

static int expire_stream(struct place *p, struct log_stream *s, int64_t before_ms, struct err *err)
{
    const struct range old = { .from = event_key(p->arena, s, INT64_MIN, INT64_MIN),
                               .to = event_key(p->arena, s, before_ms, 0) };

    if (!doc_has(s->record, "first_ms") || doc_int(s->record, "first_ms", 0) >= before_ms)
        return 0;
    if (store_remove_range(p->store, "logs_events", &old, err) < 0)
        return -1;
    doc_set_integer(p->arena, s->record, "first_ms", before_ms);
    return stream_save(p, s, err);
}

int logs_expire(struct store *store, int64_t now_ms, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const struct range all = { .limit = GROUPS_AT_MOST };
    struct pair *pairs;
    int count;

    if (store_scan(a, store, "logs_groups", &all, &pairs, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        /* account 0 region 0 group */
        const char *account = arena_strndup(a, pairs[i].key.data, pairs[i].key.size);
        const char *region = account + strlen(account) + 1, *group = region + strlen(region) + 1;
        struct place p = { a, store, account, region };
        struct log_stream *streams;
        struct log_group g;
        int stream_count;
        int64_t days;

        if (group_open(&p, group, &g, err) < 0)
            return -1;
        days = doc_int(g.record, "retention_days", 0);
        if (!days)
            continue;
        if (stream_list(&p, group, "", NULL, 100000, &streams, &stream_count, err) < 0)
            return -1;
        for (int j = 0; j < stream_count; j++)
            if (expire_stream(&p, &streams[j], now_ms - days * day_ms, err) < 0)
                return -1;
    }
    return 0;
}
