/* warm_pool.h - the instances of a training job that has ended, kept for the next job like it.
 *
 * A pool is no row of its own: it is a state of the row of the job that ended, its WarmPoolStatus. Any job whose
 * ResourceConfig, role and network are the same may take it; its instances are paid for as long as they are kept. */
#ifndef SERVICES_SAGEMAKER_WARM_POOL_H
#define SERVICES_SAGEMAKER_WARM_POOL_H

#include "services/sagemaker/allocation.h"
#include "services/sagemaker/training.h"

/* --- The API's side --- */

int warm_pool_check(const struct doc *input, const struct training_spec *, struct err *err); /* of a Create */
/* Behind the first message of a new job: a period that keeps nothing here; "" for none. */
const char *warm_pool_warning(struct call *, const struct resource *);
int warm_pool_update(struct call *, struct resource *, struct err *err);
void warm_pool_describe(struct call *, const struct resource *);
bool warm_pool_listed(struct call *, const struct resource *);
/* Of a Create: a pool is kept that its first pass will take. */
int warm_pool_awaits(struct call *, const struct resource *, bool *ret, struct err *err);
bool warm_pool_is_kept(const struct resource *); /* neither taken nor ended: its job cannot be deleted */

/* --- The world's side --- */

/* Before the first attempt: takes the pool of a job like this one, if there is one. That is to be saved before anything
 * is started. */
int warm_pool_claim(struct pass *, struct resource *, bool *ret_found, struct err *err);
/* Of all jobs: those that are kept now, the first to end first; at most 'most'. */
struct kept_pool {
    const char *key, *job; /* of its allocation; the name of the job that left it */
    int64_t until_ms;
};
int warm_pools_kept(struct arena *, struct engine *, int most, struct kept_pool *ret, int *ret_count, struct err *err);

struct wish warm_pool_wish(const struct resource *); /* what it holds while it is kept */
bool warm_pool_is_used(const struct resource *); /* its instances come from a pool, or go to one */
void warm_pool_begin(struct arena *, struct resource *); /* its instances start */

/* The job ends, 'healthy' as far as its instances are concerned. True: they are kept, and what they hold is not to be
 * given back. */
bool warm_pool_keep(struct pass *, struct resource *, bool healthy, int64_t at_ms);

/* In every pass after the end. ret_moved: it was reused or terminated, and that is to be saved before anything else is
 * done. */
int warm_pool_step(struct pass *, struct resource *, int64_t *ret_next_ms, bool *ret_moved, struct err *err);
bool warm_pool_is_swept(const struct resource *); /* nothing of it is left on the machine */

/* The agents that stand by in the pool of the job with that uid; those of the job that takes it. */
const char *warm_pool_agent(struct arena *, const char *uid, int instance);
bool warm_pool_owns(struct arena *, const struct resource *, const char *agent);

#endif
