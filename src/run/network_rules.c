/* network_rules.c - one nft table, which knows the interfaces by name: no rule has to be made for each container.
 *
 * Beside the reservations an empty file <index>-<index>.pair, the smaller one first, says that two may talk to each
 * other: it is there before the two elements of the table's set are and goes after them, with the first of the two, so
 * that who gets an address later inherits no pair. */
#include "run/network_rules.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "run/netlink.h"
#include "run/network_pool.h"

/* One transaction, applied as a whole: again is harmless. This host forwards, so whoever is in the same network could
 * take it for a router to its containers, past the server that asks who is there: nobody is let in. And nobody speaks
 * with another's address, nor with the one that it has in a tunnel. */
static const char rules[] =
    "add table ip sagebrush\n"
    "flush table ip sagebrush\n"
    "table ip sagebrush {\n"
    "  set peers { type ipv4_addr . ipv4_addr; }\n"
    "  chain outbound { type nat hook postrouting priority 100; policy accept;\n"
    "    ip saddr 10.213.0.0/16 oifname \"lo\" accept;\n"
    "    ip saddr 10.213.0.0/16 oifname \"sgb*\" accept; ip saddr 10.213.0.0/16 oifname \"sgi*\" accept;\n"
    "    ip saddr 10.213.0.0/16 masquerade; }\n"
    "  chain forward { type filter hook forward priority 0; policy accept;\n"
    "    iifname \"sgb*\" ip saddr != 10.213.0.0/16 drop; iifname \"sgi*\" ip saddr != 10.213.0.0/16 drop;\n"
    "    ip saddr . ip daddr @peers accept;\n"
    "    iifname \"sgi*\" drop; oifname \"sgi*\" drop; iifname \"sgb*\" oifname \"sgb*\" drop;\n"
    "    oifname \"sgb*\" ct state new drop; }\n"
    "  chain inbound { type filter hook input priority 0; policy accept;\n"
    "    iifname \"sgb*\" ip saddr != 10.213.0.0/16 drop; iifname \"sgi*\" ip saddr != 10.213.0.0/16 drop;\n"
    "    iifname \"sgi*\" ct state new drop; }\n"
    "}\n";

