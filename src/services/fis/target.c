/* target.c - which instances an experiment is done to. */
#include <string.h>

#include "engine/engine.h"
#include "engine/tags.h"
#include "services/fis/experiment.h"
#include "services/fis/template.h"
#include "services/sagemaker/training_interrupt.h"

/* By its own ARN, or by that of its job. */
static bool is_named(const struct doc *arns, const struct spot_instance *i)
{
    for (size_t k = 0; k < doc_count(arns, ""); k++)
        if (strcasecmp(doc_value_text(arns->items[k]), i->arn) == 0 ||
            strcasecmp(doc_value_text(arns->items[k]), i->job_arn) == 0)
            return true;
    return false;
}

/* The job has all of them. */
static bool is_tagged(const struct doc *wanted, const struct doc *tags)
{
    for (size_t k = 0; k < doc_member_count(wanted, ""); k++) {
        bool found = false;

        for (size_t t = 0; t < doc_count(tags, "") && !found; t++)
            found = doc_is(tags->items[t], "Key", wanted->members[k].key) &&
                    doc_is(tags->items[t], "Value", doc_value_text(wanted->members[k].value));
        if (!found)
            return false;
    }
    return true;
}

/* Of State.Name: what is listed here runs. */
static bool filters_pass(const struct doc *filters)
{
    for (size_t i = 0; i < doc_count(filters, ""); i++) {
        const struct doc *values = doc_get(filters->items[i], "values");
        bool running = false;

        for (size_t k = 0; k < doc_count(values, ""); k++)
            running = running || strcmp(doc_value_text(values->items[k]), "running") == 0;
        if (!running)
            return false;
    }
    return true;
}

static int is_meant(struct arena *a, struct engine *e, const struct doc *target, const struct spot_instance *i,
                    bool *ret, struct err *err)
{
    struct doc *tags;

    if (doc_count(target, "resourceArns")) {
        *ret = is_named(doc_get(target, "resourceArns"), i);
        return 0;
    }
    if (tags_of(a, e, i->job_uid, &tags, err) < 0)
        return -1;
    *ret = is_tagged(doc_get(target, "resourceTags"), tags) && filters_pass(doc_get(target, "filters"));
    return 0;
}

static struct doc *noted(struct arena *a, const struct spot_instance *i)
{
    struct doc *d = doc_map(a);

    doc_set_string(a, d, "id", i->id);
    doc_set_string(a, d, "arn", i->arn);
    doc_set_string(a, d, "job_uid", i->job_uid);
    doc_set_string(a, d, "job_arn", i->job_arn);
    doc_set_integer(a, d, "attempt", i->attempt);
    return d;
}

int target_resolve(struct arena *a, struct engine *e, const struct row *row, const struct doc *target, struct doc **ret,
                   struct err *err)
{
    struct rand *rand = engine_world_of(e)->rand;
    struct doc *meant = doc_list(a), *chosen = doc_list(a);
    struct spot_instance *all;
    int64_t wanted;
    int count;

    if (training_spot_instances(a, e, row->account, row->region, &all, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        bool is = false;

        if (is_meant(a, e, target, &all[i], &is, err) < 0)
            return -1;
        if (is)
            doc_append(a, meant, noted(a, &all[i]));
    }
    wanted = selection_count(doc_text(target, "selectionMode"), meant->count);
    /* At random, each as likely as the other. */
    for (uint32_t i = 0; i < meant->count && chosen->count < wanted; i++)
        if ((int64_t)rand_below(rand, meant->count - i) < wanted - chosen->count)
            doc_append(a, chosen, meant->items[i]);
    *ret = chosen;
    return 0;
}
