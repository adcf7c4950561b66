/* deployment.h - a deployment of an endpoint: the instances that a resolved configuration wants, and what takes the
 * place of one that ended.
 *
 * Each instance is an agent with a name that is derived from the endpoint, its place in the deployment and the attempt.
 * Attempts stand in the status, _Attempts: by place, {Attempt, Deaths, DiedAt, Over}. */
#ifndef SERVICES_SAGEMAKER_DEPLOYMENT_H
#define SERVICES_SAGEMAKER_DEPLOYMENT_H

#include "engine/kind.h"
#include "fleet/fleet.h"

struct deployment_view {
    int wanted, healthy, waiting; /* waiting: for a place on a node */
    const char *lacks;            /* what one of those waits for, in words */
    const char *failure;          /* NULL: none failed */
    struct doc *variants;         /* for the snapshot: the healthy ones */
};

/* Looks at every instance and takes one step with each. One that ends in a deployment that is in service is replaced,
 * sooner the first time than the tenth; in any other it is a failure of the deployment. */
int deployment_look(struct pass *, struct resource *, const struct doc *deployment, bool in_service,
                    struct deployment_view *ret, int64_t *ret_next_ms, struct err *err);

/* One more step towards the end of every instance; *ret_gone when nothing of them is left. Once in a pass for one
 * deployment: its second step relies on the first being saved. */
int deployment_end(struct pass *, struct resource *, const struct doc *deployment, bool *ret_gone, struct err *err);

/* Is the agent of that name one of its instances, as of today? */
bool deployment_has(struct arena *, const struct resource *, const struct doc *deployment, const char *agent);

int deployment_size(const struct doc *deployment); /* how many instances it wants */
int64_t deployment_gpus(const struct fleet *, const struct doc *deployment); /* how many GPUs their types have */

/* Refuses, at Create and Update, what the fleet can never run, or a quota does not allow. */
int deployment_check(struct call *, const struct resource *, const struct doc *deployment, struct err *err);

#endif
