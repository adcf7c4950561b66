/* check.c - what is checked, in the order of what it costs. */
#include "agent/check.h"

static const struct {
    const char *name;
    void (*run)(struct arena *, const struct checked *, struct finding *ret);
    bool thorough; /* takes time: only where it was asked for */
} checks[] = {
    { "file system", check_filesystem, false },
    { "memory errors", check_ecc, true },
    { "cgroups", check_cgroup, true },
    { "clock", check_clock, true },
    { "memory", check_memory, true },
    { "disk", check_disk, true },
    { "GPU", check_gpu, true },
};
_Static_assert(sizeof checks / sizeof *checks <= CHECKS_MOST, "more checks than findings");

int check_all(struct arena *a, const struct checked *c, bool thorough, struct finding *ret)
{
    int count = 0;

    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        struct finding f = { .check = checks[i].name, .evidence = "", .passed = true };
        int64_t began_ms = clock_boot_ms(c->clock);

        if (checks[i].thorough && !thorough)
            continue;
        checks[i].run(a, c, &f);
        f.ms = clock_boot_ms(c->clock) - began_ms;
        ret[count++] = f;
        if (!f.passed)
            break;
    }
    return count;
}
