/* infra.h - the instance itself: is it fit for its work, before its container starts and while it runs?
 *
 * What is wrong with the instance is not the user's fault: the job goes on elsewhere, and nobody pays for it. */
#ifndef AGENT_INFRA_H
#define AGENT_INFRA_H

#include "agent/check.h"
#include "agent/logs.h"
#include "agent/report.h"
#include "agent/uplink.h"
#include "agent/vitals.h"

enum { FINDINGS_MOST = CHECKS_MOST + 1 /* the collective one */ };

/* Zeroed but for these, which live longer, then infra_init(). */
struct infra {
    const struct order *order;
    const char *folder; /* of the agent */
    struct clock *clock;
    struct uplink *uplink;
    struct logs *logs;

    /* its own */
    struct arena *arena;
    struct finding findings[FINDINGS_MOST];
    int count;
    const char *check, *why; /* what is wrong with it; "" */
    const char *blames;      /* the host that another one's check names; "" */
    struct gpu_fault gpu_fault;
    struct gpu_monitor *gpus; /* while the container runs; NULL: it has none */
    struct vitals *vitals;    /* while the container runs */
};

void infra_init(struct infra *);
void infra_end(struct infra *);

/* Before the container starts: ERR_INTERNAL when it is not fit. May take a minute when the order asks for it and there
 * are other instances; else no time. What was found is there when it has returned. */
int infra_check(struct infra *, int cancel_fd, struct err *err);
bool infra_check_takes_time(const struct infra *);

struct infra_watch {
    struct loop *loop;
    struct gpu_monitor *gpus; /* NULL: it has none */
    void (*happened)(void *data); /* on the loop */
    void *data;
};
void infra_watch(struct infra *, const struct infra_watch *); /* the container runs; again is harmless */

void infra_rest(struct infra *); /* it has ended */

/* Why the container has to end, for FailureReason; "": it need not. */
const char *infra_trouble(struct infra *, struct arena *);

/* {"quiet": {since_ms, why} when the container has done nothing for too long, "silent": the same of its log, "warned":
 * {why} when something is to be looked into}; else they are empty. */
struct doc *infra_signs(const struct infra *, struct arena *);

/* What is known of it, into the report. Not while infra_check() runs. */
void infra_report(const struct infra *, struct arena *, struct report *);

#endif
