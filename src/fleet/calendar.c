/* calendar.c - a ring of hours. What lies beyond the ring's 42 days, or was due before its first hour that still has
 * entries, waits in the last and the first place. */
#include "fleet/calendar.h"

#include <assert.h>
#include <stdlib.h>

enum { HOURS = 1024, HOUR_MS = 3600 * 1000 };

struct calendar {
    struct list hours[HOURS]; /* hour h in place h % HOURS */
    struct list far;
    int64_t first; /* no entry of the ring is before this hour */
    int64_t count; /* in the ring */
    struct calendar_entry **sorted;
    size_t capacity;
};

struct calendar *calendar_new(void)
{
    struct calendar *c = calloc(1, sizeof *c);

    assert(c);
    for (int i = 0; i < HOURS; i++)
        list_init(&c->hours[i]);
    list_init(&c->far);
    return c;
}

void calendar_free(struct calendar *c)
{
    if (!c)
        return;
    free(c->sorted);
    free(c);
}

/* The hour whose place the entry stands in; -1: far. An entry of the past stands in the first. */
static int64_t hour_of(const struct calendar *c, const struct calendar_entry *e)
{
    int64_t hour = e->at_ms / HOUR_MS;

    if (hour < c->first)
        hour = c->first;
    return hour < c->first + HOURS ? hour : -1;
}

/* Moves the ring on to its first entry, and in what is far no more. */
static void advance(struct calendar *c)
{
    int64_t before = c->first, least = INT64_MAX;

    if (c->count == 0)
        for (struct list *l = c->far.next; l != &c->far; l = l->next)
            if (list_entry(l, struct calendar_entry, link)->at_ms / HOUR_MS < least)
                least = list_entry(l, struct calendar_entry, link)->at_ms / HOUR_MS;
    if (least != INT64_MAX)
        c->first = least;
    while (c->count > 0 && list_empty(&c->hours[c->first % HOURS]))
        c->first++;
    if (c->first == before)
        return;
    list_each(l, &c->far) {
        struct calendar_entry *e = list_entry(l, struct calendar_entry, link);
        int64_t hour = hour_of(c, e);

        if (hour >= 0) {
            list_remove(l);
            list_append(&c->hours[hour % HOURS], l);
            c->count++;
        }
    }
}

void calendar_add(struct calendar *c, struct calendar_entry *e, int64_t at_ms, int64_t sequence)
{
    int64_t hour;

    assert(at_ms >= 0);
    e->at_ms = at_ms;
    e->sequence = sequence;
    if (c->count == 0 && list_empty(&c->far))
        c->first = at_ms / HOUR_MS;
    /* Earlier than all others, and the ring still spans them: it begins earlier. */
    if (at_ms / HOUR_MS < c->first && c->count == 0)
        c->first = at_ms / HOUR_MS;
    hour = hour_of(c, e);
    list_append(hour < 0 ? &c->far : &c->hours[hour % HOURS], &e->link);
    c->count += hour >= 0;
}

void calendar_remove(struct calendar *c, struct calendar_entry *e)
{
    if (!e->link.next || list_empty(&e->link))
        return;
    /* Where it stands was decided by where the ring began then; far entries come in only when the ring moves. */
    bool far = e->at_ms / HOUR_MS >= c->first + HOURS;

    c->count -= !far;
    list_remove(&e->link);
}

static int compare(const void *a, const void *b)
{
    const struct calendar_entry *x = *(struct calendar_entry *const *)a, *y = *(struct calendar_entry *const *)b;

    if (x->at_ms != y->at_ms)
        return x->at_ms < y->at_ms ? -1 : 1;
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static int walk_list(struct calendar *c, struct list *all, int (*visit)(void *context, struct calendar_entry *),
                     void *context)
{
    size_t count = 0;
    int result = 0;

    for (struct list *l = all->next; l != all; l = l->next) {
        if (count == c->capacity) {
            c->capacity = c->capacity ? 2 * c->capacity : 64;
            c->sorted = realloc(c->sorted, c->capacity * sizeof *c->sorted);
            assert(c->sorted);
        }
        c->sorted[count++] = list_entry(l, struct calendar_entry, link);
    }
    qsort(c->sorted, count, sizeof *c->sorted, compare);
    for (size_t i = 0; i < count && result == 0; i++)
        result = visit(context, c->sorted[i]);
    return result;
}

int calendar_walk(struct calendar *c, int (*visit)(void *context, struct calendar_entry *), void *context)
{
    int64_t seen = 0;

    advance(c);
    for (int64_t hour = c->first; seen < c->count && hour < c->first + HOURS; hour++) {
        struct list *place = &c->hours[hour % HOURS];
        int result;

        if (list_empty(place))
            continue;
        for (struct list *l = place->next; l != place; l = l->next)
            seen++;
        result = walk_list(c, place, visit, context);
        if (result)
            return result;
    }
    return list_empty(&c->far) ? 0 : walk_list(c, &c->far, visit, context);
}
