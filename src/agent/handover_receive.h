/* handover_receive.h - what another instance sends, by the leader: whole, or as if it had never come. */
#ifndef AGENT_HANDOVER_RECEIVE_H
#define AGENT_HANDOVER_RECEIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct handover_receiver {
    const char *folder;         /* where agent/handover.h says */
    const char *host;           /* who gives */
    int number;                 /* its place among the job's hosts, from 1 */
    const unsigned char *token; /* handover_token() */
    int64_t most_bytes;         /* in the model, and in output/data; 0: no limit */
    int cancel_fd;              /* ends it soon */
};

/* One connection, from its beginning to its end; it stays open. 0: what it gave is kept, now or since before.
 * *ret_known: it was the other agent, whatever came of it. */
int handover_receive(const struct handover_receiver *, int fd, bool *ret_known, struct err *err);

#endif
