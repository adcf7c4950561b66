/* check_clock.c - the node's clock against the server's: signatures, certificates and the order of lines need it. */
#include "agent/check.h"
#include "agent/transport.h"
#include "doc/json.h"

enum { WRONG_MS = 1000 };

bool clock_is_right(int64_t ahead_ms, int64_t round_trip_ms)
{
    int64_t off_ms = ahead_ms < 0 ? -ahead_ms : ahead_ms;

    /* The answer was made at some time of the round trip; nobody knows when. */
    return off_ms <= WRONG_MS + (round_trip_ms + 1) / 2;
}

void check_clock(struct arena *a, const struct checked *c, struct finding *ret)
{
    struct transport *t = transport_new(c->order->admin_socket, c->cancel_fd);
    struct transport_answer answer = { .arena = a };
    int64_t began_ms = clock_boot_ms(c->clock), trip_ms, ahead_ms;
    struct err ignored;
    struct doc *d = NULL;

    ret->evidence = "the server does not answer at the moment";
    if (transport_call(t, &(struct transport_request){ .method = "GET", .target = "/_sagebrush/health" }, &answer,
                       &ignored) == 0 &&
        answer.status == 200 &&
        json_parse(a, (struct str){ answer.body.data, answer.body.size }, &d, &ignored) == 0 &&
        doc_int(d, "now_ms", 0)) {
        trip_ms = clock_boot_ms(c->clock) - began_ms;
        ahead_ms = doc_int(d, "now_ms", 0) + trip_ms / 2 - clock_wall_ms(c->clock);
        ret->passed = clock_is_right(ahead_ms, trip_ms);
        ret->evidence = arena_printf(a, "the server's clock is %lld ms %s this one (asked in %lld ms)",
                                     (long long)(ahead_ms < 0 ? -ahead_ms : ahead_ms),
                                     ahead_ms < 0 ? "behind" : "ahead of", (long long)trip_ms);
    }
    buf_free(&answer.body);
    transport_free(t);
}
