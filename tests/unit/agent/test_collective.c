/* Instances are threads on loopback, each with an address and with GPUs of its own; their ranks are real processes with
 * the fake CUDA and NCCL of tests/fake, to which LD_LIBRARY_PATH leads. */
#include "agent/collective.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/allreduce.h"
#include "agent/ranks.h"
#include "base/fd.h"
#include "loopback.h"

enum { INSTANCES = 3, GPUS = 2 /* of an instance */ };

static const char *const hosts[] = { "algo-1", "algo-2", "algo-3" };
static const unsigned char token[32] = "what only these have";
#define UUID  "GPU-00000000-0000-0000-0000-00000000000"
#define GPU_0 "GPU 0 (" UUID "0)"
#define GPU_1 "GPU 1 (" UUID "1)"
#define GPU_2 "GPU 2 (" UUID "2)"
#define GPU_3 "GPU 3 (" UUID "3)"

static char folder[40], machine_file[64], joined_file[80];

struct instance {
    struct collective_options o;
    struct collective_result result;
    struct gpu gpus[GPUS];
    struct arena *arena;
    struct err err;
    pthread_t thread;
    int r;
};
static struct instance all[INSTANCES];

static void machine(const char *more)
{
    FILE *f = fopen(machine_file, "w");

    assert_non_null(f);
    fprintf(f, "gpus %d\n%s", INSTANCES * GPUS, more);
    fclose(f);
    unlink(joined_file);
}

static int new_socket(void *data, int *ret_fd, struct err *err)
{
    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return *ret_fd < 0 ? fail_errno(err, errno, "socket") : 0;
}

/* The GPUs 0 and 1 are algo-1's, 2 and 3 algo-2's... */
static void begin(int count)
{
    int port = loopback_port();

    for (int i = 0; i < count; i++) {
        struct instance *n = &all[i];

        arena_free(n->arena);
        *n = (struct instance){ .arena = arena_new(), .o = {
            .ring = { .clock = clock_system(), .rank = i, .ranks = count, .hosts = hosts,
                      .addresses = loopback_addresses(), .port = port, .token = token, .gather_ms = 20000,
                      .cancel_fd = -1, .socket = new_socket },
            .folder = folder, .library = "", .gpus = n->gpus, .gpu_count = GPUS } };
        for (int g = 0; g < GPUS; g++) {
            n->gpus[g].index = i * GPUS + g;
            sprintf(n->gpus[g].uuid, "GPU-00000000-0000-0000-0000-%012d", i * GPUS + g);
        }
    }
}

static void *take_part(void *data)
{
    struct instance *n = data;

    n->r = collective_check(n->arena, &n->o, &n->result, &n->err);
    return NULL;
}

static void run(int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(pthread_create(&all[i].thread, NULL, take_part, &all[i]), 0);
    for (int i = 0; i < count; i++)
        pthread_join(all[i].thread, NULL);
    for (int i = 0; i < count; i++)
        print_message("%s: %s\n", hosts[i], all[i].r < 0 ? all[i].err.text : all[i].result.evidence);
}

static void check(int instance, bool passed, const char *words, const char *blames)
{
    const struct instance *n = &all[instance];

    assert_int_equal(n->r, 0);
    assert_int_equal(n->result.passed, passed);
    assert_non_null(strstr(n->result.evidence, words));
    assert_string_equal(n->result.blames, blames);
    assert_null(n->result.gpu);
}

static bool has_joined(const char *line)
{
    struct arena *a = arena_new();
    struct err err;
    struct str text;
    bool found;

    assert_int_equal(file_read(a, joined_file, 1 << 16, &text, &err), 0);
    found = strstr(text.data, line) != NULL;
    arena_free(a);
    return found;
}

static void each_gpu_is_a_rank(void **state)
{
    machine("");
    begin(2);
    run(2);
    for (int i = 0; i < 2; i++) {
        check(i, true, "all-reduce of 4 MiB over 2 instances: the sum is right, ", "");
        check(i, true, "; NCCL 2.21.5, 16 MiB over 4 GPUs of 2 instances: the sums are right, ", "");
    }
    assert_true(has_joined("rank 0 of 4 is GPU 0 of "));
    assert_true(has_joined("rank 3 of 4 is GPU 3 of "));
}

