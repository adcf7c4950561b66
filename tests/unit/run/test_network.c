/* Who may talk to whom, as the kernel's table has it, on a host of its own. Needs root, as containers do; skipped
 * without. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/fd.h"
#include "run/network.h"

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
    struct network n;
    struct err err = { 0 };

    if (network_setup(f->arena, f->run, name, NETWORK_PEERS, &n, &err) < 0 ||
        network_join(f->arena, f->run, name, peers, count, addresses + 1, &err) < 0)
        fail_msg("%s", err.text);
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

/* Neither its reservations nor its table are those of this machine. */
static void be_another_host(void)
{
    if (geteuid() == 0 && (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
                           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                           mount("none", "/run", "tmpfs", 0, NULL) < 0)) {
        perror("be another host");
        exit(1);
    }
}

int main(void)
{
    be_another_host();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_goes_leaves_no_way_behind, begin, end),
        cmocka_unit_test_setup_teardown(many_are_still_let_through_when_the_table_is_made_anew, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
