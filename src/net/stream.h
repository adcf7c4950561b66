/* stream.h - a connected socket on a loop. The owner is told what comes in, and when all that was written is with the
 * kernel. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

struct loop;
struct stream;

struct stream_events {
    void (*connected)(void *owner, int errno_value); /* of stream_connect_*() only; 0: it is */
    void (*received)(void *owner, const char *data, size_t size); /* the bytes are lent until it returns */
    void (*ended)(void *owner, int errno_value); /* 0: the other side sends no more; nothing is received after it */
    void (*drained)(void *owner); /* the queue became empty, once for each time it was not */
    void (*failed)(void *owner, int errno_value); /* writing failed: nothing more can be sent */
};

int stream_connect_tcp(struct loop *, const char *address, int port, const struct stream_events *, void *owner,
                       struct stream **ret, struct err *err); /* a numeric address: names are not looked up */
int stream_connect_unix(struct loop *, const char *path, const struct stream_events *, void *owner,
                        struct stream **ret, struct err *err);
void stream_start(struct stream *, const struct stream_events *, void *owner); /* the (new) owner; reads */
void stream_read(struct stream *, bool on); /* back-pressure: off leaves the bytes in the kernel */

/* Sends now what the kernel takes, keeps a copy of the rest. Returns the bytes that are queued. */
size_t stream_write(struct stream *, const struct str *parts, int count);
size_t stream_queued(const struct stream *);
void stream_finish(struct stream *); /* sends the queue, then says that no more will come; reading goes on */
void stream_close(struct stream *);  /* at once, what is queued is dropped; no call after it. NULL is fine */

/* TCP: what came is acknowledged now, not in 40 ms: for a peer that writes head and body apart and holds the second
 * back (Nagle) until it knows of the first. */
void stream_acknowledge(struct stream *);

bool stream_is_unix(const struct stream *);
const char *stream_peer(struct stream *); /* the other side's address: "127.0.0.1", "::1", "" of a Unix socket */
bool stream_peer_is_loopback(struct stream *);
int stream_peer_port(struct stream *);

#endif
