/* Who may talk to whom, as the kernel's table has it, on a host of its own. Needs root, as containers do; skipped
 * without. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "run/network.h"
#include "run/network_look.h"
#include "run/tunnel_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct fixture {
    struct arena *arena;
    char run[64];
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->arena = arena_new();
    snprintf(f->run, sizeof f->run, "/tmp/sagebrush-network-XXXXXX");
    assert_non_null(mkdtemp(f->run));
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    struct err err;

    tree_remove(f->run, &err);
    arena_free(f->arena);
    free(f);
    return 0;
}

/* Both directions, or none. */
static bool may_talk(struct fixture *f, const char *one, const char *other)
{
    const char *there = arena_printf(f->arena, "%s . %s", one, other),
               *back = arena_printf(f->arena, "%s . %s", other, one);
    static char text[1 << 20];
    FILE *nft = popen("/usr/sbin/nft list set ip sagebrush peers 2>&1", "re");
    size_t size = fread(text, 1, sizeof text - 1, nft);

    pclose(nft);
    text[size] = '\0';
    /* Each element ends with a comma or a blank: 10.213.0.2 is not the beginning of 10.213.0.22. */
    there = arena_printf(f->arena, "%s%s", there, strstr(text, arena_printf(f->arena, "%s,", there)) ? "," : " ");
    back = arena_printf(f->arena, "%s%s", back, strstr(text, arena_printf(f->arena, "%s,", back)) ? "," : " ");
    assert_int_equal(strstr(text, there) != NULL, strstr(text, back) != NULL);
    return strstr(text, there) != NULL;
}

static void join(struct fixture *f, const char *name, const char *const *peers, int count, const char **addresses)
{
    struct network n, others[24];
    struct err err = { 0 };

    if (network_setup(f->arena, f->run, name, NETWORK_PEERS, &n, &err) < 0 ||
        network_join(f->arena, f->run, name, peers, count, others, &err) < 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < count; i++)
        addresses[i + 1] = others[i].address;
    addresses[0] = n.address;
}

static void leave(struct fixture *f, const char *name)
{
    struct err err = { 0 };

    if (network_remove(f->arena, f->run, name, &err) < 0)
        fail_msg("%s", err.text);
}

/* The address of one that came never, or has gone first, is another job's next. */
static void who_goes_leaves_no_way_behind(void **state)
{
    static const char *const names[] = { "a", "b", "c" };
    struct fixture *f = *state;
    const char *of_a[3], *of_b[3];

    if (geteuid() != 0)
        skip();
    join(f, "a", (const char *const[]){ "b", "c" }, 2, of_a);
    assert_true(may_talk(f, of_a[0], of_a[1]));
    assert_true(may_talk(f, of_a[0], of_a[2]));
    leave(f, "c"); /* only its address was there */
    assert_false(may_talk(f, of_a[0], of_a[2]));
    assert_true(may_talk(f, of_a[0], of_a[1]));
    join(f, "b", (const char *const[]){ "a" }, 1, of_b);
    assert_string_equal(of_b[0], of_a[1]);
    assert_string_equal(of_b[1], of_a[0]);
    leave(f, "a");
    assert_false(may_talk(f, of_a[0], of_b[0]));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        leave(f, names[i]);
}

