/* slurm_node.h - an agent that Slurm started on a node: what it was given there, and that it is taken back. */
#ifndef AGENT_SLURM_NODE_H
#define AGENT_SLURM_NODE_H

#include "agent/order.h"
#include "agent/report.h"

/* The order with what only the node knows: the GPUs that Slurm gave, by the driver's index. Any other order is itself.
 * ERR_INVALID: it cannot be carried out here; the text is for the user. */
int slurm_node_order(struct arena *, const struct doc *order, const char *boot_id, const char *gpus, int listed,
                     const struct doc **ret, struct err *err);

/* The name of this node, as Slurm has it; NULL: Slurm has not started us. */
const char *slurm_node_name(void);

/* The agent works on this node now. When its container ran on another one, "_was_on" says on which. */
void slurm_node_note(struct report *, const char *name);

/* The GPUs of this process, as Slurm's environment has them: "0,2-3"; NULL: none. */
const char *slurm_node_gpus(void);

/* How many the driver tells this process of, if the order wants any; 0: it does not answer, or there is none. */
int slurm_node_listed(const struct doc *order);

/* SIGTERM: the instance is taken back. What was asked before goes before. */
int slurm_node_notice(struct arena *, const char *folder, int64_t notice_s, struct err *err);

/* Was it taken back by such a notice? */
bool slurm_node_noticed(struct arena *, const char *folder);

#endif
