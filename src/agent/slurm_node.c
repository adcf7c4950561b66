#include "agent/slurm_node.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "run/folder.h"
#include "run/gpu_monitor.h"
#include "run/runtime.h"

#define BY_SLURM "Slurm" /* in stop.json: it was not the server who asked */

const char *slurm_node_name(void)
{
    return getenv("SLURMD_NODENAME");
}

void slurm_node_note(struct report *report, const char *name)
{
    const char *before = doc_text(report_doc(report), "node");

    if (*before && strcmp(before, name) != 0)
        report_set_text(report, "_was_on", before);
    report_set_text(report, "node", name);
}

const char *slurm_node_gpus(void)
{
    const char *of_step = getenv("SLURM_STEP_GPUS");

    return of_step ? of_step : getenv("SLURM_JOB_GPUS");
}

static bool read_number(const char **at, int64_t *ret)
{
    size_t size = strspn(*at, "0123456789");
    bool good = size && size < 4 && str_to_int64((struct str){ *at, size }, ret);

    *at += size;
    return good && *ret < GPU_MOST;
}

int slurm_node_listed(const struct doc *order)
{
    struct gpu_monitor *m;
    int count;

    if (!doc_is(order, "runtime", "slurm") || doc_int(order, "limits.gpus_wanted", 0) < 1)
        return 0;
    m = gpu_monitor_new(&(struct gpu_monitor_options){ 0 });
    count = gpu_monitor_count(m);
    gpu_monitor_free(m);
    return count;
}

/* "0,2-3" */
static struct doc *read_gpus(struct arena *a, const char *text)
{
    struct doc *list = doc_list(a);

    while (*text) {
        int64_t first, last;

        if (!read_number(&text, &first))
            return NULL;
        last = first;
        if (*text == '-' && (text++, !read_number(&text, &last)))
            return NULL;
        for (; first <= last && list->count < GPU_MOST; first++)
            doc_append(a, list, doc_integer(a, first));
        if (*text && *text++ != ',')
            return NULL;
    }
    return list;
}

/* Slurm counts those of the node. With ConstrainDevices the driver tells this process of the step's own, from 0: who
 * sees as many as were given sees them, and nothing else. */
static int choose_gpus(struct arena *a, const char *given, int listed, int64_t wanted, struct doc **ret,
                       struct err *err)
{
    struct doc *all = given ? read_gpus(a, given) : NULL, *list = doc_list(a);
    bool theirs = all && all->count == (size_t)listed;

    if (!given)
        return fail(err, ERR_INVALID,
                    "Slurm gave no GPUs where %" PRId64 " were asked for: neither SLURM_STEP_GPUS nor SLURM_JOB_GPUS "
                    "is set. Its gres.conf has to name their files (File=, or AutoDetect=nvml)", wanted);
    if (!all || all->count < (size_t)wanted)
        return fail(err, ERR_INVALID, "Slurm gave the GPUs \"%.100s\" of its node where %" PRId64 " were asked for",
                    given, wanted);
    /* A node may have more than this instance asks for, when another of the job has more. */
    for (int64_t i = 0; i < wanted; i++) {
        int64_t index = theirs ? i : all->items[i]->integer;

        if (listed && index >= listed)
            return fail(err, ERR_INVALID,
                        "Slurm gave the GPUs \"%.100s\" of its node, and the driver lists %d there: gres.conf has to "
                        "name them in the driver's order (nvidia-smi -L)", given, listed);
        doc_append(a, list, doc_integer(a, index));
    }
    *ret = list;
    return 0;
}

int slurm_node_order(struct arena *a, const struct doc *order, const char *boot_id, const char *gpus,
                     int listed, const struct doc **ret, struct err *err)
{
    int64_t wanted = doc_int(order, "limits.gpus_wanted", 0);
    struct doc *d, *list = NULL;

    if (!doc_is(order, "runtime", "slurm")) {
        *ret = order;
        return 0;
    }
    if (!doc_is(order, "boot_id", boot_id))
        return fail(err, ERR_INVALID,
                    "Slurm has put the job on a node that is another machine than the server, or the server's machine "
                    "has started again since: agents reach the server by sockets of its machine. Say by which address "
                    "other machines reach it (setting slurm-server), or give Sagebrush a partition whose nodes are on "
                    "it (setting slurm-partition)");
    if (!wanted) {
        *ret = order;
        return 0;
    }
    if (choose_gpus(a, gpus, listed, wanted, &list, err) < 0)
        return -1;
    d = doc_copy(a, order);
    doc_set(a, doc_member(a, d, "limits", DOC_MAP), "gpus", list);
    *ret = d;
    return 0;
}

int slurm_node_notice(struct arena *a, const char *folder, int64_t notice_s, struct err *err)
{
    const struct doc *before;
    struct doc *d = doc_map(a);

    if (folder_read(a, folder, FOLDER_STOP, &before, err) < 0 || before)
        return before ? 0 : -1;
    doc_set_integer(a, d, "version", 1);
    doc_set_integer(a, d, "grace_s", notice_s);
    doc_set_string(a, d, "reason", STOP_TAKEN_BACK);
    doc_set_string(a, d, "by", BY_SLURM);
    return folder_write(a, folder, FOLDER_STOP, d, false, err);
}

bool slurm_node_noticed(struct arena *a, const char *folder)
{
    const struct doc *stop;
    struct err ignored;

    return folder_read(a, folder, FOLDER_STOP, &stop, &ignored) == 0 && doc_is(stop, "by", BY_SLURM);
}
