/* pace.h - so many bytes a second and no more, shared by threads. */
#ifndef AGENT_PACE_H
#define AGENT_PACE_H

#include <pthread.h>
#include <stdint.h>

#include "base/clock.h"

struct pace {
    struct clock *clock;
    pthread_mutex_t lock;
    int64_t bytes_per_s; /* 0: no limit */
    int64_t free_us;     /* when everything that was taken will have passed, in boot time */
};

void pace_init(struct pace *, struct clock *, int64_t bytes_per_s);

/* Takes so many bytes, and says how long to wait before they are sent. After a rest a quarter of a second's worth
 * passes at once. */
int64_t pace_take_ms(struct pace *, int64_t bytes);

void pace_off(struct pace *); /* from now on there is no limit */

#endif
