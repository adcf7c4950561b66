/* Datagrams between sockets of this machine: whatever goes together arrives as if each had gone alone. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/burst.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { HOSTS = 2 };

struct fixture {
    struct burst burst;
    int sockets[HOSTS];
    struct sockaddr_storage at[HOSTS];
    unsigned sent[HOSTS], heard[HOSTS];
};

static int open_one(struct sockaddr_storage *ret_at)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval patience = { .tv_sec = 10 };
    socklen_t size = sizeof *ret_at;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = 4 << 20;

    memset(ret_at, 0, sizeof *ret_at);
    assert_int_equal(bind(s, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(getsockname(s, (struct sockaddr *)ret_at, &size), 0);
    setsockopt(s, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    assert_int_equal(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    return s;
}

static struct fixture *begin(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sockaddr_storage own;

    assert_non_null(f);
    f->burst.socket = open_one(&own);
    for (int i = 0; i < HOSTS; i++) {
        f->sockets[i] = open_one(&f->at[i]);
        burst_open(f->sockets[i]);
    }
    return f;
}

static void end(struct fixture *f)
{
    close(f->burst.socket);
    for (int i = 0; i < HOSTS; i++)
        close(f->sockets[i]);
    free(f);
}

/* The n-th to that host, of that size: recognizable from its first to its last byte. */
static void put(char *at, int host, unsigned n, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (char)(host * 101 + n * 7 + i * 13 + size);
}

static void add(struct fixture *f, int host, size_t size)
{
    put(burst_room(&f->burst), host, f->sent[host]++, size);
    assert_int_equal(burst_add(&f->burst, &f->at[host], size), 0);
}

static void hear(struct fixture *f, int host, const size_t *sizes, unsigned count)
{
    static char buffer[1 << 16], expected[1 << 16];
    size_t each;

    while (f->heard[host] < count) {
        ssize_t n = burst_receive(f->sockets[host], buffer, sizeof buffer, &each);

        assert_true(n > 0 && each > 0);
        for (size_t at = 0; at < (size_t)n; at += each) {
            size_t size = (size_t)n - at < each ? (size_t)n - at : each;

            assert_true(f->heard[host] < count);
            assert_int_equal(size, sizes[f->heard[host]]);
            put(expected, host, f->heard[host]++, size);
            assert_memory_equal(buffer + at, expected, size);
        }
    }
}

/* Sizes that grow, shrink, are equal, are the largest, and two hosts in turn. */
static void check(bool single)
{
    struct fixture *f = begin();
    size_t sizes[HOSTS][512];
    unsigned seed = 7, counts[HOSTS] = { 0 };

    f->burst.single = single;
    for (int i = 0; i < 300; i++) {
        int host = i % 50 < 40 ? 0 : (int)(seed >> 9) % HOSTS;
        size_t size;

        seed = seed * 1103515245u + 12345u;
        size = i == 7 || i == 8 ? BURST_DATAGRAM_MOST : i % 20 < 16 ? 1400 : 1 + seed / 65536 % 3000;
        sizes[host][counts[host]++] = size;
        add(f, host, size);
        /* What is on its way has room in the sockets. */
        if (i % 60 == 59) {
            assert_int_equal(burst_send(&f->burst), 0);
            for (int h = 0; h < HOSTS; h++)
                hear(f, h, sizes[h], counts[h]);
        }
    }
    assert_int_equal(f->heard[0] + f->heard[1], 300);
    assert_int_equal(burst_send(&f->burst), 0); /* there is nothing */
    end(f);
}

static void all_arrive_as_they_were(void **state)
{
    check(false);
}

static void one_by_one_it_is_the_same(void **state)
{
    check(true);
}

/* 64 at a time is what every kernel takes. */
static void small_ones_without_end(void **state)
{
    struct fixture *f = begin();
    size_t sizes[200];

    for (int i = 0; i < 200; i++) {
        sizes[i] = 90;
        add(f, 0, 90);
    }
    assert_int_equal(burst_send(&f->burst), 0);
    hear(f, 0, sizes, 200);
    assert_false(f->burst.single);
    end(f);
}

static void what_cannot_go_is_forgotten(void **state)
{
    struct fixture *f = begin();
    struct sockaddr_storage nowhere = f->at[0];
    size_t size = 100;

    ((struct sockaddr_in *)&nowhere)->sin_addr.s_addr = htonl(INADDR_BROADCAST); /* EACCES */
    put(burst_room(&f->burst), 1, 0, size);
    assert_int_equal(burst_add(&f->burst, &nowhere, size), 0);
    put(burst_room(&f->burst), 0, f->sent[0]++, size);
    assert_int_equal(burst_add(&f->burst, &f->at[0], size), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(burst_send(&f->burst), 0);
    hear(f, 0, &size, 1);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_arrive_as_they_were),
        cmocka_unit_test(one_by_one_it_is_the_same),
        cmocka_unit_test(small_ones_without_end),
        cmocka_unit_test(what_cannot_go_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
