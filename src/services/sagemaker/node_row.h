/* node_row.h - a node of the fleet as `sagebrush status` and `sagebrush nodes` are told of it. */
#ifndef SERVICES_SAGEMAKER_NODE_ROW_H
#define SERVICES_SAGEMAKER_NODE_ROW_H

#include "doc/doc.h"
#include "fleet/scheduler.h"

/* A map in the arena: name, pool, state, lemon, instances. */
struct doc *node_row(struct arena *, const struct node_view *);

/* Adds name: { used, has }, both in the unit of the name; nothing where there is none of it. */
void node_row_used(struct arena *, struct doc *row, const char *name, int64_t left, int64_t has);

/* Adds cores, memory_mib and gpus, what the GPUs are, and the labels. */
void node_row_capacity(struct arena *, struct doc *row, const struct node_view *);

#endif
