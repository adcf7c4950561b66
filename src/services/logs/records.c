#include "services/logs/records.h"

#include <string.h>

#include "base/rand.h"
#include "doc/json.h"
#include "engine/engine.h"

static const char groups[] = "logs_groups", streams[] = "logs_streams", events[] = "logs_events";

struct place place_of(struct call *c)
{
    return (struct place){ c->arena, engine_world_of(c->engine)->store, c->principal->account, c->region };
}

/* account 0 region 0 group [0 stream] */
static struct str key(struct place *p, const char *group, const char *stream)
{
    struct buf b = { 0 };
    struct str out;

    buf_append(&b, p->account, strlen(p->account) + 1);
    buf_append(&b, p->region, strlen(p->region) + 1);
    buf_append_str(&b, group);
    if (stream) {
        buf_append_char(&b, '\0');
        buf_append_str(&b, stream);
    }
    out = (struct str){ arena_copy(p->arena, b.data, b.size), b.size };
    buf_free(&b);
    return out;
}

static int read_record(struct place *p, const char *table, struct str k, struct doc **ret, struct err *err)
{
    struct str text;

    if (store_get(p->arena, p->store, table, k, &text, err) < 0)
        return -1;
    return json_parse(p->arena, text, ret, err);
}

static int write_record(struct place *p, const char *table, struct str k, const struct doc *record, struct err *err)
{
    return store_put(p->store, table, k, str_of(json_text(p->arena, record)), err);
}

/* --- Groups --- */

const char *group_arn(struct place *p, const char *name)
{
    return arena_printf(p->arena, "arn:aws:logs:%s:%s:log-group:%s", p->region, p->account, name);
}

const char *group_name_of(struct arena *a, const char *name_or_arn)
{
    static const char mark[] = ":log-group:";
    const char *at = text_starts(name_or_arn, "arn:") ? strstr(name_or_arn, mark) : NULL;

    if (!at)
        return name_or_arn;
    at += sizeof mark - 1;
    return arena_strndup(a, at, strcspn(at, ":"));
}

int group_open(struct place *p, const char *name_or_arn, struct log_group *ret, struct err *err)
{
    struct log_group g = { .name = group_name_of(p->arena, name_or_arn) };

    if (read_record(p, groups, key(p, g.name, NULL), &g.record, err) < 0) {
        if (err->kind == ERR_NOT_FOUND)
            fail_code(err, ERR_NOT_FOUND, "ResourceNotFoundException", "The specified log group does not exist.");
        return -1;
    }
    *ret = g;
    return 0;
}

int group_save(struct place *p, const struct log_group *g, struct err *err)
{
    return write_record(p, groups, key(p, g->name, NULL), g->record, err);
}

int group_create(struct place *p, const char *name, int64_t now_ms, struct log_group *ret, struct err *err)
{
    struct log_group g = { .name = name };

    if (group_open(p, name, ret, err) == 0)
        return fail_code(err, ERR_CONFLICT, "ResourceAlreadyExistsException", "The specified log group already exists");
    if (err->kind != ERR_NOT_FOUND)
        return -1;
    g.record = doc_map(p->arena);
    doc_set_integer(p->arena, g.record, "created_ms", now_ms);
    if (group_save(p, &g, err) < 0)
        return -1;
    *ret = g;
    return 0;
}

int group_remove(struct place *p, const struct log_group *g, struct err *err)
{
    const char *after = NULL;
    struct log_stream *found;
    int count;

    do {
        if (stream_list(p, g->name, "", after, 1000, &found, &count, err) < 0)
            return -1;
        for (int i = 0; i < count; i++)
            if (stream_remove(p, &found[i], err) < 0)
                return -1;
        after = count ? found[count - 1].name : NULL;
    } while (count);
    return store_remove(p->store, groups, key(p, g->name, NULL), err);
}

/* Pairs of a table whose key starts with 'prefix', after the key 'after' (data NULL: from the first). */
static int list_pairs(struct place *p, const char *table, struct str prefix, const struct str *after, int limit,
                      struct pair **ret, int *ret_count, struct err *err)
{
    struct range range = { .from = prefix, .to = store_after_prefix(p->arena, prefix), .limit = limit };

    if (after) {
        char *next = arena_alloc(p->arena, after->size + 1);

        /* The smallest key that is greater. */
        memcpy(next, after->data, after->size);
        range.from = (struct str){ next, after->size + 1 };
    }
    return store_scan(p->arena, p->store, table, &range, ret, ret_count, err);
}

int group_list(struct place *p, const char *prefix, const char *after, int limit, struct log_group **ret,
               int *ret_count, struct err *err)
{
    struct str start = key(p, prefix, NULL), last = after ? key(p, after, NULL) : (struct str){ 0 };
    size_t skipped = start.size - strlen(prefix);
    struct log_group *out;
    struct pair *pairs;
    int count;

    if (list_pairs(p, groups, start, after ? &last : NULL, limit, &pairs, &count, err) < 0)
        return -1;
    out = arena_array_of(p->arena, struct log_group, (size_t)count);
    for (int i = 0; i < count; i++) {
        out[i].name = arena_strndup(p->arena, pairs[i].key.data + skipped, pairs[i].key.size - skipped);
        if (json_parse(p->arena, pairs[i].value, &out[i].record, err) < 0)
            return -1;
    }
    *ret = out;
    *ret_count = count;
    return 0;
}

/* --- Streams --- */

