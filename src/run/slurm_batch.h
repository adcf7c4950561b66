/* slurm_batch.h - what sbatch is told of one attempt: one allocation for its instances, an agent on each node. */
#ifndef RUN_SLURM_BATCH_H
#define RUN_SLURM_BATCH_H

#include "base/arena.h"
#include "doc/doc.h"
#include "run/runtime.h"

struct slurm_batch {
    const char *name;             /* of the Slurm job: the first instance's agent */
    const char *const *arguments; /* NULL-terminated */
    const char *script;
};

/* The agents of the order's attempt, in the order of its hosts; one that is alone has only itself. NULL-terminated. */
const char *const *slurm_batch_agents(struct arena *, const struct doc *order, int *ret_count);

/* 'order' is the first instance's, with limits that do for all; 'program' the agent's; 'agents_folder' where the
 * agents' folders are. */
struct slurm_batch slurm_batch_of(struct arena *, const struct slurm_settings *, const struct doc *order,
                                  const char *agents_folder, const char *program);

/* What sbatch is asked for, for people: "--nodes=1 --cpus-per-task=16 --mem=65536M". */
const char *slurm_batch_wants(struct arena *, const struct slurm_batch *);

/* Those that the administrator's options exclude, and these: for one --exclude=, of which the last counts. */
const char *slurm_batch_exclude(struct arena *, const char *options, const char *const *nodes, int count);

/* For tests: the text as one word of a shell. */
const char *shell_quote(struct arena *, const char *);

#endif
