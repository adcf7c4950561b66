/* rule.c - Rule: a pattern, and the targets that get the events which fit it. */
#include "services/events/rule.h"

#include <string.h>

#include "doc/json.h"
#include "services/events/pattern.h"

enum { RULES_MAX = 300, PAGE = 100 };

static const char table[] = "core_events_rules", default_bus[] = "default";

struct bus bus_of(struct call *c)
{
    return (struct bus){ c->arena, engine_world_of(c->engine)->store, c->principal->account, c->region };
}

static const char *bus_arn(struct bus *b)
{
    return arena_printf(b->arena, "arn:aws:events:%s:%s:event-bus/default", b->region, b->account);
}

int bus_check(struct bus *b, const char *name_or_arn, struct err *err)
{
    if (!*name_or_arn || strcmp(name_or_arn, default_bus) == 0 || strcmp(name_or_arn, bus_arn(b)) == 0)
        return 0;
    return fail_code(err, ERR_NOT_FOUND, "ResourceNotFoundException",
                     "Event bus %s does not exist. The only one here is the default bus.", name_or_arn);
}

const char *rule_arn(struct bus *b, const char *name)
{
    return arena_printf(b->arena, "arn:aws:events:%s:%s:rule/%s", b->region, b->account, name);
}

static struct str key_of(struct bus *b, const char *name)
{
    _cleanup_buf_ struct buf k = { 0 };

    buf_append(&k, b->account, strlen(b->account) + 1);
    buf_append(&k, b->region, strlen(b->region) + 1);
    buf_append_str(&k, name);
    return (struct str){ arena_copy(b->arena, k.data, k.size), k.size };
}

int rule_open(struct bus *b, const char *name, struct rule *ret, struct err *err)
{
    struct rule r = { .name = name };
    struct str text;

    if (store_get(b->arena, b->store, table, key_of(b, name), &text, err) < 0)
        return err->kind != ERR_NOT_FOUND
                   ? -1
                   : fail_code(err, ERR_NOT_FOUND, "ResourceNotFoundException",
                               "Rule %s does not exist on EventBus default.", name);
    if (json_parse(b->arena, text, &r.record, err) < 0)
        return fail(err, ERR_INTERNAL, "the rule %s cannot be read: %s", name, err->text);
    *ret = r;
    return 0;
}

int rule_save(struct bus *b, const struct rule *r, struct err *err)
{
    return store_put(b->store, table, key_of(b, r->name), str_of(json_text(b->arena, r->record)), err);
}

int rule_all(struct bus *b, struct rule **ret, int *ret_count, struct err *err)
{
    struct range range = { .from = key_of(b, "") };
    struct rule *rules;
    struct pair *pairs;
    int count;

    range.to = store_after_prefix(b->arena, range.from);
    if (store_scan(b->arena, b->store, table, &range, &pairs, &count, err) < 0)
        return -1;
    rules = arena_array_of(b->arena, struct rule, (size_t)count);
    for (int i = 0; i < count; i++) {
        struct str name = { pairs[i].key.data + range.from.size, pairs[i].key.size - range.from.size };

        rules[i].name = str_dup(b->arena, name);
        if (json_parse(b->arena, pairs[i].value, &rules[i].record, err) < 0)
            return fail(err, ERR_INTERNAL, "the rule %s cannot be read: %s", rules[i].name, err->text);
    }
    *ret = rules;
    *ret_count = count;
    return 0;
}

/* The rule that the call names, on the bus that it names. */
static int open_named(struct call *c, struct bus *b, struct rule *r, struct err *err)
{
    *b = bus_of(c);
    return bus_check(b, doc_text(c->input, "EventBusName"), err) < 0 ||
           rule_open(b, doc_text(c->input, "Name"), r, err) < 0 ? -1 : 0;
}

/* --- Put --- */

static int check_rule(struct call *c, struct err *err)
{
    const char *pattern = doc_text(c->input, "EventPattern");
    struct doc *parsed;

    if (doc_has(c->input, "ScheduleExpression"))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "ScheduleExpression is not here: rules with an EventPattern are.");
    if (!*pattern)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Parameter(s) EventPattern or ScheduleExpression must be specified.");
    return event_pattern_parse(c->arena, str_of(pattern), &parsed, err);
}

