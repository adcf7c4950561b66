/* change.c - what resources become, told as AWS tells it: "SageMaker Training Job State Change" and its like.
 *
 * The detail is what Describe answers at that moment; times are milliseconds since 1970 in it, and tags a map. A job
 * tells each of its secondary states; several that came in one pass are told one by one, each with what was known at
 * that point.
 *
 * Learned from: "Events that Amazon SageMaker AI sends to Amazon EventBridge" in the developer guide, "Monitor AWS FIS
 * experiments using Amazon EventBridge" in the FIS user guide. */
#include <string.h>

#include "engine/tags.h"
#include "services/events/events.h"
#include "services/events/rule.h"

static const char transitions[] = "SecondaryStatusTransitions";

struct announced {
    const char *kind, *source, *detail_type;
    int (*tell)(struct engine *, struct arena *, const struct announced *, const struct row *before,
                const struct row *after, struct err *);
    const char *describe, *name_member; /* of what tells by its Describe */
    const char *state_member;           /* told IN_THIS_FORM; NULL: as it is */
    bool times_are_text;                /* "1583831889050", not 1583831889050 */
    bool end_told;                      /* that it goes, and has gone, is told too */
};

/* --- The detail --- */

static struct doc *as_told(struct arena *a, const struct announced *k, const struct shape *shape, const struct doc *d)
{
    struct doc *out;

    if (shape->type == SHAPE_TIMESTAMP && d->type == DOC_INTEGER && k->times_are_text)
        return doc_string(a, arena_printf(a, "%lld", (long long)d->integer));
    if (shape->type == SHAPE_LIST && d->type == DOC_LIST) {
        out = doc_list(a);
        for (uint32_t i = 0; i < d->count; i++)
            doc_append(a, out, as_told(a, k, model_item(shape)->shape, d->items[i]));
        return out;
    }
    if (shape->type != SHAPE_STRUCTURE || d->type != DOC_MAP)
        return doc_copy(a, d);
    out = doc_map(a);
    for (uint32_t i = 0; i < d->count; i++) {
        const struct member *m = model_member(shape, str_of(d->members[i].key));

        if (m && d->members[i].value->type != DOC_NULL)
            doc_set(a, out, m->name, as_told(a, k, m->shape, d->members[i].value));
    }
    return out;
}

static int set_tags(struct engine *e, struct arena *a, const char *uid, struct doc *detail, struct err *err)
{
    struct doc *tags, *told = doc_map(a);

    if (tags_of(a, e, uid, &tags, err) < 0)
        return -1;
    for (uint32_t i = 0; i < tags->count; i++)
        doc_set_string(a, told, doc_text(tags->items[i], "Key"), doc_text(tags->items[i], "Value"));
    doc_set(a, detail, "Tags", told);
    return 0;
}

/* InService: IN_SERVICE */
static const char *upper_snake(struct arena *a, const char *state)
{
    char *out = arena_alloc(a, 2 * strlen(state) + 1), *to = out;

    for (const char *at = state; *at; at++) {
        bool capital = *at >= 'A' && *at <= 'Z';

        if (capital && at > state && at[-1] >= 'a')
            *to++ = '_';
        *to++ = capital || *at < 'a' || *at > 'z' ? *at : (char)(*at - 'a' + 'A');
    }
    return out;
}

static int describe(struct engine *e, struct arena *a, const struct announced *k, const struct row *r,
                    struct doc **ret, struct err *err)
{
    const struct principal owner = { .account = r->account, .arn = arena_printf(a, "arn:aws:iam::%s:root", r->account),
                                     .user_id = r->account, .access_key_id = "", .trusted = true };
    struct doc *input = doc_map(a), *output;

    doc_set_string(a, input, k->name_member, r->name);
    if (engine_call(a, e, &owner, r->region, "sagemaker", k->describe, input, &output, err) < 0)
        return -1;
    *ret = as_told(a, k, model_operation(model_service("sagemaker"), str_of(k->describe))->output, output);
    return set_tags(e, a, r->uid, *ret, err);
}

/* --- Telling --- */

static int tell(struct engine *e, struct arena *a, const struct announced *k, const struct row *r, struct doc *detail,
                struct err *err)
{
    const struct telling t = { .source = k->source, .detail_type = k->detail_type, .account = r->account,
                               .region = r->region, .resource = r->arn, .detail = detail };

    return events_tell(a, e, &t, err);
}

static int tell_description(struct engine *e, struct arena *a, const struct announced *k, const struct row *before,
                            const struct row *after, struct err *err)
{
    const struct row *r = after ? after : before;
    struct doc *detail;

    if (describe(e, a, k, r, &detail, err) < 0)
        return -1;
    if (k->state_member)
        doc_set_string(a, detail, k->state_member, upper_snake(a, after ? after->state : "Deleted"));
    return tell(e, a, k, r, detail, err);
}

