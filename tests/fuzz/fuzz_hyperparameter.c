/* links: base doc aws model sign algo */
/* hyperparameters.json of XGBoost: taken, or refused with one line a violation. */
#include <assert.h>
#include <stdint.h>

#include "algo/hyperparameter.h"
#include "doc/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct hyperparameters h;
    struct err err = { 0 };
    struct doc *config;

    if (json_parse(a, (struct str){ (const char *)data, size }, &config, &err) < 0)
        return 0;
    if (hyperparameters_read(a, config, &h, &err) < 0) {
        assert(err.kind == ERR_INVALID && *err.text);
        return 0;
    }
    assert(h.num_round > 0 && h.metric_count <= 2 * HYPERPARAMETER_METRICS);
    for (size_t i = 0; i < h.metric_count; i++)
        assert(*h.metrics[i]);
    for (size_t i = 0; i < h.passed_count; i++)
        assert(*h.passed[i].name);
    return 0;
}
