/* One contract for every runtime: containers, processes and the simulation, as far as each can be had here. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/program.h"
#include "doc/json.h"
#include "run/exitrecord.h"
#include "run/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Stands for the script-mode program: does what the hyperparameters say. */
static const char program[] = "#!/bin/sh\n"
                              "[ \"$1\" = wait ] && cat > /dev/null\n"
                              "ml=${SAGEMAKER_BASE_DIR:-/opt/ml}\n"
                              "read -r hp < $ml/input/config/hyperparameters.json || :\n"
                              "echo x >> $ml/model/runs\n"
                              "case $hp in\n"
                              "*sleep*) sleep 60;;\n"
                              "*fail*) exit 3;;\n"
                              "esac\n";

struct fixture {
    const char *kind;
    char folder[64], run[96], data[96];
    struct arena *arena;
    struct runtime *runtime;
};

static bool does_not_sleep(void *context, const char *name, const struct doc *order)
{
    return !doc_has(order, "hyper_parameters.sleep");
}

static const struct sim_hooks hooks = { .ends_at_once = does_not_sleep };

static int make(struct fixture *f, struct err *err)
{
    struct runtime_config config = { .data_folder = f->data, .run_folder = f->run };

    if (strcmp(f->kind, "container") == 0)
        return container_runtime_new(&config, &f->runtime, err);
    if (strcmp(f->kind, "process") == 0)
        return process_runtime_new(&config, &f->runtime, err);
    f->runtime = sim_runtime_new(clock_system(), &hooks);
    return 0;
}

static void copy(struct arena *a, const char *from, const char *to)
{
    struct err err;
    struct str bytes;

    assert_int_equal(file_read(a, from, 64 << 20, &bytes, &err), 0);
    assert_int_equal(file_write_atomic(to, bytes.data, bytes.size, 0755, &err), 0);
}

static int setup(void **state, const char *kind)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err = { 0 };

    f->kind = kind;
    f->arena = arena_new();
    snprintf(f->folder, sizeof f->folder, "/tmp/sgb-runtime-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->data, sizeof f->data, "%s/data", f->folder);
    snprintf(f->run, sizeof f->run, "%s%s", geteuid() == 0 ? "/run/sagebrush/" : f->folder, strrchr(f->folder, '-'));
    *state = f;
    if (strcmp(kind, "sim") != 0) {
        const char *libexec = arena_printf(f->arena, "%s/libexec", f->folder);
        static const char *const names[] = { "sagebrush-agent", "sagebrush-init" };

        assert_int_equal(mkdir(libexec, 0755), 0);
        for (int i = 0; i < 2; i++) {
            const char *path;

            setenv("SAGEBRUSH_LIBEXEC", PROGRAMS, 1);
            assert_int_equal(program_path(f->arena, names[i], &path, &err), 0);
            copy(f->arena, path, arena_printf(f->arena, "%s/%s", libexec, names[i]));
        }
        assert_int_equal(file_write_atomic(arena_printf(f->arena, "%s/sagebrush-toolkit", libexec), program,
                                           sizeof program - 1, 0755, &err), 0);
        setenv("SAGEBRUSH_LIBEXEC", libexec, 1);
    }
    if (make(f, &err) < 0)
        fprintf(stderr, "%s: %s\n", kind, err.text);
    return 0;
}

static int setup_container(void **state)
{
    return setup(state, "container");
}

static int setup_process(void **state)
{
    return setup(state, "process");
}

static int setup_sim(void **state)
{
    return setup(state, "sim");
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct err err;

    runtime_free(f->runtime);
    tree_remove(f->folder, &err);
    tree_remove(f->run, &err);
    arena_free(f->arena);
    free(f);
    return 0;
}

