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

/* When the server says it is, or why it did not say. */
static int ask(struct arena *a, const struct checked *c, int64_t *ret_now_ms, struct err *err)
{
    static const struct http_header host = { STR("Host"), STR("localhost") };
    const struct transport_request q = { .method = "GET", .target = "/_sagebrush/health", .headers = &host,
                                         .header_count = 1 };
    struct transport *t = transport_new(c->order->admin_socket, c->cancel_fd);
    struct transport_answer answer = { .arena = a };
    struct doc *d = NULL;
    int result = -1;

    if (transport_call(t, &q, &answer, err) == 0) {
        if (answer.status != 200)
            fail(err, ERR_UNAVAILABLE, "the server answered %d", answer.status);
        else
            result = json_parse(a, (struct str){ answer.body.data, answer.body.size }, &d, err);
    }
    *ret_now_ms = doc_int(d, "now_ms", 0);
    if (result == 0 && *ret_now_ms <= 0)
        result = fail(err, ERR_INVALID, "the server's answer has no time");
    buf_free(&answer.body);
    transport_free(t);
    return result;
}

void check_clock(struct arena *a, const struct checked *c, struct finding *ret)
{
    int64_t began_ms = clock_boot_ms(c->clock), now_ms, trip_ms, ahead_ms;
    struct err err;

    if (ask(a, c, &now_ms, &err) < 0) {
        ret->unmeasured = true;
        ret->evidence = arena_printf(a, "not measured: %s", err.text);
        return;
    }
    trip_ms = clock_boot_ms(c->clock) - began_ms;
    ahead_ms = now_ms + trip_ms / 2 - clock_wall_ms(c->clock);
    ret->passed = clock_is_right(ahead_ms, trip_ms);
    ret->evidence = arena_printf(a, "the server's clock is %lld ms %s this one (asked in %lld ms)",
                                 (long long)(ahead_ms < 0 ? -ahead_ms : ahead_ms),
                                 ahead_ms < 0 ? "behind" : "ahead of", (long long)trip_ms);
}
