/* handover_send.h - what an instance has goes to the leader of its job on another machine, however often that takes. */
#ifndef AGENT_HANDOVER_SEND_H
#define AGENT_HANDOVER_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

struct handover_sender {
    const char *ml;             /* output/data below it, and model */
    bool with_model;
    const char *note;           /* a file of ours: the leader has had everything */
    const char *leader;         /* how it is called */
    const char *address;        /* and where it is */
    int port;
    int number;                 /* our place among the job's hosts, from 1 */
    const unsigned char *token; /* handover_token() */
    struct clock *clock;
    int64_t patience_ms;        /* so long it may be out of reach */
    int cancel_fd;              /* ends it with ERR_CONFLICT; -1: none */

    /* A TCP socket in the instance's network, non-blocking; and what ends all trying, with its error: the leader waits
     * for nothing any more, or there is no way to it. */
    int (*socket)(void *data, int *ret_fd, struct err *err);
    int (*over)(void *data, struct err *err);
    void *data;
};

/* 0: the leader has it, now or since before, when it may have ended long ago. Nothing is removed here. */
int handover_send(const struct handover_sender *, struct err *err);

#endif