/* The description as it was when only 'count' of its transitions were known. */
static struct doc *as_of(struct arena *a, const struct doc *detail, uint32_t count, const char *state)
{
    static const char *const later[] = { "FailureReason", "TrainingEndTime", "TrainingTimeInSeconds",
                                         "BillableTimeInSeconds", "FinalMetricDataList" };
    struct doc *past = doc_copy(a, detail), *known = doc_list(a);
    const struct doc *all = doc_get(detail, transitions);

    for (uint32_t i = 0; i < count; i++)
        doc_append(a, known, doc_copy(a, all->items[i]));
    doc_set(a, known->items[count - 1], "EndTime", NULL);
    doc_set(a, past, transitions, known);
    doc_set_string(a, past, "SecondaryStatus", doc_text(known->items[count - 1], "Status"));
    doc_set_string(a, past, "TrainingJobStatus", state);
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        doc_set(a, past, later[i], NULL);
    return past;
}

static int tell_transitions(struct engine *e, struct arena *a, const struct announced *k, const struct row *before,
                            const struct row *after, struct err *err)
{
    size_t from = before ? doc_count(before->status, transitions) : 0, to = doc_count(after->status, transitions);
    struct doc *detail;

    if (describe(e, a, k, after, &detail, err) < 0)
        return -1;
    for (size_t i = from + 1; i < to; i++)
        if (tell(e, a, k, after, as_of(a, detail, (uint32_t)i, before ? before->state : after->state), err) < 0)
            return -1;
    return tell(e, a, k, after, detail, err);
}

static struct doc *fis_state(struct arena *a, const struct row *r)
{
    struct doc *state = doc_map(a);

    doc_set_string(a, state, "status", r ? r->state : "");
    doc_set_string(a, state, "reason", r ? doc_text(r->status, "reason") : "");
    return state;
}

static int tell_experiment(struct engine *e, struct arena *a, const struct announced *k, const struct row *before,
                           const struct row *after, struct err *err)
{
    struct doc *detail = doc_map(a);

    if (!before)
        return 0; /* "pending" is no change */
    doc_set_string(a, detail, "experiment-id", after->name);
    doc_set_string(a, detail, "experiment-template-id", doc_text(after->spec, "experimentTemplateId"));
    doc_set(a, detail, "new-state", fis_state(a, after));
    doc_set(a, detail, "old-state", fis_state(a, before));
    return tell(e, a, k, after, detail, err);
}

static const struct announced announced[] = {
    { "TrainingJob", "aws.sagemaker", "SageMaker Training Job State Change", tell_transitions, "DescribeTrainingJob",
      "TrainingJobName", .times_are_text = true },
    { "ProcessingJob", "aws.sagemaker", "SageMaker Processing Job State Change", tell_description,
      "DescribeProcessingJob", "ProcessingJobName" },
    { "Endpoint", "aws.sagemaker", "SageMaker Endpoint State Change", tell_description, "DescribeEndpoint",
      "EndpointName", "EndpointStatus", .end_told = true },
    { "EndpointConfig", "aws.sagemaker", "SageMaker Endpoint Config State Change", tell_description,
      "DescribeEndpointConfig", "EndpointConfigName", .end_told = true },
    { "Model", "aws.sagemaker", "SageMaker Model State Change", tell_description, "DescribeModel", "ModelName",
      .end_told = true },
    { "FisExperiment", "aws.fis", "FIS Experiment State Change", tell_experiment },
};

static bool something_to_tell(const struct announced *k, const struct row *before, const struct row *after)
{
    if (!k->end_told && (!after || strcmp(after->state, "Deleting") == 0))
        return false;
    return !before || !after || strcmp(before->state, after->state) != 0 ||
           doc_count(before->status, transitions) != doc_count(after->status, transitions);
}

int events_of_change(struct engine *e, struct arena *a, const struct row *before, const struct row *after,
                     struct err *err)
{
    const struct row *r = after ? after : before;
    struct bus b = { a, engine_world_of(e)->store, r->account, r->region };
    struct rule *rules;
    int count;

    for (size_t i = 0; i < sizeof announced / sizeof *announced; i++) {
        const struct announced *k = &announced[i];

        if (strcmp(k->kind, r->kind) != 0 || !something_to_tell(k, before, after))
            continue;
        /* Most have no rule: nothing is described for nobody. */
        if (rule_all(&b, &rules, &count, err) < 0)
            return -1;
        return !count ? 0 : k->tell(e, a, k, before, after, err);
    }
    return 0;
}
