/* uplink.c - an instance's network is its own namespace, or with the process driver a free port of this machine. */
#include "agent/uplink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "run/folder.h"
#include "run/tunnel_device.h"

void uplink_init(struct uplink *u)
{
    u->arena = arena_new();
}

static enum network_mode mode_of(const struct order *o)
{
    if (order_spans_machines(o))
        return o->isolated ? NETWORK_NONE : NETWORK_SECOND;
    if (!o->isolated)
        return NETWORK_OUT;
    if (!order_ends(o))
        return NETWORK_LOCAL;
    /* Through a tunnel it reaches them in any case. */
    return !o->peers ? NETWORK_NONE : tunnel_wanted(o) ? NETWORK_LOCAL : NETWORK_PEERS;
}

static void *early_thread(void *data)
{
    struct uplink *u = data;
    struct early *e = &u->early;

    e->result = network_setup(e->arena, u->order->run_folder, u->order->name, mode_of(u->order), &e->network, &e->err);
    return NULL;
}

void uplink_early(struct uplink *u)
{
    if (u->process || u->network.namespace_path)
        return;
    u->early.arena = arena_new();
    u->early.result = -1;
    u->early.running = pthread_create(&u->early.thread, NULL, early_thread, u) == 0;
}

/* What cannot be had early is tried again, and then told, when it is needed. */
void uplink_wait(struct uplink *u)
{
    if (!u->early.running)
        return;
    pthread_join(u->early.thread, NULL);
    u->early.running = false;
    if (u->early.result == 0)
        u->network = u->early.network;
}

static int free_port(struct arena *a, const char *folder, int *ret, struct err *err)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof to;
    const struct doc *before;
    struct doc *d = doc_map(a);
    _cleanup_fd_ int fd = -1;

    if (folder_read(a, folder, "port.json", &before, err) < 0)
        return -1;
    if (doc_int(before, "port", 0)) {
        *ret = (int)doc_int(before, "port", 0);
        return 0;
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof to) < 0 || getsockname(fd, (struct sockaddr *)&to, &size) < 0)
        return fail_errno(err, errno, "find a free port");
    *ret = ntohs(to.sin_port);
    doc_set_integer(a, d, "port", *ret);
    return folder_write(a, folder, "port.json", d, false, err);
}

/* Of the container among the hosts of its job. */
static const char *address_of(const struct uplink *u, struct arena *a)
{
    const struct order *o = u->order;

    return order_spans_machines(o) ? tunnel_address(a, order_number(o, o->host_name)) : u->network.address;
}

/* By host name and by agent, in the order of the job's hosts. */
static int list_peers(const struct uplink *u, const char **hosts, const char **names)
{
    const struct order *o = u->order;
    int count = 0;

    for (size_t i = 0; i < list_count(o->hosts); i++) {
        hosts[count] = doc_value_text(o->hosts->items[i]);
        names[count] = doc_text(o->peers, hosts[count]);
        count += *names[count] && strcmp(names[count], o->name) != 0;
    }
    return count;
}

/* On this host they have their addresses from now on, whenever they come. Only those of a job without a tunnel are let
 * through to each other. */
static int meet_here(struct uplink *u, const char *const *names, int count, struct tunnel_peer *peers, struct err *err)
{
    const struct order *o = u->order;
    struct network *networks = arena_array_of(u->arena, struct network, (size_t)count);
    int r = tunnel_wanted(o) ? network_meet(u->arena, o->run_folder, names, count, networks, err)
                             : network_join(u->arena, o->run_folder, o->name, names, count, networks, err);

    for (int i = 0; r == 0 && i < count; i++)
        peers[i] = (struct tunnel_peer){ networks[i].address, networks[i].gateway };
    return r;
}

static int find_peers(struct uplink *u, struct err *err)
{
    const struct order *o = u->order;
    size_t most = list_count(o->hosts);
    const char **names, **hosts, **lines;
    struct tunnel_peer *peers;
    int count;

    if (!o->peers || u->peer_lines)
        return 0;
    names = arena_array_of(u->arena, const char *, most);
    hosts = arena_array_of(u->arena, const char *, most);
    lines = arena_array_of(u->arena, const char *, most);
    peers = arena_array_of(u->arena, struct tunnel_peer, most);
    count = list_peers(u, hosts, names);
    if (order_spans_machines(o)) {
        for (int i = 0; i < count; i++)
            peers[i] = (struct tunnel_peer){ tunnel_address(u->arena, order_number(o, hosts[i])), "" };
    } else if (meet_here(u, names, count, peers, err) < 0) {
        return -1;
    }
    for (int i = 0; i < count; i++)
        lines[i] = arena_printf(u->arena, "%s %s", peers[i].address, hosts[i]);
    u->peers = peers;
    u->peer_lines = lines;
    u->peer_count = count;
    return 0;
}

static int start_tunnel(struct uplink *u, struct err *err)
{
    const struct tunnel_options options = { .order = u->order, .folder = u->folder, .network = &u->network,
                                            .address = address_of(u, u->arena), .peers = u->peers,
                                            .count = u->peer_count };

    return u->tunnel || !tunnel_wanted(u->order) ? 0 : tunnel_new(&options, &u->tunnel, err);
}

static int connect_process(struct uplink *u, struct err *err)
{
    if (order_ends(u->order))
        return 0;
    if (free_port(u->arena, u->folder, &u->port, err) < 0)
        return -1;
    u->network.address = "127.0.0.1";
    return 0;
}

static int connect_container(struct uplink *u, struct err *err)
{
    uplink_wait(u);
    if (!u->network.namespace_path &&
        network_setup(u->arena, u->order->run_folder, u->order->name, mode_of(u->order), &u->network, err) < 0)
        return -1;
    u->port = (int)u->order->port;
    return find_peers(u, err) < 0 ? -1 : start_tunnel(u, err);
}

int uplink_connect(struct uplink *u, struct err *err)
{
    if (u->connected)
        return 0;
    if ((u->process ? connect_process(u, err) : connect_container(u, err)) < 0)
        return -1;
    u->connected = true;
    return 0;
}

const char *const *uplink_hosts(const struct uplink *u, struct arena *a)
{
    const char **lines = arena_array_of(a, const char *, (size_t)u->peer_count + 2);
    const char *address = address_of(u, a);

    lines[0] = arena_printf(a, "%s %s", address && *address ? address : "127.0.1.1", u->order->host_name);
    for (int i = 0; i < u->peer_count; i++)
        lines[i + 1] = u->peer_lines[i];
    return lines;
}

void uplink_end(struct uplink *u)
{
    uplink_wait(u);
    tunnel_free(u->tunnel);
    arena_free(u->early.arena);
    arena_free(u->arena);
}
