/* clock.h - time, handed in: nothing above base asks the system for it.
 *
 * Wall time is for people and for the wire, and may jump. Boot time only goes forward, also through a suspend, and
 * is what intervals and time-outs use. Both in milliseconds. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

struct clock {
    int64_t (*wall_ms)(struct clock *); /* since 1970-01-01T00:00:00Z */
    int64_t (*boot_ms)(struct clock *);
};

struct clock *clock_system(void); /* the real one */

static inline int64_t clock_wall_ms(struct clock *c)
{
    return c->wall_ms(c);
}

static inline int64_t clock_boot_ms(struct clock *c)
{
    return c->boot_ms(c);
}

/* 2024-02-29T12:00:00Z, with ".123" before the Z when milliseconds are asked for. */
char *time_iso8601(struct arena *, int64_t wall_ms, bool milliseconds);
char *time_http(struct arena *, int64_t wall_ms); /* Thu, 29 Feb 2024 12:00:00 GMT */
bool time_parse_iso8601(struct str, int64_t *ret_wall_ms); /* Z, +hh:mm, and the basic form 20240229T120000Z */
bool time_parse_http(struct str, int64_t *ret_wall_ms);

/* "90", "90s", "30m", "2h", "1d"; "off" is 0. */
bool duration_parse(struct str, int64_t *ret_ms);

/* For people, in two units at most: "0.3 s", "42 s", "4 min 10 s", "3 h 12 min", "41 days". */
const char *duration_text(struct arena *, double ms);

#endif
