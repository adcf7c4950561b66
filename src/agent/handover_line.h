/* handover_line.h - how the agents of two instances talk where their containers could talk, too.
 *
 * A container is in the same network as its agent's end: it may have taken the leader's port, or knock at it. So each
 * side proves that it has the job's token, which no container knows, before the other gives it anything. From then on
 * each frame has a number and a MAC, with keys of this connection: what somebody recorded, made up or put in between is
 * an error. Nothing is encrypted here: the way between the instances is.
 *
 *     follower -> leader   "SGBHAND1", nonce (32), its number (u16)
 *     leader -> follower   nonce (32), proof (32)
 *     both, from then on   kind (u8), 0, 0, 0, size (u32), that many bytes, HMAC-SHA256 (32) */
#ifndef AGENT_HANDOVER_LINE_H
#define AGENT_HANDOVER_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/order.h"
#include "base/err.h"
#include "base/str.h"

enum { HANDOVER_TOKEN_SIZE = 32, HANDOVER_PIECE_MOST = 1 << 16 };

enum handover_kind {
    HANDOVER_OFFER = 'o',  /* by the follower: it has something; a byte: 1 with a model */
    HANDOVER_WANTED = 'w', /* by the leader: give it */
    HANDOVER_PIECE = 'p',  /* of the tar of the model, then of that of output/data; each ends with an empty one */
    HANDOVER_WHOLE = 'a',  /* by the leader: everything has come */
    HANDOVER_NOTED = 'n',  /* by the follower: it has noted that, and will find it when it comes again */
    HANDOVER_KEPT = 'k',   /* by the leader: it waits for nothing any more, and may be gone from now on */
    HANDOVER_REFUSED = 'r' /* by the leader: it can never have it; a byte of enum err_kind, and why */
};

/* Zeroed but for these. */
struct handover_line {
    int fd;                     /* non-blocking */
    int cancel_fd;              /* when it can be read everything ends with ERR_CONFLICT; -1: none */
    int64_t quiet_ms;           /* so long without a byte moving, and the line is broken */

    /* Asked each second that is waited: -1 ends everything, with its error. NULL: nobody is asked. */
    int (*over)(void *data, struct err *err);
    void *data;

    /* its own */
    bool broken; /* what failed was the line */
    bool ended;  /* on purpose */
    unsigned char in_key[32], out_key[32];
    uint64_t in, out;             /* frames so far */
    unsigned char *heard, *said; /* room for a frame */
};

/* Of an order that has the secret of a tunnel. */
int handover_token(const struct order *, unsigned char ret[static HANDOVER_TOKEN_SIZE], struct err *err);

/* By the follower, by the leader of that one: the other has the token. 'number' is the follower's place among the
 * hosts. handover_line_end() is for both, also after a failure; the descriptor stays open. */
int handover_line_call(struct handover_line *, const unsigned char *token, int number, struct err *err);
int handover_line_answer(struct handover_line *, const unsigned char *token, int number, struct err *err);
void handover_line_end(struct handover_line *);

int handover_line_send(struct handover_line *, enum handover_kind, const void *body, size_t size, struct err *err);

/* The body is there until the next one comes. */
int handover_line_receive(struct handover_line *, enum handover_kind *ret_kind, struct str *ret_body, struct err *err);

/* Whether the other side has said something that was not received yet, or has gone. */
bool handover_line_heard(const struct handover_line *);

/* Waits, as between two tries: -1 when it is to end. 'fd' may be -1. */
int handover_line_wait(struct handover_line *, int fd, short events, int64_t most_ms, bool *ret_ready, struct err *err);

#endif
