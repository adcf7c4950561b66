/* How a tunnel asks for the others, with a server of the test's own behind its socket that says what the test wants. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/meeting.h"
#include "base/fd.h"
#include "base/str.h"
#include "doc/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { ANSWERS_MOST = 8, REQUEST_MOST = 4096 };

struct script {
    const char *answers[ANSWERS_MOST + 1]; /* "200 {...}", one a connection; "": none; the last is not repeated */
    char asked[ANSWERS_MOST][REQUEST_MOST];
    int count, listener;
    pthread_t thread;
    char folder[32], path[64];
};

/* Head and body; the body is as long as the head says. */
static void read_request(int fd, char *ret)
{
    size_t got = 0;
    const char *end, *length;

    for (;;) {
        ssize_t n = read(fd, ret + got, REQUEST_MOST - 1 - got);

        assert_true(n > 0);
        got += (size_t)n;
        ret[got] = '\0';
        end = strstr(ret, "\r\n\r\n");
        length = strcasestr(ret, "content-length: ");
        if (end && length && got >= (size_t)(end + 4 - ret) + (size_t)atoi(length + strlen("content-length: ")))
            return;
    }
}

static void *serve(void *data)
{
    struct script *s = data;

    for (const char *const *answer = s->answers; *answer; answer++) {
        _cleanup_fd_ int fd = accept(s->listener, NULL, NULL);
        char text[REQUEST_MOST];

        assert_true(fd >= 0);
        read_request(fd, s->asked[s->count++]);
        if (!**answer)
            continue;
        snprintf(text, sizeof text, "HTTP/1.1 %.3s x\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", *answer,
                 strlen(*answer + 4), *answer + 4);
        assert_true(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    }
    return NULL;
}

static void begin(struct script *s)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    strcpy(s->folder, "/tmp/sgb-ask-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    snprintf(s->path, sizeof s->path, "%s/s", s->folder);
    strcpy(address.sun_path, s->path);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->listener, 8), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void end(struct script *s)
{
    struct err err;

    pthread_join(s->thread, NULL);
    close(s->listener);
    tree_remove(s->folder, &err);
}

struct seen {
    char text[1024];
};

static void found(void *data, const char *host, const struct sockaddr_storage *at)
{
    struct seen *s = data;
    char endpoint[ENDPOINT_TEXT];

    endpoint_print(at, endpoint);
    strcat(strcat(strcat(strcat(s->text, host), "="), endpoint), " ");
}

/* As algo-1 of three. */
static int meet(struct script *s, const char *bearer, struct seen *seen, struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct order order = { .name = "a-0", .host_name = "algo-1", .bearer = bearer, .token = "t0",
                           .admin_socket = s->path };
    struct meeting m = { .order = &order, .endpoint = "10.0.0.2:5000", .found = found, .data = seen };
    struct doc *peers;
    int r;

    assert_int_equal(json_parse(a, STR("{\"algo-1\":\"a-0\",\"algo-2\":\"b-0\",\"algo-3\":\"c-0\"}"), &peers, err), 0);
    order.peers = peers;
    begin(s);
    r = meeting(&m, err);
    end(s);
    return r;
}

static void it_asks_until_all_have_come(void **state)
{
    struct script s = { .answers = { "503 away", "", "200 <html>", "200 {\"peers\":{}}",
                                     "200 {\"peers\":{\"algo-3\":\"10.0.0.3:1\"}}",
                                     "200 {\"peers\":{\"algo-3\":\"10.0.0.3:1\",\"algo-2\":\"[fd00::4]:2\"}}" } };
    struct seen seen = { "" };
    struct err err = { 0 };

    assert_int_equal(meet(&s, "", &seen, &err), 0);
    assert_int_equal(s.count, 6);
    assert_string_equal(seen.text, "algo-3=10.0.0.3:1 algo-2=[fd00::4]:2 algo-3=10.0.0.3:1 ");
    assert_non_null(strstr(s.asked[0], "POST /_sagebrush/node/v1/peers "));
    assert_non_null(strstr(s.asked[0], "Authorization: Bearer a-0:server:t0\r\n"));
    assert_non_null(strstr(s.asked[0], "\"endpoint\":\"10.0.0.2:5000\""));
    /* Each time with the same word, by which the server knows it from another one. */
    for (int i = 1; i < s.count; i++)
        assert_string_equal(strstr(s.asked[i], "\r\n\r\n"), strstr(s.asked[0], "\r\n\r\n"));
}

static void another_machine_has_a_bearer_of_its_own(void **state)
{
    struct script s = { .answers = { "200 {\"peers\":{\"algo-2\":\"10.0.0.3:1\",\"algo-3\":\"10.0.0.4:1\"}}" } };
    struct seen seen = { "" };
    struct err err = { 0 };

    assert_int_equal(meet(&s, "Bearer a-0:place:t0", &seen, &err), 0);
    assert_non_null(strstr(s.asked[0], "Authorization: Bearer a-0:place:t0\r\n"));
}

static void who_is_not_let_in_goes(void **state)
{
    static const struct {
        const char *answer;
        enum err_kind kind;
    } cases[] = { { "409 {}", ERR_CONFLICT }, { "403 {}", ERR_DENIED }, { "404 {}", ERR_DENIED },
                  { "400 {}", ERR_DENIED } };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct script s = { .answers = { "500 {}", cases[i].answer } };
        struct seen seen = { "" };
        struct err err = { 0 };

        assert_int_equal(meet(&s, "", &seen, &err), -1);
        assert_int_equal(err.kind, cases[i].kind);
        assert_string_equal(seen.text, "");
    }
}

/* What is no endpoint, or nobody's of this job, is nobody. */
static void what_the_server_makes_up_is_left_out(void **state)
{
    struct script s = { .answers = { "200 []", "200 {\"peers\":[\"algo-2\"]}", "200 {\"peers\":\"algo-2\"}",
                                     "200 {\"peers\":{\"algo-2\":7,\"algo-3\":{},\"algo-4\":\"10.0.0.9:1\"}}",
                                     "200 {\"peers\":{\"algo-2\":\"10.0.0.3\",\"algo-3\":\"x:1\","
                                      "\"algo-1\":\"10.0.0.9:1\"}}",
                                     "200 {\"peers\":{\"algo-2\":\"10.0.0.3:1\",\"algo-3\":\"10.0.0.4:1\"}}" } };
    struct seen seen = { "" };
    struct err err = { 0 };

    assert_int_equal(meet(&s, "", &seen, &err), 0);
    assert_int_equal(s.count, 6);
    assert_string_equal(seen.text, "algo-2=10.0.0.3:1 algo-3=10.0.0.4:1 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_asks_until_all_have_come),
        cmocka_unit_test(another_machine_has_a_bearer_of_its_own),
        cmocka_unit_test(who_is_not_let_in_goes),
        cmocka_unit_test(what_the_server_makes_up_is_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
