#include "services/fis/template_check.h"

#include <string.h>

#include "engine/engine.h"
#include "services/fis/catalog.h"
#include "services/fis/template.h"
#include "services/iam/identity.h"

#define refuse(err, ...) fail_code(err, ERR_INVALID, "ValidationException", __VA_ARGS__)

/* --- Targets --- */

static int check_filters(const struct doc *target, const char *name, struct err *err)
{
    const struct doc *filters = doc_get(target, "filters");

    for (size_t i = 0; i < doc_count(filters, ""); i++)
        if (!doc_is(filters->items[i], "path", "State.Name"))
            return refuse(err, "Target %s: the filter path %s is not here; State.Name is.", name,
                          doc_text(filters->items[i], "path"));
    return 0;
}

static int check_target(const struct doc *target, const char *name, struct err *err)
{
    bool arns = doc_count(target, "resourceArns") > 0, tags = doc_member_count(target, "resourceTags") > 0;

    if (strcmp(doc_text(target, "resourceType"), SPOT_INSTANCE) != 0)
        return refuse(err, "Target %s: the resource type %s is not here; " SPOT_INSTANCE " is.", name,
                      doc_text(target, "resourceType"));
    if (arns == tags)
        return refuse(err, "Target %s must have either resourceArns or resourceTags.", name);
    if (arns && doc_count(target, "filters"))
        return refuse(err, "Target %s: filters go with resourceTags, not with resourceArns.", name);
    if (doc_member_count(target, "parameters"))
        return refuse(err, "Target %s: " SPOT_INSTANCE " takes no parameters.", name);
    if (selection_count(doc_text(target, "selectionMode"), 1) < 0)
        return refuse(err, "Target %s: the selectionMode must be ALL, COUNT(n) or PERCENT(n), and is %s.", name,
                      doc_text(target, "selectionMode"));
    return check_filters(target, name, err);
}

/* --- Actions --- */

static int check_parameters(const struct doc *given, const struct fis_action *a, const char *name, struct err *err)
{
    const char *value = doc_value_text(doc_get(given, a->parameter.name));
    int64_t ms;

    for (size_t i = 0; i < doc_member_count(given, ""); i++)
        if (strcmp(given->members[i].key, a->parameter.name) != 0)
            return refuse(err, "Action %s: %s has no parameter %s.", name, a->id, given->members[i].key);
    if (!*value)
        return refuse(err, "Action %s: %s requires the parameter %s.", name, a->id, a->parameter.name);
    if (!fis_duration(value, &ms) || ms < a->parameter.least_ms || ms > a->parameter.most_ms)
        return refuse(err, "Action %s: %s is %s. %s", name, a->parameter.name, value, a->parameter.description);
    return 0;
}

static int check_targets_of(const struct doc *template, const struct doc *given, const struct fis_action *a,
                            const char *name, struct err *err)
{
    const char *target = a->target ? doc_value_text(doc_get(given, a->target)) : "";

    for (size_t i = 0; i < doc_member_count(given, ""); i++)
        if (!a->target || strcmp(given->members[i].key, a->target) != 0)
            return refuse(err, "Action %s: %s has no target %s.", name, a->id, given->members[i].key);
    if (a->target && !*target)
        return refuse(err, "Action %s: %s requires the target %s.", name, a->id, a->target);
    if (a->target && !doc_get(doc_get(template, "targets"), target))
        return refuse(err, "Action %s: the template has no target %s.", name, target);
    return 0;
}

static bool is_among(const struct doc *names, const struct doc *among)
{
    for (size_t i = 0; i < doc_count(names, ""); i++)
        if (!doc_get(among, doc_value_text(names->items[i])))
            return false;
    return true;
}