static int run_nft(const char *text, struct err *err)
{
    static char *const arguments[] = { "nft", "-f", "-", NULL };
    static char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    posix_spawn_file_actions_t actions;
    char said[512] = "", rest[4096];
    int in[2], out[2], status, r;
    size_t got = 0;
    ssize_t n;
    pid_t pid;

    if (pipe2(in, O_CLOEXEC) < 0)
        return fail_errno(err, errno, "run nft");
    if (pipe2(out, O_CLOEXEC) < 0) {
        close(in[0]);
        close(in[1]);
        return fail_errno(err, errno, "run nft");
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, out[1], 2);
    r = posix_spawnp(&pid, "/usr/sbin/nft", &actions, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    if (r) {
        close(in[1]);
        close(out[0]);
        return fail(err, ERR_UNAVAILABLE, "containers need nft for their outbound network: %s; install nftables",
                    strerror(r));
    }
    r = fd_write_all(in[1], text, strlen(text), err);
    close(in[1]);
    while ((n = read(out[0], said + got, sizeof said - 1 - got)) > 0)
        got += (size_t)n;
    /* To the end: nft dies of a pipe that is closed under it. */
    while (got == sizeof said - 1 && read(out[0], rest, sizeof rest) > 0)
        ;
    close(out[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (r < 0)
        return -1;
    if (status != 0)
        return fail(err, ERR_INTERNAL, "nft refused the rules for containers: %s", said);
    return 0;
}

static bool pair_read(const char *file, int *ret_low, int *ret_high)
{
    int end = 0;

    return sscanf(file, "%d-%d.pair%n", ret_low, ret_high, &end) == 2 && end && !file[end];
}

static const char *pair_path(struct arena *a, int one, int other)
{
    return arena_printf(a, NETWORK_FOLDER "/%d-%d.pair", one < other ? one : other, one < other ? other : one);
}

/* As elements of the set. */
static void pair_append(struct arena *a, struct buf *elements, int one, int other)
{
    const char *x = network_dotted(a, network_pool_address(one)), *y = network_dotted(a, network_pool_address(other));

    buf_printf(elements, "%s%s . %s, %s . %s", elements->size ? ", " : "", x, y, y, x);
}

/* Those with the index, -1: all. */
static void pairs_find(struct arena *a, int index, struct buf *elements)
{
    DIR *folder = opendir(NETWORK_FOLDER);
    struct dirent *entry;
    int low, high;

    while (folder && (entry = readdir(folder)) != NULL)
        if (pair_read(entry->d_name, &low, &high) && (index < 0 || low == index || high == index))
            pair_append(a, elements, low, high);
    if (folder)
        closedir(folder);
}

/* The table and what is let through come in one step: there is no moment without the one or the other. */
static int make_rules(struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_buf_ struct buf elements = { 0 }, text = { 0 };

    pairs_find(a, -1, &elements);
    buf_printf(&text, "%s", rules);
    if (elements.size)
        buf_printf(&text, "add element ip sagebrush peers { %s }\n", elements.data);
    if (run_nft(text.data, err) < 0)
        return -1;
    return file_write_atomic(NETWORK_FOLDER "/rules", rules, sizeof rules - 1, 0600, err);
}

/* The kernel is asked, not the file: a firewall that reloads takes our table along, and isolation with it. And not nft:
 * starting it takes longer than all else that a container's network does. */
static bool has_table(void)
{
    return netlink_has_set("sagebrush", "peers");
}

/* The file says which: those of the version of this program before may be there. */
static bool has_rules(struct arena *a)
{
    struct err ignored;
    struct str made;

    return file_read(a, NETWORK_FOLDER "/rules", sizeof rules, &made, &ignored) == 0 && str_is(made, rules) &&
           has_table();
}

int network_rules_need(struct err *err)
{
    _cleanup_arena_ struct arena *a = arena_new();
    _cleanup_fd_ int lock = -1;

    if (network_pool_lock(&lock, err) < 0)
        return -1;
    return has_rules(a) ? 0 : make_rules(err);
}

int network_rules_join(struct arena *a, int index, const int *others, int count, struct err *err)
{
    _cleanup_buf_ struct buf elements = { 0 };

    for (int i = 0; i < count; i++) {
        if (file_write_atomic(pair_path(a, index, others[i]), "", 0, 0600, err) < 0)
            return -1;
        pair_append(a, &elements, index, others[i]);
    }
    return elements.size ? run_nft(arena_printf(a, "add element ip sagebrush peers { %s }\n", elements.data), err) : 0;
}

/* Adding what is there is harmless, so that what may be gone is added before it is deleted. */
int network_rules_leave(struct arena *a, int index, struct err *err)
{
    _cleanup_buf_ struct buf elements = { 0 };
    DIR *folder;
    struct dirent *entry;
    int low, high, result = 0;

    pairs_find(a, index, &elements);
    if (!elements.size)
        return 0;
    /* Without the table nobody is let through either. */
    if (run_nft(arena_printf(a, "add element ip sagebrush peers { %s }\ndelete element ip sagebrush peers { %s }\n",
                             elements.data, elements.data), err) < 0 && has_table())
        return -1;
    folder = opendir(NETWORK_FOLDER);
    while (folder && result == 0 && (entry = readdir(folder)) != NULL)
        if (pair_read(entry->d_name, &low, &high) && (low == index || high == index) &&
            unlinkat(dirfd(folder), entry->d_name, 0) < 0 && errno != ENOENT)
            result = fail_errno(err, errno, "remove " NETWORK_FOLDER "/%s", entry->d_name);
    if (folder)
        closedir(folder);
    return result;
}

void network_rules_remove(void)
{
    struct err ignored;

    if (!path_exists(NETWORK_FOLDER "/rules"))
        return;
    /* The mark goes first: who dies in between leaves a table that the next one makes anew. */
    unlink(NETWORK_FOLDER "/rules");
    run_nft("delete table ip sagebrush\n", &ignored); /* gone already is fine */
}
