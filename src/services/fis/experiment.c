/* experiment.c - Experiment, the API's side. */
#include "services/fis/experiment.h"

#include <string.h>

#include "engine/engine.h"
#include "engine/tags.h"
#include "services/fis/fis.h"
#include "services/fis/page.h"
#include "services/fis/template.h"

enum { PAGE = 100 };

/* --- What is answered --- */

static struct doc *state_of(struct arena *a, const struct row *r)
{
    struct doc *state = doc_map(a);

    doc_set_string(a, state, "status", r->state);
    doc_set_string(a, state, "reason", doc_text(r->status, "reason"));
    return state;
}

static struct doc *actions_of(struct arena *a, const struct row *r)
{
    const struct doc *actions = doc_at(r->spec, "template.actions"), *states = doc_get(r->status, "actions");
    struct doc *all = doc_map(a);

    for (uint32_t i = 0; i < actions->count; i++) {
        struct doc *action = doc_copy(a, actions->members[i].value), *state = doc_map(a);
        const struct doc *seen = doc_get(states, actions->members[i].key);

        doc_set_string(a, state, "status", doc_text_or(seen, "status", "pending"));
        doc_set_string(a, state, "reason", doc_text_or(seen, "reason", "Initial state"));
        doc_set(a, action, "state", state);
        for (const char *const *time = (const char *const[]){ "startTime", "endTime", NULL }; *time; time++)
            if (doc_has(seen, *time))
                doc_set_integer(a, action, *time, doc_int(seen, *time, 0));
        doc_set(a, all, actions->members[i].key, action);
    }
    return all;
}

static int tags_as_map(struct arena *a, struct engine *e, const char *uid, struct doc **ret, struct err *err)
{
    struct doc *list;

    if (tags_of(a, e, uid, &list, err) < 0)
        return -1;
    *ret = doc_map(a);
    for (uint32_t i = 0; i < list->count; i++)
        doc_set_string(a, *ret, doc_text(list->items[i], "Key"), doc_text(list->items[i], "Value"));
    return 0;
}

static int summarize(struct call *c, const struct row *r, struct doc **ret, struct err *err)
{
    struct doc *d = doc_map(c->arena), *options = doc_map(c->arena), *tags;

    if (tags_as_map(c->arena, c->engine, r->uid, &tags, err) < 0)
        return -1;
    doc_set_string(c->arena, d, "id", r->name);
    doc_set_string(c->arena, d, "arn", r->arn);
    doc_set_string(c->arena, d, "experimentTemplateId", doc_text(r->spec, "experimentTemplateId"));
    doc_set(c->arena, d, "state", state_of(c->arena, r));
    doc_set_integer(c->arena, d, "creationTime", r->created_ms);
    doc_set(c->arena, d, "tags", tags);
    doc_set_string(c->arena, options, "accountTargeting", "single-account");
    doc_set_string(c->arena, options, "emptyTargetResolutionMode",
                   doc_text_or(r->spec, "template.experimentOptions.emptyTargetResolutionMode", "fail"));
    doc_set_string(c->arena, options, "actionsMode", doc_text(r->spec, "actionsMode"));
    doc_set(c->arena, d, "experimentOptions", options);
    *ret = d;
    return 0;
}

