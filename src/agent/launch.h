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

/* ERR_INVALID: it can never start. */
int launch(struct arena *, const struct launch *, const struct box *, struct err *err);

#endif
