#include "net_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "net/loop.h"

static struct loop *loop;
static struct buf order; /* what happened, in one letter each */

static int set_up(void **state)
{
    struct err err;

    buf_clear(&order);
    return loop_new(&loop, &err);
}

static int tear_down(void **state)
{
    loop_free(loop);
    buf_free(&order);
    return 0;
}

struct letter {
    struct loop_timer timer;
    char name;
};

static void ring(struct loop_timer *t)
{
    buf_append_char(&order, list_entry(t, struct letter, timer)->name);
}

static void test_timers(void **state)
{
    struct letter l[26];
    int64_t now = loop_now_ms(loop);

    for (int i = 0; i < 26; i++) {
        l[i] = (struct letter){ { .run = ring }, (char)('a' + i) };
        loop_timer_set(loop, &l[i].timer, now + 50 - (i * 7 % 26));
    }
    /* Set again, and taken away. */
    loop_timer_set(loop, &l[0].timer, now + 60);
    loop_timer_stop(loop, &l[1].timer);
    loop_timer_stop(loop, &l[1].timer);
    while (l[0].timer.place)
        loop_turn(loop, true);
    assert_int_equal(order.size, 25);
    assert_null(strchr(order.data, 'b'));
    assert_int_equal(order.data[24], 'a');
    for (int i = 1; i < 24; i++)
        assert_true((order.data[i - 1] - 'a') * 7 % 26 >= (order.data[i] - 'a') * 7 % 26);
    assert_true(loop_now_ms(loop) >= now + 60);
}

static void ring_forever(struct loop_timer *t)
{
    ring(t);
    loop_timer_set(loop, t, loop_now_ms(loop));
}

static void test_timer_that_sets_itself(void **state)
{
    struct letter l = { { .run = ring_forever }, 'x' };

    loop_timer_set(loop, &l.timer, 0);
    loop_turn(loop, false);
    assert_int_equal(order.size, 1);
    loop_turn(loop, false);
    assert_int_equal(order.size, 2);
    loop_timer_stop(loop, &l.timer);
}

static void note(void *data)
{
    buf_append_str(&order, data);
}

static void note_and_post(void *data)
{
    note(data);
    loop_post(loop, note, "later ");
}

struct noting_hook {
    struct loop_hook hook;
    char name;
};

static void hook_ran(struct loop_hook *h)
{
    buf_append_char(&order, list_entry(h, struct noting_hook, hook)->name);
}

static void test_turn(void **state)
{
    struct noting_hook one = { { .run = hook_ran }, '1' }, two = { { .run = hook_ran }, '2' };

    loop_turn_end(loop, &one.hook);
    loop_turn_end(loop, &two.hook);
    loop_post(loop, note_and_post, "a ");
    loop_post(loop, note, "b ");
    loop_turn(loop, false);
    /* Hooks run before the loop looks at its descriptors, and after. */
    assert_non_null(strstr(order.data, "a b 12"));
    assert_null(strstr(order.data, "later"));
    loop_turn(loop, true);
    assert_non_null(strstr(order.data, "later 12"));
    loop_turn_end_remove(loop, &one.hook);
    buf_clear(&order);
    loop_turn(loop, false);
    assert_null(strchr(order.data, '1'));
    loop_turn_end_remove(loop, &two.hook);
}

static void *post_many(void *data)
{
    for (int i = 0; i < 1000; i++)
        loop_post(loop, note, "x");
    return NULL;
}

static void test_post_from_threads(void **state)
{
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, post_many, NULL);
    while (order.size < 4000)
        loop_turn(loop, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(order.size, 4000);
}

static pthread_t worked_on;

static void heavy(void *data)
{
    worked_on = pthread_self();
    *(int *)data += 1;
}

static void light(void *data)
{
    *(int *)data += 10;
    loop_stop(loop);
}

static void test_work(void **state)
{
    int value = 0;

    loop_work(loop, heavy, light, &value);
    loop_run(loop);
    assert_int_equal(value, 11);
    assert_false(pthread_equal(worked_on, pthread_self()));
}

static void signalled(void *data, int number)
{
    *(int *)data = number;
}

static void test_signal(void **state)
{
    struct err err;
    int first = 0, second = 0;

    assert_int_equal(loop_signal(loop, SIGUSR1, signalled, &first, &err), 0);
    assert_int_equal(loop_signal(loop, SIGUSR1, signalled, &second, &err), 0);
    raise(SIGUSR1);
    while (!second)
        loop_turn(loop, true);
    assert_int_equal(first, 0);
    assert_int_equal(second, SIGUSR1);
}

static int ended_code, ended_signal, ended_count;

static void ended(void *data, int code, int number)
{
    ended_code = code;
    ended_signal = number;
    ended_count++;
}

static void run_child(const char *script, const int *fds, int fd_count, const char *const *environment)
{
    const char *const arguments[] = { "sh", "-c", script, NULL };
    struct loop_spawn spawn = { .arguments = arguments, .fds = fds, .fd_count = fd_count, .environment = environment };
    struct err err;
    pid_t pid;

    ended_count = 0;
    assert_int_equal(loop_spawn(loop, &spawn, ended, NULL, &pid, &err), 0);
    assert_true(pid > 0);
    while (!ended_count)
        loop_turn(loop, true);
}

static void test_children(void **state)
{
    static const char *const nothing[] = { "/does/not/exist", NULL };
    static const char *const environment[] = { "PATH=/usr/bin:/bin", "A=b c", NULL };
    char got[100] = "";
    int fds[6] = { -1, -1, -1, -1, -1, -1 }, pair[2];
    struct loop_spawn bad = { .arguments = nothing };
    struct err err;
    pid_t pid;

    run_child("exit 7", NULL, 0, NULL);
    assert_int_equal(ended_code, 7);
    run_child("kill -9 $$", NULL, 0, NULL);
    assert_int_equal(ended_code, -1);
    assert_int_equal(ended_signal, SIGKILL);
    assert_int_equal(pipe(pair), 0);
    fds[5] = pair[1];
    /* Descriptor 5 is the pipe; 3 and 4 are there and empty; the environment is what was said. */
    run_child("cat <&3; echo \"$A\" >&5", fds, 6, environment);
    assert_int_equal(ended_code, 0);
    close(pair[1]);
    assert_int_equal(read(pair[0], got, sizeof got), 4);
    assert_string_equal(got, "b c\n");
    close(pair[0]);
    assert_int_equal(loop_spawn(loop, &bad, ended, NULL, &pid, &err), -1);
    assert_non_null(strstr(err.text, "/does/not/exist"));
}

static void changed(void *data, const char *name)
{
    if (name && strcmp(name, "file") == 0)
        *(bool *)data = true;
}

static void test_watch(void **state)
{
    char folder[] = "/tmp/sb-loop-XXXXXX", path[64];
    struct loop_watch *watch;
    bool seen = false;
    struct err err;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    assert_int_equal(loop_watch_new(loop, folder, changed, &seen, &watch, &err), 0);
    assert_int_equal(file_write_atomic(path, "x", 1, 0600, &err), 0);
    while (!seen)
        loop_turn(loop, true);
    loop_watch_free(watch);
    assert_int_equal(loop_watch_new(loop, path + 1, changed, &seen, &watch, &err), -1);
    assert_int_equal(tree_remove(folder, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(test_timers),
        TEST(test_timer_that_sets_itself),
        TEST(test_turn),
        TEST(test_post_from_threads),
        TEST(test_work),
        TEST(test_signal),
        TEST(test_children),
        TEST(test_watch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
