/* handover_send.c - again from the beginning, until the leader says that it has it. Once all have given, the leader may
 * end, and an agent of ours that comes after a killed one calls nobody: so it is noted here before the leader counts
 * on it, and who has noted it and reaches nobody is done. A leader that is lost ends the attempt, whatever we say. */
#include "agent/handover_send.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/handover_line.h"
#include "base/arena.h"
#include "base/fd.h"
#include "run/archive.h"

enum {
    RETRY_MS = 100, /* doubled with each try */
    RETRY_MOST_MS = 5000,
    CONNECT_MS = 5000,
    GREETING_MS = 10000,
};

struct sending {
    const struct handover_sender *s;
    struct handover_line line;
    bool reached; /* somebody has answered at the leader's address */
    bool refused; /* by the leader, in its words */
};

static int connect_to(struct sending *n, struct err *err)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)n->s->port) };
    int why = 0, one = 1;
    socklen_t size = sizeof why;
    bool ready;

    if (inet_pton(AF_INET, n->s->address, &to.sin_addr) != 1)
        return fail(err, ERR_INVALID, "\"%s\" is no address of %s", n->s->address, n->s->leader);
    if (n->s->socket(n->s->data, &n->line.fd, err) < 0)
        return -1;
    n->line.broken = true; /* until it is there */
    setsockopt(n->line.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(n->line.fd, (struct sockaddr *)&to, sizeof to) < 0) {
        if (errno != EINPROGRESS)
            return fail_errno(err, errno, "connect");
        if (handover_line_wait(&n->line, n->line.fd, POLLOUT, CONNECT_MS, &ready, err) < 0)
            return -1;
        if (!ready)
            return fail_errno(err, ETIMEDOUT, "connect");
        if (getsockopt(n->line.fd, SOL_SOCKET, SO_ERROR, &why, &size) < 0 || why)
            return fail_errno(err, why ? why : errno, "connect");
    }
    n->line.broken = false;
    n->reached = true;
    return 0;
}

/* One of the kinds in 'fine', or why the leader takes nothing. */
static int hear(struct sending *n, const char *fine, enum handover_kind *ret, struct err *err)
{
    enum handover_kind kind;
    struct str said;

    if (handover_line_receive(&n->line, &kind, &said, err) < 0)
        return -1;
    if (kind && strchr(fine, kind)) {
        *ret = kind;
        return 0;
    }
    n->refused = true;
    if (kind != HANDOVER_REFUSED || said.size < 1)
        return fail(err, ERR_INTERNAL, "%s says what nobody understands", n->s->leader);
    return fail(err, said.data[0] == ERR_INVALID || said.data[0] == ERR_LIMIT ? said.data[0] : ERR_INTERNAL,
                "%s cannot take the results of this instance: %.*s", n->s->leader, (int)said.size - 1, said.data + 1);
}

/* In the middle of it the leader has something to say only when it takes no more. */
static int send_piece(void *data, const void *bytes, size_t size, struct err *err)
{
    struct sending *n = data;
    enum handover_kind kind;

    for (size_t done = 0; done < size;) {
        size_t piece = size - done < HANDOVER_PIECE_MOST ? size - done : HANDOVER_PIECE_MOST;

        if (handover_line_heard(&n->line) && hear(n, "", &kind, err) < 0)
            return -1;
        if (handover_line_send(&n->line, HANDOVER_PIECE, (const char *)bytes + done, piece, err) < 0)
            return -1;
        done += piece;
    }
    return 0;
}

static int send_folder(struct sending *n, const char *name, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();

    if (archive_pack_to(arena_printf(a, "%s/%s", n->s->ml, name), &(struct archive_sink){ send_piece, n },
                        n->s->cancel_fd, err) < 0)
        return -1;
    return handover_line_send(&n->line, HANDOVER_PIECE, NULL, 0, err);
}

static int send_all(struct sending *n, struct err *err)
{
    const char with_model = n->s->with_model;
    enum handover_kind said;

    n->line.quiet_ms = GREETING_MS;
    if (connect_to(n, err) < 0 || handover_line_call(&n->line, n->s->token, n->s->number, err) < 0)
        return -1;
    n->line.quiet_ms = n->s->patience_ms;
    if (handover_line_send(&n->line, HANDOVER_OFFER, &with_model, 1, err) < 0 || hear(n, "wk", &said, err) < 0)
        return -1;
    if (said == HANDOVER_KEPT)
        return 0;
    if ((n->s->with_model && send_folder(n, "model", err) < 0) || send_folder(n, "output/data", err) < 0)
        return -1;
    if (hear(n, "a", &said, err) < 0)
        return -1;
    /* Again is fine: when the leader does not hear of it, it wants everything again. */
    if (file_ensure(n->s->note, "", 0, 0600, err) < 0 ||
        handover_line_send(&n->line, HANDOVER_NOTED, NULL, 0, err) < 0)
        return -1;
    return hear(n, "k", &said, err);
}

static int try(const struct handover_sender *s, bool *ret_again, bool *ret_reached, struct err *err)
{
    struct sending n = { .s = s, .line = { .fd = -1, .cancel_fd = s->cancel_fd, .over = s->over, .data = s->data } };
    int r = send_all(&n, err);

    handover_line_end(&n.line);
    fd_cleanup(&n.line.fd);
    *ret_again = n.line.broken && !n.line.ended && !n.refused;
    *ret_reached = n.reached;
    return r;
}

static int give_up(const struct handover_sender *s, struct err *err)
{
    if (path_exists(s->note))
        return 0;
    return fail(err, ERR_UNAVAILABLE,
                "%s, which puts the results of all instances together, was out of reach for %lld s: %s", s->leader,
                (long long)s->patience_ms / 1000, err->text);
}

int handover_send(const struct handover_sender *s, struct err *err)
{
    struct handover_line nobody = { .fd = -1, .cancel_fd = s->cancel_fd, .over = s->over, .data = s->data };
    int64_t since_ms = clock_boot_ms(s->clock), retry_ms = RETRY_MS;
    bool again, reached, ready;

    while (try(s, &again, &reached, err) < 0) {
        int64_t now_ms = clock_boot_ms(s->clock);

        if (!again)
            return -1;
        if (reached)
            since_ms = now_ms;
        if (now_ms - since_ms >= s->patience_ms)
            return give_up(s, err);
        if (handover_line_wait(&nobody, -1, 0, retry_ms, &ready, err) < 0)
            return -1;
        retry_ms = retry_ms * 2 < RETRY_MOST_MS ? retry_ms * 2 : RETRY_MOST_MS;
    }
    return 0;
}
