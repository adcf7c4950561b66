/* instance.h - one instance of a job or an endpoint: what its agent is told, and what its report says. */
#ifndef SERVICES_SAGEMAKER_INSTANCE_H
#define SERVICES_SAGEMAKER_INSTANCE_H

#include "engine/kind.h"
#include "services/platform.h"

/* The part of an order (docs/ARCHITECTURE.md, "Internal protocol 2") that every instance has. */
struct instance {
    const struct row *owner;
    const char *name;          /* of the agent */
    const char *work;          /* "train", "process" or "serve" */
    const char *image;
    const char *instance_type; /* "ml.m5.large" */
    const char *role_arn;
    const char *log_group, *log_stream;
    const struct doc *environment;
    const struct doc *entrypoint, *arguments; /* NULL: the image's own */
    bool isolated;
    int64_t volume_gb;
    const char *allocation; /* the key of what it is one of (allocation.h) */
    int number;             /* in that, from 0 */
};

/* A new order document, ready for the members that the work adds. */
int instance_order(struct arena *, struct engine *, const struct instance *, int64_t now_ms, struct doc **ret,
                   struct err *err);

/* The report of an agent, as a view. Phases are read from the document. */
struct report {
    const char *phase, *outcome, *failure_reason, *message, *exit_message, *model_artifacts, *address,
        *waiting, *node;
    int64_t started_ms, ended_ms, overran_ms, billable_ms, port;
    bool healthy, noticed;
    const struct doc *phases, *final_metrics, *gpu_fault;
    const struct doc *checkpoint; /* agent/savings.h */
    const struct doc *checks, *unhealthy, *quiet, *silent, *warned; /* agent/infra.h */
};

struct report report_read(const struct doc *);

/* Refuses a request with one of these members (paths, NULL at the end), whose neglect would be unsafe or would pretend:
 * a KMS key. What else has no effect is in docs/compatibility.md. */
int instance_refuse_unsafe(const struct doc *input, const char *const *members, struct err *err);

/* The role may be passed by the caller and be assumed by SageMaker; else AWS's error. */
int instance_check_role(struct call *, const char *role_arn, struct err *err);

#endif
