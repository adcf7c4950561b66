/* logs.h - CloudWatch Logs, as the rest of the house sees it. */
#ifndef SERVICES_LOGS_LOGS_H
#define SERVICES_LOGS_LOGS_H

#include "engine/call.h"

struct store;

extern const struct service_ops logs_ops;

/* What an agent sends (docs/ARCHITECTURE.md, "Internal protocol 2"): {"account","region","group","stream","events":
 * [{"offset","at_ms","message"}]}. Group and stream are made when missing; the same offset again changes nothing. */
int logs_append(struct arena *, struct store *, const struct doc *batch, int64_t now_ms, struct err *err);

/* A line of the server's own, now, in a stream that an agent may write to as well. Group and stream are made when
 * missing. */
struct log_place {
    const char *account, *region, *group, *stream;
};
int logs_say(struct arena *, struct store *, const struct log_place *, const char *text, int64_t now_ms,
             struct err *err);

/* Removes what is older than its group's retention, for a timer of an hour. */
int logs_expire(struct store *, int64_t now_ms, struct err *err);

#endif
