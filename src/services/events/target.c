/* target.c - the targets of a rule: log groups of its own account and region. */
#include <string.h>

#include "services/events/input.h"
#include "services/events/rule.h"

enum { TARGETS_MAX = 5, PAGE = 100, GROUP_NAME_MOST = 512 };

static int open_rule(struct call *c, struct bus *b, struct rule *r, struct err *err)
{
    *b = bus_of(c);
    return bus_check(b, doc_text(c->input, "EventBusName"), err) < 0 ||
           rule_open(b, doc_text(c->input, "Rule"), r, err) < 0 ? -1 : 0;
}

/* --- Put --- */

/* Members that belong to targets which are not here; a dead-letter queue would pretend. */
static const char *const refused[] = {
    "KinesisParameters", "RunCommandParameters", "EcsParameters", "BatchParameters", "SqsParameters", "HttpParameters",
    "RedshiftDataParameters", "SageMakerPipelineParameters", "DeadLetterConfig", "AppSyncParameters",
};

/* As CloudWatch Logs has it; ":*" may follow, as ARNs of log groups are often written. A name that no group can have
 * would hold up what is to be delivered after it. */
static bool names_group(const char *rest)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-/.#";
    size_t size = strspn(rest, letters);

    return size > 0 && size <= GROUP_NAME_MOST && (!rest[size] || strcmp(rest + size, ":*") == 0);
}

static int check_arn(struct bus *b, const struct doc *target, struct err *err)
{
    const char *arn = doc_text(target, "Arn"), *id = doc_text(target, "Id");
    const char *groups = arena_printf(b->arena, "arn:aws:logs:%s:%s:log-group:", b->region, b->account);

    if (text_starts(arn, groups) && names_group(arn + strlen(groups)))
        return 0;
    if (text_starts(arn, "arn:aws:logs:"))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "Target %s is %s; the log group must be of this account and region: %sNAME.", id, arn, groups);
    return fail_code(err, ERR_INVALID, "ValidationException",
                     "Target %s is %s. Targets that are here: CloudWatch Logs log groups (%sNAME).", id, arn, groups);
}

static int check_target(struct bus *b, const struct doc *target, struct err *err)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (doc_has(target, refused[i]))
            return fail_code(err, ERR_INVALID, "ValidationException",
                             "%s of target %s is not here: targets are CloudWatch Logs log groups.", refused[i],
                             doc_text(target, "Id"));
    return check_arn(b, target, err) < 0 ? -1 : target_input_check(b->arena, target, err);
}

static struct doc *without(struct bus *b, const struct doc *targets, const char *id)
{
    struct doc *kept = doc_list(b->arena);

    for (size_t i = 0; i < doc_count(targets, ""); i++)
        if (!doc_is(targets->items[i], "Id", id))
            doc_append(b->arena, kept, targets->items[i]);
    return kept;
}

static void no_failures(struct call *c)
{
    doc_set_integer(c->arena, c->output, "FailedEntryCount", 0);
    doc_set(c->arena, c->output, "FailedEntries", doc_list(c->arena));
}

int events_put_targets(struct call *c, struct err *err)
{
    const struct doc *given = doc_get(c->input, "Targets");
    struct doc *targets;
    struct rule r;
    struct bus b;

    if (open_rule(c, &b, &r, err) < 0)
        return -1;
    targets = doc_member(c->arena, r.record, "targets", DOC_LIST);
    for (size_t i = 0; i < doc_count(given, ""); i++) {
        if (check_target(&b, given->items[i], err) < 0)
            return -1;
        targets = without(&b, targets, doc_text(given->items[i], "Id"));
        doc_append(c->arena, targets, doc_copy(c->arena, given->items[i]));
    }
    if (targets->count > TARGETS_MAX)
        return fail_code(err, ERR_LIMIT, "LimitExceededException",
                         "The requested resource exceeds the maximum number allowed: a rule has %d targets at most.",
                         TARGETS_MAX);
    doc_set(c->arena, r.record, "targets", targets);
    no_failures(c);
    return rule_save(&b, &r, err);
}

int events_remove_targets(struct call *c, struct err *err)
{
    const struct doc *ids = doc_get(c->input, "Ids");
    struct rule r;
    struct bus b;

    if (open_rule(c, &b, &r, err) < 0)
        return -1;
    for (size_t i = 0; i < doc_count(ids, ""); i++)
        doc_set(c->arena, r.record, "targets",
                without(&b, doc_get(r.record, "targets"), doc_value_text(ids->items[i])));
    no_failures(c);
    return rule_save(&b, &r, err);
}

/* The token counts the targets before the page. */
int events_list_targets(struct call *c, struct err *err)
{
    int64_t limit = doc_int(c->input, "Limit", PAGE), from = 0;
    const char *token = doc_text(c->input, "NextToken");
    struct doc *page = doc_list(c->arena);
    const struct doc *targets;
    struct rule r;
    struct bus b;

    if (open_rule(c, &b, &r, err) < 0)
        return -1;
    if (*token && (!str_to_int64(str_of(token), &from) || from < 0))
        return fail_code(err, ERR_INVALID, "ValidationException", "The NextToken is not one that this list gave.");
    targets = doc_get(r.record, "targets");
    for (int64_t i = from; i < (int64_t)doc_count(targets, "") && page->count < limit; i++)
        doc_append(c->arena, page, doc_copy(c->arena, targets->items[i]));
    doc_set(c->arena, c->output, "Targets", page);
    if (from + page->count < (int64_t)doc_count(targets, ""))
        doc_set_string(c->arena, c->output, "NextToken", arena_printf(c->arena, "%lld", (long long)from + page->count));
    return 0;
}
