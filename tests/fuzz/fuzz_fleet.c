/* links: base doc fleet */
#include "fleet/fleet.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever comes in: a fleet within its bounds, or an error with words. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct err err = { 0 };
    struct fleet f;
    struct fleet_type type;

    if (fleet_read(a, "f", (struct str){ (const char *)data, size }, &f, &err) < 0) {
        assert(err.text[0]);
        return 0;
    }
    assert(f.node_count >= 0 && f.node_count <= NODES_MOST && f.pool_count >= 1 && f.pool_count <= POOLS_MOST);
    for (int i = 0; i < f.node_group_count; i++)
        assert(f.nodes[i].pool >= 0 && f.nodes[i].pool < f.pool_count && f.nodes[i].has.gpus <= GPUS_MOST);
    for (int i = 0; i < f.type_count; i++)
        assert(fleet_type(&f, f.types[i].name, &type) && type.interruptions_hour >= 0);
    return 0;
}
