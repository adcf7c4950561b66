/* training_fate.h - none of the instances of a training job's attempt runs any more: what becomes of the job. Decides,
 * and changes nothing. */
#ifndef SERVICES_SAGEMAKER_TRAINING_FATE_H
#define SERVICES_SAGEMAKER_TRAINING_FATE_H

#include "services/sagemaker/crew_health.h"

struct fate {
    const char *state;               /* in which the job ends; NULL: it goes on with another attempt */
    const char *secondary, *message; /* its SecondaryStatus from now on; of a failed job the message is FailureReason */
    const char *counts;              /* the member of the status that counts such attempts; NULL: none */
    const char *waived;              /* why nobody pays for the attempt; NULL: it is paid */
    const struct ailment *ill;       /* the instance that failed; NULL: none did */
    bool leave;                      /* others may have its instances now */
    const bool *moves;               /* else, by instance: those that are to stand elsewhere; NULL: none */
    bool taken;                      /* spot capacity was taken away, and nobody had asked for that */
};

struct fate training_fate(struct arena *, const struct resource *, const struct crew *, int64_t now_ms);

#endif
