/* bus.c - the default bus: events come in, rules choose, deliveries are written. */
#include <string.h>

#include "doc/json.h"
#include "services/events/delivery.h"
#include "services/events/events.h"
#include "services/events/input.h"
#include "services/events/pattern.h"
#include "services/events/rule.h"
#include "services/platform.h"

enum { ENTRIES_MAX_BYTES = 1 << 20 };

/* --- Matching --- */

static const char *new_id(struct arena *a, struct rand *rand)
{
    unsigned char b[16];
    char hex[33];

    rand->fill(rand, b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* a random UUID, RFC 9562 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    hex_encode(hex, b, sizeof b);
    return arena_printf(a, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static struct doc *event_of(struct bus *b, const char *id, const struct telling *t, const struct doc *resources,
                            int64_t at_ms)
{
    struct doc *event = doc_map(b->arena);

    doc_set_string(b->arena, event, "version", "0");
    doc_set_string(b->arena, event, "id", id);
    doc_set_string(b->arena, event, "detail-type", t->detail_type);
    doc_set_string(b->arena, event, "source", t->source);
    doc_set_string(b->arena, event, "account", b->account);
    doc_set_string(b->arena, event, "time", time_iso8601(b->arena, at_ms, false));
    doc_set_string(b->arena, event, "region", b->region);
    doc_set(b->arena, event, "resources", (struct doc *)resources);
    doc_set(b->arena, event, "detail", t->detail ? (struct doc *)t->detail : doc_map(b->arena));
    return event;
}

static bool wants(struct arena *a, const struct rule *r, const struct doc *event, int64_t *effort)
{
    struct doc *pattern;
    struct err err;

    /* It was checked when the rule was made. */
    return !doc_is(r->record, "State", "DISABLED") && doc_count(r->record, "targets") &&
           event_pattern_parse(a, str_of(doc_text(r->record, "EventPattern")), &pattern, &err) == 0 &&
           event_pattern_matches(pattern, event, effort);
}

/* By rule. NULL: it is more than the effort; then *ret_rule is the one at which it ended. */
static const bool *choose(struct arena *a, const struct rule *rules, int count, const struct doc *event, int64_t effort,
                          const struct rule **ret_rule)
{
    bool *chosen = arena_array_of(a, bool, (size_t)count);

    for (int i = 0; i < count; i++) {
        chosen[i] = wants(a, &rules[i], event, &effort);
        *ret_rule = &rules[i];
        if (effort < 0)
            return NULL;
    }
    return chosen;
}

static int deliver(struct bus *b, const struct rule *rules, int count, const bool *chosen, const struct doc *event,
                   int64_t now_ms, struct err *err)
{
    for (int i = 0; i < count; i++) {
        const struct doc *targets = doc_get(rules[i].record, "targets");

        for (uint32_t j = 0; chosen[i] && j < targets->count; j++) {
            const struct target_of of = { targets->items[j], rules[i].name, rule_arn(b, rules[i].name), now_ms };

            if (delivery_write(b, &of, target_input(b->arena, &of, event), err) < 0)
                return -1;
        }
    }
    return 0;
}

/* --- From the house --- */

int events_tell(struct arena *a, struct engine *e, const struct telling *t, struct err *err)
{
    const struct engine_world *world = engine_world_of(e);
    struct bus b = { a, world->store, t->account ? t->account : world->account,
                     t->region ? t->region : world->default_region };
    struct doc *resources = doc_list(a), *event;
    int64_t now_ms = engine_now_ms(e);
    const struct rule *ignored;
    struct rule *rules;
    int count;

    if (rule_all(&b, &rules, &count, err) < 0)
        return -1;
    if (!count)
        return 0;
    if (t->resource)
        doc_append(a, resources, doc_string(a, t->resource));
    event = event_of(&b, new_id(a, world->rand), t, resources, now_ms);
    if (deliver(&b, rules, count, choose(a, rules, count, event, INT64_MAX, &ignored), event, now_ms, err) < 0)
        return -1;
    deliveries_wait(e);
    return 0;
}

/* --- From clients --- */

/* Why an entry is not taken; NULL: it is. */
static const char *refusal(struct call *c, const struct doc *entry, struct doc **ret_detail, const char **ret_code)
{
    static const char *const required[] = { "Source", "DetailType", "Detail" };
    struct bus b = bus_of(c);
    struct err err;

    *ret_code = "InvalidArgument";
    for (size_t i = 0; i < sizeof required / sizeof *required; i++)
        if (!*doc_text(entry, required[i]))
            return arena_printf(c->arena, "Parameter %s is not valid. Reason: %s is a required argument.", required[i],
                                required[i]);
    *ret_code = "NotAuthorizedForSourceException";
    if (text_starts(doc_text(entry, "Source"), "aws."))
        return "Not authorized for the source.";
    *ret_code = "ResourceNotFoundException";
    if (bus_check(&b, doc_text(entry, "EventBusName"), &err) < 0)
        return arena_strdup(c->arena, err.text);
    *ret_code = "MalformedDetail";
    if (json_parse(c->arena, str_of(doc_text(entry, "Detail")), ret_detail, &err) < 0 ||
        (*ret_detail)->type != DOC_MAP)
        return "Detail is malformed.";
    return NULL;
}

static int put_entry(struct call *c, struct bus *b, const struct rule *rules, int count, const struct doc *entry,
                     struct doc **ret, struct err *err)
{
    const struct doc *resources = doc_get(entry, "Resources");
    const char *code, *why, *id = new_id(c->arena, engine_world_of(c->engine)->rand);
    struct telling t = { doc_text(entry, "Source"), doc_text(entry, "DetailType") };
    struct doc *result = doc_map(c->arena), *detail = NULL, *event = NULL;
    const struct rule *rule = NULL;
    const bool *chosen = NULL;

    *ret = result;
    why = refusal(c, entry, &detail, &code);
    if (!why) {
        t.detail = detail;
        event = event_of(b, id, &t, resources ? doc_copy(c->arena, resources) : doc_list(c->arena),
                         doc_int(entry, "Time", c->now_ms));
        chosen = choose(c->arena, rules, count, event, EVENT_EFFORT, &rule);
    }
    if (!why && !chosen) {
        code = "InvalidArgument";
        why = arena_printf(c->arena, "To match the event with the rules as far as %s takes more than %d comparisons. "
                                     "Send it with shorter lists.", rule->name, EVENT_EFFORT);
    }
    if (why) {
        doc_set_string(c->arena, result, "ErrorCode", code);
        doc_set_string(c->arena, result, "ErrorMessage", why);
        return 0;
    }
    doc_set_string(c->arena, result, "EventId", id);
    return deliver(b, rules, count, chosen, event, c->now_ms, err);
}

static size_t size_of(const struct doc *entry)
{
    size_t size = strlen(doc_text(entry, "Source")) + strlen(doc_text(entry, "DetailType")) +
                  strlen(doc_text(entry, "Detail")) + (doc_has(entry, "Time") ? 14 : 0);

    for (size_t i = 0; i < doc_count(entry, "Resources"); i++)
        size += strlen(doc_value_text(doc_get(entry, "Resources")->items[i]));
    return size;
}

int events_put_events(struct call *c, struct err *err)
{
    const struct doc *entries = doc_get(c->input, "Entries");
    struct doc *results = doc_list(c->arena), *result;
    int64_t failed = 0;
    struct bus b = bus_of(c);
    struct rule *rules;
    size_t size = 0;
    int count;

    for (uint32_t i = 0; i < entries->count; i++)
        size += size_of(entries->items[i]);
    if (size >= ENTRIES_MAX_BYTES)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Total size of the entries in the request is over the limit.");
    if (rule_all(&b, &rules, &count, err) < 0)
        return -1;
    for (uint32_t i = 0; i < entries->count; i++) {
        if (put_entry(c, &b, rules, count, entries->items[i], &result, err) < 0)
            return -1;
        failed += doc_has(result, "ErrorCode");
        doc_append(c->arena, results, result);
    }
    deliveries_wait(c->engine);
    doc_set_integer(c->arena, c->output, "FailedEntryCount", failed);
    doc_set(c->arena, c->output, "Entries", results);
    return 0;
}

int events_test_pattern(struct call *c, struct err *err)
{
    static const char *const required[] = { "id", "account", "source", "time", "region", "resources", "detail-type" };
    struct doc *pattern, *event;
    int64_t effort = EVENT_EFFORT;
    bool matches;

    if (event_pattern_parse(c->arena, str_of(doc_text(c->input, "EventPattern")), &pattern, err) < 0)
        return -1;
    if (json_parse(c->arena, str_of(doc_text(c->input, "Event")), &event, err) < 0 || event->type != DOC_MAP)
        return fail_code(err, ERR_INVALID, "ValidationException", "Parameter Event is not valid.");
    for (size_t i = 0; i < sizeof required / sizeof *required; i++)
        if (!doc_get(event, required[i]))
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "Parameter Event is not valid. Reason: it has no \"%s\".", required[i]);
    matches = event_pattern_matches(pattern, event, &effort);
    if (effort < 0)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "To match the event takes more than %d comparisons. Send it with shorter lists.",
                         EVENT_EFFORT);
    doc_set_boolean(c->arena, c->output, "Result", matches);
    return 0;
}
