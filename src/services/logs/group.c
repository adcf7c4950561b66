/* group.c - log groups: made, described, tagged, and how long their events are kept. */
#include <string.h>

#include "engine/engine.h"
#include "services/logs/records.h"

enum { PAGE = 50 };

static int open_input(struct call *c, struct place *p, struct log_group *g, struct err *err)
{
    *p = place_of(c);
    return group_open(p, doc_text(c->input, "logGroupName"), g, err);
}

int logs_create_group(struct call *c, struct err *err)
{
    struct place p = place_of(c);
    struct log_group g;

    if (doc_has(c->input, "kmsKeyId"))
        return fail_code(err, ERR_INVALID, "InvalidParameterException",
                         "kmsKeyId is not honoured here, and ignoring it would be unsafe.");
    if (group_create(&p, doc_text(c->input, "logGroupName"), c->now_ms, &g, err) < 0)
        return -1;
    if (!doc_has(c->input, "tags"))
        return 0;
    doc_set(c->arena, g.record, "tags", doc_copy(c->arena, doc_get(c->input, "tags")));
    return group_save(&p, &g, err);
}

int logs_delete_group(struct call *c, struct err *err)
{
    struct log_group g;
    struct place p;

    return open_input(c, &p, &g, err) < 0 ? -1 : group_remove(&p, &g, err);
}

static struct doc *describe(struct place *p, const struct log_group *g)
{
    struct arena *a = p->arena;
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "logGroupName", g->name);
    doc_set_integer(a, d, "creationTime", doc_int(g->record, "created_ms", 0));
    if (doc_has(g->record, "retention_days"))
        doc_set_integer(a, d, "retentionInDays", doc_int(g->record, "retention_days", 0));
    doc_set_integer(a, d, "metricFilterCount", 0);
    doc_set_string(a, d, "arn", arena_printf(a, "%s:*", group_arn(p, g->name)));
    doc_set_string(a, d, "logGroupArn", group_arn(p, g->name));
    doc_set_string(a, d, "logGroupClass", "STANDARD");
    return d;
}

int logs_describe_groups(struct call *c, struct err *err)
{
    const char *prefix = doc_text(c->input, "logGroupNamePrefix"), *pattern = doc_text(c->input, "logGroupNamePattern");
    const char *after = doc_has(c->input, "nextToken") ? doc_text(c->input, "nextToken") : NULL;
    int limit = (int)doc_int(c->input, "limit", PAGE), count;
    struct doc *list = doc_list(c->arena);
    struct place p = place_of(c);
    struct log_group *found;

    if (*prefix && *pattern)
        return fail_code(err, ERR_INVALID, "InvalidParameterException",
                         "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.");
    /* One more than asked for: a token is given only when there is more. */
    do {
        if (group_list(&p, prefix, after, limit + 1, &found, &count, err) < 0)
            return -1;
        for (int i = 0; i < count && list->count < (uint32_t)limit; i++) {
            after = found[i].name;
            if (!*pattern || strstr(found[i].name, pattern))
                doc_append(c->arena, list, describe(&p, &found[i]));
        }
    } while (count == limit + 1 && list->count < (uint32_t)limit);
    doc_set(c->arena, c->output, "logGroups", list);
    if (count && strcmp(after, found[count - 1].name) != 0)
        doc_set_string(c->arena, c->output, "nextToken", after);
    return 0;
}

int logs_put_retention(struct call *c, struct err *err)
{
    static const int16_t allowed[] = { 1,   3,   5,   7,   14,   30,   60,   90,   120,  150,  180,
                                       365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653 };
    int64_t days = doc_int(c->input, "retentionInDays", 0);
    bool good = false;
    struct log_group g;
    struct place p;

    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        good = good || days == allowed[i];
    if (!good)
        return fail_code(
            err, ERR_INVALID, "InvalidParameterException",
            "1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member "
            "must satisfy enum value set: [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, "
            "1827, 2192, 2557, 2922, 3288, 3653]",
            (int)days);
    if (open_input(c, &p, &g, err) < 0)
        return -1;
    doc_set_integer(c->arena, g.record, "retention_days", days);
    return group_save(&p, &g, err);
}

int logs_delete_retention(struct call *c, struct err *err)
{
    struct log_group g;
    struct place p;

    if (open_input(c, &p, &g, err) < 0)
        return -1;
    doc_set(c->arena, g.record, "retention_days", NULL);
    return group_save(&p, &g, err);
}

/* Tags by ARN, or by name in the calls of old. */
static int open_tagged(struct call *c, struct place *p, struct log_group *g, struct err *err)
{
    const char *arn = doc_text(c->input, "resourceArn");

    *p = place_of(c);
    return group_open(p, *arn ? arn : doc_text(c->input, "logGroupName"), g, err);
}

int logs_tag(struct call *c, struct err *err)
{
    struct log_group g;
    struct place p;

    if (open_tagged(c, &p, &g, err) < 0)
        return -1;
    doc_merge(c->arena, doc_member(c->arena, g.record, "tags", DOC_MAP), doc_get(c->input, "tags"));
    return group_save(&p, &g, err);
}

int logs_untag(struct call *c, struct err *err)
{
    const struct doc *keys = doc_has(c->input, "tagKeys") ? doc_get(c->input, "tagKeys") : doc_get(c->input, "tags");
    struct log_group g;
    struct place p;

    if (open_tagged(c, &p, &g, err) < 0)
        return -1;
    for (size_t i = 0; i < doc_count(keys, ""); i++)
        doc_set(c->arena, doc_member(c->arena, g.record, "tags", DOC_MAP), doc_value_text(keys->items[i]), NULL);
    return group_save(&p, &g, err);
}

int logs_list_tags(struct call *c, struct err *err)
{
    struct log_group g;
    struct place p;

    if (open_tagged(c, &p, &g, err) < 0)
        return -1;
    doc_set(c->arena, c->output, "tags", doc_member(c->arena, g.record, "tags", DOC_MAP));
    return 0;
}
