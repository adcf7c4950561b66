#include "agent/pace.h"

enum { BURST_US = 250000 };

void pace_init(struct pace *p, struct clock *clock, int64_t bytes_per_s)
{
    *p = (struct pace){ .clock = clock, .lock = PTHREAD_MUTEX_INITIALIZER, .bytes_per_s = bytes_per_s };
}

int64_t pace_take_ms(struct pace *p, int64_t bytes)
{
    int64_t now_us = clock_boot_ms(p->clock) * 1000, wait_us = 0;

    pthread_mutex_lock(&p->lock);
    if (p->bytes_per_s > 0) {
        if (p->free_us < now_us - BURST_US)
            p->free_us = now_us - BURST_US;
        wait_us = p->free_us - now_us;
        p->free_us += (int64_t)((double)bytes * 1e6 / (double)p->bytes_per_s);
    }
    pthread_mutex_unlock(&p->lock);
    return wait_us > 0 ? (wait_us + 999) / 1000 : 0;
}

void pace_off(struct pace *p)
{
    pthread_mutex_lock(&p->lock);
    p->bytes_per_s = 0;
    pthread_mutex_unlock(&p->lock);
}
