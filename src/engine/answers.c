#include "engine/answers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"

/* A row has one: operations that answer with it take turns. */
struct entry {
    struct list link; /* in answers.order */
    char *uid;
    const struct operation *operation;
    int64_t revision;
    size_t size;
    char body[];
};

struct answers {
    struct map *by_uid;
    struct list order; /* the last that was asked for stands last */
    size_t bytes, most_bytes;
};

struct answers *answers_new(size_t most_bytes)
{
    struct answers *s = calloc(1, sizeof *s);

    assert(s && "out of memory");
    s->by_uid = map_new();
    s->most_bytes = most_bytes;
    list_init(&s->order);
    return s;
}

static void drop(struct answers *s, struct entry *e)
{
    map_remove(s->by_uid, str_of(e->uid));
    list_remove(&e->link);
    s->bytes -= e->size;
    free(e->uid);
    free(e);
}

void answers_forget(struct answers *s)
{
    while (!list_empty(&s->order))
        drop(s, list_entry(s->order.next, struct entry, link));
}

void answers_free(struct answers *s)
{
    if (!s)
        return;
    answers_forget(s);
    map_free(s->by_uid);
    free(s);
}

bool answers_find(struct answers *s, const struct operation *operation, const char *uid, int64_t revision,
                  struct str *ret)
{
    struct entry *e = map_get(s->by_uid, str_of(uid));

    if (!e || e->operation != operation || e->revision != revision)
        return false;
    list_remove(&e->link);
    list_append(&s->order, &e->link);
    *ret = (struct str){ e->body, e->size };
    return true;
}

void answers_keep(struct answers *s, const struct operation *operation, const char *uid, int64_t revision,
                  struct str body)
{
    struct entry *e = map_get(s->by_uid, str_of(uid));

    if (e)
        drop(s, e);
    if (body.size > s->most_bytes)
        return;
    while (s->bytes + body.size > s->most_bytes)
        drop(s, list_entry(s->order.next, struct entry, link));
    e = malloc(sizeof *e + body.size);
    assert(e && "out of memory");
    *e = (struct entry){ .uid = strdup(uid), .operation = operation, .revision = revision, .size = body.size };
    assert(e->uid && "out of memory");
    if (body.size)
        memcpy(e->body, body.data, body.size);
    list_append(&s->order, &e->link);
    s->bytes += body.size;
    map_set(s->by_uid, str_of(e->uid), e);
}
