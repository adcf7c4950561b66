/* check_disk.c - the disk takes what is written, and gives it back as it was.
 *
 * What is read back may come from memory: the kernel is asked to drop it first, and is free not to. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/check.h"
#include "base/fd.h"

enum {
    BLOCK_BYTES = 1 << 20,
    BLOCKS = 16,
};
static const int64_t least_free_bytes = INT64_C(256) << 20;

static void bad(struct finding *f, const char *evidence)
{
    f->passed = false;
    f->evidence = evidence;
}

void check_filesystem(struct arena *a, const struct checked *c, struct finding *ret)
{
    struct statvfs fs;

    if (statvfs(c->folder, &fs) < 0)
        bad(ret, arena_printf(a, "its file system does not answer: %s", strerror(errno)));
    else if (fs.f_flag & ST_RDONLY)
        bad(ret, "its file system is read-only, as after errors of the disk");
    else
        ret->evidence = arena_printf(a, "%.1f GiB free", (double)fs.f_bavail * (double)fs.f_frsize / (1 << 30));
}

/* Each block differs from the others and from what an earlier check left on the same place. */
static void fill(uint64_t *block, int64_t number, uint64_t seed)
{
    for (size_t i = 0; i < BLOCK_BYTES / sizeof *block; i++)
        block[i] = (seed + (uint64_t)number * (BLOCK_BYTES / sizeof *block) + i) * UINT64_C(0x9e3779b97f4a7c15);
}

static bool write_blocks(int fd, uint64_t *block, uint64_t seed)
{
    for (int i = 0; i < BLOCKS; i++) {
        struct err ignored;

        fill(block, i, seed);
        if (fd_write_all(fd, block, BLOCK_BYTES, &ignored) < 0)
            return false;
    }
    return fsync(fd) == 0;
}

/* The number of the first block that is not what was written; BLOCKS: all are; -1: it cannot be read. */
static int read_blocks(int fd, uint64_t *block, uint64_t *expected, uint64_t seed)
{
    for (int i = 0; i < BLOCKS; i++) {
        if (pread(fd, block, BLOCK_BYTES, (off_t)i * BLOCK_BYTES) != BLOCK_BYTES)
            return -1;
        fill(expected, i, seed);
        if (memcmp(block, expected, BLOCK_BYTES) != 0)
            return i;
    }
    return BLOCKS;
}

static double rate(int64_t ms)
{
    return (double)BLOCKS * BLOCK_BYTES / 1e3 / (double)(ms > 0 ? ms : 1);
}

static void write_and_read(struct arena *a, const struct checked *c, int fd, struct finding *ret)
{
    uint64_t *block = arena_alloc(a, BLOCK_BYTES), *expected = arena_alloc(a, BLOCK_BYTES);
    uint64_t seed = (uint64_t)clock_wall_ms(c->clock);
    int64_t began_ms = clock_boot_ms(c->clock), written_ms;
    int same;

    if (!write_blocks(fd, block, seed)) {
        bad(ret, arena_printf(a, "%d MiB cannot be written: %s", BLOCKS, strerror(errno)));
        return;
    }
    written_ms = clock_boot_ms(c->clock);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    same = read_blocks(fd, block, expected, seed);
    if (same < 0)
        bad(ret, arena_printf(a, "what was written cannot be read: %s", strerror(errno)));
    else if (same < BLOCKS)
        bad(ret, arena_printf(a, "what was written is not what is read, in MiB %d of %d", same, BLOCKS));
    else
        ret->evidence = arena_printf(a, "%s; %d MiB written at %.0f MB/s and read back at %.0f MB/s", ret->evidence,
                                     BLOCKS, rate(written_ms - began_ms),
                                     rate(clock_boot_ms(c->clock) - written_ms));
}

void check_disk(struct arena *a, const struct checked *c, struct finding *ret)
{
    const char *path = arena_printf(a, "%s/disk.check", c->folder);
    _cleanup_fd_ int fd = -1;
    struct statvfs fs;

    check_filesystem(a, c, ret);
    if (!ret->passed)
        return;
    if (statvfs(c->folder, &fs) == 0 && (int64_t)fs.f_bavail * (int64_t)fs.f_frsize < least_free_bytes) {
        bad(ret, arena_printf(a, "only %s, and %lld MiB are the least to work with", ret->evidence,
                              (long long)(least_free_bytes >> 20)));
        return;
    }
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        bad(ret, arena_printf(a, "no file can be made: %s", strerror(errno)));
        return;
    }
    unlink(path);
    write_and_read(a, c, fd, ret);
}