/* One in the middle has no GPUs, and passes on what the others say. */
static void who_has_no_gpus_does_not_take_part(void **state)
{
    machine("");
    begin(3);
    all[1].o.gpu_count = 0;
    run(3);
    check(0, true, "NCCL 2.21.5, 16 MiB over 4 GPUs of 2 instances", "");
    check(2, true, "NCCL 2.21.5, 16 MiB over 4 GPUs of 2 instances", "");
    assert_true(has_joined("rank 2 of 4 is GPU 4 of "));
    assert_null(strstr(all[1].result.evidence, "NCCL"));
    begin(2);
    all[0].o.gpu_count = all[1].o.gpu_count = 0;
    run(2);
    assert_null(strstr(all[0].result.evidence, "NCCL"));
}

static void without_the_library_it_is_tcp_alone(void **state)
{
    machine("");
    begin(3);
    all[1].o.library = "/nowhere/libnccl.so.2";
    run(3);
    check(0, true, "NCCL 2.21.5, 16 MiB over 4 GPUs of 2 instances", "");
    check(1, true, "the sum is right", "");
    check(1, true, "; NCCL was not tried: /nowhere/libnccl.so.2: cannot open shared object file", "");
    begin(2);
    all[1].o.library = "libc.so.6";
    run(2);
    check(0, true, "; NCCL was not tried: no other instance has it", "");
    check(1, true, "; NCCL was not tried: libc.so.6 has no ncclGetVersion", "");
    begin(2);
    all[1].o.gpu_count = 0;
    run(2);
    check(0, true, "; NCCL was not tried: no other instance has GPUs", "");
    machine("set 2 nccl 21803\nset 3 nccl 21803\n");
    begin(2);
    run(2);
    check(0, true, "; NCCL was not tried: it is 2.21.5 on algo-1 and 2.18.3 on algo-2", "");
    check(1, true, "; NCCL was not tried: it is 2.21.5 on algo-1 and 2.18.3 on algo-2", "");
}

static void a_wrong_sum_is_of_who_has_it(void **state)
{
    machine("set 3 wrong 1\n");
    begin(2);
    run(2);
    check(0, false, "NCCL: algo-2: " GPU_3 ": the sum is wrong: word 1048576 is ",
          "algo-2");
    check(1, false, "NCCL: " GPU_3 ": the sum is wrong", "algo-2");
    machine("set 0 wrong 1\nset 3 wrong 1\n");
    begin(2);
    run(2);
    check(0, false, "NCCL: GPU 0 (", "");
    check(1, false, "NCCL: GPU 3 (", "");
}

static void an_error_is_told_in_its_words(void **state)
{
    static const char words[] = GPU_2 ": ncclCommInitRank: internal error - "
                                "please report this issue to the NCCL developers (3): the test wants it";

    machine("fail ncclCommInitRank 3 2\n");
    begin(3);
    run(3);
    for (int i = 0; i < 3; i++)
        check(i, false, words, "algo-2");
    machine("fail ncclCommGetAsyncError 6 3\n");
    begin(2);
    run(2);
    check(1, false, "ncclCommGetAsyncError: remote process exited or there was a network error (6)", "");
    machine("fail cuStreamQuery 719 3\n"); /* of NCCL's kernel: it need not be the GPU */
    begin(2);
    run(2);
    check(1, false, "NCCL: " GPU_3 ": cuStreamQuery: CUDA_ERROR_LAUNCH_FAILED (719)", "algo-2");
    machine("fail ncclGetUniqueId 4 1\n");
    begin(2);
    run(2);
    check(1, false, "NCCL: algo-1: " GPU_1 ": ncclGetUniqueId: invalid argument (4)",
          "algo-1");
}

