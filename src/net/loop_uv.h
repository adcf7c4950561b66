/* loop_uv.h - the inside of the loop, for the files that hide libuv: loop.c, loop_system.c, stream.c, listener.c. */
#ifndef NET_LOOP_UV_H
#define NET_LOOP_UV_H

#include <pthread.h>
#include <uv.h>

#include "net/loop.h"
#include "net/stream.h"

enum { READ_BYTES = 65536 };

struct loop {
    uv_loop_t uv;
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_async_t async;
    struct list hooks;
    int64_t now_ms; /* 0: not read in this turn */
    bool stopped;
    bool due; /* timers, in this turn */

    struct loop_timer **heap; /* from 1 */
    size_t heap_count, heap_capacity;
    int64_t armed_ms; /* what the libuv timer is set to; INT64_MAX: it is not */

    pthread_mutex_t lock; /* of the two below */
    struct posted *first_posted, **last_posted;

    char read_buffer[READ_BYTES];
};

/* What the data of every handle but the loop's own starts with, so that loop_free can let go of what is still open. */
struct held {
    uv_close_cb closed;
};

void held_free(uv_handle_t *); /* a 'closed' that frees the data */
int fail_uv(struct err *err, int status, const char *what);

union socket {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct stream *stream_accept(struct loop *, union socket *listener, bool is_unix); /* NULL: it has gone again */

#endif
