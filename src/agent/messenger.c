/* messenger.c - what an agent tells the control plane by its admin socket. */
#include "agent/messenger.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/transport.h"
#include "base/log.h"

struct messenger {
    const struct order *order;
    struct transport *transport;
};

struct messenger *messenger_new(const struct order *o, int cancel_fd)
{
    struct messenger *m = calloc(1, sizeof *m);

    assert(m);
    m->order = o;
    m->transport = transport_new(o->admin_socket, cancel_fd);
    return m;
}

void messenger_free(struct messenger *m)
{
    if (!m)
        return;
    transport_free(m->transport);
    free(m);
}

/* A node that is another machine has to say who it is. */
static const char *speaker(const struct messenger *m)
{
    return *m->order->bearer ? "node" : "agent";
}

int messenger_tell(struct messenger *m, const char *what, const char *body, struct err *err)
{
    char target[64];

    snprintf(target, sizeof target, "/_sagebrush/%s/v1/%s", speaker(m), what);
    for (int failures = 1;; failures++) {
        struct transport_answer answer = { 0 };
        int r = transport_post(m->transport, target, m->order->bearer, body, &answer, err), status = answer.status;

        if (r == 0 && status / 100 == 4 && status != 429) {
            _cleanup_arena_ struct arena *a = arena_new();

            log_warning("logs.refused", "status=%d target=%s answer=%s", status, target,
                        log_quote(a, answer.body.data ? answer.body.data : ""));
        }
        buf_free(&answer.body);
        if (r == 0 && status < 500 && status != 429)
            return 0;
        if (r < 0 && err->kind != ERR_UNAVAILABLE)
            return -1;
        if (transport_pause(m->transport, failures, err) < 0)
            return -1;
    }
}

void messenger_poke(struct messenger *m)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct transport_answer answer = { 0 };
    struct err ignored;

    transport_post(m->transport, arena_printf(a, "/_sagebrush/%s/v1/poke?name=%s&uid=%s", speaker(m), m->order->name,
                                              m->order->uid), m->order->bearer, "", &answer, &ignored);
    buf_free(&answer.body);
}
