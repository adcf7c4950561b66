/* links: base doc sign net aws run agent */
/* A channel's manifest: whatever it names, a file's path stays in its folder. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "agent/fetch.h"
#include "agent/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct manifest m;
    struct err err = { 0 };

    if (manifest_read(a, (struct str){ (const char *)data, size }, "s3://bucket/manifest", &m, &err) < 0) {
        assert(err.kind == ERR_INVALID && *err.text);
        return 0;
    }
    assert(*m.bucket && !strchr(m.bucket, '/'));
    for (size_t i = 0; i < m.count; i++) {
        const char *path = fetch_local_path(a, "", m.names[i]);

        assert(*m.names[i]);
        if (path)
            assert(*path != '/' && strcmp(path, "..") != 0 && !text_starts(path, "../") && !strstr(path, "/../") &&
                   !text_ends(path, "/.."));
    }
    return 0;
}