static int answer(struct call *c, const struct row *r, struct err *err)
{
    static const char *const of_template[] = { "roleArn", "stopConditions", "targets" };
    const struct doc *template = doc_get(r->spec, "template");
    struct doc *d;

    if (summarize(c, r, &d, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof of_template / sizeof *of_template; i++)
        if (doc_has(template, of_template[i]))
            doc_set(c->arena, d, of_template[i], doc_copy(c->arena, doc_get(template, of_template[i])));
    doc_set(c->arena, d, "actions", actions_of(c->arena, r));
    for (const char *const *time = (const char *const[]){ "startTime", "endTime", NULL }; *time; time++)
        if (doc_has(r->status, *time))
            doc_set_integer(c->arena, d, *time, doc_int(r->status, *time, 0));
    doc_set_integer(c->arena, d, "targetAccountConfigurationsCount", 0);
    doc_set(c->arena, c->output, "experiment", d);
    return 0;
}

/* --- Start --- */

static int find(struct call *c, const char *id, struct row *ret, struct err *err)
{
    if (store_row_by_name(c->arena, engine_world_of(c->engine)->store, c->principal->account, c->region,
                          experiment.name, id, ret, err) == 0)
        return 0;
    return err->kind != ERR_NOT_FOUND ? -1
                                      : fail_code(err, ERR_NOT_FOUND, "ResourceNotFoundException",
                                                  "Experiment %s does not exist.", id);
}

/* As SageMaker's tags have them. */
static struct doc *tag_list(struct arena *a, const struct doc *map)
{
    struct doc *list = doc_list(a);

    for (size_t i = 0; i < doc_member_count(map, ""); i++) {
        struct doc *tag = doc_map(a);

        doc_set_string(a, tag, "Key", map->members[i].key);
        doc_set_string(a, tag, "Value", doc_value_text(map->members[i].value));
        doc_append(a, list, tag);
    }
    return list;
}

static int insert(struct call *c, const char *id, const struct doc *template, struct err *err)
{
    char *uid = arena_alloc(c->arena, 27);
    struct doc *spec = doc_map(c->arena), *status = doc_map(c->arena);
    struct row r = { .uid = uid, .account = c->principal->account, .region = c->region, .kind = experiment.name,
                     .name = id, .arn = fis_arn(c, "experiment", id), .parent_uid = "", .created_ms = c->now_ms,
                     .modified_ms = c->now_ms, .state = experiment.states[0][0], .next_at_ms = c->now_ms,
                     .spec = spec, .want = doc_map(c->arena), .status = status };

    rand_name(engine_world_of(c->engine)->rand, uid, 26);
    doc_set_string(c->arena, spec, "experimentTemplateId", doc_text(c->input, "experimentTemplateId"));
    doc_set_string(c->arena, spec, "actionsMode", doc_text_or(c->input, "experimentOptions.actionsMode", "run-all"));
    doc_set(c->arena, spec, "template", (struct doc *)template);
    doc_set_string(c->arena, status, experiment.state_member, r.state);
    doc_set_string(c->arena, status, "reason", "Experiment is pending.");
    if (tags_set(c->engine, uid, r.arn, tag_list(c->arena, doc_get(c->input, "tags")), err) < 0 ||
        resource_insert(c->arena, c->engine, &r, err) < 0)
        return -1;
    return answer(c, &r, err);
}

/* The id comes from the client's token: a Start that comes twice starts one. */
int fis_start_experiment(struct call *c, struct err *err)
{
    const char *id = fis_id(c, "EXP", doc_text(c->input, "clientToken"));
    const char *template_id = doc_text(c->input, "experimentTemplateId");
    struct doc *template;
    struct row known;

    if (find(c, id, &known, err) == 0)
        return doc_is(known.spec, "experimentTemplateId", template_id)
                   ? answer(c, &known, err)
                   : fail_code(err, ERR_CONFLICT, "ConflictException",
                               "The clientToken was used before, to start an experiment of another template.");
    if (err->kind != ERR_NOT_FOUND || template_open(c, template_id, &template, err) < 0)
        return -1;
    return insert(c, id, template, err);
}

/* --- The others --- */

int fis_get_experiment(struct call *c, struct err *err)
{
    struct row r;

    return find(c, doc_text(c->input, "id"), &r, err) < 0 ? -1 : answer(c, &r, err);
}

int fis_stop_experiment(struct call *c, struct err *err)
{
    struct resource r;
    struct row row;

    if (find(c, doc_text(c->input, "id"), &row, err) < 0 || resource_load(c->arena, c->engine, row.uid, &r, err) < 0)
        return -1;
    if (strcmp(get_state(&r), "stopping") != 0) {
        if (!may_become(&r, "stopping"))
            return fail_code(err, ERR_INVALID, "ValidationException", "Experiment %s is %s: there is nothing to stop.",
                             r.row.name, get_state(&r));
        set_state(&r, "stopping");
        doc_set_string(c->arena, r.status, "reason", "Experiment is being stopped.");
        doc_set_string(c->arena, r.status, experiment.state_member, get_state(&r));
        if (resource_want(c->engine, &r, err) < 0)
            return -1;
    }
    return answer(c, &r.row, err);
}

int fis_list_experiments(struct call *c, struct err *err)
{
    struct row_filter f = { .account = c->principal->account, .region = c->region, .kind = experiment.name,
                            .order = ROWS_BY_CREATED, .descending = true,
                            .after = doc_has(c->input, "nextToken") ? doc_text(c->input, "nextToken") : NULL };
    const char *template = doc_text(c->input, "experimentTemplateId");
    int64_t limit = doc_int(c->input, "maxResults", PAGE);
    struct doc *page = doc_list(c->arena), *summary;
    struct row *rows;
    int count;

    do {
        f.limit = (int)(limit - page->count);
        if (store_row_list(c->arena, engine_world_of(c->engine)->store, &f, &rows, &count, &f.after, err) < 0)
            return err->kind == ERR_INVALID ? fail_code(err, ERR_INVALID, "ValidationException",
                                                        "The nextToken is not one that this list gave.") : -1;
        for (int i = 0; i < count; i++) {
            if (*template && !doc_is(rows[i].spec, "experimentTemplateId", template))
                continue;
            if (summarize(c, &rows[i], &summary, err) < 0)
                return -1;
            doc_append(c->arena, page, summary);
        }
    } while (f.after && page->count < limit);
    doc_set(c->arena, c->output, "experiments", page);
    doc_set_string(c->arena, c->output, "nextToken", f.after);
    return 0;
}

int fis_list_resolved_targets(struct call *c, struct err *err)
{
    const char *name = doc_text(c->input, "targetName");
    struct doc *all = doc_list(c->arena);
    const struct doc *targets;
    struct row r;

    if (find(c, doc_text(c->input, "experimentId"), &r, err) < 0)
        return -1;
    targets = doc_get(r.status, "targets");
    for (size_t i = 0; i < doc_member_count(targets, ""); i++) {
        const struct doc *chosen = targets->members[i].value;

        for (uint32_t k = 0; k < chosen->count && (!*name || strcmp(name, targets->members[i].key) == 0); k++) {
            struct doc *d = doc_map(c->arena), *information = doc_member(c->arena, d, "targetInformation", DOC_MAP);

            doc_set_string(c->arena, d, "resourceType",
                           doc_text(doc_get(doc_at(r.spec, "template.targets"), targets->members[i].key),
                                    "resourceType"));
            doc_set_string(c->arena, d, "targetName", targets->members[i].key);
            doc_set_string(c->arena, information, "resourceArn", doc_text(chosen->items[k], "arn"));
            doc_append(c->arena, all, d);
        }
    }
    return fis_page(c, "resolvedTargets", all, err);
}

/* --- Tags, of experiments and templates --- */

static int tag(struct call *c, const struct doc *tags, const struct doc *gone, struct doc **ret, struct err *err)
{
    const char *arn = doc_text(c->input, "resourceArn"), *id = strrchr(arn, '/');
    struct row r;

    if (id && strcmp(arn, fis_arn(c, "experiment-template", id + 1)) == 0)
        return fis_tag_template(c, tags, gone, ret, err);
    if (!id || strcmp(arn, fis_arn(c, "experiment", id + 1)) != 0)
        return fail_code(err, ERR_NOT_FOUND, "ResourceNotFoundException", "%s is no experiment and no template.", arn);
    if (find(c, id + 1, &r, err) < 0 || tags_set(c->engine, r.uid, r.arn, tag_list(c->arena, tags), err) < 0 ||
        tags_unset(c->engine, r.uid, gone, err) < 0)
        return -1;
    return tags_as_map(c->arena, c->engine, r.uid, ret, err);
}

int fis_tag(struct call *c, struct err *err)
{
    struct doc *tags;

    return tag(c, doc_get(c->input, "tags"), NULL, &tags, err);
}

int fis_untag(struct call *c, struct err *err)
{
    const struct doc *keys = doc_get(c->input, "tagKeys");
    struct doc *tags;

    return tag(c, NULL, keys ? keys : doc_list(c->arena), &tags, err);
}

int fis_list_tags(struct call *c, struct err *err)
{
    struct doc *tags;

    if (tag(c, NULL, NULL, &tags, err) < 0)
        return -1;
    doc_set(c->arena, c->output, "tags", tags);
    return 0;
}

/* --- The kind --- */

static const char *const states[][2] = {
    { "pending", "initiating stopping" },
    { "initiating", "running failed stopping" },
    { "running", "completed stopping" },
    { "stopping", "stopped failed" },
    { "completed", "" },
    { "stopped", "" },
    { "failed", "" },
    {},
};

const struct kind experiment = {
    .name = "FisExperiment", /* SageMaker has experiments of its own */
    .service = "fis",
    .arn_type = "experiment",
    .state_member = "_State",
    .states = states,
    .reconcile = experiment_reconcile,
};

const struct kind *const fis_kinds[] = { &experiment, NULL };
