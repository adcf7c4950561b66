#include "agent/slurm_node.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "run/folder.h"
#include "run/gpu.h"
#include "run/runtime.h"

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

/* "0,2-3" */
static struct doc *read_gpus(struct arena *a, const char *text, int64_t most)
{
    struct doc *list = doc_list(a);

    while (*text) {
        int64_t first, last;

        if (!read_number(&text, &first))
            return NULL;
        last = first;
        if (*text == '-' && (text++, !read_number(&text, &last)))
            return NULL;
        for (; first <= last && list->count < most; first++)
            doc_append(a, list, doc_integer(a, first));
        if (*text && *text++ != ',')
            return NULL;
    }
    return list;
}

int slurm_node_order(struct arena *a, const struct doc *order, const char *boot_id, const char *gpus,
                     const struct doc **ret, struct err *err)
{
    int64_t wanted = doc_int(order, "limits.gpus_wanted", 0);
    struct doc *d, *list;

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
    /* A node may have more than this instance asks for, when another of the job has more. */
    list = read_gpus(a, gpus ? gpus : "", wanted);
    if (!list || list->count < wanted)
        return fail(err, ERR_INVALID, "Slurm gave the GPUs \"%.100s\" of its node where %" PRId64 " were asked for",
                    gpus ? gpus : "", wanted);
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
    return folder_write(a, folder, FOLDER_STOP, d, false, err);
}
