/* crew_health.h - instances that are not fit.
 *
 * An attempt that an instance or the platform has ended, and not what ran there, is an infrastructure failure: nobody
 * pays for any of its time (docs/decisions/0013), and RetryStrategy counts it. */
#ifndef SERVICES_SAGEMAKER_CREW_HEALTH_H
#define SERVICES_SAGEMAKER_CREW_HEALTH_H

#include "services/logs/logs.h"
#include "services/sagemaker/crew.h"

struct ailment {
    int bad;           /* the instance that is to blame; -1: nobody can tell */
    int told_by;       /* the instance that was seen to fail */
    const char *check; /* "disk", "GPU", "container"..., "instance" for one that is gone */
    const char *why;
    bool before_work;  /* no container had started: it was found by a check */
};

#define CHECK_OF_TWO "network between the instances" /* agent/infra.c */

/* Whether an instance failed, of those that have ended or are lost. One that did explains what went wrong elsewhere: a
 * program whose peer has gone fails too, and may say so first. */
bool crew_ailment(const struct crew *, struct ailment *ret);

/* For people: "algo-2: check of the disk failed: only ...". */
const char *ailment_words(struct arena *, const struct crew *, const struct ailment *);

/* By instance: whether it is to stand elsewhere. When nobody can tell which one is to blame, all of them. */
const bool *ailment_moves(struct arena *, const struct crew *, const struct ailment *);

/* What was found before the work began, told once for an attempt: "_Checked" of the status. */
int crew_take_checks(struct pass *, struct resource *, const struct crew *, struct err *err);

/* What is to be looked into of an instance that goes on is told once, in the job's log, too: "_Warned" of the status,
 * by host. */
int crew_take_warnings(struct pass *, struct resource *, const struct crew *, const struct log_place *log,
                       struct err *err);

/* What was found is told, and the node that is to blame is remembered for it, and taken out of use where that helps
 * (node_health.h). */
int crew_blame(struct pass *, const struct resource *, const struct crew *, const struct ailment *, struct err *err);

/* Whether an attempt that ends so was ended by the platform, and not by what ran there. */
bool failure_is_ours(const char *reason);

/* What it used is not billed; 'reason' is that of FailureReason. */
int crew_waive(struct pass *, const struct crew *, const char *reason, struct err *err);

#endif
