#include "services/sagemaker/job.h"

#include <string.h>

const char *const job_states[][2] = {
    { "InProgress", "Completed Failed Stopping Stopped" },
    { "Stopping", "Stopped Failed" },
    { "Completed", "Deleting" },
    { "Failed", "Deleting" },
    { "Stopped", "Deleting" },
    { "Deleting", "" },
    {},
};

void job_tell_stopping(struct call *c, const struct resource *r, int64_t max_runtime_s)
{
    const struct doc *asked = doc_get(r->row.spec, "StoppingCondition");
    struct doc *told = asked ? doc_copy(c->arena, asked) : doc_map(c->arena);

    doc_set_integer(c->arena, told, "MaxRuntimeInSeconds", max_runtime_s);
    doc_set(c->arena, c->output, "StoppingCondition", told);
}

int job_stop(struct call *c, struct resource *r, const char *noun, bool *ret_news, struct err *err)
{
    const char *state = get_state(r);

    *ret_news = strcmp(state, "Stopping") != 0;
    if (!*ret_news)
        return 0;
    if (!may_become(r, "Stopping"))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "The request was rejected because the %s is in status %s.", noun, state);
    doc_set_boolean(c->arena, r->want, "Stop", true);
    set_state(r, "Stopping");
    r->row.next_at_ms = c->now_ms;
    return 0;
}

int job_remove(struct call *c, struct resource *r, bool *ret_row_goes, struct err *err)
{
    if (!may_become(r, "Deleting"))
        return fail_code(err, ERR_CONFLICT, "ResourceInUse", "The job %s is in status %s; %s.", r->row.arn,
                         get_state(r), strcmp(get_state(r), "Stopping") == 0 ? "wait for its end" : "stop it first");
    *ret_row_goes = doc_bool(r->status, "_Swept", false);
    set_state(r, "Deleting");
    r->row.next_at_ms = c->now_ms;
    return 0;
}
