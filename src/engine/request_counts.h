/* request_counts.h - how many requests each service has answered, how, and in what time: metrics of Prometheus. */
#ifndef ENGINE_REQUEST_COUNTS_H
#define ENGINE_REQUEST_COUNTS_H

#include <stdint.h>

#include "base/buf.h"

struct request_counts { /* starts as zeros */
    struct request_count {
        const char *service; /* lives as long; further services than there is room for are not counted */
        uint64_t requests, client_errors, server_errors, microseconds;
    } of[32];
    int count;
};

void request_counts_add(struct request_counts *, const char *service, int status, int64_t took_us);
void request_counts_print(const struct request_counts *, struct buf *);

#endif
