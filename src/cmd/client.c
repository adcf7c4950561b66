/* client.c - one question to the server's admin socket, and its answer. */
#include "cmd/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "cmd/process.h"
#include "cmd/settings.h"
#include "doc/json.h"
#include "net/http.h"

enum { ANSWER_MAX_BYTES = 64 << 20 };

struct reading {
    int status;
    struct buf body;
    bool ended, too_long;
};

static void read_head(void *owner, const struct http_head *head)
{
    struct reading *r = owner;

    r->status = head->status;
}

static void read_body(void *owner, const char *data, size_t size)
{
    struct reading *r = owner;

    r->too_long |= r->body.size + size > ANSWER_MAX_BYTES;
    if (!r->too_long)
        buf_append(&r->body, data, size);
}

static void read_end(void *owner)
{
    struct reading *r = owner;

    r->ended = r->status >= 200; /* 1xx are announced, then the answer comes */
}

static const struct http_parser_events reading_events = { .head = read_head, .body = read_body, .end = read_end };

/* Whoever ends beside the socket is started again by a supervisor that lives. */
static bool is_supervised(const char *socket_path)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct process supervisor;

    process_find(arena_printf(a, "%.*s/up.pid", (int)(strrchr(socket_path, '/') - socket_path), socket_path),
                 &supervisor);
    if (supervisor.fd < 0)
        return false;
    process_close(&supervisor);
    return true;
}

static int connect_unix(const char *path, struct err *err)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result;

    if (strlen(path) >= sizeof at.sun_path)
        return fail(err, ERR_INVALID, "%s is too long for a socket", path);
    memcpy(at.sun_path, path, strlen(path) + 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) < 0) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            return fail(err, ERR_UNAVAILABLE,
                        is_supervised(path)
                            ? "the server is starting (nobody listens on %s yet); try again in a moment"
                            : "no server is running (nobody listens on %s); start it with `sagebrush up`, or "
                              "name another data directory with --data DIR",
                        path);
        if (errno == EACCES)
            return fail(err, ERR_DENIED, "%s belongs to another user; run this as the user who started the server",
                        path);
        return fail_errno(err, errno, "connect to %s", path);
    }
    result = fd;
    fd = -1;
    return result;
}

static int converse(int fd, struct str request, struct reading *r, int64_t until_ms, struct err *err)
{
    struct http_parser *parser;
    char data[16384];
    int result = 0;

    if (fd_write_all(fd, request.data, request.size, err) < 0)
        return -1;
    parser = http_parser_new(HTTP_RESPONSES, &reading_events, r);
    while (!r->ended && result == 0) {
        struct pollfd pollfd = { .fd = fd, .events = POLLIN };
        int64_t left = until_ms - clock_boot_ms(clock_system());
        ssize_t size;
        size_t taken = 0, at = 0;

        if (left <= 0 || poll(&pollfd, 1, left > INT32_MAX ? INT32_MAX : (int)left) == 0) {
            result = fail(err, ERR_UNAVAILABLE, "the server did not answer in time");
            break;
        }
        size = read(fd, data, sizeof data);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0) {
            if (size == 0 && http_parser_finish(parser, err) == 0 && r->ended)
                break;
            result = fail(err, ERR_UNAVAILABLE, "the server closed the connection before it answered");
            break;
        }
        while (at < (size_t)size && !r->ended && result == 0) {
            result = http_parser_feed(parser, data + at, (size_t)size - at, &taken, err);
            at += taken;
            if (result == 0 && !r->ended && at < (size_t)size)
                http_parser_reset(parser); /* after a 1xx */
        }
    }
    http_parser_free(parser);
    return result;
}

