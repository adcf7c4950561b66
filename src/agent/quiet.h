/* quiet.h - does the container still do anything? It writes a line, or computes, on a core or on a GPU. */
#ifndef AGENT_QUIET_H
#define AGENT_QUIET_H

#include <stdbool.h>
#include <stdint.h>

struct signs { /* of life, as seen at one moment */
    int64_t boot_ms, wall_ms;
    int64_t cpu_ns;       /* that it has used since its start; -1: nobody counts them here */
    int64_t output_bytes; /* that it has written to its log; metrics are lines of it */
    bool gpu_busy;
};

struct quiet { /* starts as { .look_ms = ... }, how far two looks are apart */
    int64_t look_ms;
    struct signs before;
    int64_t since_boot_ms, since_wall_ms; /* the last sign of life */
};

void quiet_look(struct quiet *, const struct signs *);

/* How long there was none, at the last look. */
int64_t quiet_ms(const struct quiet *);

#endif
