#include "fleet/queue.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *array, size_t count, size_t size)
{
    void *more = realloc(array, count * size);

    assert(more && "memory");
    return more;
}

struct queue *queue_new(void)
{
    struct queue *q = calloc(1, sizeof *q);

    assert(q);
    q->demands = map_new();
    q->lanes = map_new();
    list_init(&q->arrivals);
    return q;
}

void queue_free(struct queue *q)
{
    struct str key;
    void *at;

    if (!q)
        return;
    for (size_t i = 0; map_next(q->lanes, &i, &key, &at);)
        free(at);
    for (size_t i = 0; map_next(q->demands, &i, &key, &at);) {
        free(((struct demand *)at)->heap);
        free(at);
    }
    map_free(q->lanes);
    map_free(q->demands);
    free(q->active);
    free(q);
}

/* What makes demands and lanes the same, as bytes: no padding in it that is not zeroed. */
struct demand_key {
    int64_t shape[GROUPS_MOST], count[GROUPS_MOST], spot, runtime_class;
};

struct lane_key {
    struct demand *demand;
    struct owner *owner;
    int64_t tier;
};

static struct demand_key key_of(const struct demand_group *groups, int count, bool spot, int64_t runtime_class)
{
    struct demand_key key;

    memset(&key, 0, sizeof key);
    for (int i = 0; i < count; i++) {
        key.shape[i] = groups[i].shape + 1;
        key.count[i] = groups[i].count;
    }
    key.spot = spot;
    key.runtime_class = runtime_class;
    return key;
}

/* Half octaves: the longest of a class may run 1.4 times as long as the shortest. */
static int64_t class_of(int64_t runtime_ms)
{
    return runtime_ms ? (int64_t)(2 * log2((double)runtime_ms)) : INT64_MAX;
}

struct demand *queue_demand(struct queue *q, const struct demand_group *groups, int count, bool spot,
                            int64_t runtime_ms)
{
    struct demand_key key = key_of(groups, count, spot, class_of(runtime_ms));
    struct str text = { (const char *)&key, sizeof key };
    struct demand *d = map_get(q->demands, text);

    if (!d) {
        d = calloc(1, sizeof *d);
        assert(d && count <= GROUPS_MOST);
        memcpy(d->groups, groups, (size_t)count * sizeof *groups);
        d->group_count = count;
        d->spot = spot;
        d->runtime_class = key.runtime_class;
        map_set(q->demands, text, d);
    }
    d->users++;
    return d;
}

void demand_drop(struct queue *q, struct demand *d)
{
    struct demand_key key = key_of(d->groups, d->group_count, d->spot, d->runtime_class);

    if (--d->users > 0)
        return;
    assert(d->count == 0 && "who waits points to it");
    map_remove(q->demands, (struct str){ (const char *)&key, sizeof key });
    free(d->heap);
    free(d);
}

bool lane_before(const struct lane *a, const struct lane *b)
{
    if (a->tier != b->tier)
        return a->tier > b->tier;
    if (a->key != b->key)
        return a->key < b->key;
    return a->sequence < b->sequence;
}

static void put(struct demand *d, struct lane *lane, size_t at)
{
    d->heap[at] = lane;
    lane->at = at;
}

static void sift_up(struct demand *d, struct lane *lane)
{
    size_t at = lane->at;

    for (; at > 0 && lane_before(lane, d->heap[(at - 1) / 2]); at = (at - 1) / 2)
        put(d, d->heap[(at - 1) / 2], at);
    put(d, lane, at);
}

static void sift_down(struct demand *d, struct lane *lane)
{
    size_t at = lane->at;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= d->count)
            break;
        if (child + 1 < d->count && lane_before(d->heap[child + 1], d->heap[child]))
            child++;
        if (!lane_before(d->heap[child], lane))
            break;
        put(d, d->heap[child], at);
        at = child;
    }
    put(d, lane, at);
}

static void activate(struct queue *q, struct demand *d)
{
    if (q->count == q->capacity) {
        q->capacity = q->capacity ? 2 * q->capacity : 16;
        q->active = grown(q->active, q->capacity, sizeof(struct demand *));
    }
    d->at = q->count;
    q->active[q->count++] = d;
}

static void deactivate(struct queue *q, struct demand *d)
{
    q->active[d->at] = q->active[--q->count];
    q->active[d->at]->at = d->at;
    d->fresh = false;
}

