/* check_cgroup.c - a container can be given its share of cores and memory here. */
#include <string.h>

#include "agent/check.h"
#include "run/cgroup.h"

void check_cgroup(struct arena *a, const struct checked *c, struct finding *ret)
{
    struct err err;

    if (strcmp(c->order->runtime, "process") == 0) {
        ret->evidence = "this runtime uses none";
        return;
    }
    ret->passed = cgroup_try(a, arena_printf(a, "%s.check", c->order->name), &err) == 0;
    ret->evidence = ret->passed ? "cores and memory can be limited and counted" : arena_strdup(a, err.text);
}
