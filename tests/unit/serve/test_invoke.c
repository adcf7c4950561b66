/* Who may invoke, with the house's own signing: keys, users' sessions, roles' sessions. One worker, one loop, a
 * container on the same loop; the client is a raw socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* ours is a function */

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doc/json.h"
#include "net/listener.h"
#include "serve/worker.h"
#include "sign/token.h"

#define ACCOUNT "123456789012"
#define ARN     "arn:aws:sagemaker:us-east-1:" ACCOUNT ":endpoint/demo"
#define ROLE    "arn:aws:iam::" ACCOUNT ":role/Caller"
#define USER    "arn:aws:iam::" ACCOUNT ":user/u"

static struct worker *worker;
static struct http_server *container;
static int listener, port, container_port;
static const unsigned char session_key[32] = "0123456789abcdef0123456789abcde";

static void answer(struct http_exchange *x, struct str body)
{
    http_answer(x, 200, NULL, 0, body);
}

static void handle(struct http_exchange *x, void *data)
{
    http_read_all(x, 1 << 20, answer);
}

static void progress(void *data)
{
}

static const char *role_id = "AROA", *user_id = "AIDA";

static void apply(struct arena *a, const char *role_policies, const char *user_policies)
{
    struct err err = { 0 };
    char *text = arena_printf(a,
                              "{\"version\":1,\"generation\":1,\"session_key\":\"%s\",\"account\":\"" ACCOUNT
                              "\",\"default_region\":\"us-east-1\","
                              "\"keys\":[{\"id\":\"AKIAUSER\",\"secret\":\"s\",\"account\":\"" ACCOUNT
                              "\",\"arn\":\"" USER "\",\"user_id\":\"%s\","
                              "\"policies\":%s,\"trusted\":false}],\"roles\":[{\"arn\":\"" ROLE "\",\"id\":\"%s\","
                              "\"policies\":%s}],"
                              "\"endpoints\":[{\"name\":\"demo\",\"region\":\"us-east-1\",\"account\":\"" ACCOUNT
                              "\",\"arn\":\"" ARN "\",\"variants\":["
                              "{\"name\":\"v\",\"uid\":\"v\",\"weight\":1,\"instances\":[{\"uid\":\"i\",\"address\":"
                              "\"127.0.0.1\",\"port\":%d}]}]}]}",
                              base64_encode(a, session_key, 32), user_id, user_policies, role_id, role_policies,
                              container_port);

    assert_int_equal(worker_take(worker, str_of(text), &err), 0);
}

static int set_up(void **state)
{
    struct worker_options options = { .api_socket = "/does/not/exist",
                                      .fds = &listener,
                                      .fd_count = 1,
                                      .clock = clock_system(),
                                      .progress = progress,
                                      .max_connections = 100 };
    struct http_server_options server = { .handle = handle };
    struct err err;

    assert_int_equal(listen_tcp("127.0.0.1", 0, &listener, &port, &err), 0);
    assert_int_equal(worker_new(&options, &worker, &err), 0);
    server.loop = worker->loop;
    container = http_server_new(&server);
    assert_int_equal(http_server_listen_tcp(container, "127.0.0.1", 0, &container_port, &err), 0);
    return 0;
}

static int tear_down(void **state)
{
    http_server_free(container);
    worker_free(worker);
    close(listener);
    return 0;
}

/* The status and, of a refusal, its type: "403 AccessDeniedException". */
static char *invoke_as(struct arena *a, const char *id, const char *secret, const char *token)
{
    struct sigv4_header host[] = { { STR("Host"), STR("x") } };
    struct sigv4_request request = { STR("POST"), STR("/endpoints/demo/invocations"), host, 1 };
    struct sigv4_credentials who = { str_of(id), str_of(secret), str_of(token) };
    struct sigv4_scope scope = { "us-east-1", "sagemaker", clock_wall_ms(clock_system()) };
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    _cleanup_buf_ struct buf b = { 0 }, got = { 0 };
    const struct sigv4_header *added;
    char hash[65], *type;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), count;

    sha256_hex(hash, "1,2", 3);
    count = sigv4_sign(a, NULL, &request, &who, &scope, str_of(hash), &added);
    http_write_request(&b, request.method, request.target);
    http_write_header(&b, STR("Host"), STR("x"));
    http_write_header(&b, STR("Content-Length"), STR("3"));
    for (int i = 0; i < count; i++)
        http_write_header(&b, added[i].name, added[i].value);
    http_write_end(&b);
    buf_append_str(&b, "1,2");
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(write(fd, b.data, b.size), b.size);
    while (!got.size || !strstr(got.data, "\r\n\r\n")) {
        ssize_t n;

        loop_turn(worker->loop, true);
        n = recv(fd, buf_reserve(&got, 4096), 4096, MSG_DONTWAIT);
        got.size += n > 0 ? (size_t)n : 0;
        buf_reserve(&got, 0);
    }
    close(fd);
    type = strstr(got.data, "x-amzn-ErrorType: ");
    return arena_printf(a, "%.3s%s%.*s", got.data + 9, type ? " " : "", type ? (int)strcspn(type + 18, "\r") : 0,
                        type ? type + 18 : "");
}

