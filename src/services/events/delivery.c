/* delivery.c - the outbox.
 *
 * Numbers only grow, also over restarts, and a log stream remembers the last one it took: a delivery that is carried
 * out again after a crash changes nothing. */
#include "services/events/delivery.h"

#include <string.h>

#include "doc/json.h"
#include "services/events/events.h"
#include "services/logs/logs.h"
#include "services/platform.h"

enum { AT_A_TIME = 64 };

static const char outbox[] = "core_events_outbox", next[] = "core_events_next";

/* --- Writing --- */

static int take_number(struct bus *b, int64_t *ret, struct err *err)
{
    const struct str key = STR("sequence");
    struct str known;
    char bytes[8];

    if (store_get(b->arena, b->store, next, key, &known, err) == 0)
        *ret = store_int64_of_key(known.data);
    else if (err->kind == ERR_NOT_FOUND)
        *ret = 1;
    else
        return -1;
    store_key_int64(bytes, *ret + 1);
    return store_put(b->store, next, key, (struct str){ bytes, sizeof bytes }, err);
}

int delivery_write(struct bus *b, const struct target_of *of, const char *text, struct err *err)
{
    struct doc *record = doc_map(b->arena);
    int64_t number;
    char key[8];

    if (take_number(b, &number, err) < 0)
        return -1;
    store_key_int64(key, number);
    doc_set_string(b->arena, record, "account", b->account);
    doc_set_string(b->arena, record, "region", b->region);
    doc_set_string(b->arena, record, "rule", of->rule_name);
    doc_set_string(b->arena, record, "target", doc_text(of->target, "Id"));
    doc_set_string(b->arena, record, "arn", doc_text(of->target, "Arn"));
    doc_set_integer(b->arena, record, "at_ms", of->now_ms);
    doc_set_string(b->arena, record, "text", text);
    return store_put(b->store, outbox, (struct str){ key, sizeof key }, str_of(json_text(b->arena, record)), err);
}

void deliveries_wait(struct engine *e)
{
    struct platform *platform = engine_context(e);

    platform->events_delivered = false;
}

/* --- Carrying out --- */

/* {"timestamp", "message"} is what a log group takes of a transformed event; anything else is a message as it is. */
static void set_event(struct arena *a, struct doc *event, const struct doc *record)
{
    const char *text = doc_text(record, "text");
    int64_t at_ms = doc_int(record, "at_ms", 0);
    const struct doc *stamp, *message;
    struct doc *parsed;
    struct err err;

    if (json_parse(a, str_of(text), &parsed, &err) == 0 && (stamp = doc_get(parsed, "timestamp")) != NULL &&
        (message = doc_get(parsed, "message")) != NULL) {
        if (stamp->type == DOC_INTEGER)
            at_ms = stamp->integer;
        else if (stamp->type == DOC_STRING)
            (void)time_parse_iso8601(stamp->text, &at_ms);
        text = message->type == DOC_STRING ? doc_value_text(message) : json_text(a, message);
    }
    doc_set_integer(a, event, "at_ms", at_ms);
    doc_set_string(a, event, "message", text);
}

/* To the log stream RULE/TARGET of the group, which is made when it is not there. */
static int carry_out(struct arena *a, struct engine *e, const struct pair *pair, struct err *err)
{
    struct doc *record, *batch = doc_map(a), *event = doc_map(a);
    const char *group;

    if (json_parse(a, pair->value, &record, err) < 0)
        return fail(err, ERR_INTERNAL, "a delivery cannot be read: %s", err->text);
    group = strstr(doc_text(record, "arn"), ":log-group:") + strlen(":log-group:");
    doc_set_string(a, batch, "account", doc_text(record, "account"));
    doc_set_string(a, batch, "region", doc_text(record, "region"));
    doc_set_string(a, batch, "group", arena_strndup(a, group, strcspn(group, ":")));
    doc_set_string(a, batch, "stream", arena_printf(a, "%s/%s", doc_text(record, "rule"), doc_text(record, "target")));
    set_event(a, event, record);
    doc_set_integer(a, event, "offset", store_int64_of_key(pair->key.data));
    doc_append(a, doc_member(a, batch, "events", DOC_LIST), event);
    if (logs_append(a, engine_world_of(e)->store, batch, engine_now_ms(e), err) < 0)
        return -1;
    return store_remove(engine_world_of(e)->store, outbox, pair->key, err);
}

static int carry_out_some(struct arena *a, struct engine *e, int *ret_count, struct err *err)
{
    struct pair *pairs;

    if (store_scan(a, engine_world_of(e)->store, outbox, &(struct range){ .limit = AT_A_TIME }, &pairs, ret_count,
                   err) < 0)
        return -1;
    for (int i = 0; i < *ret_count; i++)
        if (carry_out(a, e, &pairs[i], err) < 0)
            return -1;
    return 0;
}

int events_deliver(struct engine *e, struct err *err)
{
    struct store *store = engine_world_of(e)->store;
    struct platform *platform = engine_context(e);
    _cleanup_arena_ struct arena *a = NULL;
    int count;

    if (platform->events_delivered)
        return 0;
    a = arena_new();
    if (store_begin(store, err) < 0)
        return -1;
    if (carry_out_some(a, e, &count, err) < 0) {
        store_drop(store);
        return -1;
    }
    if (store_keep(store, err) < 0)
        return -1;
    platform->events_delivered = count < AT_A_TIME;
    return 0;
}