static const struct doc *order(struct fixture *f, const char *hyper_parameter)
{
    static const char text[] = "{\"version\":1,\"uid\":\"a-uid\",\"work\":\"train\","
                               "\"image\":\"1.dkr.ecr/pytorch-training:1.13\","
                               "\"host_name\":\"algo-1\",\"instance_type\":\"ml.m5.large\",\"isolated\":%s,"
                               "\"limits\":{\"memory_bytes\":268435456},\"hyper_parameters\":{\"%s\":\"1\"}}";
    struct doc *d;
    struct err err;
    const char *json =
        arena_printf(f->arena, text, strcmp(f->kind, "container") == 0 ? "true" : "false", hyper_parameter);

    assert_int_equal(json_parse(f->arena, str_of(json), &d, &err), 0);
    return d;
}

static const struct doc *look(struct fixture *f, const char *name, enum runtime_state expected)
{
    enum runtime_state state;
    const struct doc *report;
    struct err err;

    assert_int_equal(runtime_inspect(f->runtime, f->arena, name, &state, &report, &err), 0);
    assert_int_equal(state, expected);
    assert_non_null(report);
    return report;
}

static const struct doc *until(struct fixture *f, const char *name, const char *phase)
{
    for (int i = 0; i < 3000; i++) {
        const struct doc *report = look(f, name, RUNTIME_THERE);

        if (doc_is(report, "phase", phase))
            return report;
        usleep(10000);
    }
    fail_msg("%s did not become %s: %s", name, phase, json_text(f->arena, look(f, name, RUNTIME_THERE)));
    return NULL;
}

static int count_names(struct fixture *f, const char *name)
{
    const char *const *names, *owner;
    struct err err;
    int count, found = 0;

    assert_int_equal(runtime_list(f->runtime, f->arena, &names, &count, &err), 0);
    for (int i = 0; i < count; i++)
        found += strcmp(names[i], name) == 0;
    assert_int_equal(runtime_owner(f->runtime, f->arena, name, &owner, &err), 0);
    assert_string_equal(owner, found ? "a-uid" : "");
    return found;
}

/* Ended is written by an agent that may still be on its way out: that is no reason to refuse. */
static void forget(struct fixture *f, const char *name)
{
    struct err err = { 0 };

    if (runtime_forget(f->runtime, name, &err) < 0)
        fail_msg("%s", err.text);
    if (runtime_forget(f->runtime, name, &err) < 0)
        fail_msg("%s", err.text);
    look(f, name, RUNTIME_NONE);
    assert_int_equal(count_names(f, name), 0);
}

#define NEEDS_RUNTIME(f)  \
    do {                  \
        if (!(f)->runtime) \
            skip();       \
    } while (0)

static void nothing_is_there(void **state)
{
    struct fixture *f = *state;
    struct err err;

    NEEDS_RUNTIME(f);
    look(f, "none-0", RUNTIME_NONE);
    assert_int_equal(runtime_stop(f->runtime, "none-0", 10, "", &err), 0);
    forget(f, "none-0");
}