static void heap_add(struct queue *q, struct demand *d, struct lane *lane)
{
    if (d->count == 0)
        activate(q, d);
    if (d->count == d->capacity) {
        d->capacity = d->capacity ? 2 * d->capacity : 4;
        d->heap = grown(d->heap, d->capacity, sizeof(struct lane *));
    }
    lane->at = d->count++;
    sift_up(d, lane);
}

static void heap_remove(struct queue *q, struct demand *d, struct lane *lane)
{
    struct lane *last = d->heap[--d->count];

    if (last != lane) {
        last->at = lane->at;
        put(d, last, lane->at);
        sift_up(d, last);
        sift_down(d, last);
    }
    if (d->count == 0)
        deactivate(q, d);
}

/* On demand before spot, lost patience before patience, then priority. */
static int64_t tier_of(const struct job *j)
{
    int64_t tier = j->patient ? j->priority + (1 << 20) : 1 << 22;

    return tier + (j->demand->spot ? 0 : (int64_t)1 << 24);
}

static struct lane *lane_of(struct queue *q, const struct job *j)
{
    struct lane_key key = { j->demand, j->patient ? j->owner : NULL, tier_of(j) };
    struct str text = { (const char *)&key, sizeof key };
    struct lane *lane = map_get(q->lanes, text);

    if (lane)
        return lane;
    lane = calloc(1, sizeof *lane);
    assert(lane);
    lane->demand = key.demand;
    lane->owner = key.owner;
    lane->tier = key.tier;
    list_init(&lane->jobs);
    map_set(q->lanes, text, lane);
    return lane;
}

/* Before the first that came later. New ones are last, and those who come again are old: looked for from the end that
 * is nearer. */
static void insert_job(struct list *all, struct list *node, int64_t sequence, size_t offset)
{
#define SEQUENCE(l) (((struct job *)(void *)((char *)(l) - offset))->sequence)
    struct list *after = all;

    if (!list_empty(all) && SEQUENCE(all->prev) > sequence)
        for (after = all->next; SEQUENCE(after) < sequence;)
            after = after->next;
    list_append(after, node); /* before 'after' */
#undef SEQUENCE
}

void queue_add(struct queue *q, struct job *j)
{
    struct lane *lane = lane_of(q, j);

    insert_job(&lane->jobs, &j->link, j->sequence, offsetof(struct job, link));
    lane->count++;
    lane->fleet_ms += j->fleet_ms;
    lane->sequence = list_entry(lane->jobs.next, struct job, link)->sequence;
    if (lane->count == 1) {
        lane->key = lane->owner ? share_key(lane->owner) : 0;
        heap_add(q, lane->demand, lane);
    } else {
        sift_up(lane->demand, lane);
    }
    if (j->patient)
        insert_job(&q->arrivals, &j->arrival, j->sequence, offsetof(struct job, arrival));
    else
        list_init(&j->arrival);
    j->lane = lane;
    j->demand->fresh = true;
    q->waiting++;
}

void queue_remove(struct queue *q, struct job *j)
{
    struct lane *lane = j->lane;
    struct lane_key key = { lane->demand, lane->owner, lane->tier };

    list_remove(&j->link);
    list_remove(&j->arrival);
    j->lane = NULL;
    q->waiting--;
    lane->count--;
    lane->fleet_ms -= j->fleet_ms;
    if (lane->count > 0) {
        lane->sequence = list_entry(lane->jobs.next, struct job, link)->sequence;
        sift_down(lane->demand, lane);
        return;
    }
    heap_remove(q, lane->demand, lane);
    map_remove(q->lanes, (struct str){ (const char *)&key, sizeof key });
    free(lane);
}

struct job *demand_first(struct demand *d)
{
    for (;;) {
        struct lane *lane = d->heap[0];
        double key = lane->owner ? share_key(lane->owner) : 0;

        if (key <= lane->key)
            return list_entry(lane->jobs.next, struct job, link);
        lane->key = key;
        sift_down(d, lane);
    }
}

bool queue_lose_patience(struct queue *q, int64_t before_ms)
{
    bool any = false;

    while (!list_empty(&q->arrivals)) {
        struct job *j = list_entry(q->arrivals.next, struct job, arrival);

        if (j->submitted_ms > before_ms)
            break;
        queue_remove(q, j);
        j->patient = false;
        queue_add(q, j);
        any = true;
    }
    return any;
}

void queue_rescale(struct queue *q, double scale)
{
    for (size_t i = 0; i < q->count; i++)
        for (size_t k = 0; k < q->active[i]->count; k++)
            q->active[i]->heap[k]->key *= scale;
}
