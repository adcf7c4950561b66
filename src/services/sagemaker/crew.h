/* crew.h - the instances of a job, as the world shows them: who is there, who has ended and how, what is paid for each.
 *
 * Of the job's status these functions keep, by host, _Seen (a report came) and _StartedMs (since when it is paid). */
#ifndef SERVICES_SAGEMAKER_CREW_H
#define SERVICES_SAGEMAKER_CREW_H

#include "services/sagemaker/instance.h"

struct crew {
    struct mate {
        const char *host, *agent;
        bool seen;            /* a report of it was saved */
        bool there;
        struct report report; /* of one that is there */
    } *mates;
    int count;
};

struct crew_of {
    int count;
    const char *(*agent)(struct arena *, const struct resource *, int instance); /* its name; instances are from 0 */
};

/* "Cannot tell" is not "not there": -1, conclude nothing and be called again. */
int crew_look(struct pass *, const struct resource *, const struct crew_of *, struct crew *ret, struct err *err);

const char *crew_host(struct arena *, int instance); /* "algo-1" */

/* Into the order of an instance: "host_name", "hosts" and, of several, "peers", the agents of all hosts: those of one
 * job may talk to each other. */
void crew_tell_hosts(struct arena *, const struct resource *, const struct crew_of *, int instance, struct doc *order);

/* Into the order of one of several that is to encrypt, or whose peers may be on other machines: "tunnel", what the
 * instances of an attempt seal what they send each other with. Each attempt has its own, and it is the same whenever it
 * is asked for. */
void crew_tell_tunnel(struct pass *, const struct resource *, int attempt, bool encrypted, struct doc *order);

/* Into the status; 'start_member' is that of the first one's start. */
void crew_take_starts(struct arena *, struct resource *, const struct crew *, const char *start_member);

/* An interval for each instance that has begun, closed when it has ended. */
int crew_take_usage(struct pass *, const struct resource *, const struct crew *,
                    struct doc *(*attributes)(struct arena *, const struct platform *, const struct resource *,
                                              int instance),
                    struct err *err);

bool mate_is_missing(const struct mate *); /* it was never there: it is to be started */
bool mate_has_ended(const struct mate *);
int64_t mate_ended_ms(const struct pass *, const struct mate *); /* of one that is lost: now */
int64_t crew_ended_ms(const struct pass *, const struct crew *); /* the last of them */
const struct doc *mate_phase(const struct mate *, const char *phase); /* in its report; NULL: it had none, or not yet */

/* Asks those that run to end; again is fine. The grace is from SIGTERM to SIGKILL. */
enum { CREW_GRACE_S = 120 }; /* "How SageMaker stops a training job" in the developer guide */
int crew_stop(struct pass *, const struct crew *, int64_t grace_s, const char *reason, struct err *err);

/* What one of them told of its GPUs is known to whoever gives them out. */
int crew_take_gpu_faults(struct pass *, const struct crew *, struct err *err);

int64_t crew_overran_ms(const struct crew *); /* when the first was told to end for MaxRuntimeInSeconds; 0: none was */

/* The first that ended in this way, the first that is lost; NULL: none. */
const struct mate *crew_first_ended_as(const struct crew *, const char *outcome);
const struct mate *crew_first_lost(const struct crew *);

/* Why the attempt has failed where an instance ended in a way that nobody here knows; NULL: none did. */
const char *crew_ended_otherwise(struct arena *, const struct crew *);

/* One instance ended otherwise than the job ends when all goes well: the others wait for nothing any more. */
bool crew_is_doomed(const struct crew *);

/* No instance runs. more_start: those that were never there will be. */
bool crew_is_over(const struct crew *, bool more_start);

#endif
