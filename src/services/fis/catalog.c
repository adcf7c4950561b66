/* Descriptions and parameters: "AWS FIS actions reference" in the FIS user guide. */
#include "services/fis/catalog.h"

#include <string.h>

#include "services/fis/page.h"

enum { SECONDS_MS = 1000, MINUTES_MS = 60 * 1000, HOURS_MS = 3600 * 1000 };

static const struct fis_action actions[] = {
    { "aws:ec2:send-spot-instance-interruptions", "Sends a Spot Instance interruption notice, two minutes before",
      { "durationBeforeInterruption", "The time to wait before interrupting the instances, PT2M to PT15M. The notice "
        "comes two minutes before, a rebalance recommendation at once.", 2 * MINUTES_MS, 15 * MINUTES_MS },
      "SpotInstances", SPOT_INSTANCE },
    { "aws:fis:wait", "Waits for the specified duration",
      { "duration", "How long to wait, PT1M to PT12H.", MINUTES_MS, 12 * HOURS_MS } },
};
enum { ACTIONS = sizeof actions / sizeof *actions };

static const char spot_description[] = "A running instance of a training job with managed spot";

const struct fis_action *fis_action(const char *id)
{
    for (int i = 0; i < ACTIONS; i++)
        if (strcmp(actions[i].id, id) == 0)
            return &actions[i];
    return NULL;
}

const char *fis_action_names(struct arena *a)
{
    const char *names = "";

    for (int i = 0; i < ACTIONS; i++)
        names = arena_printf(a, "%s%s%s", names, i ? ", " : "", actions[i].id);
    return names;
}

/* Hours, minutes and seconds, each once at most and in this order. */
bool fis_duration(const char *text, int64_t *ret_ms)
{
    static const struct { char letter; int64_t unit_ms; } units[] = { { 'H', HOURS_MS }, { 'M', MINUTES_MS },
                                                                    { 'S', SECONDS_MS } };
    int64_t total_ms = 0;
    size_t unit = 0;

    if (!text_starts(text, "PT") || !text[2])
        return false;
    for (text += 2; *text;) {
        size_t digits = strspn(text, "0123456789");
        int64_t number;

        while (unit < 3 && units[unit].letter != text[digits])
            unit++;
        if (unit == 3 || digits == 0 || digits > 6 || !str_to_int64((struct str){ text, digits }, &number))
            return false;
        total_ms += number * units[unit++].unit_ms;
        text += digits + 1;
    }
    *ret_ms = total_ms;
    return true;
}

/* --- Looking --- */

static struct doc *describe(struct call *c, const struct fis_action *action, bool whole)
{
    struct doc *d = doc_map(c->arena), *targets = doc_member(c->arena, d, "targets", DOC_MAP), *parameter;

    doc_set_string(c->arena, d, "id", action->id);
    doc_set_string(c->arena, d, "arn",
                   arena_printf(c->arena, "arn:aws:fis:%s:%s:action/%s", c->region, c->principal->account, action->id));
    doc_set_string(c->arena, d, "description", action->description);
    doc_set(c->arena, d, "tags", doc_map(c->arena));
    if (action->target)
        doc_set_string(c->arena, doc_member(c->arena, targets, action->target, DOC_MAP), "resourceType",
                       action->resource_type);
    if (!whole)
        return d;
    parameter = doc_member(c->arena, doc_member(c->arena, d, "parameters", DOC_MAP), action->parameter.name, DOC_MAP);
    doc_set_string(c->arena, parameter, "description", action->parameter.description);
    doc_set_boolean(c->arena, parameter, "required", true);
    return d;
}

int fis_list_actions(struct call *c, struct err *err)
{
    struct doc *all = doc_list(c->arena);

    for (int i = 0; i < ACTIONS; i++)
        doc_append(c->arena, all, describe(c, &actions[i], false));
    return fis_page(c, "actions", all, err);
}

int fis_get_action(struct call *c, struct err *err)
{
    const struct fis_action *action = fis_action(doc_text(c->input, "id"));

    if (!action)
        return fail_code(err, ERR_NOT_FOUND, "ResourceNotFoundException", "Action %s is not here. Those that are: %s.",
                         doc_text(c->input, "id"), fis_action_names(c->arena));
    doc_set(c->arena, c->output, "action", describe(c, action, true));
    return 0;
}

static struct doc *spot_type(struct call *c)
{
    struct doc *d = doc_map(c->arena);

    doc_set_string(c->arena, d, "resourceType", SPOT_INSTANCE);
    doc_set_string(c->arena, d, "description", spot_description);
    return d;
}

int fis_list_resource_types(struct call *c, struct err *err)
{
    struct doc *all = doc_list(c->arena);

    doc_append(c->arena, all, spot_type(c));
    return fis_page(c, "targetResourceTypes", all, err);
}

int fis_get_resource_type(struct call *c, struct err *err)
{
    struct doc *d = spot_type(c);

    if (strcmp(doc_text(c->input, "resourceType"), SPOT_INSTANCE) != 0)
        return fail_code(err, ERR_NOT_FOUND, "ResourceNotFoundException",
                         "Target resource type %s is not here; " SPOT_INSTANCE " is.",
                         doc_text(c->input, "resourceType"));
    doc_set(c->arena, d, "parameters", doc_map(c->arena));
    doc_set(c->arena, c->output, "targetResourceType", d);
    return 0;
}