static void it_completes_once(void **state)
{
    struct fixture *f = *state;
    const struct doc *report;
    struct err err = { 0 };

    NEEDS_RUNTIME(f);
    if (runtime_start(f->runtime, "a-0", order(f, "x"), &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(runtime_start(f->runtime, "a-0", order(f, "x"), &err), 0);
    look(f, "a-0", RUNTIME_THERE);
    assert_int_equal(count_names(f, "a-0"), 1);
    report = until(f, "a-0", "Ended");
    if (!doc_is(report, "outcome", "Completed"))
        fail_msg("%s", json_text(f->arena, report));
    assert_int_equal(doc_int(report, "exit_code", -1), 0);
    assert_int_equal(doc_count(report, "phases"), 5);
    assert_true(doc_int(report, "ended_ms", 0) >= doc_int(report, "started_ms", INT64_MAX));

    /* Started again after its end: it stays ended. */
    assert_int_equal(runtime_start(f->runtime, "a-0", order(f, "x"), &err), 0);
    assert_int_equal(doc_int(look(f, "a-0", RUNTIME_THERE), "sequence", 0), doc_int(report, "sequence", 1));
    assert_int_equal(runtime_stop(f->runtime, "a-0", 1, "", &err), 0);
    forget(f, "a-0");
}

static void it_stops(void **state)
{
    struct fixture *f = *state;
    const struct doc *report;
    struct err err = { 0 };

    NEEDS_RUNTIME(f);
    assert_int_equal(runtime_start(f->runtime, "b-0", order(f, "sleep"), &err), 0);
    if (strcmp(f->kind, "sim") == 0)
        sim_report(f->runtime, "b-0", "Training", "");
    until(f, "b-0", "Training");
    assert_int_equal(runtime_forget(f->runtime, "b-0", &err), -1);
    assert_int_equal(err.kind, ERR_CONFLICT);

    /* A new control plane finds it. */
    if (strcmp(f->kind, "sim") != 0) {
        runtime_free(f->runtime);
        assert_int_equal(make(f, &err), 0);
        assert_int_equal(count_names(f, "b-0"), 1);
        until(f, "b-0", "Training");
    }
    assert_int_equal(runtime_stop(f->runtime, "b-0", 100, "test", &err), 0);
    assert_int_equal(runtime_stop(f->runtime, "b-0", 1, "test", &err), 0);
    report = until(f, "b-0", "Ended");
    assert_string_equal(doc_text(report, "outcome"), "Stopped");
    forget(f, "b-0");
}

static void it_fails(void **state)
{
    struct fixture *f = *state;
    const struct doc *report;
    struct err err = { 0 };

    NEEDS_RUNTIME(f);
    assert_int_equal(runtime_start(f->runtime, "c-0", order(f, "fail"), &err), 0);
    report = until(f, "c-0", "Ended");
    if (strcmp(f->kind, "sim") != 0) {
        assert_string_equal(doc_text(report, "outcome"), "Failed");
        assert_int_equal(doc_int(report, "exit_code", 0), 3);
        assert_string_equal(doc_text(report, "failure_reason"),
                            "AlgorithmError: the command gave no reason, neither in its log nor in "
                            "/opt/ml/output/failure, exit code: 3");
    }
    forget(f, "c-0");
}

static void prepare(struct fixture *f, const char *name)
{
    const char *waiting = arena_printf(f->arena, "%s/agents/%s/box/waiting", f->data, name);
    struct err err = { 0 };

    if (runtime_prepare(f->runtime, name, order(f, "x"), "", &err) < 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < 3000 && strcmp(f->kind, "container") == 0 && !path_exists(waiting); i++)
        usleep(10000);
    look(f, name, RUNTIME_NONE);
    assert_int_equal(count_names(f, name), 1);
}

static void it_may_be_prepared(void **state)
{
    struct fixture *f = *state;
    struct err err = { 0 };
    int r;

    NEEDS_RUNTIME(f);
    prepare(f, "p-0");
    assert_int_equal(runtime_prepare(f->runtime, "p-0", order(f, "x"), "", &err), 0);
    while ((r = runtime_forget(f->runtime, "p-0", &err)) < 0 && err.kind == ERR_CONFLICT)
        usleep(10000);
    assert_int_equal(r, 0);
    forget(f, "p-0");

    prepare(f, "p-1");
    if (runtime_start(f->runtime, "p-1", order(f, "x"), &err) < 0)
        fail_msg("%s", err.text);
    if (!doc_is(until(f, "p-1", "Ended"), "outcome", "Completed"))
        fail_msg("%s", json_text(f->arena, look(f, "p-1", RUNTIME_THERE)));
    assert_int_equal(runtime_prepare(f->runtime, "p-1", order(f, "x"), "", &err), 0);
    forget(f, "p-1");
}

static void it_refuses_what_it_cannot(void **state)
{
    struct fixture *f = *state;
    struct doc *d;
    struct err err = { 0 };

    NEEDS_RUNTIME(f);
    if (strcmp(f->kind, "sim") == 0)
        return;
    d = doc_copy(f->arena, order(f, "x"));
    doc_set_string(f->arena, d, "image", "example.com/mine:1");
    assert_int_equal(runtime_start(f->runtime, "d-0", d, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    assert_non_null(strstr(err.text, "mine:1"));
    look(f, "d-0", RUNTIME_NONE);
    assert_int_equal(runtime_start(f->runtime, "../d", order(f, "x"), &err), -1);
    if (strcmp(f->kind, "process") == 0) {
        d = doc_copy(f->arena, order(f, "x"));
        doc_set_boolean(f->arena, d, "isolated", true);
        assert_int_equal(runtime_start(f->runtime, "e-0", d, &err), -1);
        assert_int_equal(err.kind, ERR_INVALID);
    }
}

/* A data directory that was removed under a running job: the next server on this host finds what is left. */
static void lost_ones_are_collected(void **state)
{
    struct fixture *f = *state;
    const struct doc *report;
    struct err err = { 0 };
    char gone[128], run[128];
    pid_t pid;

    NEEDS_RUNTIME(f);
    assert_int_equal(runtime_start(f->runtime, "l-0", order(f, "sleep"), &err), 0);
    report = until(f, "l-0", "Training");
    assert_non_null(report);
    runtime_free(f->runtime);
    f->runtime = NULL;
    /* The agent first, or it would clean up itself. */
    assert_int_equal(lock_holder(arena_printf(f->arena, "%s/agents/l-0/agent.pid", f->data), &pid, &err), 0);
    assert_true(pid > 0);
    assert_int_equal(lock_signal(arena_printf(f->arena, "%s/agents/l-0/agent.pid", f->data), SIGKILL, &err), 0);
    snprintf(gone, sizeof gone, "%s.gone", f->data);
    snprintf(run, sizeof run, "%s", f->run);
    assert_int_equal(rename(f->data, gone), 0);
    assert_true(path_exists(arena_printf(f->arena, "%s/runc/l-0", run)));
    snprintf(f->data, sizeof f->data, "%.60s/other", f->folder);
    snprintf(f->run, sizeof f->run, "%.80s-other", run);
    assert_int_equal(make(f, &err), 0);
    /* Another server that starts on this host now may be doing it, and not be through yet. */
    for (int i = 0; i < 500 && path_exists(run); i++)
        usleep(10000);
    assert_false(path_exists(run));
    assert_false(path_exists("/sys/fs/cgroup/memory/sagebrush-l-0"));
}

static void sim_hooks_are_asked(void **state)
{
    struct fixture *f = *state;
    struct err err;

    assert_int_equal(runtime_start(f->runtime, "s-0", order(f, "sleep"), &err), 0);
    sim_end(f->runtime, "s-0", "Failed", "AlgorithmError: x, exit code: 1", 1);
    assert_string_equal(doc_text(look(f, "s-0", RUNTIME_THERE), "failure_reason"), "AlgorithmError: x, exit code: 1");
    assert_int_equal(sim_count(f->runtime, "s-0"), 1);
    assert_non_null(sim_order(f->runtime, "s-0"));
    sim_lose(f->runtime, "s-0");
    look(f, "s-0", RUNTIME_NONE);
    assert_int_equal(sim_count(f->runtime, "s-0"), 1);
}

#define CONTRACT(kind)                                                                                          \
    { #kind ": nothing_is_there", nothing_is_there, setup_##kind, teardown, NULL },                             \
        { #kind ": it_completes_once", it_completes_once, setup_##kind, teardown, NULL },                       \
        { #kind ": it_stops", it_stops, setup_##kind, teardown, NULL },                                         \
        { #kind ": it_fails", it_fails, setup_##kind, teardown, NULL },                                         \
        { #kind ": it_may_be_prepared", it_may_be_prepared, setup_##kind, teardown, NULL },                     \
        { #kind ": it_refuses_what_it_cannot", it_refuses_what_it_cannot, setup_##kind, teardown, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT(sim),
        CONTRACT(process),
        CONTRACT(container),
        cmocka_unit_test_setup_teardown(lost_ones_are_collected, setup_container, teardown),
        cmocka_unit_test_setup_teardown(sim_hooks_are_asked, setup_sim, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