/* Takes out, again and again, what waits for nothing that is left; what remains waits for itself. */
static int check_order(struct arena *a, const struct doc *actions, struct err *err)
{
    struct doc *done = doc_map(a);
    const char *left = "";
    uint32_t before;

    do {
        before = done->count;
        left = "";
        for (uint32_t i = 0; i < actions->count; i++) {
            const struct doc_item *m = &actions->members[i];

            if (!is_among(doc_get(m->value, "startAfter"), actions))
                return refuse(err, "Action %s starts after one that the template does not have.", m->key);
            if (!is_among(doc_get(m->value, "startAfter"), done))
                left = m->key;
            else if (!doc_get(done, m->key))
                doc_set_boolean(a, done, m->key, true);
        }
    } while (*left && done->count > before);
    return *left ? refuse(err, "Action %s starts after itself.", left) : 0;
}

static int check_action(const struct doc *template, const char *name, const struct doc *action, struct err *err)
{
    const struct fis_action *a = fis_action(doc_text(action, "actionId"));
    _cleanup_arena_ struct arena *arena = arena_new();

    if (!a)
        return refuse(err, "Action %s: %s is not here. Actions that are: %s.", name, doc_text(action, "actionId"),
                      fis_action_names(arena));
    return check_parameters(doc_get(action, "parameters"), a, name, err) < 0
               ? -1 : check_targets_of(template, doc_get(action, "targets"), a, name, err);
}

/* --- The whole --- */

static int check_stop_conditions(const struct doc *conditions, struct err *err)
{
    if (doc_count(conditions, "") == 0)
        return refuse(err, "A template needs a stop condition; its source may be none.");
    for (uint32_t i = 0; i < conditions->count; i++)
        if (!doc_is(conditions->items[i], "source", "none"))
            return refuse(err, "The stop condition %s is not here, for CloudWatch alarms are not; use none.",
                          doc_text(conditions->items[i], "source"));
    return 0;
}

static int refuse_absent(const struct doc *template, struct err *err)
{
    if (doc_has(template, "logConfiguration") || doc_has(template, "experimentReportConfiguration"))
        return refuse(err, "%s is not here. The events of an experiment (source aws.fis) say what it does.",
                      doc_has(template, "logConfiguration") ? "logConfiguration" : "experimentReportConfiguration");
    if (doc_is(template, "experimentOptions.accountTargeting", "multi-account"))
        return refuse(err, "accountTargeting multi-account is not here.");
    return 0;
}

static int check_role(struct call *c, const char *role_arn, struct err *err)
{
    static const struct principal fis = { .account = "", .arn = "fis.amazonaws.com", .user_id = "",
                                          .access_key_id = "", .trusted = true };
    struct doc *input = doc_map(c->arena), *output;

    if (iam_check_pass_role(c, role_arn, "fis.amazonaws.com", err) < 0)
        return -1;
    doc_set_string(c->arena, input, "RoleArn", role_arn);
    doc_set_string(c->arena, input, "RoleSessionName", "FIS");
    if (engine_call(c->arena, c->engine, &fis, c->region, "sts", "AssumeRole", input, &output, err) == 0)
        return 0;
    if (err->kind == ERR_INTERNAL || err->kind == ERR_UNAVAILABLE)
        return -1;
    return refuse(err, "The role %s cannot be assumed by fis.amazonaws.com: it must exist, and its trust policy must "
                       "allow that service.", role_arn);
}

int template_check(struct call *c, const struct doc *template, struct err *err)
{
    const struct doc *targets = doc_get(template, "targets"), *actions = doc_get(template, "actions");

    if (refuse_absent(template, err) < 0 || check_stop_conditions(doc_get(template, "stopConditions"), err) < 0)
        return -1;
    if (doc_member_count(actions, "") == 0)
        return refuse(err, "A template needs an action.");
    for (size_t i = 0; i < doc_member_count(targets, ""); i++)
        if (check_target(targets->members[i].value, targets->members[i].key, err) < 0)
            return -1;
    for (uint32_t i = 0; i < actions->count; i++)
        if (check_action(template, actions->members[i].key, actions->members[i].value, err) < 0)
            return -1;
    return check_order(c->arena, actions, err) < 0 ? -1 : check_role(c, doc_text(template, "roleArn"), err);
}
