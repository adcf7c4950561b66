/* meter.h - what an instance uses of its cores, memory, disk and GPUs: soon after the start, each minute, and at the
 * end. */
#ifndef AGENT_METER_H
#define AGENT_METER_H

#include "agent/logs.h"
#include "agent/order.h"
#include "agent/volume.h"
#include "base/clock.h"
#include "net/loop.h"
#include "run/gpu_monitor.h"

struct meter;

struct meter_options { /* all of it lives longer */
    struct loop *loop;
    struct clock *clock;
    const struct order *order;
    const char *folder; /* of the agent */
    struct volume *volume; /* NULL: the whole disk is told of */
    struct gpu_monitor *gpus; /* NULL: it has none */
    struct logs *logs;  /* carries the samples to the server */
};

/* When the container is about to start, or was found running. */
struct meter *meter_new(const struct meter_options *);
void meter_free(struct meter *); /* NULL is fine */

/* The container has ended, and its cgroup is still there: the last sample. Again, or NULL: nothing. */
void meter_end(struct meter *);

#endif
