#include "agent/meeting.h"

#include <string.h>
#include <unistd.h>

#include "agent/transport.h"
#include "base/rand.h"
#include "base/str.h"
#include "doc/json.h"
#include "run/folder.h"

enum { WORD_SIZE = 26, FIRST_PAUSE_MS = 100, LAST_PAUSE_MS = 1000 };

/* A node that is another machine has its own; on the server's machine the token is that of the order. */
static const char *authorization_of(struct arena *a, const struct order *o)
{
    return *o->bearer ? o->bearer : arena_printf(a, "Bearer %s:" PLACE_SERVER ":%s", o->name, o->token);
}

/* Returns how many of the others are known. */
static size_t take(const struct meeting *m, const struct doc *answer)
{
    const struct doc *peers = m->order->peers;
    size_t count = 0;

    for (uint32_t i = 0; i < peers->count; i++) {
        const char *host = peers->members[i].key;
        const struct doc *endpoint = doc_get(doc_get(answer, "peers"), host);
        struct sockaddr_storage at;

        if (strcmp(host, m->order->host_name) == 0)
            continue;
        if (endpoint && endpoint_read(doc_value_text(endpoint), &at)) {
            m->found(m->data, host, &at);
            count++;
        }
    }
    return count;
}

static enum err_kind kind_of(int status)
{
    switch (status) {
    case 409:
        return ERR_CONFLICT;
    case 400:
    case 403:
    case 404:
        return ERR_DENIED;
    default:
        return ERR_UNAVAILABLE;
    }
}

/* ERR_UNAVAILABLE: it may be told another time. */
static int ask(const struct meeting *m, struct arena *a, struct transport *t, const char *body, size_t *ret_known,
               struct err *err)
{
    struct transport_answer answer = { .arena = a };
    struct doc *d;
    int r = -1;

    if (transport_post(t, "/_sagebrush/node/v1/peers", authorization_of(a, m->order), body, &answer, err) < 0)
        err->kind = ERR_UNAVAILABLE;
    else if (answer.status != 200)
        fail(err, kind_of(answer.status), "the server answered %d: %.200s", answer.status,
             answer.body.data ? answer.body.data : "");
    else if (json_parse(a, (struct str){ answer.body.data, answer.body.size }, &d, err) < 0)
        err->kind = ERR_UNAVAILABLE; /* a proxy's words */
    else
        r = 0;
    if (r == 0)
        *ret_known = take(m, d);
    buf_free(&answer.body);
    return r;
}

/* The same in every question: it says which tunnel this is, as long as it lives. */
static const char *body_of(struct arena *a, const struct meeting *m)
{
    char word[WORD_SIZE + 1];
    struct doc *d = doc_map(a);

    rand_name(rand_system(), word, WORD_SIZE);
    doc_set_string(a, d, "tunnel", word);
    doc_set_string(a, d, "endpoint", m->endpoint);
    return json_text(a, d);
}

int meeting(const struct meeting *m, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct transport *t = transport_new(m->order->admin_socket, -1);
    size_t known = 0, others = m->order->peers->count - 1;
    const char *body = body_of(a, m);
    int64_t pause_ms = FIRST_PAUSE_MS;
    int r = 0;

    while (r == 0 && known < others) {
        _cleanup_arena_ struct arena *turn = arena_new();

        if (ask(m, turn, t, body, &known, err) < 0 && err->kind != ERR_UNAVAILABLE)
            r = -1;
        else if (known < others)
            usleep((useconds_t)pause_ms * 1000);
        pause_ms = pause_ms * 2 < LAST_PAUSE_MS ? pause_ms * 2 : LAST_PAUSE_MS;
    }
    transport_free(t);
    return r;
}
