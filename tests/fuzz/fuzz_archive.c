/* links: base run */
/* An archive from outside, unpacked as a user's and as a layer: nothing may be written outside of its folder. */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "run/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char folder[64];
    char inside[96], marker[96];
    struct archive_limits limits = { .bytes = 1 << 20, .files = 64 };
    struct stat st;
    struct err err;

    if (size < 1)
        return 0;
    if (!*folder) {
        snprintf(folder, sizeof folder, "/dev/shm/sgb-fuzz-XXXXXX");
        assert(mkdtemp(folder));
    }
    snprintf(inside, sizeof inside, "%s/in", folder);
    snprintf(marker, sizeof marker, "%s/marker", folder);
    assert(mkdir(inside, 0700) == 0);
    assert(close(open(marker, O_CREAT | O_WRONLY | O_TRUNC, 0600)) == 0);
    archive_unpack_memory(data + 1, size - 1, inside, data[0] & 1 ? ARCHIVE_LAYER : ARCHIVE_DATA, &limits, &err);
    assert(lstat(marker, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 && st.st_nlink == 1);
    assert(tree_remove(inside, &err) == 0);
    unlink(marker);
    /* Only these two were here: the folder is empty again. */
    assert(rmdir(folder) == 0);
    assert(mkdir(folder, 0700) == 0);
    return 0;
}
