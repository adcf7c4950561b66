/* node_here.c - Slurm may have begun the job on another machine, forgotten it, and begun it again here. What is told to
 * the server over there is told in this folder, so the server lends the name to this machine as to any other. */
#include "agent/node_here.h"

#include <unistd.h>

#include "agent/transport.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "run/folder.h"

enum {
    AGAIN_US = 2000000,
    REACH_MS = 120000, /* a server that is not there: the job can wait in Slurm's queue as well */
};

enum answer { ANSWER_OURS, ANSWER_WAIT, ANSWER_OVER, ANSWER_AWAY };

static enum answer ask(const struct doc *order, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *bearer = arena_printf(a, "Bearer %s:" PLACE_SERVER ":%s", doc_text(order, "name"),
                                      doc_text(order, "remote.token"));
    struct transport *t = transport_new(doc_text(order, "admin_socket"), -1);
    struct transport_answer answer = { .arena = a };
    int r = transport_post(t, "/_sagebrush/node/v1/work", bearer, "{}", &answer, err);

    transport_free(t);
    if (r == 0)
        fail(err, ERR_UNAVAILABLE, "the server answered %d: %.200s", answer.status,
             answer.body.data ? answer.body.data : "");
    buf_free(&answer.body);
    if (r < 0)
        return ANSWER_AWAY;
    switch (answer.status) {
    case 200:
        return ANSWER_OURS;
    case 403:
    case 404:
        return ANSWER_OVER;
    case 409:
        return ANSWER_WAIT;
    default:
        return ANSWER_AWAY;
    }
}

/* Nobody else can have got it from a server that is away. */
static bool was_ours(struct arena *a, const char *folder)
{
    const struct doc *place;
    struct err ignored;

    return folder_read(a, folder, FOLDER_PLACE, &place, &ignored) == 0 && doc_is(place, "place", PLACE_SERVER);
}

int node_here_claim(struct arena *a, const char *folder, const struct doc *order, bool *ret_ours, struct err *err)
{
    int64_t since_ms = clock_boot_ms(clock_system());
    const char *name = doc_text(order, "name");
    enum answer before = ANSWER_OURS, now;
    struct err why;

    for (;; before = now, usleep(AGAIN_US)) {
        now = ask(order, &why);
        if (now == ANSWER_OURS || (now == ANSWER_AWAY && was_ours(a, folder))) {
            *ret_ours = true;
            return 0;
        }
        if (now != before)
            log_info("node.waits", "name=%s why=%s", name, log_quote(a, why.text));
        if (now == ANSWER_OVER) {
            *ret_ours = false;
            return 0;
        }
        if (now == ANSWER_WAIT)
            since_ms = clock_boot_ms(clock_system());
        else if (clock_boot_ms(clock_system()) > since_ms + REACH_MS)
            return fail(err, ERR_UNAVAILABLE, "the server was not reached on its own machine: %s", why.text);
    }
}
