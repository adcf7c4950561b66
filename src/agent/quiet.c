/* quiet.c - a program that waits for something still wakes up now and then: what is less than a hundredth of a core is
 * no work. */
#include "agent/quiet.h"

enum { IDLE_PERCENT = 1 };

static bool works(const struct signs *before, const struct signs *now)
{
    int64_t passed_ns = (now->boot_ms - before->boot_ms) * 1000000;

    if (now->gpu_busy || now->output_bytes != before->output_bytes)
        return true;
    /* What nobody counts cannot be missed. */
    if (now->cpu_ns < 0 || before->cpu_ns < 0)
        return true;
    return (now->cpu_ns - before->cpu_ns) * 100 > passed_ns * IDLE_PERCENT;
}

/* Two looks are as far apart as that only because the machine stood still: suspended, or without a core for anybody.
 * The container could not have done anything then. */
static int64_t stood_still_ms(const struct quiet *q, const struct signs *now)
{
    int64_t passed_ms = now->boot_ms - q->before.boot_ms, most_ms = 2 * q->look_ms;

    return passed_ms > most_ms ? passed_ms - most_ms : 0;
}

void quiet_look(struct quiet *q, const struct signs *now)
{
    int64_t still_ms = stood_still_ms(q, now);

    q->since_boot_ms += still_ms;
    q->since_wall_ms += still_ms;
    if (!q->before.boot_ms || works(&q->before, now)) {
        q->since_boot_ms = now->boot_ms;
        q->since_wall_ms = now->wall_ms;
    }
    q->before = *now;
}

int64_t quiet_ms(const struct quiet *q)
{
    return q->before.boot_ms - q->since_boot_ms;
}
