/* A ring of threads on loopback: each has an address of its own. */
#include "agent/allreduce.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "loopback.h"

enum { RANKS = 4 };

static const char *const hosts[] = { "algo-1", "algo-2", "algo-3", "algo-4" };
static const unsigned char token[32] = "what only these have";
static const unsigned char other_token[32] = "what a stranger has";
static int port;

struct member {
    struct ring_options o;
    struct ring ring;
    size_t bytes;
    int64_t limit_ms;
    struct allreduce_result result;
    struct err err;
    pthread_t thread;
    int r;
};

static int new_socket(void *data, int *ret_fd, struct err *err)
{
    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return *ret_fd < 0 ? fail_errno(err, errno, "socket") : 0;
}

static void *take_part(void *data)
{
    struct member *m = data;

    m->r = ring_open(&m->ring, &m->o, &m->err);
    if (m->r == 0)
        m->r = allreduce(&m->ring, m->bytes, m->limit_ms, &m->result, &m->err);
    ring_close(&m->ring);
    return NULL;
}

static void begin(struct member *all, int ranks)
{
    port = loopback_port();
    for (int i = 0; i < ranks; i++)
        all[i] = (struct member){ .o = { .clock = clock_system(), .rank = i, .ranks = ranks, .hosts = hosts,
                                         .addresses = loopback_addresses(), .port = port, .token = token,
                                         .gather_ms = 20000, .cancel_fd = -1, .socket = new_socket },
                                  .bytes = 1 << 20, .limit_ms = 20000 };
}

/* Without the member 'absent'; -1: all. */
static void run(struct member *all, int ranks, int absent)
{
    for (int i = 0; i < ranks; i++)
        if (i != absent)
            assert_int_equal(pthread_create(&all[i].thread, NULL, take_part, &all[i]), 0);
    for (int i = 0; i < ranks; i++)
        if (i != absent)
            pthread_join(all[i].thread, NULL);
}

static void the_sum_is_right_everywhere(void **state)
{
    for (int ranks = 2; ranks <= RANKS; ranks++) {
        struct member all[RANKS];

        begin(all, ranks);
        all[0].bytes = all[1].bytes = (1 << 20) + 8 * 3;
        for (int i = 0; i < ranks; i++)
            all[i].bytes = all[0].bytes; /* not a multiple of the instances */
        run(all, ranks, -1);
        for (int i = 0; i < ranks; i++) {
            if (all[i].r < 0)
                print_error("%d of %d: %s\n", i, ranks, all[i].err.text);
            assert_int_equal(all[i].r, 0);
            assert_true(all[i].result.bytes_per_s > 0);
            assert_int_equal(all[i].ring.blamed, -1);
        }
    }
}

static void who_does_not_come_is_blamed_by_its_neighbours(void **state)
{
    struct member all[RANKS];
    char absent[64];

    snprintf(absent, sizeof absent, "algo-3 (%s) ", loopback_addresses()[2]);
    begin(all, RANKS);
    for (int i = 0; i < RANKS; i++)
        all[i].o.gather_ms = all[i].limit_ms = 2000;
    run(all, RANKS, 2);
    assert_int_equal(all[1].r, -1);
    assert_int_equal(all[1].ring.blamed, 2);
    assert_non_null(strstr(all[1].err.text, absent));
    assert_non_null(strstr(all[1].err.text, "cannot be reached"));
    assert_int_equal(all[3].r, -1);
    assert_int_equal(all[3].ring.blamed, 2);
    assert_non_null(strstr(all[3].err.text, absent));
    assert_non_null(strstr(all[3].err.text, "did not come"));
    /* It has both neighbours, and cannot tell which of them waits for whom. */
    assert_int_equal(all[0].r, -1);
    assert_int_equal(all[0].ring.blamed, -1);
}

/* A ring of two, where the other one is this thread and says what it likes. */
static void wrong_words_are_the_senders(void **state)
{
    struct sockaddr_in at = { .sin_family = AF_INET }, to = at;
    struct member all[2];
    struct { unsigned char token[32]; uint32_t rank; } hello = { .rank = 1 };
    static uint64_t words[8];
    int listener = socket(AF_INET, SOCK_STREAM, 0), out = -1, in, one = 1;

    begin(all, 2);
    all[0].bytes = 2 * sizeof words;
    at.sin_port = to.sin_port = htons((uint16_t)port);
    inet_pton(AF_INET, loopback_addresses()[1], &at.sin_addr);
    inet_pton(AF_INET, loopback_addresses()[0], &to.sin_addr);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(pthread_create(&all[0].thread, NULL, take_part, &all[0]), 0);
    in = accept(listener, NULL, NULL);
    for (int i = 0; i < 2; i++) { /* a stranger first: nobody talks to it */
        do {
            if (out >= 0)
                close(out);
            out = socket(AF_INET, SOCK_STREAM, 0);
        } while (connect(out, (struct sockaddr *)&to, sizeof to) < 0);
        memcpy(hello.token, i == 0 ? other_token : token, 32);
        assert_int_equal(send(out, &hello, sizeof hello, 0), sizeof hello);
    }
    for (int lap = 0; lap < 32; lap++) {
        uint64_t word;

        assert_int_equal(recv(in, &word, sizeof word, MSG_WAITALL), sizeof word);
        assert_int_equal(send(out, &word, sizeof word, 0), sizeof word);
    }
    assert_int_equal(send(out, words, sizeof words, 0), sizeof words);
    pthread_join(all[0].thread, NULL);
    assert_int_equal(all[0].r, -1);
    assert_int_equal(all[0].ring.blamed, 1);
    assert_non_null(strstr(all[0].err.text, "what algo-2 sent is wrong"));
    close(in);
    close(out);
    close(listener);
}

static void it_can_be_ended(void **state)
{
    struct member all[2];
    uint64_t one = 1;

    begin(all, 2);
    all[0].o.cancel_fd = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(write(all[0].o.cancel_fd, &one, sizeof one), sizeof one);
    run(all, 2, 1);
    assert_int_equal(all[0].r, -1);
    assert_int_equal(all[0].err.kind, ERR_CONFLICT);
    assert_int_equal(all[0].ring.blamed, -1);
    close(all[0].o.cancel_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_is_right_everywhere),
        cmocka_unit_test(who_does_not_come_is_blamed_by_its_neighbours),
        cmocka_unit_test(wrong_words_are_the_senders),
        cmocka_unit_test(it_can_be_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
