/* training_crew.h - the instances of the present attempt of a training job, as the world shows them, and what their
 * reports mean for the job: its phases, its starts, what is paid. The members of the status that begin with '_' are
 * told in training_run.c. */
#ifndef SERVICES_SAGEMAKER_TRAINING_CREW_H
#define SERVICES_SAGEMAKER_TRAINING_CREW_H

#include "services/sagemaker/instance.h"
#include "services/sagemaker/training.h"

struct crew {
    struct mate {
        const char *host, *agent;
        bool seen;            /* a report of it was saved */
        bool there;
        struct report report; /* of one that is there */
    } *mates;
    int count;
};

/* "Cannot tell" is not "not there": -1, conclude nothing and be called again. */
int crew_look(struct pass *, const struct resource *, struct crew *ret, struct err *err);

/* Into the status. The secondary status goes on when the last instance does, and shows Stopping throughout once the job
 * stops. */
void crew_take_phases(struct arena *, struct resource *, const struct crew *);
void crew_take_starts(struct arena *, struct resource *, const struct crew *);
void crew_take_metrics(struct arena *, struct resource *, const struct crew *);

/* An interval for each instance that has begun, closed when it has ended. */
int crew_take_usage(struct pass *, const struct resource *, const struct crew *, struct err *err);

bool mate_has_ended(const struct mate *);
int64_t mate_ended_ms(const struct pass *, const struct mate *); /* of one that is lost: now */

/* The first that ended in this way, the first that is lost; NULL: none. */
const struct mate *crew_first_ended_as(const struct crew *, const char *outcome);
const struct mate *crew_first_lost(const struct crew *);

/* One instance ended otherwise than the job ends when all goes well: the others wait for nothing any more. */
bool crew_is_doomed(const struct crew *);

/* No instance runs. more_start: those that were never there will be. */
bool crew_is_over(const struct crew *, bool more_start);

#endif
