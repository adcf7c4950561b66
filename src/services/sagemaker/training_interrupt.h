/* training_interrupt.h - spot capacity of a training job that is taken back: asked for, recommended, noticed.
 *
 * Whoever takes capacity back (a drill, an experiment) asks with training_job_interrupt(): want.Interrupt {Attempt,
 * RecommendMs, NoticeMs, By}. The job's own passes do the rest: from RecommendMs on the instances show a rebalance
 * recommendation; at NoticeMs each gets the notice, with SIGTERM, and SIGKILL when the fleet's notice is over. What was
 * really told stands in the status, _Recommended and _Noticed (the attempt's number, from 1), and was told as an event
 * when it was saved. An attempt that is over has heard what was asked of it. */
#ifndef SERVICES_SAGEMAKER_TRAINING_INTERRUPT_H
#define SERVICES_SAGEMAKER_TRAINING_INTERRUPT_H

#include "services/sagemaker/crew.h"
#include "services/sagemaker/training.h"

struct interruption {
    int64_t recommend_ms; /* 0: not before the notice */
    int64_t notice_ms;    /* 0: at once */
    const char *by;       /* "a drill" */
};

/* ERR_INVALID: not a spot job. ERR_CONFLICT: it has no instance at the moment. */
int training_job_interrupt(struct arena *, struct engine *, const char *arn, const struct interruption *,
                           struct err *err);

/* Its notice has not come yet: then it will not come. Otherwise nothing. ERR_NOT_FOUND: the job is gone. */
int training_job_spare(struct arena *, struct engine *, const char *uid, int attempt, struct err *err);

/* The instances of spot jobs that run: what may be interrupted. */
struct spot_instance {
    const char *id, *arn; /* EC2's, run/instance_id.h */
    const char *job_uid, *job_arn;
    int attempt;
};
int training_spot_instances(struct arena *, struct engine *, const char *account, const char *region,
                            struct spot_instance **ret, int *ret_count, struct err *err);

/* Of the present attempt: its notice is due, or came; when it is due, INT64_MAX: nobody asked. */
bool training_is_taken_back(const struct resource *, int64_t now_ms);
int64_t training_taken_back_ms(const struct resource *);
const char *training_interrupted_by(const struct resource *); /* who asked for it; "": nobody, or nobody knows */

/* Inside a pass: tells the instances what is due for them to know, and the world. Again is fine. */
int training_recommend(struct pass *, struct resource *, const struct crew *, struct err *err);
int training_tell_eviction(struct pass *, struct resource *, const struct crew *, struct err *err); /* by a cluster */
int training_take_back(struct pass *, struct resource *, const struct crew *, struct err *err);

#endif
