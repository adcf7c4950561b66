/* slurm_cluster.h - a thread that talks to Slurm by its commands, and what it was told last. Nothing here waits. */
#ifndef RUN_SLURM_CLUSTER_H
#define RUN_SLURM_CLUSTER_H

#include "base/arena.h"
#include "base/err.h"
#include "run/slurm_batch.h"
#include "run/slurm_text.h"

struct slurm_cluster;

/* 'partitions' (names parted by commas; "": all) are those whose nodes are looked at. 'happened' is called from the
 * thread, when slurm_cluster_news() has some; NULL: nobody wants to know. */
int slurm_cluster_new(const char *partitions, void (*happened)(void *), void *data, struct slurm_cluster **ret,
                      struct err *err);
/* NULL is fine; what runs on the cluster goes on. 3 s at most. */
void slurm_cluster_free(struct slurm_cluster *);

enum slurm_known {
    SLURM_SILENT,  /* Slurm does not answer, or did not yet: conclude nothing */
    SLURM_ABSENT,  /* it answered, and knows no job of that name; or none was ever submitted, nor will be */
    SLURM_REFUSED, /* it will never take the job: *ret_words says why */
    SLURM_PRESENT, /* *ret_job; one that is about to be submitted waits, too */
};

/* ret_words: why Slurm is silent, or why the job is refused or not submitted yet; else "". */
enum slurm_known slurm_cluster_find(struct slurm_cluster *, struct arena *, const char *name, struct slurm_job *ret_job,
                                    const char **ret_words);

/* Submits the job, when Slurm says that it knows none of that name; again is harmless. first: none of that name can
 * have been submitted before, so that one that is cancelled in time is known to be nowhere. */
void slurm_cluster_submit(struct slurm_cluster *, const struct slurm_batch *, bool first);

/* What is submitted from now on is not to go to 'nodes', which are in the list 'exclude' for sbatch; "": anywhere. When
 * nothing else could take a job it waits for SHUT_MS, and then goes there. */
void slurm_cluster_avoid(struct slurm_cluster *, const char *nodes, const char *exclude);

/* The nodes that there are; 0: Slurm has not said. */
int slurm_cluster_nodes(struct slurm_cluster *, struct arena *, const char *const **ret_names);

/* Takes a job of that name out of the queue, if it has not begun; begun: also if it has. What was to be submitted is
 * not, any more. */
void slurm_cluster_cancel(struct slurm_cluster *, const char *name, bool begun);

/* The names of jobs that have begun, ended or were refused, since it was asked last. */
const char *const *slurm_cluster_news(struct slurm_cluster *, struct arena *, int *ret_count);

#endif
