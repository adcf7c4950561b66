/* launch.h - what a container is started with: its command, environment, mounts, devices and limits. */
#ifndef AGENT_LAUNCH_H
#define AGENT_LAUNCH_H

#include "agent/order.h"
#include "agent/uplink.h"
#include "run/box.h"
#include "run/gpu_monitor.h"
#include "run/image.h"

struct launch {
    const struct order *order;
    const char *folder; /* of the agent */
    const char *ml;     /* /opt/ml as seen from here */
    const char *checkpoints;
    bool process;
    const struct image *image;
    const struct uplink *uplink; /* connected */
    const struct gpu_monitor *gpus; /* NULL: it has none */
};

/* Makes the container of an order that may come: one like this then only has to be woken by its launch(). Where that
 * cannot be (GPUs, mounts that a process serves) nothing is done. */
int launch_prepare(struct arena *, const struct launch *, const struct box *, struct err *err);

/* ERR_INVALID: it can never start. */
int launch(struct arena *, const struct launch *, const struct box *, struct err *err);

#endif
