/* runtime.h - what carries out orders: containers on this host or on a Slurm cluster, plain processes, a simulation.
 *
 * An order is a document (order.json of docs/ARCHITECTURE.md) with a name of its own, "<instance uid>-<attempt>". What
 * happens to it is read from its report (report.json). Every function may be called twice, late, or after a crash:
 * the name makes the second call harmless. None of them waits for the work itself.
 *
 * A run: runtime_start, runtime_inspect until the report's phase is "Ended", runtime_forget. runtime_stop in between
 * asks for the end; what was still to be saved (model, checkpoints) is saved before "Ended" comes. */
#ifndef RUN_RUNTIME_H
#define RUN_RUNTIME_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "doc/doc.h"

enum runtime_state {
    RUNTIME_NONE,  /* nothing of that name was ever started, or it was forgotten */
    RUNTIME_THERE, /* started: running, or ended and not forgotten; the report says which */
};

struct runtime {
    const char *kind; /* "container", "process", "slurm", "sim" */
    bool spans; /* the instances of one job may be on different machines: their orders need a tunnel's secret */
    int (*start)(struct runtime *, const char *name, const struct doc *order, struct err *err);
    /* NULL: it cannot. */
    int (*prepare)(struct runtime *, const char *name, const struct doc *order, const char *from, struct err *err);
    int (*inspect)(struct runtime *, struct arena *, const char *name, enum runtime_state *ret_state,
                   const struct doc **ret_report, struct err *err);
    int (*stop)(struct runtime *, const char *name, int64_t grace_s, const char *reason, struct err *err);
    /* NULL: nobody there looks */
    int (*recommend)(struct runtime *, const char *name, int64_t at_ms, struct err *err);
    int (*forget)(struct runtime *, const char *name, struct err *err);
    int (*list)(struct runtime *, struct arena *, const char *const **ret_names, int *ret_count, struct err *err);
    int (*order)(struct runtime *, struct arena *, const char *name, const struct doc **ret_order, struct err *err);
    /* NULL: it has no nodes of its own */
    void (*avoid)(struct runtime *, const char *const *nodes, int count);
    int (*nodes)(struct runtime *, struct arena *, const char *const **ret_names);
    /* NULL: nobody here sees it. */
    int (*died)(struct runtime *, struct arena *, const char *const **ret_names);
    void (*free)(struct runtime *);
};

/* Starts the order, or finds it started. ERR_INVALID when this runtime can never carry it out: the text is for the
 * user. Any other failure: it may or may not have started; call again. */
static inline int runtime_start(struct runtime *rt, const char *name, const struct doc *order, struct err *err)
{
    return rt->start(rt, name, order, err);
}

/* Makes ready for a start of this name that may come, of an order like the given one: it then takes less time. Nothing
 * of it is seen by runtime_inspect; runtime_forget ends it (ERR_CONFLICT: it is on its way, call again). 'from': an
 * ended instance, not forgotten yet, whose persistent cache goes to this one; "" for none. A runtime that cannot has
 * done nothing, and so has one where the name was started already. */
static inline int runtime_prepare(struct runtime *rt, const char *name, const struct doc *order, const char *from,
                                  struct err *err)
{
    return rt->prepare ? rt->prepare(rt, name, order, from, err) : 0;
}

/* -1: cannot tell, conclude nothing. *ret_report is an empty map before the first report. An agent that died with its
 * work unfinished is started again by this call, on the same folder. */
static inline int runtime_inspect(struct runtime *rt, struct arena *a, const char *name, enum runtime_state *ret_state,
                                  const struct doc **ret_report, struct err *err)
{
    return rt->inspect(rt, a, name, ret_state, ret_report, err);
}

/* The reason of a stop that takes the instance back from a job that goes on elsewhere: its checkpoints are saved,
 * nothing else, and the outcome is "Interrupted". Any other reason is only noted. */
#define STOP_TAKEN_BACK "SpotInterruption"

/* Asks for the end: SIGTERM to the command, SIGKILL after grace_s. The first call counts, but a shorter grace of a
 * later one shortens it. Nothing of that name, or ended already: fine. */
static inline int runtime_stop(struct runtime *rt, const char *name, int64_t grace_s, const char *reason,
                               struct err *err)
{
    return rt->stop(rt, name, grace_s, reason, err);
}

/* Tells the instance that its capacity may be taken back soon: its metadata service shows a rebalance recommendation of
 * that time, and nothing ends. Again, or nothing of that name: fine. */
static inline int runtime_recommend(struct runtime *rt, const char *name, int64_t at_ms, struct err *err)
{
    return rt->recommend ? rt->recommend(rt, name, at_ms, err) : 0;
}

/* Where the nodes are not the fleet's, but a cluster's: the names of those that it has, as far as is known; returns how
 * many. */
static inline bool runtime_has_nodes(const struct runtime *rt)
{
    return rt->nodes;
}

static inline int runtime_nodes(struct runtime *rt, struct arena *a, const char *const **ret_names)
{
    *ret_names = NULL;
    return rt->nodes ? rt->nodes(rt, a, ret_names) : 0;
}

/* What is started from now on does not go to these, and may go to any other. */
static inline void runtime_avoid(struct runtime *rt, const char *const *nodes, int count)
{
    if (rt->avoid)
        rt->avoid(rt, nodes, count);
}

/* Removes what is left: container, mounts, cgroup, network, folder. ERR_CONFLICT while it still runs; nothing of that
 * name is fine. Read the last report before. */