/* Of the user "AIDA" without a role, else of the role "AROA". */
static char *token_of(struct arena *a, const char *role, const char *arn, const char *session_policy, int64_t for_ms)
{
    int64_t now = clock_wall_ms(clock_system());
    struct token t = { "ASIASESSION", "session secret", ACCOUNT,     arn,          *role ? "AROA:s" : "AIDA",
                       role,          session_policy,   now - 10000, now + for_ms, 1 };

    return token_seal(a, session_key, rand_system(), &t);
}

#define ALLOW                                                                                                          \
    "[{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sagemaker:*\",\"Resource\":\"" ARN \
    "\"}]}]"
#define OTHER                                                                                                          \
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"s3:*\",\"Resource\":\"*\"}]}"

static void test_users(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();

    apply(a, "[]", ALLOW);
    assert_string_equal(invoke_as(a, "AKIAUSER", "s", ""), "200");
    assert_string_equal(invoke_as(a, "AKIAUSER", "t", ""), "403 InvalidSignatureException");
    apply(a, ALLOW, "[" OTHER "]");
    assert_string_equal(invoke_as(a, "AKIAUSER", "s", ""), "403 AccessDeniedException");
}

static void test_sessions(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    const char *arn = "arn:aws:sts::" ACCOUNT ":assumed-role/Caller/s";

    apply(a, ALLOW, "[]");
    assert_string_equal(invoke_as(a, "ASIASESSION", "session secret", token_of(a, ROLE, arn, "", 60000)), "200");
    assert_string_equal(invoke_as(a, "ASIASESSION", "session secret", token_of(a, ROLE, arn, OTHER, 60000)),
                        "403 AccessDeniedException");
    assert_string_equal(invoke_as(a, "ASIASESSION", "session secret", token_of(a, ROLE, arn, "", -1)),
                        "403 ExpiredTokenException");
    assert_string_equal(invoke_as(a, "ASIASESSION", "wrong secret", token_of(a, ROLE, arn, "", 60000)),
                        "403 InvalidSignatureException");
    assert_string_equal(invoke_as(a, "ASIAOTHER", "session secret", token_of(a, ROLE, arn, "", 60000)),
                        "403 UnrecognizedClientException");
    assert_string_equal(invoke_as(a, "ASIASESSION", "session secret", "x"), "403 UnrecognizedClientException");
    /* A role that is gone gives no rights; a user's own session has the user's. */
    assert_string_equal(invoke_as(a, "ASIASESSION", "session secret", token_of(a, ROLE "Gone", arn, "", 60000)),
                        "403 AccessDeniedException");
    assert_string_equal(invoke_as(a, "ASIASESSION", "session secret", token_of(a, "", USER, "", 60000)),
                        "403 AccessDeniedException");
    apply(a, "[]", ALLOW);
    assert_string_equal(invoke_as(a, "ASIASESSION", "session secret", token_of(a, "", USER, "", 60000)), "200");
}

/* Deleted and made again: the name is the same, the rights of its sessions are not. */
static void test_a_name_that_came_back(void **state)
{
    static const char *const others[] = { "AROAOTHER", "AROA:", "ARO", "" };
    _cleanup_arena_ struct arena *a = arena_new();
    const char *arn = "arn:aws:sts::" ACCOUNT ":assumed-role/Caller/s";

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        role_id = user_id = others[i];
        apply(a, ALLOW, ALLOW);
        assert_string_equal(invoke_as(a, "ASIASESSION", "session secret", token_of(a, ROLE, arn, "", 60000)),
                            "403 AccessDeniedException");
        assert_string_equal(invoke_as(a, "ASIASESSION", "session secret", token_of(a, "", USER, "", 60000)),
                            "403 AccessDeniedException");
    }
    role_id = "AROA";
    user_id = "AIDA";
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_users, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sessions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_name_that_came_back, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
