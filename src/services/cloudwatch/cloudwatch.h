/* cloudwatch.h - CloudWatch metrics, as the rest of the house sees it. */
#ifndef SERVICES_CLOUDWATCH_CLOUDWATCH_H
#define SERVICES_CLOUDWATCH_CLOUDWATCH_H

#include "engine/call.h"

struct store;

extern const struct service_ops cloudwatch_ops;

/* What an agent, or the control plane itself, sends: {"account","region","namespace","data":[{"name","value" or
 * "statistics" {"samples","sum","minimum","maximum"},"unit","at_ms","dimensions":{}}],"id"}. The same id again changes
 * nothing. */
int metrics_append(struct arena *, struct store *, const struct doc *batch, int64_t now_ms, struct err *err);

/* Forgets the ids of batches that nobody sends again; for a timer of an hour. */
int metrics_expire(struct store *, int64_t now_ms, struct err *err);

#endif
