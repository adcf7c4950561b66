/* What goes from one machine to another: whoever is killed, speaks in between or is no instance at all. */
#include "agent/handover_listener.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/handover_line.h"
#include "agent/handover_send.h"
#include "base/fd.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "folder_test.h"

/* Instance N is at 127.0.0.N. */
static const char *const addresses[] = { "127.0.0.1", "127.0.0.2", "127.0.0.3" };

static struct order order;
static struct handover_listener *leader;
static int port;

/* --- Sockets --- */

static struct sockaddr_in place(int number, int its_port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)its_port) };

    inet_pton(AF_INET, addresses[number - 1], &in.sin_addr);
    return in;
}

static int new_socket(int number, int flags)
{
    struct sockaddr_in own = place(number, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    return fd;
}

static int open_socket(void *data, int *ret_fd, struct err *err)
{
    *ret_fd = new_socket(*(int *)data, SOCK_NONBLOCK);
    return 0;
}

static int listen_at(void *data, const char *address, int *ret_fd, struct err *err)
{
    struct sockaddr_in own = place(1, *(int *)data);
    socklen_t size = sizeof own;
    int one = 1;
    _cleanup_fd_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_string_equal(address, addresses[0]);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&own, sizeof own) < 0 || listen(fd, 16) < 0)
        return fail_errno(err, errno, "listen");
    getsockname(fd, (struct sockaddr *)&own, &size);
    *(int *)data = ntohs(own.sin_port);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static int call(int number, int its_port)
{
    struct sockaddr_in to = place(1, its_port);
    int fd = new_socket(number, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* --- Both ends --- */

static void begin_leader(void)
{
    struct err err = { 0 };

    if (handover_listener_new(&(struct handover_listener_options){ .folder = at("in"), .order = &order,
                                                                   .addresses = addresses, .listen = listen_at,
                                                                   .data = &port }, &leader, &err) < 0)
        fail_msg("%s", err.text);
}

static void end_leader(void)
{
    handover_listener_free(leader);
    leader = NULL;
}

static int begin(void **state)
{
    struct doc *hosts;

    signal(SIGPIPE, SIG_IGN);
    /* In memory: ten thousand files take a slow disk its time. */
    base_make(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    hosts = doc_list(arena);
    doc_append(arena, hosts, doc_string(arena, "algo-1"));
    doc_append(arena, hosts, doc_string(arena, "algo-2"));
    doc_append(arena, hosts, doc_string(arena, "algo-3"));
    order = (struct order){ .name = "one", .hosts = hosts, .host_name = "algo-1", .disk_bytes = 1 << 30,
                            .tunnel_secret = base64_encode(arena, "what only the instances' agents know", 32) };
    make("in");
    make("out/model/of");
    make("out/output/data");
    port = 0;
    begin_leader();
    return 0;
}

static int end(void **state)
{
    end_leader();
    base_remove();
    return 0;
}

struct giver {
    struct handover_sender s;
    unsigned char token[HANDOVER_TOKEN_SIZE];
    int number;
    struct err err;
    pthread_t thread;
    int r;
};

static struct giver *giver_of(int number)
{
    struct giver *g = arena_new_of(arena, struct giver);
    struct err err;

    g->number = number;
    g->s = (struct handover_sender){ .ml = at("out"), .with_model = true, .leader = "algo-1",
                                     .note = at(arena_printf(arena, "given-%d", number)), .address = addresses[0],
                                     .port = port, .number = number, .token = g->token, .clock = clock_system(),
                                     .patience_ms = 60000, .cancel_fd = -1, .socket = open_socket,
                                     .data = &g->number };
    assert_int_equal(handover_token(&order, g->token, &err), 0);
    return g;
}

static void *give_on_thread(void *data)
{
    struct giver *g = data;

    g->r = handover_send(&g->s, &g->err);
    return NULL;
}

static void begin_give(struct giver *g)
{
    assert_int_equal(pthread_create(&g->thread, NULL, give_on_thread, g), 0);
}

static void end_give(struct giver *g)
{
    pthread_join(g->thread, NULL);
    if (g->r < 0)
        fail_msg("%s", g->err.text);
}

static void give(int number)
{
    struct giver *g = giver_of(number);

    begin_give(g);
    end_give(g);
}

/* --- What comes through --- */

static void everything_arrives(void **state)
{
    struct stat st;

    put("out/model/w", "weights");
    put("out/model/of/it", "its part");
    put("out/model/\xc3\xa9t\xc3\xa9 \xff", "any name");
    put("out/model/\x1f\x8b\x08", "no gzip");
    put("out/output/data/d", "data");
    assert_int_equal(chmod(at("out/model/of/it"), 04755), 0);
    assert_int_equal(symlink("../w", at("out/model/of/link")), 0);
    assert_int_equal(symlink("/etc/passwd", at("out/model/leaves")), 0);
    assert_int_equal(symlink("../../data/d", at("out/model/of/leaves")), 0);
    assert_int_equal(mkfifo(at("out/model/pipe"), 0600), 0);
    give(2);
    assert_true(has("in/algo-2.done", ""));
    assert_true(has("in/algo-2/model/w", "weights"));
    assert_true(has("in/algo-2/model/of/link", "weights"));
    assert_true(has("in/algo-2/model/\xc3\xa9t\xc3\xa9 \xff", "any name"));
    assert_true(has("in/algo-2/model/\x1f\x8b\x08", "no gzip"));
    assert_true(has("in/algo-2/data/d", "data"));
    assert_int_equal(stat(at("in/algo-2/model/of/it"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(lstat(at("in/algo-2/model/leaves"), &st), -1);
    assert_int_equal(lstat(at("in/algo-2/model/of/leaves"), &st), -1);
    assert_int_equal(lstat(at("in/algo-2/model/pipe"), &st), -1);
    assert_false(path_exists(at("in/algo-2.part")));
    assert_true(has("given-2", ""));
    assert_true(has("out/model/w", "weights"));
}

static void a_failed_one_gives_its_data_alone(void **state)
{
    struct giver *g = giver_of(3);

    put("out/model/w", "weights");
    g->s.with_model = false;
    begin_give(g);
    end_give(g);
    assert_true(path_exists(at("in/algo-3/data")) && path_exists(at("in/algo-3.done")));
    assert_false(path_exists(at("in/algo-3/model")));
}

static void holes_stay_holes(void **state)
{
    int fd = open(at("out/model/holes"), O_WRONLY | O_CREAT, 0600), back;
    const off_t size = (off_t)300 << 20;
    struct stat st;
    char bytes[4];

    order.disk_bytes = 0;
    assert_int_equal(pwrite(fd, "one", 3, 64 << 20), 3);
    assert_int_equal(pwrite(fd, "two", 3, 200 << 20), 3);
    assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
    fd = open(at("out/model/nothing"), O_WRONLY | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
    give(2);
    assert_int_equal(stat(at("in/algo-2/model/holes"), &st), 0);
    assert_int_equal(st.st_size, size);
    assert_true(st.st_blocks * 512 < 1 << 20);
    assert_int_equal(stat(at("in/algo-2/model/nothing"), &st), 0);
    assert_int_equal(st.st_size, size);
    assert_true(st.st_blocks * 512 < 1 << 20);
    back = open(at("in/algo-2/model/holes"), O_RDONLY);
    assert_int_equal(pread(back, bytes, 3, 200 << 20), 3);
    assert_memory_equal(bytes, "two", 3);
    assert_int_equal(pread(back, bytes, 3, 100 << 20), 3);
    assert_memory_equal(bytes, "\0\0\0", 3);
    close(back);
}

static void many_small_files(void **state)
{
    for (int i = 0; i < 10000; i++) {
        int fd = open(at(arena_printf(arena, "out/model/of/%05d", i)), O_WRONLY | O_CREAT, 0600);

        assert_int_equal(write(fd, &i, sizeof i), sizeof i);
        close(fd);
    }
    give(2);
    for (int i = 0; i < 10000; i += 9) {
        struct stat st;

        assert_int_equal(stat(at(arena_printf(arena, "in/algo-2/model/of/%05d", i)), &st), 0);
        assert_int_equal(st.st_size, sizeof i);
    }
}

static int descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void two_at_once(void **state)
{
    struct giver *two = giver_of(2), *three = giver_of(3);
    int before = descriptors();

    put("out/model/w", "weights");
    begin_give(two);
    begin_give(three);
    end_give(two);
    end_give(three);
    assert_true(has("in/algo-2/model/w", "weights") && has("in/algo-3/model/w", "weights"));
    /* A job of a thousand instances has no more descriptors than others. */
    for (int i = 0; i < 2000 && descriptors() > before; i++)
        usleep(10000);
    assert_int_equal(descriptors(), before);
}

/* --- Whoever is killed, at whatever step: somebody in the middle hangs up after so many bytes --- */

struct proxy {
    int listener, port;
    size_t cut[2];  /* to the leader, to the follower: the first connection ends after these; SIZE_MAX: it does not */
    size_t flip;    /* this byte to the leader, of the first connection, is another one */
    size_t went[2]; /* of the last connection */
    int connections;
    unsigned char said[1 << 16]; /* to the leader, by the last one */
    pthread_t thread;
};

static void pass(struct proxy *p, int follower, int to_leader)
{
    struct pollfd fds[2] = { { follower, POLLIN, 0 }, { to_leader, POLLIN, 0 } };
    bool first = p->connections++ == 0;

    p->went[0] = p->went[1] = 0;
    for (;;) {
        poll(fds, 2, -1);
        for (int way = 0; way < 2; way++) {
            unsigned char bytes[4096];
            size_t left = first && p->cut[way] != SIZE_MAX ? p->cut[way] - p->went[way] : sizeof bytes;
            ssize_t n;

            if (!left)
                return;
            if (!fds[way].revents)
                continue;
            n = recv(fds[way].fd, bytes, left < sizeof bytes ? left : sizeof bytes, 0);
            if (n <= 0)
                return;
            if (way == 0 && first && p->flip >= p->went[0] && p->flip < p->went[0] + (size_t)n)
                bytes[p->flip - p->went[0]] ^= 1;
            if (way == 0 && p->went[0] + (size_t)n <= sizeof p->said)
                memcpy(p->said + p->went[0], bytes, (size_t)n);
            p->went[way] += (size_t)n;
            if (send(fds[!way].fd, bytes, (size_t)n, MSG_NOSIGNAL) != n)
                return;
        }
    }
}

static void *run_proxy(void *data)
{
    struct proxy *p = data;
    int follower;

    while ((follower = accept(p->listener, NULL, NULL)) >= 0) {
        int to_leader = call(2, port);

        pass(p, follower, to_leader);
        close(follower);
        close(to_leader);
    }
    return NULL;
}

static struct proxy *begin_proxy(size_t to_leader, size_t to_follower, size_t flip)
{
    struct sockaddr_in own = place(1, 0);
    struct proxy *p = calloc(1, sizeof *p);
    socklen_t size = sizeof own;

    p->cut[0] = to_leader;
    p->cut[1] = to_follower;
    p->flip = flip;
    p->listener = new_socket(1, 0);
    assert_int_equal(listen(p->listener, 8), 0);
    getsockname(p->listener, (struct sockaddr *)&own, &size);
    p->port = ntohs(own.sin_port);
    assert_int_equal(pthread_create(&p->thread, NULL, run_proxy, p), 0);
    return p;
}

static void end_proxy(struct proxy *p)
{
    shutdown(p->listener, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    close(p->listener);
    free(p);
}

/* Returns how many bytes went each way when nobody was in the way any more. */
static void give_through(size_t to_leader, size_t to_follower, size_t flip, size_t ret_went[2])
{
    struct proxy *p = begin_proxy(to_leader, to_follower, flip);
    struct giver *g = giver_of(2);
    struct err err;

    assert_int_equal(tree_remove(at("in"), &err), 0);
    make("in");
    g->s.port = p->port;
    begin_give(g);
    end_give(g);
    if (ret_went)
        memcpy(ret_went, p->went, sizeof p->went);
    assert_true(has("in/algo-2/model/w", "weights"));
    assert_true(has("in/algo-2/data/d", "data"));
    assert_true(path_exists(at("in/algo-2.done")));
    assert_false(path_exists(at("in/algo-2.part")));
    assert_int_equal(p->connections, to_leader == SIZE_MAX && to_follower == SIZE_MAX && flip == SIZE_MAX ? 1 : 2);
    end_proxy(p);
}

static void a_cut_at_any_byte(void **state)
{
    size_t went[2];

    put("out/model/w", "weights");
    put("out/output/data/d", "data");
    give_through(SIZE_MAX, SIZE_MAX, SIZE_MAX, went);
    for (size_t cut = 0; cut < went[0]; cut += cut < 64 ? 21 : 1511)
        give_through(cut, SIZE_MAX, SIZE_MAX, NULL);
    give_through(went[0] - 1, SIZE_MAX, SIZE_MAX, NULL);
    for (size_t cut = 0; cut < went[1]; cut += 29)
        give_through(SIZE_MAX, cut, SIZE_MAX, NULL);
    give_through(SIZE_MAX, went[1] - 1, SIZE_MAX, NULL);
}

static void a_changed_byte_anywhere(void **state)
{
    size_t went[2];

    put("out/model/w", "weights");
    put("out/output/data/d", "data");
    give_through(SIZE_MAX, SIZE_MAX, SIZE_MAX, went);
    /* Not the size of a frame: the other side would wait for what never comes. */
    for (size_t at_byte = 92; at_byte < went[0]; at_byte += 1511)
        give_through(SIZE_MAX, SIZE_MAX, at_byte, NULL);
}

static void what_a_killed_leader_left(void **state)
{
    struct err err;
    struct giver *g = giver_of(2);

    put("out/model/w", "weights");
    /* In the middle of it, and with a name but without the mark. */
    make("in/algo-2.part/model/of");
    put("in/algo-2.part/model/of/half", "half");
    make("in/algo-2/model");
    put("in/algo-2/model/old", "old");
    give(2);
    assert_true(has("in/algo-2/model/w", "weights"));
    assert_false(path_exists(at("in/algo-2/model/old")) || path_exists(at("in/algo-2/model/of/half")));
    /* With the mark, which the other has not heard of: it is not taken a second time. */
    put("out/model/w", "others");
    assert_int_equal(tree_remove(at("in/algo-2"), &err), 0);
    give(2);
    assert_false(path_exists(at("in/algo-2")));
    /* Away for a while. */
    assert_int_equal(unlink(at("in/algo-2.done")), 0);
    end_leader();
    begin_give(g);
    usleep(300000);
    begin_leader();
    end_give(g);
    assert_true(has("in/algo-2/model/w", "others"));
}

static struct handover_line line_of(int fd)
{
    return (struct handover_line){ .fd = fd, .cancel_fd = -1, .quiet_ms = 20000 };
}

/* Speaks as the agent of instance 2 does, as far as the leader wants to have it. */
static int offer(struct handover_line *l)
{
    unsigned char token[HANDOVER_TOKEN_SIZE];
    enum handover_kind kind;
    struct str said;
    struct err err = { 0 };

    if (handover_token(&order, token, &err) < 0 || handover_line_call(l, token, 2, &err) < 0 ||
        handover_line_send(l, HANDOVER_OFFER, "\1", 1, &err) < 0 || handover_line_receive(l, &kind, &said, &err) < 0)
        fail_msg("%s", err.text);
    return kind;
}

/* What was sent is counted on when the other end would find that again. */
static void the_end_is_noted_at_both_ends(void **state)
{
    static const char nothing[1024];
    struct giver *g = giver_of(2);
    struct err err = { 0 };
    enum handover_kind kind;
    struct str said;

    for (int noted = 0; noted < 2; noted++) {
        int fd = call(2, port);
        struct handover_line l = line_of(fd);

        assert_int_equal(offer(&l), HANDOVER_WANTED);
        for (int i = 0; i < 2; i++)
            if (handover_line_send(&l, HANDOVER_PIECE, nothing, sizeof nothing, &err) < 0 ||
                handover_line_send(&l, HANDOVER_PIECE, NULL, 0, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(handover_line_receive(&l, &kind, &said, &err), 0);
        assert_int_equal(kind, HANDOVER_WHOLE);
        assert_false(path_exists(at("in/algo-2.done")));
        if (noted) {
            assert_int_equal(handover_line_send(&l, HANDOVER_NOTED, NULL, 0, &err), 0);
            assert_int_equal(handover_line_receive(&l, &kind, &said, &err), 0);
            assert_int_equal(kind, HANDOVER_KEPT);
            assert_true(path_exists(at("in/algo-2.done")));
        }
        handover_line_end(&l);
        close(fd);
    }
    /* All have given, and the job of the leader is over. */
    end_leader();
    put("given-2", "");
    g->s.patience_ms = 300;
    begin_give(g);
    end_give(g);
}

static void a_new_agent_need_not_wait_for_the_old_one(void **state)
{
    int fd = call(2, port);
    struct handover_line l = line_of(fd);

    put("out/model/w", "weights");
    assert_int_equal(offer(&l), HANDOVER_WANTED);
    give(2);
    assert_true(has("in/algo-2/model/w", "weights"));
    handover_line_end(&l);
    close(fd);
}

/* --- Who is no instance --- */

static void no_token_no_entry(void **state)
{
    struct giver *g = giver_of(2);
    struct stat st;

    g->s.patience_ms = 200; /* somebody answers, so it would go on for ever */
    g->token[0] ^= 1;
    g->s.cancel_fd = eventfd(0, EFD_CLOEXEC);
    put("out/model/w", "weights");
    begin_give(g);
    usleep(700000);
    assert_int_equal(eventfd_write(g->s.cancel_fd, 1), 0);
    pthread_join(g->thread, NULL);
    close(g->s.cancel_fd);
    assert_int_equal(g->r, -1);
    assert_int_equal(g->err.kind, ERR_CONFLICT);
    assert_int_equal(stat(at("in/algo-2"), &st), -1);
    assert_int_equal(stat(at("in/algo-2.part"), &st), -1);
}

/* A container has the leader's port: it hears who knocks, and nothing else. */
static void a_stranger_at_the_port(void **state)
{
    struct sockaddr_in own = place(1, 0);
    struct giver *g = giver_of(2);
    int listener = new_socket(1, 0), fd, cancel = eventfd(0, EFD_CLOEXEC);
    socklen_t size = sizeof own;
    char bytes[4096];

    assert_int_equal(listen(listener, 8), 0);
    getsockname(listener, (struct sockaddr *)&own, &size);
    g->s.port = ntohs(own.sin_port);
    g->s.cancel_fd = cancel;
    begin_give(g);
    fd = accept(listener, NULL, NULL);
    assert_int_equal(recv(fd, bytes, 42, MSG_WAITALL), 42);
    assert_int_equal(send(fd, bytes, 64, 0), 64);
    assert_int_equal(recv(fd, bytes, sizeof bytes, 0), 0);
    close(fd);
    assert_int_equal(eventfd_write(cancel, 1), 0);
    pthread_join(g->thread, NULL);
    assert_int_equal(g->r, -1);
    close(listener);
    close(cancel);
}

static void what_was_recorded_is_worth_nothing(void **state)
{
    struct proxy *p = begin_proxy(SIZE_MAX, SIZE_MAX, SIZE_MAX);
    struct giver *g = giver_of(2);
    struct err err;
    char byte;
    int fd;

    put("out/model/w", "weights");
    g->s.port = p->port;
    begin_give(g);
    end_give(g);
    assert_int_equal(tree_remove(at("in"), &err), 0);
    make("in");
    assert_in_range(p->went[0], 100, sizeof p->said);
    fd = call(2, port);
    assert_int_equal(send(fd, p->said, p->went[0], MSG_NOSIGNAL), p->went[0]);
    while (recv(fd, &byte, 1, 0) > 0)
        ;
    close(fd);
    end_proxy(p);
    assert_false(path_exists(at("in/algo-2.done")) || path_exists(at("in/algo-2")) ||
                 path_exists(at("in/algo-2.part")));
}

static void who_knocks_holds_nobody_up(void **state)
{
    static const char junk[] = "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n";
    int silent[8], loud, other;
    char byte;

    put("out/model/w", "weights");
    for (int i = 0; i < 8; i++)
        silent[i] = call(2, port);
    loud = call(2, port);
    assert_int_equal(send(loud, junk, sizeof junk, 0), sizeof junk);
    other = call(1, port); /* the leader's own container */
    assert_true(recv(other, &byte, 1, 0) <= 0);
    give(2);
    give(3);
    assert_true(has("in/algo-2/model/w", "weights") && has("in/algo-3/model/w", "weights"));
    for (int i = 0; i < 8; i++)
        close(silent[i]);
    close(loud);
    close(other);
}

/* Who has the token is an agent, but what its container left is not to be trusted: nothing leads out of the folder. */
static void an_archive_that_leads_out(void **state)
{
    static const struct { const char *name, *target; char type; } entries[] = {
        { "../../../x", "", '0' }, { "/tmp/x", "", '0' }, { "l", "/etc/passwd", '2' }, { "h", "../../../w", '1' },
        { "d", "", '3' }, { "p", "", '6' },
    };

    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        int fd = call(2, port);
        struct handover_line l = line_of(fd);
        char tar[1024 + 512] = { 0 };
        enum handover_kind kind;
        struct err err = { 0 };
        unsigned sum = 0;
        struct str said;

        snprintf(tar, 100, "%s", entries[i].name);
        memcpy(tar + 100, "0000644", 7);
        memcpy(tar + 108, "0000000", 7);
        memcpy(tar + 116, "0000000", 7);
        memcpy(tar + 124, "00000000000", 11);
        memcpy(tar + 136, "00000000000", 11);
        memset(tar + 148, ' ', 8);
        tar[156] = entries[i].type;
        snprintf(tar + 157, 100, "%s", entries[i].target);
        memcpy(tar + 257, "ustar\00000", 8);
        for (int n = 0; n < 512; n++)
            sum += (unsigned char)tar[n];
        snprintf(tar + 148, 8, "%06o", sum);
        assert_int_equal(offer(&l), HANDOVER_WANTED);
        assert_int_equal(handover_line_send(&l, HANDOVER_PIECE, tar, sizeof tar, &err), 0);
        assert_int_equal(handover_line_receive(&l, &kind, &said, &err), 0);
        assert_int_equal(kind, HANDOVER_REFUSED);
        assert_int_equal(said.data[0], ERR_INVALID);
        handover_line_end(&l);
        close(fd);
        assert_false(path_exists(at("x")) || path_exists(at("in/x")) || path_exists("/tmp/x"));
    }
}

/* --- What cannot be --- */

static void fails_with(struct giver *g, enum err_kind kind, const char *words)
{
    begin_give(g);
    pthread_join(g->thread, NULL);
    assert_int_equal(g->r, -1);
    if (g->err.kind != kind || !strstr(g->err.text, words))
        fail_msg("%d %s", g->err.kind, g->err.text);
    assert_false(path_exists(at("in/algo-2.part")) || path_exists(at("in/algo-2.done")));
}

static void a_disk_that_takes_no_more(void **state)
{
    static char bytes[1 << 20];
    struct rlimit before, small;
    struct err err;

    for (int i = 0; i < 16; i++)
        assert_int_equal(file_write_atomic(at(arena_printf(arena, "out/model/%d", i)), bytes, sizeof bytes, 0600, &err),
                         0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){ 1 << 19, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    fails_with(giver_of(2), ERR_INTERNAL, "algo-1 cannot take the results of this instance: unpack 0: File too large");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    give(2);
}

static void more_than_the_volume(void **state)
{
    struct giver *g = giver_of(2);
    static char bytes[1 << 20];
    struct err err;

    end_leader();
    order.disk_bytes = 1000;
    begin_leader();
    assert_int_equal(file_write_atomic(at("out/model/w"), bytes, sizeof bytes, 0600, &err), 0);
    fails_with(g, ERR_LIMIT, "more than there is room for");
}

static int is_over(void *data, struct err *err)
{
    *err = (struct err){ .kind = ERR_INTERNAL, .text = "there is no way any more" };
    return -1;
}

static void nobody_there(void **state)
{
    struct giver *g = giver_of(2);

    end_leader();
    g->s.patience_ms = 300;
    fails_with(g, ERR_UNAVAILABLE, "algo-1, which puts the results of all instances together, was out of reach");
    g = giver_of(2);
    g->s.over = is_over;
    fails_with(g, ERR_INTERNAL, "there is no way any more");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(everything_arrives),
        TEST(a_failed_one_gives_its_data_alone),
        TEST(holes_stay_holes),
        TEST(many_small_files),
        TEST(two_at_once),
        TEST(a_cut_at_any_byte),
        TEST(a_changed_byte_anywhere),
        TEST(what_a_killed_leader_left),
        TEST(the_end_is_noted_at_both_ends),
        TEST(a_new_agent_need_not_wait_for_the_old_one),
        TEST(no_token_no_entry),
        TEST(a_stranger_at_the_port),
        TEST(what_was_recorded_is_worth_nothing),
        TEST(who_knocks_holds_nobody_up),
        TEST(an_archive_that_leads_out),
        TEST(a_disk_that_takes_no_more),
        TEST(more_than_the_volume),
        TEST(nobody_there),
    };

    log_setup("test_handover_between", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