int stream_open(struct place *p, const char *group, const char *name, struct log_stream *ret, struct err *err)
{
    struct log_stream s = { .group = group, .name = name };

    if (read_record(p, streams, key(p, group, name), &s.record, err) < 0) {
        if (err->kind == ERR_NOT_FOUND)
            fail_code(err, ERR_NOT_FOUND, "ResourceNotFoundException", "The specified log stream does not exist.");
        return -1;
    }
    *ret = s;
    return 0;
}

int stream_save(struct place *p, const struct log_stream *s, struct err *err)
{
    return write_record(p, streams, key(p, s->group, s->name), s->record, err);
}

int stream_create(struct place *p, const char *group, const char *name, struct rand *rand, int64_t now_ms,
                  struct log_stream *ret, struct err *err)
{
    struct log_stream s = { .group = group, .name = name };
    char uid[STREAM_UID_SIZE + 1];

    if (stream_open(p, group, name, ret, err) == 0)
        return fail_code(err, ERR_CONFLICT, "ResourceAlreadyExistsException",
                         "The specified log stream already exists");
    if (err->kind != ERR_NOT_FOUND)
        return -1;
    rand_name(rand, uid, STREAM_UID_SIZE);
    s.record = doc_map(p->arena);
    doc_set_string(p->arena, s.record, "uid", uid);
    doc_set_integer(p->arena, s.record, "created_ms", now_ms);
    if (stream_save(p, &s, err) < 0)
        return -1;
    *ret = s;
    return 0;
}

int stream_remove(struct place *p, const struct log_stream *s, struct err *err)
{
    struct str uid = str_of(doc_text(s->record, "uid"));
    const struct range all = { .from = uid, .to = store_after_prefix(p->arena, uid) };

    if (store_remove_range(p->store, events, &all, err) < 0)
        return -1;
    return store_remove(p->store, streams, key(p, s->group, s->name), err);
}

int stream_list(struct place *p, const char *group, const char *prefix, const char *after, int limit,
                struct log_stream **ret, int *ret_count, struct err *err)
{
    struct str start = key(p, group, prefix), last = after ? key(p, group, after) : (struct str){ 0 };
    size_t skipped = start.size - strlen(prefix);
    struct log_stream *out;
    struct pair *pairs;
    int count;

    if (list_pairs(p, streams, start, after ? &last : NULL, limit, &pairs, &count, err) < 0)
        return -1;
    out = arena_array_of(p->arena, struct log_stream, (size_t)count);
    for (int i = 0; i < count; i++) {
        out[i].group = group;
        out[i].name = arena_strndup(p->arena, pairs[i].key.data + skipped, pairs[i].key.size - skipped);
        if (json_parse(p->arena, pairs[i].value, &out[i].record, err) < 0)
            return -1;
    }
    *ret = out;
    *ret_count = count;
    return 0;
}

/* --- Events --- */

struct str event_key(struct arena *a, const struct log_stream *s, int64_t at_ms, int64_t sequence)
{
    char *k = arena_alloc(a, STREAM_UID_SIZE + 16);

    memcpy(k, doc_text(s->record, "uid"), STREAM_UID_SIZE);
    store_key_int64(k + STREAM_UID_SIZE, at_ms);
    store_key_int64(k + STREAM_UID_SIZE + 8, sequence);
    return (struct str){ k, STREAM_UID_SIZE + 16 };
}

int event_scan(struct place *p, const struct log_stream *s, const struct range *range, struct log_event **ret,
               int *ret_count, struct err *err)
{
    struct log_event *out;
    struct pair *pairs;
    int count;

    if (store_scan(p->arena, p->store, events, range, &pairs, &count, err) < 0)
        return -1;
    out = arena_array_of(p->arena, struct log_event, (size_t)count);
    for (int i = 0; i < count; i++)
        out[i] = (struct log_event){
            .at_ms = store_int64_of_key(pairs[i].key.data + STREAM_UID_SIZE),
            .sequence = store_int64_of_key(pairs[i].key.data + STREAM_UID_SIZE + 8),
            .ingested_ms = store_int64_of_key(pairs[i].value.data),
            .message = { pairs[i].value.data + 8, pairs[i].value.size - 8 },
        };
    *ret = out;
    *ret_count = count;
    return 0;
}

int event_append(struct place *p, struct log_stream *s, int64_t at_ms, int64_t now_ms, struct str message,
                 struct err *err)
{
    int64_t sequence = doc_int(s->record, "sequence", 0), size = doc_int(s->record, "size_bytes", 0);
    char *value = arena_alloc(p->arena, message.size + 8);

    store_key_int64(value, now_ms);
    memcpy(value + 8, message.data, message.size);
    if (store_put(p->store, events, event_key(p->arena, s, at_ms, sequence), (struct str) { value, message.size + 8 },
                  err) < 0)
        return -1;
    doc_set_integer(p->arena, s->record, "sequence", sequence + 1);
    /* 26 bytes an event of overhead are AWS's own way of counting. */
    doc_set_integer(p->arena, s->record, "size_bytes", size + (int64_t)message.size + 26);
    if (!doc_has(s->record, "first_ms") || at_ms < doc_int(s->record, "first_ms", 0))
        doc_set_integer(p->arena, s->record, "first_ms", at_ms);
    if (at_ms > doc_int(s->record, "last_ms", 0))
        doc_set_integer(p->arena, s->record, "last_ms", at_ms);
    doc_set_integer(p->arena, s->record, "ingested_ms", now_ms);
    return 0;
}
