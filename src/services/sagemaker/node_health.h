/* node_health.h - what is remembered of the nodes: how often they failed, and which are out of use and why.
 *
 * Table core_node_health, by node: {Failures: [{AtMs, By, Job, Check, Why}], Out: {Why, AtMs, BackMs}, Cluster}. It is
 * written in the transaction of what it tells of, and the scheduler is told again at each start.
 *
 * Cluster: the node is one of Slurm's and not the fleet's, and the runtime is told to avoid it while it is out. */
#ifndef SERVICES_SAGEMAKER_NODE_HEALTH_H
#define SERVICES_SAGEMAKER_NODE_HEALTH_H

#include "engine/engine.h"

struct node_failure {
    const char *node;
    bool of_cluster;   /* and not of the fleet */
    const char *by;    /* the agent that failed there: the same one is counted once */
    const char *check; /* "disk" */
    const char *why;
    const struct row *job; /* whose it was */
};

/* Inside a pass. The node is taken out of use, unless too many are out already or it is the only one: then it is only
 * remembered. *ret_out says which. */
int node_health_failed(struct arena *, struct engine *, const struct node_failure *, bool *ret_out, struct err *err);

/* By an administrator. ERR_NOT_FOUND: the fleet has none of that name. *ret_changed false: it was so before, nothing
 * is told again. One that would have come back by itself stays out once it is cordoned. */
int node_health_cordon(struct arena *, struct engine *, const char *node, const char *why, bool *ret_changed,
                       struct err *err);
int node_health_return(struct arena *, struct engine *, const char *node, bool *ret_changed, struct err *err);

/* [{name, pool, state, lemon, instances, note, cores {used, has}, memory_mib, gpus, gpu, labels, disk_mib,
 * disk_left_mib, cordoned, cordoned_ms, back_ms, failures [{at_ms, agent, job, check, why}], runs [..]}], as the fleet
 * has them; nothing of what is not counted. Those of a cluster that something is known of come last: Slurm knows what
 * runs on them. */
int node_health_list(struct arena *, struct engine *, struct doc **ret, struct err *err);

int node_health_recall(struct engine *, struct err *err); /* at start, before allocations_restore() */

/* Those whose time is over are in use again. Now and then, inside a bracket. */
int node_health_look(struct engine *, struct err *err);

#endif
