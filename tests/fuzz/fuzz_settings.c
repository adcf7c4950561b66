/* links: base doc net cmd */
/* A configuration file, and DIR/config as a server saved it: what is taken can be saved and is read again as the same.
 * */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/str.h"
#include "cmd/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/dev/shm/sgb-fuzz-XXXXXX";

static void remove_folder(void)
{
    struct err err;

    tree_remove(folder, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct settings s, again;
    struct err err = { 0 };
    const char *path;
    int taken;

    if (strstr(folder, "XXXXXX")) {
        if (!mkdtemp(folder))
            abort();
        atexit(remove_folder);
    }
    path = arena_printf(a, "%s/config", folder);
    if (file_write_atomic(path, data, size, 0600, &err) < 0)
        abort();
    if (size && data[0] == '{') {
        taken = settings_read(a, folder, &s, &err);
    } else {
        settings_defaults(&s);
        taken = settings_read_file(a, path, &s, &err);
        if (taken == 0)
            assert(s.port >= 1 && s.port <= 65535 && s.disk_reserve_bytes >= 0 && strlen(s.account) == 12);
    }
    if (taken < 0) {
        assert(*err.text);
        return 0;
    }
    if (settings_write(folder, &s, &err) < 0 || settings_read(a, folder, &again, &err) < 0)
        abort();
    assert(s.port == again.port && s.disk_reserve_bytes == again.disk_reserve_bytes);
    assert(strcmp(s.region, again.region) == 0 && strcmp(s.address, again.address) == 0);
    assert(strcmp(s.names, again.names) == 0 && strcmp(s.runtime, again.runtime) == 0);
    return 0;
}
