/* links: base doc run */
/* What Slurm's commands print. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "run/slurm_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str text = { size ? (const char *)data : "", size };
    struct slurm_job *jobs;
    struct err err;
    int count;

    slurm_refuses(slurm_complaint(a, text));
    slurm_read_id(a, text);
    if (slurm_read_jobs(a, text, &jobs, &count, &err) < 0)
        return 0;
    for (int i = 0; i < count; i++) {
        const struct slurm_job *j = slurm_job_find(jobs, count, jobs[i].name);

        assert(j == &jobs[i] && "one a name, and all are found");
        slurm_waiting_words(a, j);
    }
    return 0;
}
