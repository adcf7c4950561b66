/* crew_health.h - instances that are not fit, and instances that do nothing.
 *
 * An attempt that an instance or the platform has ended, and not what ran there, is an infrastructure failure: nobody
 * pays for any of its time (docs/decisions/0013), and RetryStrategy counts it. */
#ifndef SERVICES_SAGEMAKER_CREW_HEALTH_H
#define SERVICES_SAGEMAKER_CREW_HEALTH_H

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

/* What was found before the work began, told once for an attempt: "_Checked" of the status. */
int crew_take_checks(struct pass *, struct resource *, const struct crew *, struct err *err);

/* What was found is told, and the node that is to blame is remembered for it, and taken out of use where that helps
 * (node_health.h). */
int crew_blame(struct pass *, const struct resource *, const struct crew *, const struct ailment *, struct err *err);

/* Whether an attempt that ends so was ended by the platform, and not by what ran there. */
bool failure_is_ours(const char *reason);

/* What it used is not billed; 'reason' is that of FailureReason. */
int crew_waive(struct pass *, const struct crew *, const char *reason, struct err *err);

/* --- Instances that do nothing --- */

/* How long a job may do nothing, in seconds, 0: as long as it likes. From the variable of its environment, else from
 * the server's setting. */
#define HANG_VARIABLE "SAGEBRUSH_HANG_AFTER"
int64_t hang_after_s(const struct platform *, const struct doc *environment);
int hang_check(const struct doc *environment, struct err *err); /* at Create: it is a duration, or is not there */

/* After so long an instance says that it is quiet, whether or not anything follows from that. */
int64_t quiet_after_s(const struct platform *, const struct doc *environment);

/* Since when every instance that still works has done nothing, and what was seen of each; 0: one does something. */
int64_t crew_quiet_since_ms(struct arena *, const struct crew *, const char **ret_words);

enum { HUNG_GRACE_S = 30 };

/* Every instance does nothing, and has done so for a while: whether that is to be borne is the job's to say. Into the
 * status: _Quiet (since when), and _Hung (why) when it is to be ended for that, with HUNG_GRACE_S.
 * *ret_news: there is some, which is to be saved first: who is ended later is ended for this. */
int crew_look_for_life(struct pass *, struct resource *, const struct crew *, const struct doc *environment,
                       bool *ret_news, struct err *err);

#endif
