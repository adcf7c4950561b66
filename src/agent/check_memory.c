/* check_memory.c - memory: what the hardware has counted since the boot (EDAC), how much there is, and whether it keeps
 * what is put there. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/check.h"
#include "base/fd.h"

enum { FILE_MAX = 64 << 10 };
static const int64_t tried_bytes = INT64_C(64) << 20;

/* --- What was counted --- */

static int64_t number_in(struct arena *a, const char *path)
{
    struct err ignored;
    struct str text;
    int64_t n;

    return file_read(a, path, FILE_MAX, &text, &ignored) == 0 && str_to_int64(str_trim(text), &n) ? n : -1;
}

int64_t ecc_errors(struct arena *a, const char *root, const char **ret_where)
{
    DIR *folder = opendir(root);
    struct dirent *entry;
    int64_t sum = -1;

    *ret_where = "";
    while (folder && (entry = readdir(folder)) != NULL) {
        int64_t errors;

        if (!text_starts(entry->d_name, "mc") || strspn(entry->d_name + 2, "0123456789") == 0)
            continue;
        errors = number_in(a, arena_printf(a, "%s/%s/ue_count", root, entry->d_name));
        if (errors < 0)
            continue;
        sum = (sum < 0 ? 0 : sum) + errors;
        if (errors > 0)
            *ret_where = arena_strdup(a, entry->d_name);
    }
    if (folder)
        closedir(folder);
    return sum;
}

void check_ecc(struct arena *a, const struct checked *c, struct finding *ret)
{
    const char *where;
    int64_t errors = ecc_errors(a, EDAC, &where);

    (void)c;
    ret->passed = errors <= 0;
    ret->evidence = errors < 0 ? "this kernel counts none"
                               : arena_printf(a, "%lld uncorrected since the boot%s%s", (long long)errors,
                                              *where ? ", the last seen at " : "", where);
}

/* --- What is there --- */

/* -1: the kernel does not tell. */
static int64_t available_bytes(struct arena *a)
{
    struct str text, line, name, value;
    struct err ignored;
    int64_t kib;

    if (file_read(a, "/proc/meminfo", FILE_MAX, &text, &ignored) < 0)
        return -1;
    while (str_cut(text, '\n', &line, &text))
        if (str_cut(line, ':', &name, &value) && str_is(name, "MemAvailable") &&
            str_cut(str_trim(value), ' ', &value, &name) && str_to_int64(value, &kib))
            return kib << 10;
    return -1;
}

/* Every word a value of its own, and then the other bits. Volatile: what is read has to come from memory. */
static size_t first_wrong(volatile uint64_t *words, size_t count)
{
    for (int round = 0; round < 2; round++) {
        uint64_t flip = round ? ~UINT64_C(0) : 0;

        for (size_t i = 0; i < count; i++)
            words[i] = (i * UINT64_C(0x9e3779b97f4a7c15)) ^ flip;
        for (size_t i = 0; i < count; i++)
            if (words[i] != ((i * UINT64_C(0x9e3779b97f4a7c15)) ^ flip))
                return i;
    }
    return count;
}

void check_memory(struct arena *a, const struct checked *c, struct finding *ret)
{
    int64_t available = available_bytes(a), wanted = tried_bytes;
    size_t count, wrong;
    void *memory;

    if (c->order->memory_bytes && c->order->memory_bytes < wanted)
        wanted = c->order->memory_bytes;
    count = (size_t)wanted / sizeof(uint64_t);
    ret->passed = available < 0 || available >= wanted;
    ret->evidence = arena_printf(a, "%.1f GiB available", (double)available / (1 << 30));
    if (!ret->passed)
        return;
    memory = mmap(NULL, (size_t)wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        ret->passed = false;
        ret->evidence = arena_printf(a, "%s; %lld MiB cannot be had: %s", ret->evidence, (long long)(wanted >> 20),
                                     strerror(errno));
        return;
    }
    wrong = first_wrong(memory, count);
    munmap(memory, (size_t)wanted);
    ret->passed = wrong == count;
    ret->evidence = ret->passed ? arena_printf(a, "%s; %lld MiB kept what was written", ret->evidence,
                                               (long long)(wanted >> 20))
                                : arena_printf(a, "%lld MiB did not keep what was written, from word %zu on",
                                               (long long)(wanted >> 20), wrong);
}