static void a_gpu_that_cannot_be_used_is_named(void **state)
{
    static const char *const machines[] = { "fail cuMemAlloc_v2 2 3\n", "fail cuDevicePrimaryCtxRetain 719 3\n",
                                            "set 3 forgets 1\n" };
    static const char *const words[] = { "cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY (2): out of memory",
                                         "cuDevicePrimaryCtxRetain: CUDA_ERROR_LAUNCH_FAILED (719)",
                                         "its memory did not keep what was written, from word 1048576 on" };

    for (int i = 0; i < 3; i++) {
        machine(machines[i]);
        begin(2);
        run(2);
        check(0, false, words[i], "algo-2");
        assert_false(all[1].result.passed);
        assert_ptr_equal(all[1].result.gpu, &all[1].gpus[1]);
        assert_non_null(strstr(all[1].result.evidence, words[i]));
    }
    machine("fail cuInit 802 3\n"); /* of the machine, not of a GPU */
    begin(2);
    run(2);
    check(1, false, "cuInit: CUDA_ERROR_SYSTEM_NOT_READY (802): system not yet initialized", "algo-2");
}

static void a_library_that_ends_its_process_ends_no_other(void **state)
{
    static const char *const functions[] = { "cuInit", "ncclAllReduce" };

    for (int i = 0; i < 2; i++) {
        char text[64];

        sprintf(text, "crash %s 3\n", functions[i]);
        machine(text);
        begin(2);
        run(2);
        check(0, false, "algo-2: " GPU_3 ": the libraries ended their process by "
                        "signal 6 (Aborted)", "algo-2");
        check(1, false, "NCCL: GPU 3 (", "algo-2");
    }
}

/* The ranks of this test, and what they have started. */
static int processes(void)
{
    DIR *all_of_them = opendir("/proc");
    struct dirent *entry;
    int count = 0;

    assert_non_null(all_of_them);
    while ((entry = readdir(all_of_them)) != NULL) {
        char path[300], line[512] = "";
        FILE *f;

        sprintf(path, "/proc/%s/cmdline", entry->d_name);
        f = fopen(path, "r");
        if (f && fread(line, 1, sizeof line - 1, f) > 0 && strstr(line, "sagebrush-nccl"))
            count += strcmp(line + strlen(line) + 1, folder) == 0;
        if (f)
            fclose(f);
    }
    closedir(all_of_them);
    return count;
}

/* It keeps the connection of the one that ended: nobody waits for its last word. */
static void what_a_library_starts_ends_with_it(void **state)
{
    static const char *const then[] = { "", "crash ncclAllReduce 3\n", "hang ncclAllReduce\n" };
    static const char *const words[] = { "", "the libraries ended their process by signal 6 (Aborted)", " after 2 s" };

    for (int i = 0; i < 3; i++) {
        char text[128];

        sprintf(text, "fork ncclCommInitRank\n%s", then[i]);
        if (i == 2)
            setenv("SAGEBRUSH_NCCL_SECONDS", "2", 1);
        machine(text);
        begin(2);
        run(2);
        check(0, i == 0, words[i], i == 1 ? "algo-2" : "");
        assert_int_equal(processes(), 0);
    }
    unsetenv("SAGEBRUSH_NCCL_SECONDS");
}

static void a_library_that_hangs_is_ended(void **state)
{
    setenv("SAGEBRUSH_NCCL_SECONDS", "2", 1);
    machine("hang ncclAllReduce 3\n");
    begin(2);
    run(2);
    unsetenv("SAGEBRUSH_NCCL_SECONDS");
    check(0, false, "NCCL: " GPU_0 ": it was ended in ", "");
    check(1, false, " after 2 s", "");
}

/* Who waits for one that has failed is ended long before its time is over. */
static void nobody_waits_for_one_that_failed(void **state)
{
    int64_t began_ms = clock_boot_ms(clock_system());

    machine("hang ncclCommInitRank 0\nhang ncclCommInitRank 1\nfail ncclCommInitRank 5 4\n");
    begin(3);
    run(3);
    check(0, false, "NCCL: algo-3: GPU 4 (", "algo-3");
    check(1, false, "NCCL: algo-3: GPU 4 (", "algo-3");
    assert_true(clock_boot_ms(clock_system()) - began_ms < 50000);
}

static struct rank_word lie;

