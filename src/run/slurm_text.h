/* slurm_text.h - what Slurm's commands print, as facts. */
#ifndef RUN_SLURM_TEXT_H
#define RUN_SLURM_TEXT_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/* What a state of Slurm's means for the instances of a job. */
enum slurm_fate {
    SLURM_WAITS,
    SLURM_RUNS,  /* or a state that we do not know: nothing is concluded from it */
    SLURM_ENDED, /* its script came to its end */
    SLURM_TAKEN, /* preempted: its capacity was taken back */
    SLURM_LOST,  /* ended by the cluster or by somebody else */
};

struct slurm_job {
    const char *id, *state, *reason, *nodes, *submitted, *name;
    enum slurm_fate fate;
};

/* For squeue --format: the name last, for it may hold anything. */
#define SLURM_FORMAT "%i|%T|%r|%N|%V|%j"

/* The lines of squeue, sorted by name, one a name: the one that goes on, else one that was ended, else the youngest.
 * ERR_INVALID: that is not what squeue prints; conclude nothing. */
int slurm_read_jobs(struct arena *, struct str text, struct slurm_job **ret, int *ret_count, struct err *err);

/* NULL: not there. */
const struct slurm_job *slurm_job_find(const struct slurm_job *sorted, int count, const char *name);

/* sbatch --parsable: "17", "17;cluster". NULL: it is no answer of sbatch's. */
const char *slurm_read_id(struct arena *, struct str text);

/* The last thing a command complained of, on one line, without its own name; "" for nothing. */
const char *slurm_complaint(struct arena *, struct str errors);

/* Of sbatch's complaint: the job can never be taken. False: the next try may do, and this one may have. */
bool slurm_refuses(const char *complaint);

/* "Slurm job 17 waits: no node has enough free ... (Resources)" */
const char *slurm_waiting_words(struct arena *, const struct slurm_job *);

#endif
