/* What is told to who asked for a type that no node can hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fleet/scheduler.h"

#include <cmocka.h>

#define CPU_NODES "[[nodes]]\nname = \"c\"\ncores = 4\nmemory = \"8GiB\"\nlabels = { row = \"a\" }\n"
#define GPU_NODES "[[nodes]]\nname = \"g\"\ncores = 16\nmemory = \"64GiB\"\ndisk = \"1TB\"\n" GPUS
#define GPUS "gpus = { kind = \"T4\", count = 2 }\n"
#define OWN_TYPES BIG "[[types]]\nname = \"box.one\"\nvcpus = 1\nmemory = \"512MiB\"\n"
#define BIG_DISK "[[types]]\nname = \"box.disk\"\nvcpus = 1\nmemory = \"512MiB\"\ndisk = \"2TiB\"\n"
#define BIG "[[types]]\nname = \"box.big\"\nvcpus = 64\nmemory = \"1GiB\"\n"

static struct err err;

static void refused(const char *fleet_text, struct work w)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct fleet fleet;
    struct scheduler *s;

    err = (struct err){ 0 };
    if (fleet_read(a, "f", str_of(fleet_text), &fleet, &err) < 0)
        fail_msg("%s", err.text);
    if (!fleet.node_count)
        fleet_share_slots(a, &fleet, "local", 8, 0);
    s = scheduler_new(&fleet, 0);
    assert_int_equal(scheduler_submit(s, &w, &err), -1);
    assert_int_equal(err.kind, ERR_INVALID);
    scheduler_free(s);
}

static struct work work_of(const char *type)
{
    return (struct work){ .uid = "u", .account = "1", .owner = "ann", .kind = "training job",
                          .groups = { { type, 1 } }, .group_count = 1 };
}

static void says(const char *words)
{
    if (!strstr(err.text, words))
        fail_msg("%s: lacks %s", err.text, words);
}

static void no_node_has_gpus(void **state)
{
    refused(CPU_NODES OWN_TYPES, work_of("ml.g5.xlarge"));
    says("can hold an on-demand ml.g5.xlarge: it needs 4 vCPUs, 16 GiB, ");
    says("1 GPU of the kind A10G, and no node has GPUs. Ask for another type, such as box.one, ml.");
    assert_null(strstr(err.text, "box.big"));
    assert_null(strstr(err.text, "ml.m6g."));
}

static void the_gpus_are_of_another_kind(void **state)
{
    refused(CPU_NODES GPU_NODES, work_of("ml.g5.xlarge"));
    says("and the GPUs of the nodes are of another kind (T4), which does for a type only where a pool's `accepts` "
         "names");
    says("such as ml.g4dn."); /* what has such GPUs comes first */
}

static void no_pool_accepts_it(void **state)
{
    refused("[[pools]]\nname = \"p\"\naccepts = [\"ml.t3.*\"]\n" CPU_NODES, work_of("ml.m5.large"));
    says("and no pool accepts it. Ask for another type, such as ml.t3.");
}

static void the_market_is_another(void **state)
{
    struct work w = work_of("ml.m5.large");

    refused("[[pools]]\nname = \"p\"\nspot = \"only\"\n" CPU_NODES, w);
    says("and the pools take spot work only. Ask for another type, or add");
    w.spot = true;
    refused("[[pools]]\nname = \"p\"\nspot = \"never\"\n" CPU_NODES, w);
    says("a spot ml.m5.large");
    says("and no pool takes spot work.");
}

static void the_nodes_are_smaller(void **state)
{
    refused(CPU_NODES, work_of("ml.m5.4xlarge"));
    says("it needs 16 vCPUs, 64 GiB, and the nodes have at most 4 cores, 8 GiB. Ask for another type, such as "
         "ml.");
    /* EC2's names for who asks by them. */
    refused(CPU_NODES, work_of("m5.4xlarge"));
    assert_null(strstr(err.text, "ml."));
}

static void the_disks_are_smaller(void **state)
{
    struct work w = work_of("ml.m5.large");

    w.groups[0].volume_gb = 1000;
    refused("[[nodes]]\nname = \"d\"\ncores = 4\nmemory = \"8GiB\"\ndisk = \"1TB\"\n", w);
    says("it needs 2 vCPUs, 8 GiB, 1000 GiB of disk, and the nodes have at most 931.3 GiB. Ask for a smaller "
         "VolumeSizeInGB, or add nodes with larger disks to the fleet file");
    /* A disk of the type's own: no volume makes that smaller. */
    refused(GPU_NODES BIG_DISK, work_of("box.disk"));
    says("it needs 1 vCPU, 512 MiB, 2048 GiB of disk, and the nodes have at most 931.3 GiB. Ask for another type");
    /* What is told instead has to take the volume, too. */
    w = work_of("ml.m5.24xlarge");
    w.groups[0].volume_gb = 2000;
    refused("[[nodes]]\nname = \"d\"\ncores = 4\nmemory = \"8GiB\"\ndisk = \"1TB\"\n", w);
    says("and the nodes have at most 4 cores, 8 GiB, 931.3 GiB of disk. Ask for another type, or add");
}

static void the_labels_are_nowhere(void **state)
{
    struct work w = work_of("ml.t3.medium");

    w.labels = "row=b";
    refused(CPU_NODES OWN_TYPES, w);
    says("with the labels row=b: it needs 2 vCPUs, 4 GiB, and no node has these labels. Ask for other labels, or");
    w = work_of("ml.g4dn.xlarge");
    w.labels = "row=a";
    refused(CPU_NODES GPU_NODES, w);
    says("and no node with these labels has GPUs.");
    w = work_of("ml.m5.large");
    w.labels = "row=a";
    refused("", w);
    says("No node of this server has the labels row=a: only the [[nodes]] of a fleet file have labels");
}

static void only_spares_could(void **state)
{
    refused("[[pools]]\nname = \"p\"\nspares = 1\n" CPU_NODES, work_of("ml.t3.medium"));
    says("and the nodes that can hold it are spares. Ask for another type, or");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_node_has_gpus),       cmocka_unit_test(the_gpus_are_of_another_kind),
        cmocka_unit_test(no_pool_accepts_it),     cmocka_unit_test(the_market_is_another),
        cmocka_unit_test(the_nodes_are_smaller),  cmocka_unit_test(the_labels_are_nowhere),
        cmocka_unit_test(the_disks_are_smaller),  cmocka_unit_test(only_spares_could),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