/* An agent that somebody else has written: right until it tells of its GPUs. */
static void *take_part_and_lie(void *data)
{
    struct instance *n = data;
    struct rank_word words[2] = { 0 };
    struct allreduce_result sum;
    struct ring ring;

    words[n->o.ring.rank] = lie;
    n->r = ring_open(&ring, &n->o.ring, &n->err);
    if (n->r == 0)
        n->r = allreduce(&ring, 4 << 20, 20000, &sum, &n->err);
    if (n->r == 0)
        n->r = ring_gather(&ring, words, sizeof *words, &n->err);
    ring_close(&ring);
    return NULL;
}

static void meet_a_liar(void)
{
    machine("");
    begin(2);
    all[0].o.gpu_count = 0;
    assert_int_equal(pthread_create(&all[0].thread, NULL, take_part, &all[0]), 0);
    assert_int_equal(pthread_create(&all[1].thread, NULL, take_part_and_lie, &all[1]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(all[i].thread, NULL);
        assert_int_equal(all[i].r, 0);
    }
}

/* Its GPUs would be counted, and waited for. */
static void who_says_what_cannot_be_is_blamed(void **state)
{
    static const struct rank_word lies[] = {
        { .state = RANK_GOOD, .gpus = INT32_MAX }, { .state = RANK_GOOD, .gpus = -1 }, { .state = RANK_GOOD },
        { .state = RANK_SICK + 1 }, { .state = INT32_MAX }, { .state = RANK_BUSY }, { .state = INT32_MIN },
    };

    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        lie = lies[i];
        meet_a_liar();
        check(0, false, "what algo-2 says of NCCL", "algo-2");
    }
}

/* They become a part of a report, which is JSON, and of lines. */
static void what_another_says_is_text(void **state)
{
    lie = (struct rank_word){ .state = RANK_FAILED, .gpus = 1 };
    memset(lie.words, 0xff, sizeof lie.words);
    memcpy(lie.words, "it\nis\033[2J", 9);
    meet_a_liar();
    check(0, false, "NCCL: algo-2: it is [2J   ", "algo-2");
}

static void it_can_be_ended(void **state)
{
    uint64_t one = 1;

    machine("hang cuInit\n");
    begin(2);
    for (int i = 0; i < 2; i++) {
        all[i].o.ring.cancel_fd = eventfd(0, EFD_CLOEXEC);
        assert_int_equal(pthread_create(&all[i].thread, NULL, take_part, &all[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(write(all[i].o.ring.cancel_fd, &one, sizeof one), sizeof one);
    for (int i = 0; i < 2; i++) {
        pthread_join(all[i].thread, NULL);
        assert_int_equal(all[i].r, -1);
        assert_int_equal(all[i].err.kind, ERR_CONFLICT);
        close(all[i].o.ring.cancel_fd);
    }
}

static int set_up(void **state)
{
    strcpy(folder, "/tmp/sagebrush-collective-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    sprintf(machine_file, "%s/machine", folder);
    sprintf(joined_file, "%s.joined", machine_file);
    setenv("SAGEBRUSH_LIBEXEC", PROGRAMS, 1);
    return setenv("FAKE_NVML", machine_file, 1);
}

static int tear_down(void **state)
{
    struct err err;

    for (int i = 0; i < INSTANCES; i++)
        arena_free(all[i].arena);
    return tree_remove(folder, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_gpu_is_a_rank),
        cmocka_unit_test(who_has_no_gpus_does_not_take_part),
        cmocka_unit_test(without_the_library_it_is_tcp_alone),
        cmocka_unit_test(a_wrong_sum_is_of_who_has_it),
        cmocka_unit_test(an_error_is_told_in_its_words),
        cmocka_unit_test(a_gpu_that_cannot_be_used_is_named),
        cmocka_unit_test(a_library_that_ends_its_process_ends_no_other),
        cmocka_unit_test(what_a_library_starts_ends_with_it),
        cmocka_unit_test(a_library_that_hangs_is_ended),
        cmocka_unit_test(nobody_waits_for_one_that_failed),
        cmocka_unit_test(who_says_what_cannot_be_is_blamed),
        cmocka_unit_test(what_another_says_is_text),
        cmocka_unit_test(it_can_be_ended),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
