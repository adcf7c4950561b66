/* links: base doc sign net store aws model route run engine fleet services */
/* The front door of the control plane, with every service behind it: messages parted by 0xff, each on a connection of
 * its own. The first byte of one says how it is sent: as it stands, or as a request that is signed, "METHOD target" and
 * header lines, an empty line, the body. What is whole is answered, and never by a fault of ours. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "engine/bodies.h"
#include "engine/engine.h"
#include "engine/gateway.h"
#include "services/cloudwatch/cloudwatch.h"
#include "services/iam/identity.h"
#include "services/logs/logs.h"
#include "services/platform.h"
#include "services/routes.h"
#include "services/s3/s3.h"
#include "services/sagemaker/allocation.h"
#include "services/sagemaker/kinds.h"
#include "sign/digest.h"
#include "store/blob.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES = 8, HEADERS = 24, PATIENCE_MS = 20000 };
#define NOON    INT64_C(1709208000000) /* 2024-02-29T12:00:00Z */
#define ACCOUNT "111122223333"

static char folder[] = "/dev/shm/sgb-fuzz-XXXXXX";
static struct loop *loop;
static struct blobs *blobs;
static struct rand dice;
static struct platform platform;
static struct fleet fleet;
static struct arena *fleet_arena;
static struct store *store;
static struct bodies *bodies;
static struct engine *engine;
static struct gateway *gateway;
static struct http_server *server;

static int64_t still_ms(struct clock *c)
{
    return NOON;
}

static void remove_folder(void)
{
    struct err err;

    tree_remove(folder, &err);
}

static const char *in_folder(struct arena *a, const char *name)
{
    return arena_printf(a, "%s/%s", folder, name);
}

static void set_up(void)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err;

    dice = rand_seeded(1);
    if (!mkdtemp(folder))
        abort();
    atexit(remove_folder);
    log_setup("fuzz", LOG_ERROR);
    if (loop_new(&loop, &err) < 0 || blobs_open(in_folder(a, "blobs"), 0, &dice, &blobs, &err) < 0)
        abort();
}

static int identify(void *context, struct arena *a, const struct sigv4_claim *claim, const char *service,
                    struct identity *ret, struct err *err)
{
    static const struct principal root = { .account = ACCOUNT, .arn = "arn:aws:iam::" ACCOUNT ":root",
                                           .user_id = ACCOUNT, .access_key_id = "AKID", .trusted = true };

    if (!str_is(claim->access_key_id, "AKID"))
        return fail_code(err, ERR_DENIED, "InvalidAccessKeyId", "there is no such key");
    *ret = (struct identity){ STR("secret"), &root };
    return 0;
}

static void open_world(struct arena *a)
{
    static const struct service_ops *const services[] = { &sagemaker_ops, &iam_ops,        &sts_ops, &s3_ops,
                                                          &logs_ops,      &cloudwatch_ops, NULL };
    static const char *const hosts[] = { "h", NULL };
    static struct clock clock = { still_ms, still_ms };
    struct err err;

    dice = rand_seeded(1);
    store = store_new_memory();
    bodies = bodies_new(loop, blobs, s3_blob_referenced, store);
    fleet_arena = arena_new();
    fleet = fleet_of_slots(fleet_arena, "local", 8, 0);
    platform = (struct platform){ .account = ACCOUNT, .default_region = "us-east-1", .data_folder = folder,
                                  .api_socket = "/nowhere", .admin_socket = "/nowhere", .rand = &dice,
                                  .fleet = &fleet, .machine = { 2, INT64_C(8) << 30, 0 },
                                  .allocations = allocations_new(&fleet, &clock), .session_key = { 7 } };
    if (routes_new(folder, &platform.routes, &err) < 0 ||
        engine_new(&(struct engine_world){ .store = store, .bodies = bodies, .clock = &clock, .rand = &dice,
                                           .services = services, .kinds = sagemaker_kinds, .account = ACCOUNT,
                                           .default_region = "us-east-1", .boot_id = "boot", .context = &platform },
                   &engine, &err) < 0)
        abort();
    gateway = gateway_new(&(struct gateway_options){ .loop = loop, .engine = engine, .bodies = bodies, .hosts = hosts,
                                                     .identify = identify });
    server = http_server_new(&(struct http_server_options){ .loop = loop, .handle = gateway_handle, .data = gateway });
    if (http_server_listen_unix(server, in_folder(a, "s"), 0600, &err) < 0)
        abort();
}

static void turn(void)
{
    struct err err;

    loop_turn(loop, false);
    if (engine_commit(engine, &err) < 0)
        abort();
    allocations_turn(engine);
    gateway_flush(gateway, NULL);
    bodies_sweep(bodies);
}

static void close_world(void)
{
    http_server_free(server);
    for (int i = 0; i < 20; i++)
        turn();
    gateway_free(gateway);
    identity_forget(&platform);
    engine_free(engine);
    bodies_free(bodies);
    routes_free(platform.routes);
    allocations_free(platform.allocations);
    arena_free(fleet_arena);
    store_free(store);
}

static int client(struct arena *a)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    strcpy(to.sun_path, in_folder(a, "s"));
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        abort();
    return fd;
}

static struct str next_line(struct str *rest)
{
    struct str line = *rest, after = STR("");

    if (!str_cut(*rest, '\n', &line, &after))
        line = *rest;
    *rest = after;
    return line;
}