static void set_tags(struct call *c, struct rule *r, const struct doc *tags)
{
    struct doc *mine = doc_member(c->arena, r->record, "tags", DOC_MAP);

    for (size_t i = 0; i < doc_count(tags, ""); i++)
        doc_set_string(c->arena, mine, doc_text(tags->items[i], "Key"), doc_text(tags->items[i], "Value"));
}

static int begin_rule(struct call *c, struct bus *b, struct rule *ret, struct err *err)
{
    struct rule *all, r = { doc_text(c->input, "Name"), doc_map(c->arena) };
    int count;

    if (rule_all(b, &all, &count, err) < 0)
        return -1;
    if (count >= RULES_MAX)
        return fail_code(err, ERR_LIMIT, "LimitExceededException",
                         "The requested resource exceeds the maximum number allowed.");
    set_tags(c, &r, doc_get(c->input, "Tags"));
    *ret = r;
    return 0;
}

/* What is there is replaced, but for its tags and targets. */
int events_put_rule(struct call *c, struct err *err)
{
    static const char *const members[] = { "EventPattern", "Description", "RoleArn" };
    struct bus b = bus_of(c);
    struct rule r;

    if (bus_check(&b, doc_text(c->input, "EventBusName"), err) < 0 || check_rule(c, err) < 0)
        return -1;
    if (rule_open(&b, doc_text(c->input, "Name"), &r, err) < 0 &&
        (err->kind != ERR_NOT_FOUND || begin_rule(c, &b, &r, err) < 0))
        return -1;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        doc_set(c->arena, r.record, members[i],
                doc_has(c->input, members[i]) ? doc_copy(c->arena, doc_get(c->input, members[i])) : NULL);
    doc_set_string(c->arena, r.record, "State", doc_text_or(c->input, "State", "ENABLED"));
    doc_set_string(c->arena, c->output, "RuleArn", rule_arn(&b, r.name));
    return rule_save(&b, &r, err);
}

static int set_state_of(struct call *c, const char *state, struct err *err)
{
    struct rule r;
    struct bus b;

    if (open_named(c, &b, &r, err) < 0)
        return -1;
    doc_set_string(c->arena, r.record, "State", state);
    return rule_save(&b, &r, err);
}

int events_enable_rule(struct call *c, struct err *err)
{
    return set_state_of(c, "ENABLED", err);
}

int events_disable_rule(struct call *c, struct err *err)
{
    return set_state_of(c, "DISABLED", err);
}

int events_delete_rule(struct call *c, struct err *err)
{
    struct rule r;
    struct bus b;

    /* One that is not there is as good as deleted. */
    if (open_named(c, &b, &r, err) < 0)
        return err->kind == ERR_NOT_FOUND && !text_starts(err->text, "Event bus") ? 0 : -1;
    if (doc_count(r.record, "targets"))
        return fail_code(err, ERR_INVALID, "ValidationException", "Rule can't be deleted since it has targets.");
    return store_remove(b.store, table, key_of(&b, r.name), err);
}

/* --- Look --- */

static struct doc *describe(struct bus *b, const struct rule *r)
{
    static const char *const members[] = { "EventPattern", "State", "Description", "RoleArn" };
    struct doc *d = doc_map(b->arena);

    doc_set_string(b->arena, d, "Name", r->name);
    doc_set_string(b->arena, d, "Arn", rule_arn(b, r->name));
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (doc_has(r->record, members[i]))
            doc_set(b->arena, d, members[i], doc_copy(b->arena, doc_get(r->record, members[i])));
    doc_set_string(b->arena, d, "EventBusName", default_bus);
    return d;
}

int events_describe_rule(struct call *c, struct err *err)
{
    struct rule r;
    struct bus b;

    if (open_named(c, &b, &r, err) < 0)
        return -1;
    doc_merge(c->arena, c->output, describe(&b, &r));
    doc_set_string(c->arena, c->output, "CreatedBy", b.account);
    return 0;
}

static bool has_target(const struct rule *r, const char *arn)
{
    for (size_t i = 0; i < doc_count(r->record, "targets"); i++)
        if (doc_is(doc_get(r->record, "targets")->items[i], "Arn", arn))
            return true;
    return false;
}