static int call(struct arena *a, int fd, const char *method, const char *target, const struct doc *body,
                int64_t limit_ms, struct answer *ret, struct err *err)
{
    _cleanup_buf_ struct buf request = { 0 };
    struct reading r = { 0 };
    struct doc *parsed;
    struct err ignored = { 0 };
    char *text = body ? json_text(a, body) : "";
    int result;

    http_write_request(&request, str_of(method), str_of(target));
    http_write_header(&request, STR("Host"), STR("localhost"));
    http_write_header(&request, STR("Connection"), STR("close"));
    if (body)
        http_write_header(&request, STR("Content-Type"), STR("application/json"));
    http_write_header(&request, STR("Content-Length"), str_of(arena_printf(a, "%zu", strlen(text))));
    http_write_end(&request);
    buf_append_str(&request, text);
    result =
        converse(fd, (struct str) { request.data, request.size }, &r, clock_boot_ms(clock_system()) + limit_ms, err);
    if (result == 0 && r.too_long)
        result = fail(err, ERR_LIMIT, "the server's answer to %s %s has more than %d bytes", method, target,
                      ANSWER_MAX_BYTES);
    if (result == 0) {
        struct str answer = { arena_strndup(a, r.body.data ? r.body.data : "", r.body.size), r.body.size };

        *ret = (struct answer) { .status = r.status, .body = doc_map(a) };
        if (answer.size && json_parse(a, answer, &parsed, &ignored) == 0)
            ret->body = parsed;
    }
    buf_free(&r.body);
    return result;
}

int client_call(struct arena *a, const char *socket_path, const char *method, const char *target,
                const struct doc *body, int64_t limit_ms, struct answer *ret, struct err *err)
{
    _cleanup_fd_ int fd = connect_unix(socket_path, err);

    return fd < 0 ? -1 : call(a, fd, method, target, body, limit_ms, ret, err);
}

int client_admin(struct arena *a, const char *data_folder, const char *method, const char *target,
                 const struct doc *body, const struct doc **ret, struct err *err)
{
    const char *run_folder;
    struct answer answer;

    if (settings_server_folder(a, data_folder, &run_folder, err) < 0 ||
        client_call(a, arena_printf(a, "%s/admin.sock", run_folder), method, target, body, 600000, &answer, err) < 0)
        return -1;
    if (answer.status < 200 || answer.status > 299) {
        const char *words = doc_text(answer.body, "error");

        return fail(err,
                    answer.status == 404  ? ERR_NOT_FOUND
                    : answer.status < 500 ? ERR_INVALID
                                          : ERR_UNAVAILABLE,
                    "%s",
                    *words ? words : arena_printf(a, "the server answered %d to %s %s", answer.status, method, target));
    }
    *ret = answer.body;
    return 0;
}

static int connect_tcp(const char *address, int port, struct err *err)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
    bool is_v6 = strchr(address, ':') != NULL;
    _cleanup_fd_ int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result;

    /* 0.0.0.0 and :: as a destination mean this machine. */
    if (inet_pton(is_v6 ? AF_INET6 : AF_INET, address, is_v6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr) != 1)
        return fail(err, ERR_INVALID, "%s is no numeric address", address);
    if (fd < 0 || connect(fd, is_v6 ? (void *)&v6 : (void *)&v4, is_v6 ? sizeof v6 : sizeof v4) < 0)
        return fail_errno(err, errno, "connect to %s port %d", address, port);
    result = fd;
    fd = -1;
    return result;
}

int client_public(struct arena *a, const char *address, int port, struct err *err)
{
    _cleanup_fd_ int fd = connect_tcp(address, port, err);
    struct answer answer;

    if (fd < 0)
        return -1;
    if (!text_starts(address, "127.") && strcmp(address, "0.0.0.0") != 0 && strcmp(address, "::1") != 0 &&
        strcmp(address, "::") != 0)
        return 0; /* only TLS is spoken there; that somebody listens has to do */
    if (call(a, fd, "GET", "/_sagebrush/health", NULL, 5000, &answer, err) < 0)
        return -1;
    return answer.status == 200
               ? 0
               : fail(err, ERR_UNAVAILABLE, "port %d answers %d to /_sagebrush/health", port, answer.status);
}
