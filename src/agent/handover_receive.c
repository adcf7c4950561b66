/* handover_receive.c - what comes is unpacked beside its place, gets its name when it is whole, and its mark when the
 * other one has noted that. An agent that is killed on the way has left no mark: what is there without one is thrown
 * away when it comes again. With the marks of all, the job may end, and nobody is here for who calls once more: so the
 * other one must know by then.
 *
 *     <host>.part    what comes
 *     <host>         whole
 *     <host>.done    the mark */
#include "agent/handover_receive.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent/handover_line.h"
#include "base/fd.h"
#include "run/archive.h"

enum { GREETING_MS = 10000, QUIET_MS = 600000, LEAVE_MS = 10000 };

struct reception {
    const struct handover_receiver *r;
    struct handover_line line;
    struct arena *arena;
    const char *part, *whole, *mark;
    bool ended; /* the archive that comes */
};

static int next_piece(void *data, struct str *ret, struct err *err)
{
    struct reception *n = data;
    enum handover_kind kind;

    *ret = STR("");
    if (n->ended)
        return 0;
    if (handover_line_receive(&n->line, &kind, ret, err) < 0)
        return -1;
    if (kind != HANDOVER_PIECE)
        return fail(err, ERR_INVALID, "%s sends something else than its results", n->r->host);
    n->ended = ret->size == 0;
    return 0;
}

/* An archive ends before its last piece does. */
static int unpack(struct reception *n, const char *name, struct err *err)
{
    const struct archive_limits limits = { .bytes = n->r->most_bytes, .files = INT64_MAX };
    const char *folder = arena_printf(n->arena, "%s/%s", n->part, name);
    struct str rest;

    n->ended = false;
    if (mkdir(folder, 0755) < 0)
        return fail_errno(err, errno, "mkdir %s", folder);
    if (archive_unpack_from(&(struct archive_source){ next_piece, n }, folder, ARCHIVE_DATA, &limits, err) < 0)
        return -1;
    while (!n->ended)
        if (next_piece(n, &rest, err) < 0)
            return -1;
    return 0;
}

static int hear_that_it_is_noted(struct reception *n, struct err *err)
{
    enum handover_kind kind;
    struct str nothing;

    if (handover_line_send(&n->line, HANDOVER_WHOLE, NULL, 0, err) < 0 ||
        handover_line_receive(&n->line, &kind, &nothing, err) < 0)
        return -1;
    return kind == HANDOVER_NOTED ? 0 : fail(err, ERR_INVALID, "%s does not say that it has noted it", n->r->host);
}

static int take(struct reception *n, bool with_model, struct err *err)
{
    if (tree_remove(n->part, err) < 0)
        return -1;
    if (mkdir(n->part, 0700) < 0)
        return fail_errno(err, errno, "mkdir %s", n->part);
    if (handover_line_send(&n->line, HANDOVER_WANTED, NULL, 0, err) < 0 ||
        (with_model && unpack(n, "model", err) < 0) || unpack(n, "data", err) < 0 || tree_remove(n->whole, err) < 0)
        return -1;
    if (rename(n->part, n->whole) < 0)
        return fail_errno(err, errno, "move %s to %s", n->part, n->whole);
    if (hear_that_it_is_noted(n, err) < 0)
        return -1;
    return file_write_atomic(n->mark, "", 0, 0600, err);
}

static int refuse(struct reception *n, const struct err *why, struct err *err)
{
    const char *text = arena_printf(n->arena, "%c%s", (char)why->kind, why->text);

    return handover_line_send(&n->line, HANDOVER_REFUSED, text, strlen(text), err);
}

/* The other one hangs up. Bytes of its own that nobody read would make the kernel throw away what was said to it. */
static void wait_for_its_leave(struct reception *n)
{
    char bytes[4096];
    struct err ignored;
    bool ready;

    while (!n->line.broken) {
        ssize_t got = recv(n->line.fd, bytes, sizeof bytes, 0);

        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return;
        if (got < 0 && (handover_line_wait(&n->line, n->line.fd, POLLIN, LEAVE_MS, &ready, &ignored) < 0 || !ready))
            return;
    }
}

static int receive(struct reception *n, bool *ret_known, struct err *err)
{
    enum handover_kind kind;
    struct str offer;
    struct err ignored;

    n->line.quiet_ms = GREETING_MS;
    if (handover_line_answer(&n->line, n->r->token, n->r->number, err) < 0 ||
        handover_line_receive(&n->line, &kind, &offer, err) < 0)
        return -1;
    *ret_known = true;
    n->line.quiet_ms = QUIET_MS;
    if (kind != HANDOVER_OFFER || offer.size != 1)
        return fail(err, ERR_INVALID, "%s does not say what it has", n->r->host);
    if (!path_exists(n->mark) && take(n, offer.data[0] == 1, err) < 0) {
        if (n->line.broken)
            return -1;
        tree_remove(n->part, &ignored); /* what it has filled is wanted by others */
        refuse(n, err, &ignored);
        wait_for_its_leave(n);
        return -1;
    }
    if (handover_line_send(&n->line, HANDOVER_KEPT, NULL, 0, &ignored) == 0)
        wait_for_its_leave(n);
    return 0;
}

int handover_receive(const struct handover_receiver *r, int fd, bool *ret_known, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct reception n = { .r = r, .arena = a, .line = { .fd = fd, .cancel_fd = r->cancel_fd },
                           .part = arena_printf(a, "%s/%s.part", r->folder, r->host),
                           .whole = arena_printf(a, "%s/%s", r->folder, r->host),
                           .mark = arena_printf(a, "%s/%s.done", r->folder, r->host) };
    int result;

    *ret_known = false;
    result = receive(&n, ret_known, err);
    handover_line_end(&n.line);
    return result;
}