/* To itself, as much as the kernel takes. */
static int said_and_closed(const struct network *n, int port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    static const char words[1 << 16];
    struct err err;
    ssize_t size;
    int fd, total = 0;

    assert_int_equal(inet_pton(AF_INET, n->address, &to.sin_addr), 1);
    assert_int_equal(network_socket(n, &fd, &err), 0);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0); /* waits for it */
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    while ((size = send(fd, words, sizeof words, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
        total += (int)size;
    assert_int_equal(errno, EAGAIN);
    close(fd);
    return total;
}

static int heard(int listener)
{
    _cleanup_fd_ int fd = accept(listener, NULL, NULL);
    static char words[1 << 16];
    ssize_t size;
    int total = 0;

    assert_true(fd >= 0);
    while ((size = read(fd, words, sizeof words)) > 0)
        total += (int)size;
    return total;
}

static void what_was_said_is_on_its_way_until_it_is_heard(void **state)
{
    struct fixture *f = *state;
    struct network n;
    struct err err;
    int listener, said;

    if (geteuid() != 0)
        skip();
    assert_int_equal(network_setup(f->arena, f->run, "a", NETWORK_PEERS, &n, &err), 0);
    assert_int_equal(network_listen(&n, n.address, 7000, &listener, &err), 0);
    assert_false(network_undelivered(&n));
    said = said_and_closed(&n, 7000);
    assert_true(said > 0 && network_undelivered(&n));
    assert_int_equal(heard(listener), said);
    for (int i = 0; i < 2000 && network_undelivered(&n); i++)
        usleep(5000);
    assert_false(network_undelivered(&n));
    close(listener);
    leave(f, "a");
    assert_false(network_undelivered(&n));
}

/* A firewall that reloads takes the table along. */
static void many_are_still_let_through_when_the_table_is_made_anew(void **state)
{
    struct fixture *f = *state;
    const char *peers[24], *of_a[25];

    if (geteuid() != 0)
        skip();
    for (int i = 0; i < 24; i++)
        peers[i] = arena_printf(f->arena, "p%d", i);
    join(f, "a", peers, 24, of_a);
    join(f, "a", peers, 24, of_a); /* again is harmless */
    unlink("/run/sagebrush/net/rules");
    join(f, "x", NULL, 0, (const char *[1]){ NULL });
    for (int i = 1; i < 25; i++)
        assert_true(may_talk(f, of_a[0], of_a[i]));
    leave(f, "a");
    for (int i = 1; i < 25; i++)
        assert_false(may_talk(f, of_a[0], of_a[i]));
    for (int i = 0; i < 24; i++)
        leave(f, peers[i]);
    leave(f, "x");
}

static void the_table_is_made_when_it_is_gone_and_not_again(void **state)
{
    struct fixture *f = *state;

    if (geteuid() != 0)
        skip();
    join(f, "a", NULL, 0, (const char *[1]){ NULL });
    assert_int_equal(system("/usr/sbin/nft add rule ip sagebrush inbound counter"), 0);
    join(f, "b", NULL, 0, (const char *[1]){ NULL });
    assert_int_equal(system("/usr/sbin/nft list chain ip sagebrush inbound | grep -q counter"), 0);
    assert_int_equal(system("/usr/sbin/nft delete table ip sagebrush"), 0);
    join(f, "c", NULL, 0, (const char *[1]){ NULL });
    assert_int_equal(system("/usr/sbin/nft list chain ip sagebrush inbound >/dev/null"), 0);
    leave(f, "a");
    leave(f, "b");
    leave(f, "c");
}

/* The server of another root has its reservations elsewhere, and the same interfaces and rules. */
static void what_others_of_this_machine_have_is_left_to_them(void **state)
{
    struct fixture *f = *state;
    struct network a, other;
    struct err err = { 0 };

    if (geteuid() != 0)
        skip();
    assert_int_equal(network_setup(f->arena, f->run, "a", NETWORK_OUT, &a, &err), 0);
    assert_int_equal(rename("/run/sagebrush/net", "/run/sagebrush/elsewhere"), 0);
    assert_int_equal(rename(arena_printf(f->arena, "%s/netns", f->run), arena_printf(f->arena, "%s/other", f->run)), 0);
    assert_int_equal(network_setup(f->arena, f->run, "a", NETWORK_OUT, &other, &err), 0);
    assert_string_not_equal(a.address, other.address);
    leave(f, "a");
    assert_int_equal(system("/usr/sbin/nft list set ip sagebrush peers >/dev/null"), 0);
    assert_int_equal(tree_remove("/run/sagebrush/net", &err), 0);
    assert_int_equal(rename("/run/sagebrush/elsewhere", "/run/sagebrush/net"), 0);
    assert_int_equal(rename(arena_printf(f->arena, "%s/other", f->run), arena_printf(f->arena, "%s/netns", f->run)), 0);
    leave(f, "a");
}

struct visit {
    const char *address;
    int errno_value; /* 0: there is a way */
};

static int look_for_way(void *data, struct err *err)
{
    struct visit *v = data;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(7400) };
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_int_equal(inet_pton(AF_INET, v->address, &to.sin_addr), 1);
    v->errno_value = connect(s, (struct sockaddr *)&to, sizeof to) < 0 ? errno : 0;
    close(s);
    return 0;
}

static int way(const struct network *n, const char *address)
{
    struct visit v = { .address = address };
    struct err err;

    assert_int_equal(network_inside(n, look_for_way, &v, &err), 0);
    return v.errno_value;
}

/* With one peer; server "": both are here. */
static int open_tunnel(const struct network *n, const char *address, const char *peer, const char *server,
                       int *ret_device, int *ret_socket, struct err *err)
{
    const char *const peers[] = { peer, NULL };
    const struct tunnel_device d = { .network = n, .address = address, .peers = peers, .server = server };

    return tunnel_device_open(&d, ret_device, ret_socket, err);
}

/* The peers through the tunnel or not at all; the outside as ever; nobody is let through in clear text. */
static void without_its_tunnel_a_peer_is_out_of_reach(void **state)
{
    struct fixture *f = *state;
    struct network a, b, again;
    int device = -1, s = -1, other, of_other, none;
    struct err err = { 0 };

    if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) < 0)
        skip();
    assert_int_equal(network_setup(f->arena, f->run, "a", NETWORK_OUT, &a, &err), 0);
    assert_int_equal(network_meet(f->arena, f->run, (const char *const[]){ "b" }, 1, &b, &err), 0);
    assert_int_equal(way(&a, b.address), 0); /* by the default route, as far as the rules let it */
    if (open_tunnel(&a, a.address, b.address, "", &device, &s, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(way(&a, b.address), 0);
    assert_int_equal(way(&a, "10.213.255.250"), EHOSTUNREACH);
    assert_int_equal(way(&a, "192.0.2.1"), 0);
    assert_false(may_talk(f, a.address, b.address));
    assert_int_equal(network_setup(f->arena, f->run, "b", NETWORK_PEERS, &again, &err), 0);
    assert_string_equal(again.address, b.address);
    assert_false(may_talk(f, a.address, b.address));
    /* Not even where there is a way to all containers. */
    assert_int_equal(open_tunnel(&again, again.address, a.address, "", &other, &of_other, &err), 0);
    assert_int_equal(way(&again, a.address), 0);
    close(other);
    close(of_other);
    assert_int_equal(way(&again, a.address), EHOSTUNREACH);
    /* Another one for the same container would be another counter. */
    assert_int_equal(open_tunnel(&a, a.address, b.address, "", &none, &none, &err), -1);
    close(device);
    assert_int_equal(way(&a, b.address), EHOSTUNREACH);
    assert_int_equal(way(&a, "192.0.2.1"), 0);
    close(s);
    leave(f, "a");
    leave(f, "b");
}

struct seen {
    const char *name;
    char address[INET_ADDRSTRLEN];
    int mtu;
};

static int look_at_interface(void *data, struct err *err)
{
    struct seen *i = data;
    struct ifreq address = { 0 }, mtu = { 0 };
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    strcpy(address.ifr_name, i->name);
    strcpy(mtu.ifr_name, i->name);
    assert_int_equal(ioctl(s, SIOCGIFADDR, &address), 0);
    assert_int_equal(ioctl(s, SIOCGIFMTU, &mtu), 0);
    inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)&address.ifr_addr)->sin_addr, i->address, sizeof i->address);
    i->mtu = mtu.ifr_mtu;
    close(s);
    return 0;
}

