/* listener.h - a listening socket on a loop, TCP or Unix. 'accepted' takes over the stream: stream_start() or
 * stream_close() (net/stream.h). */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct loop;
struct stream;
struct loop_listener;

int loop_listen_fd(struct loop *, int fd, void (*accepted)(void *data, struct stream *), void *data,
                   struct loop_listener **ret, struct err *err); /* inherited, listening; duplicated */
int loop_listen_tcp(struct loop *, const char *address, int port, void (*accepted)(void *data, struct stream *),
                    void *data, struct loop_listener **ret, struct err *err); /* port 0: any free one */
int loop_listen_unix(struct loop *, const char *path, mode_t mode, void (*accepted)(void *data, struct stream *),
                     void *data, struct loop_listener **ret, struct err *err); /* replaces a socket nobody listens on */
int loop_listener_port(const struct loop_listener *);
void loop_listener_pause(struct loop_listener *, bool paused); /* connections wait in the kernel meanwhile */
void loop_listener_free(struct loop_listener *); /* NULL is fine */

/* Listening sockets to hand to children. Not on a loop. */
int listen_tcp(const char *address, int port, int *ret_fd, int *ret_port, struct err *err);

#endif