static inline int runtime_forget(struct runtime *rt, const char *name, struct err *err)
{
    return rt->forget(rt, name, err);
}

/* The names of everything that is there, so that what nobody owns can be stopped and forgotten. */
static inline int runtime_list(struct runtime *rt, struct arena *a, const char *const **ret_names, int *ret_count,
                               struct err *err)
{
    return rt->list(rt, a, ret_names, ret_count, err);
}

/* The order as it was given, also one that is only prepared for; an empty map when there is none of that name. */
static inline int runtime_order(struct runtime *rt, struct arena *a, const char *name, const struct doc **ret_order,
                                struct err *err)
{
    return rt->order(rt, a, name, ret_order, err);
}

/* Whose order it is: the "uid" in it; "" when there is no order of that name. */
static inline int runtime_owner(struct runtime *rt, struct arena *a, const char *name, const char **ret_uid,
                                struct err *err)
{
    const struct doc *order;

    if (runtime_order(rt, a, name, &order, err) < 0)
        return -1;
    *ret_uid = doc_text(order, "uid");
    return 0;
}

/* The agents that were killed, or gave up, since the last call, of those that this process has started, and those whose
 * node Slurm gave, took or refused: for whoever is told of SIGCHLD, so that they are looked at before their time.
 * Returns how many. */
static inline int runtime_died(struct runtime *rt, struct arena *a, const char *const **ret_names)
{
    return rt->died ? rt->died(rt, a, ret_names) : 0;
}

static inline void runtime_free(struct runtime *rt) /* NULL is fine; what runs goes on */
{
    if (rt)
        rt->free(rt);
}

/* Where a runtime of this host lives. All paths are absolute. */
struct runtime_config {
    const char *data_folder; /* agents/ and images/ are in it */
    const char *archives_folder; /* of images as archives; NULL or "": <data>/images/archives */
    int64_t checkpoint_bytes_per_s; /* that an agent uploads while its job runs; 0: no limit */
    const char *nccl_library; /* that instances with GPUs are checked with; NULL or "": what the loader finds */
    const char *run_folder;  /* on a file system that does not survive a reboot: /run/sagebrush/<8 hex> */
};

const char *container_runtime_program(void); /* the path of runc; NULL: it is not installed */

/* Containers by runc. ERR_UNAVAILABLE with what to do when this host cannot (not root, no runc). */
int container_runtime_new(const struct runtime_config *, struct runtime **ret, struct err *err);

/* No namespaces: only programs of ours that take SAGEMAKER_BASE_DIR and SAGEMAKER_BIND_TO_PORT, the rest is refused. */
int process_runtime_new(const struct runtime_config *, struct runtime **ret, struct err *err);

/* What sbatch is told beside what the order says. "" or NULL: Slurm's own choice. */
struct slurm_settings {
    const char *partition, *account, *qos;
    const char *spot_partition, *spot_qos; /* of spot jobs, when they are others */
    const char *gpu_types; /* "ml.p4d:a100 ml.g5.xlarge:a10g": of gres.conf, by instance type or family */
    const char *options;                   /* further words for sbatch, parted by spaces */
    int64_t notice_s; /* how long Slurm leaves a job between SIGTERM and SIGKILL: KillWait, or a GraceTime */
    const char *server;  /* by which nodes that are other machines reach the public port; "": they are refused */
    int64_t server_port;
    const char *scratch; /* where such a node keeps what containers write */
    void (*happened)(void *); /* from a thread: runtime_died() has some; NULL: whoever wants to know looks */
    void *data;
};

/* Jobs as containers on the nodes of a Slurm cluster, which have the data directory's agents/ and images/ at the same
 * path; endpoints as containers on this host. ERR_UNAVAILABLE when this host lacks Slurm's commands, or cannot run
 * containers. */
int slurm_runtime_new(const struct runtime_config *, const struct slurm_settings *, struct runtime **ret,
                      struct err *err);

/* The simulation: as the user's choice (NULL hooks) jobs complete at once and endpoints are healthy at once, with
 * nothing run at all. With hooks, a test decides what happens. */
struct sim_hooks {
    /* Asked before each call ("start", "inspect", "stop", "forget", "list") and, as "started", "stopped", "forgotten",
     * after the deed was done: -1 with err filled fails the call at that point. NULL: no faults. */
    int (*fault)(void *context, const char *verb, const char *name, struct err *err);
    /* A new order; false: leave it running until sim_end() or sim_report(). NULL: ends at once. */
    bool (*ends_at_once)(void *context, const char *name, const struct doc *order);
    /* Asked to stop; false: it goes on until sim_end(). NULL: it ends at once, Stopped. */
    bool (*stops_at_once)(void *context, const char *name);
    void *context;
    /* What an agent's poke says: something happened to what this uid owns. NULL: nobody is told. */
    void (*poke)(void *context, const char *uid);
};
struct runtime *sim_runtime_new(struct clock *, const struct sim_hooks *);

/* For tests: what the simulated agent sees happen. Unknown names change nothing. */
void sim_report(struct runtime *, const char *name, const char *phase, const char *message);
void sim_set(struct runtime *, const char *name, const char *member, const struct doc *value); /* of the report */
void sim_end(struct runtime *, const char *name, const char *outcome, const char *failure_reason, int exit_code);
void sim_lose(struct runtime *, const char *name);            /* the host forgot it: inspect says RUNTIME_NONE */
int sim_count(struct runtime *, const char *name);            /* how often the order was really started */
const struct doc *sim_order(struct runtime *, const char *name); /* NULL: not there */

#endif
