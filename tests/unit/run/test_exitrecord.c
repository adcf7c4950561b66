#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "run/exitrecord.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../held.h"

static char folder[] = "/tmp/sgb-exit-XXXXXX";
static char path[512];

static const char *at(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int setup(void **state)
{
    strcpy(folder, "/tmp/sgb-exit-XXXXXX");
    *state = arena_new();
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    struct err err;

    arena_free(*state);
    return tree_remove(folder, &err);
}

static void put(const char *name, const char *text)
{
    struct err err;

    assert_int_equal(file_write_atomic(at(name), text, strlen(text), 0600, &err), 0);
}

static struct exit_record look(struct arena *a)
{
    struct exit_record r;
    struct err err;

    assert_int_equal(exit_record_read(a, folder, &r, &err), 0);
    return r;
}

static void the_four_answers(void **state)
{
    struct exit_record r;
    pid_t pid;

    assert_int_equal(look(*state).state, EXIT_NONE);
    pid = hold(at("lock"));
    put("started", "{\"boot_id\":\"b\",\"started_ms\":5}");
    r = look(*state);
    assert_int_equal(r.state, EXIT_RUNNING);
    assert_int_equal(r.init, pid);
    assert_int_equal(r.started_ms, 5);
    let_go(pid);
    assert_int_equal(look(*state).state, EXIT_LOST);
    put("exit.json", "{\"exit_code\":137,\"signal\":9,\"started_ms\":5,\"ended_ms\":7,\"problem\":\"\"}");
    r = look(*state);
    assert_int_equal(r.state, EXIT_ENDED);
    assert_int_equal(r.exit_code, 137);
    assert_int_equal(r.signal, 9);
    assert_int_equal(r.ended_ms, 7);
}

static void who_holds_a_lock_is_waited_for(void **state)
{
    struct err err;
    bool gone;
    pid_t pid;

    assert_int_equal(lock_wait(at("lock"), 0, &gone, &err), 0);
    assert_true(gone);
    pid = hold(at("lock"));
    assert_int_equal(lock_wait(at("lock"), 1, &gone, &err), 0);
    assert_false(gone);
    /* Not told of by anybody: a process that was not waited for yet holds nothing any more. */
    assert_int_equal(lock_signal(at("lock"), SIGKILL, &err), 0);
    assert_int_equal(lock_wait(at("lock"), 60000, &gone, &err), 0);
    assert_true(gone);
    waitpid(pid, NULL, 0);
}

static void bad_records_cannot_tell(void **state)
{
    struct exit_record r;
    struct err err;

    put("exit.json", "{\"exit_code\":1000}");
    assert_int_equal(exit_record_read(*state, folder, &r, &err), -1);
    put("exit.json", "{");
    assert_int_equal(exit_record_read(*state, folder, &r, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_four_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(who_holds_a_lock_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_records_cannot_tell, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