/* False: its lines cannot be sent as a request. */
static bool clean(struct str s)
{
    for (size_t i = 0; i < s.size; i++)
        if ((unsigned char)s.data[i] <= ' ' && s.data[i] != ' ' && s.data[i] != '\t')
            return false;
    return true;
}

static bool sign(struct arena *a, struct str text, const char *service, struct buf *ret)
{
    struct sigv4_header headers[HEADERS + 8] = { { STR("host"), STR("h") } };
    struct sigv4_request r = { .headers = headers, .header_count = 1 };
    const struct sigv4_credentials who = { STR("AKID"), STR("secret"), STR("") };
    const struct sigv4_scope where = { "us-east-1", service, NOON };
    const struct sigv4_header *added;
    struct str line = next_line(&text);
    char hash[2 * SHA256_SIZE + 1];
    int count;

    if (!str_cut(line, ' ', &r.method, &r.target) || !r.method.size || !r.target.size || r.target.data[0] != '/' ||
        !clean(r.method) || !clean(r.target) || memchr(r.target.data, ' ', r.target.size))
        return false;
    while ((line = next_line(&text)).size && r.header_count < HEADERS) {
        struct sigv4_header *h = &headers[r.header_count];

        if (!str_cut(line, ':', &h->name, &h->value) || !h->name.size || !clean(h->name) || !clean(h->value) ||
            memchr(h->name.data, ' ', h->name.size) || str_is_nocase(h->name, "host") ||
            str_is_nocase(h->name, "content-length") || str_is_nocase(h->name, "transfer-encoding") ||
            str_is_nocase(h->name, "expect") || str_is_nocase(h->name, "connection"))
            return false;
        r.header_count++;
    }
    if (!sigv4_anonymous(&r))
        return false;
    for (int i = 0; i < r.header_count; i++)
        if (str_is_nocase(headers[i].name, "x-amz-date") || str_is_nocase(headers[i].name, "x-amz-content-sha256") ||
            str_is_nocase(headers[i].name, "x-amz-security-token"))
            return false;
    sha256_hex(hash, text.data, text.size);
    count = sigv4_sign(a, NULL, &r, &who, &where, str_of(hash), &added);
    buf_printf(ret, STR_FMT " " STR_FMT " HTTP/1.1\r\nConnection: close\r\nContent-Length: %zu\r\n", STR_ARG(r.method),
               STR_ARG(r.target), text.size);
    for (int i = 0; i < r.header_count + count; i++) {
        const struct sigv4_header *h = i < r.header_count ? &headers[i] : &added[i - r.header_count];

        buf_printf(ret, STR_FMT ":" STR_FMT "\r\n", STR_ARG(h->name), STR_ARG(h->value));
    }
    buf_append_str(ret, "\r\n");
    buf_append(ret, text.data, text.size);
    return true;
}

static void check_answer(const struct buf *sent, const struct buf *got, bool whole)
{
    bool fault = got->size > 12 && memcmp(got->data + 9, "500", 3) == 0;

    if (fault || (whole && (got->size < 16 || memcmp(got->data, "HTTP/1.1 ", 9) != 0))) {
        fprintf(stderr, "%.*s\n->\n%.*s\n", (int)sent->size, sent->data, (int)got->size, got->data ? got->data : "");
        abort();
    }
}

/* A whole request gets its answer, however long it takes; with anything else nobody waits for long. */
static void tell(struct arena *a, const struct buf *message, bool whole)
{
    _cleanup_buf_ struct buf got = { 0 };
    int fd = client(a), idle = 0;
    size_t sent = 0;
    bool ended = false;

    while (!ended && idle < (whole ? PATIENCE_MS : 8)) {
        char piece[4096];
        ssize_t n = sent < message->size ? send(fd, message->data + sent, message->size - sent, MSG_NOSIGNAL) : 0;

        if (n > 0)
            sent += (size_t)n;
        turn();
        n = recv(fd, piece, sizeof piece, 0);
        if (n > 0)
            buf_append(&got, piece, (size_t)n);
        ended = n == 0 || (n < 0 && errno != EAGAIN);
        idle = n > 0 ? 0 : idle + 1;
        if (idle > 4)
            usleep(1000);
    }
    close(fd);
    check_answer(message, &got, whole);
    for (int i = 0; http_server_connections(server) > 0; i++) {
        turn();
        if (i > 20)
            usleep(1000);
        assert(i < PATIENCE_MS && "a connection is never given up");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const services[] = { "s3", "sagemaker", "logs", "monitoring", "sts", "iam" };
    _cleanup_arena_ struct arena *a = arena_new();
    struct str rest = { size ? (const char *)data : "", size };

    if (!loop)
        set_up();
    open_world(a);
    for (int i = 0; i < MESSAGES && rest.size; i++) {
        _cleanup_buf_ struct buf message = { 0 };
        struct str one = rest, after = STR("");
        unsigned how = (unsigned char)*rest.data;

        str_cut(rest, '\xff', &one, &after);
        rest = after;
        if (!one.size)
            continue;
        one = (struct str){ one.data + 1, one.size - 1 };
        if (how % 8 >= sizeof services / sizeof *services) {
            buf_append(&message, one.data, one.size);
            if (one.size)
                tell(a, &message, false);
        } else if (sign(a, one, services[how % 8], &message)) {
            tell(a, &message, true);
        }
    }
    close_world();
    return 0;
}
