/* links: base doc fleet */
#include "fleet/workload.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever comes in: jobs within their bounds and in order, or an error with words. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct fleet fleet = fleet_default();
    struct err err = { 0 };
    struct workload w;

    if (workload_read(a, &fleet, "w", (struct str){ (const char *)data, size }, &w, &err) < 0) {
        assert(err.text[0]);
        return 0;
    }
    for (int64_t i = 0; i < w.count; i++) {
        assert(w.jobs[i].submit_ms >= 0 && w.jobs[i].run_ms >= 0 && w.jobs[i].max_run_ms >= 1000);
        assert(w.jobs[i].group_count >= 1 && w.jobs[i].group_count <= 5);
        assert(i == 0 || w.jobs[i].submit_ms >= w.jobs[i - 1].submit_ms);
        for (int g = 0; g < w.jobs[i].group_count; g++)
            assert(w.jobs[i].groups[g].count >= 1 && w.jobs[i].groups[g].type);
    }
    return 0;
}