/* A page of the rules that have the prefix and, where one is named, the target; the token is the last name. */
static int list(struct call *c, const char *member, const char *target, struct err *err)
{
    const char *prefix = doc_text(c->input, "NamePrefix"), *after = doc_text(c->input, "NextToken");
    int64_t limit = doc_int(c->input, "Limit", PAGE);
    struct doc *found = doc_list(c->arena);
    struct bus b = bus_of(c);
    struct rule *rules;
    const char *last = "";
    int count;

    if (bus_check(&b, doc_text(c->input, "EventBusName"), err) < 0 || rule_all(&b, &rules, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        if (strcmp(rules[i].name, after) <= 0 || !text_starts(rules[i].name, prefix) ||
            (target && !has_target(&rules[i], target)))
            continue;
        if (found->count == limit) {
            doc_set_string(c->arena, c->output, "NextToken", last);
            break;
        }
        doc_append(c->arena, found, target ? doc_string(c->arena, rules[i].name) : describe(&b, &rules[i]));
        last = rules[i].name;
    }
    doc_set(c->arena, c->output, member, found);
    return 0;
}

int events_list_rules(struct call *c, struct err *err)
{
    return list(c, "Rules", NULL, err);
}

int events_list_rules_of_target(struct call *c, struct err *err)
{
    return list(c, "RuleNames", doc_text(c->input, "TargetArn"), err);
}

/* --- Tags --- */

static int open_by_arn(struct call *c, struct bus *b, struct rule *r, struct err *err)
{
    const char *arn = doc_text(c->input, "ResourceARN"), *name = strstr(arn, ":rule/");

    *b = bus_of(c);
    if (!name || strcmp(rule_arn(b, name + strlen(":rule/")), arn) != 0)
        return fail_code(err, ERR_NOT_FOUND, "ResourceNotFoundException", "%s is no rule of this account and region.",
                         arn);
    return rule_open(b, name + strlen(":rule/"), r, err);
}

int events_tag(struct call *c, struct err *err)
{
    struct rule r;
    struct bus b;

    if (open_by_arn(c, &b, &r, err) < 0)
        return -1;
    set_tags(c, &r, doc_get(c->input, "Tags"));
    return rule_save(&b, &r, err);
}

int events_untag(struct call *c, struct err *err)
{
    const struct doc *keys = doc_get(c->input, "TagKeys");
    struct rule r;
    struct bus b;

    if (open_by_arn(c, &b, &r, err) < 0)
        return -1;
    for (size_t i = 0; i < doc_count(keys, ""); i++)
        doc_set(c->arena, doc_member(c->arena, r.record, "tags", DOC_MAP), doc_value_text(keys->items[i]), NULL);
    return rule_save(&b, &r, err);
}

int events_list_tags(struct call *c, struct err *err)
{
    struct doc *tags = doc_list(c->arena);
    const struct doc *mine;
    struct rule r;
    struct bus b;

    if (open_by_arn(c, &b, &r, err) < 0)
        return -1;
    mine = doc_get(r.record, "tags");
    for (size_t i = 0; i < doc_member_count(mine, ""); i++) {
        struct doc *tag = doc_map(c->arena);

        doc_set_string(c->arena, tag, "Key", mine->members[i].key);
        doc_set_string(c->arena, tag, "Value", doc_value_text(mine->members[i].value));
        doc_append(c->arena, tags, tag);
    }
    doc_set(c->arena, c->output, "Tags", tags);
    return 0;
}

/* --- The bus --- */

static struct doc *describe_bus(struct bus *b)
{
    struct doc *d = doc_map(b->arena);

    doc_set_string(b->arena, d, "Name", default_bus);
    doc_set_string(b->arena, d, "Arn", bus_arn(b));
    return d;
}

int events_describe_bus(struct call *c, struct err *err)
{
    struct bus b = bus_of(c);

    if (bus_check(&b, doc_text(c->input, "Name"), err) < 0)
        return -1;
    doc_merge(c->arena, c->output, describe_bus(&b));
    return 0;
}

int events_list_buses(struct call *c, struct err *err)
{
    struct doc *buses = doc_list(c->arena);
    struct bus b = bus_of(c);

    if (text_starts(default_bus, doc_text(c->input, "NamePrefix")))
        doc_append(c->arena, buses, describe_bus(&b));
    doc_set(c->arena, c->output, "EventBuses", buses);
    return 0;
}
