/* container.c - where the platform put us. */
#include "algo/container.h"

#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "doc/json.h"

#define DEFAULT_BASE "/opt/ml"

const char *container_base(void)
{
    const char *base = getenv("SAGEMAKER_BASE_DIR");

    return base && *base ? base : DEFAULT_BASE;
}

const char *container_path(struct arena *a, const char *path)
{
    size_t size = strlen(DEFAULT_BASE);

    if (strncmp(path, DEFAULT_BASE, size) == 0 && (path[size] == '/' || path[size] == '\0'))
        return arena_printf(a, "%s%s", container_base(), path + size);
    return path;
}

int container_config(struct arena *a, const char *name, struct doc **ret, struct err *err)
{
    const char *path = arena_printf(a, "%s/input/config/%s", container_base(), name);
    struct err parse = { 0 };
    struct str text;

    *ret = NULL;
    if (file_read(a, path, 64 << 20, &text, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    if (json_parse(a, text, ret, &parse) < 0)
        return fail(err, ERR_INTERNAL, "%s: %s", path, parse.text);
    return 0;
}

/* The folder of our cgroup for a controller, as it may be seen from here; "" is the root of the hierarchy. */
static const char *cgroup_of(struct arena *a, const char *controller)
{
    struct err ignored = { 0 };
    struct str text, line, rest, fields, path;

    if (file_read(a, "/proc/self/cgroup", 1 << 20, &text, &ignored) < 0)
        return "";
    for (rest = text; rest.size;) {
        struct str number, controllers;

        if (!str_cut(rest, '\n', &line, &rest))
            line = rest, rest.size = 0;
        if (!str_cut(line, ':', &number, &fields) || !str_cut(fields, ':', &controllers, &path))
            continue;
        while (controllers.size || !*controller) {
            struct str one = controllers, more = { 0 };

            str_cut(controllers, ',', &one, &more);
            if (str_is(one, controller))
                return str_is(path, "/") ? "" : str_dup(a, path);
            if (!*controller)
                break;
            controllers = more;
        }
    }
    return "";
}

static bool read_numbers(struct arena *a, const char *path, double *ret_first, double *ret_second)
{
    struct err ignored = { 0 };
    struct str text;

    if (file_read(a, path, 4096, &text, &ignored) < 0)
        return false;
    return sscanf(text.data, "%lf %lf", ret_first, ret_second) >= 1; /* "max 100000" has no first number */
}

/* Cores by quota: HUGE_VAL when there is none. Our folder may be the root of what is mounted here, or stand below
 * it. */
static double quota_cores(struct arena *a)
{
    const char *folders[] = { cgroup_of(a, "cpu"), "" };
    const char *mounts[] = { "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct" };
    double quota, period, cores = HUGE_VAL;

    for (size_t f = 0; f < 2; f++)
        for (size_t m = 0; m < 2; m++)
            if (read_numbers(a, arena_printf(a, "%s%s/cpu.cfs_quota_us", mounts[m], folders[f]), &quota, &period) &&
                read_numbers(a, arena_printf(a, "%s%s/cpu.cfs_period_us", mounts[m], folders[f]), &period,
                             &(double) { 0 }) &&
                quota > 0 && period > 0 && quota / period < cores)
                cores = quota / period;

    const char *unified[] = { cgroup_of(a, ""), "" };
    for (size_t f = 0; f < 2; f++)
        if (read_numbers(a, arena_printf(a, "/sys/fs/cgroup%s/cpu.max", unified[f]), &quota, &period) && quota > 0 &&
            period > 0 && quota / period < cores)
            cores = quota / period;
    return cores;
}

int container_cores(void)
{
    _cleanup_arena_ struct arena *a = arena_new();
    cpu_set_t set;
    int cores = 1;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cores = CPU_COUNT(&set);
    double quota = quota_cores(a);
    if (quota < cores)
        cores = (int)ceil(quota);
    return cores < 1 ? 1 : cores;
}

void say(const char *level, const char *format, ...)
{
    time_t now = (time_t)(clock_wall_ms(clock_system()) / 1000);
    char at[32];
    struct tm tm;
    va_list ap;

    gmtime_r(&now, &tm);
    strftime(at, sizeof at, "%Y-%m-%d:%H:%M:%S", &tm);
    printf("[%s:%s] ", at, level);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}