/* A new network has none that is up, not even this one. */
static void loopback_up(void)
{
    struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_int_equal(ioctl(s, SIOCSIFFLAGS, &up), 0);
    close(s);
}

static struct seen interface_in(const struct network *n, const char *name)
{
    struct seen seen = { .name = name };
    struct err err;

    assert_int_equal(network_inside(n, look_at_interface, &seen, &err), 0);
    return seen;
}

struct word {
    const char *from, *to;
};

static int say(void *data, struct err *err)
{
    const struct word *w = data;
    struct sockaddr_in from = { .sin_family = AF_INET }, to = { .sin_family = AF_INET, .sin_port = htons(7500) };
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_int_equal(inet_pton(AF_INET, w->from, &from.sin_addr), 1);
    assert_int_equal(inet_pton(AF_INET, w->to, &to.sin_addr), 1);
    assert_int_equal(bind(s, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(sendto(s, w->from, strlen(w->from), 0, (struct sockaddr *)&to, sizeof to), strlen(w->from));
    close(s);
    return 0;
}

/* By its way out it speaks with the address of that way alone. */
static void speaks_as_itself(const struct network *n, const char *other)
{
    struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(7500) };
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct word words[] = { { other, n->gateway }, { n->address, n->gateway } };
    char heard[INET_ADDRSTRLEN] = "";
    struct err err;

    assert_int_equal(inet_pton(AF_INET, n->gateway, &own.sin_addr), 1);
    assert_int_equal(bind(s, (struct sockaddr *)&own, sizeof own), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(network_inside(n, say, &words[i], &err), 0);
    assert_true(recv(s, heard, sizeof heard - 1, 0) > 0);
    assert_string_equal(heard, n->address);
    close(s);
}

static bool is_bound_to_ipv6(int s)
{
    struct sockaddr_in6 at;
    socklen_t size = sizeof at;

    return getsockname(s, (struct sockaddr *)&at, &size) == 0 && at.sin6_family == AF_INET6 && at.sin6_port != 0 &&
           IN6_IS_ADDR_LOOPBACK(&at.sin6_addr);
}

/* Of a job whose instances may be on different machines: the tunnel is eth0, with addresses of its own. */
static void a_tunnel_to_other_machines(void **state)
{
    struct fixture *f = *state;
    const char *own = tunnel_address(f->arena, 1), *peer = tunnel_address(f->arena, 2);
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    struct network a, b;
    int device = -1, s = -1, of_b, socket_of_b;
    struct err err = { 0 };

    if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) < 0)
        skip();
    assert_int_equal(network_setup(f->arena, f->run, "a", NETWORK_SECOND, &a, &err), 0);
    assert_string_equal(a.interface, "eth1");
    loopback_up();
    if (open_tunnel(&a, own, peer, "127.0.0.1", &device, &s, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(interface_in(&a, "eth1").address, a.address);
    assert_string_equal(interface_in(&a, "eth0").address, own);
    assert_int_equal(interface_in(&a, "eth0").mtu, TUNNEL_MTU);
    assert_int_equal(getsockname(s, (struct sockaddr *)&at, &size), 0);
    assert_true(at.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && at.sin_port != 0);
    assert_int_equal(way(&a, peer), 0);
    assert_int_equal(way(&a, "192.0.2.1"), 0);
    /* Neither who is not of the job, nor past the tunnel to whoever has such an address. */
    assert_int_equal(way(&a, tunnel_address(f->arena, 3)), EHOSTUNREACH);
    assert_int_equal(way(&a, "10.214.255.250"), EHOSTUNREACH);
    speaks_as_itself(&a, own);
    /* An isolated one has nothing else. */
    assert_int_equal(network_setup(f->arena, f->run, "b", NETWORK_NONE, &b, &err), 0);
    if (open_tunnel(&b, peer, own, "::1", &of_b, &socket_of_b, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(is_bound_to_ipv6(socket_of_b));
    assert_int_equal(way(&b, own), 0);
    assert_int_equal(way(&b, "192.0.2.1"), ENETUNREACH);
    close(device);
    assert_int_equal(way(&a, peer), EHOSTUNREACH);
    assert_int_equal(way(&a, "192.0.2.1"), 0);
    close(s);
    close(of_b);
    close(socket_of_b);
    leave(f, "a");
    leave(f, "b");
}

struct call {
    const char *address;
    struct timeval patience;
    bool answered;
};

/* A connection of TCP, or none after a while. */
static int knock(void *data, struct err *err)
{
    struct call *c = data;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(7400) };
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(inet_pton(AF_INET, c->address, &to.sin_addr), 1);
    assert_int_equal(setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &c->patience, sizeof c->patience), 0);
    c->answered = connect(s, (struct sockaddr *)&to, sizeof to) == 0;
    close(s);
    return 0;
}

static bool call(const struct network *from, const char *address, struct timeval patience)
{
    struct call c = { .address = address, .patience = patience };
    struct err err;

    assert_int_equal(from ? network_inside(from, knock, &c, &err) : knock(&c, &err), 0);
    return c.answered;
}

/* What is sent before a new link carries anything is lost, and sent again after a second. */
static bool answers(const struct network *from, const char *address)
{
    return call(from, address, (struct timeval){ .tv_sec = 60 });
}

static bool is_silent(const struct network *from, const char *address)
{
    return !call(from, address, (struct timeval){ .tv_usec = 300000 });
}

/* Another machine of the network, which has this one for a router to its containers. */
static struct network make_neighbour(void)
{
    assert_int_equal(system("ip netns add neighbour && ip link add lan0 type veth peer name lan1 netns neighbour && "
                            "ip address add 192.0.2.1/24 dev lan0 && ip link set lan0 up && "
                            "ip -n neighbour address add 192.0.2.2/24 dev lan1 && ip -n neighbour link set lan1 up && "
                            "ip -n neighbour route add 10.213.0.0/16 via 192.0.2.1"), 0);
    return (struct network){ .namespace_path = "/run/netns/neighbour", .address = "192.0.2.2", .gateway = "" };
}

static void nobody_comes_in_from_outside(void **state)
{
    struct fixture *f = *state;
    struct network a, neighbour;
    struct err err = { 0 };
    int here, there;

    if (geteuid() != 0)
        skip();
    neighbour = make_neighbour();
    assert_int_equal(network_setup(f->arena, f->run, "a", NETWORK_OUT, &a, &err), 0);
    assert_int_equal(network_listen(&a, a.address, 7400, &here, &err), 0);
    assert_int_equal(network_listen(&neighbour, neighbour.address, 7400, &there, &err), 0);
    assert_true(answers(NULL, a.address));
    assert_true(answers(&a, neighbour.address));
    assert_true(is_silent(&neighbour, a.address));
    close(here);
    close(there);
    leave(f, "a");
    assert_int_equal(system("ip netns delete neighbour"), 0);
}

/* Neither its reservations nor its table are those of this machine. */
static void be_another_host(void)
{
    if (geteuid() == 0 && (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
                           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                           mount("none", "/run", "tmpfs", 0, NULL) < 0)) {
        perror("be another host");
        exit(77); /* skipped: root, but not here */
    }
}

int main(void)
{
    be_another_host();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_goes_leaves_no_way_behind, begin, end),
        cmocka_unit_test_setup_teardown(what_was_said_is_on_its_way_until_it_is_heard, begin, end),
        cmocka_unit_test_setup_teardown(many_are_still_let_through_when_the_table_is_made_anew, begin, end),
        cmocka_unit_test_setup_teardown(the_table_is_made_when_it_is_gone_and_not_again, begin, end),
        cmocka_unit_test_setup_teardown(what_others_of_this_machine_have_is_left_to_them, begin, end),
        cmocka_unit_test_setup_teardown(nobody_comes_in_from_outside, begin, end),
        cmocka_unit_test_setup_teardown(without_its_tunnel_a_peer_is_out_of_reach, begin, end),
        cmocka_unit_test_setup_teardown(a_tunnel_to_other_machines, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
