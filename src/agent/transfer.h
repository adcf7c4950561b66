/* transfer.h - what is carried between S3 and the instance's folder: channels and models in, results out.
 *
 * These functions wait, on a thread that may; 'cancel_fd' ends them with ERR_CONFLICT. A failure that the user can do
 * something about is ERR_INVALID, ERR_DENIED, ERR_NOT_FOUND or ERR_LIMIT, and its text is for FailureReason. */
#ifndef AGENT_TRANSFER_H
#define AGENT_TRANSFER_H

#include "agent/order.h"
#include "base/clock.h"

struct transfer {
    const struct order *order;
    const char *folder; /* of the agent: temporary files go there */
    const char *ml;     /* /opt/ml as seen from here */
    struct clock *clock;
    int cancel_fd;
};

int transfer_channels(const struct transfer *, struct err *err);    /* train: every channel */
int transfer_models(const struct transfer *, struct err *err);      /* serve: download and unpack; AWS's words */

/* Whether the results and checkpoints will find a bucket that takes them: told before hours of training, not after. */
int transfer_check_targets(const struct transfer *, struct err *err);

/* model.tar.gz and output.tar.gz; *ret_model is the model's URI. with_model: not after a failure. */
int transfer_results(const struct transfer *, struct arena *, bool with_model, const char **ret_model, struct err *err);

#endif
