#include "agent/turns.h"

#include <assert.h>
#include <stdlib.h>

struct turn {
    bool over, joined;
};

void turns_init(struct turns *t, size_t count)
{
    *t = (struct turns){ .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER, .count = count };
    t->turns = calloc(count + 1, sizeof *t->turns);
    assert(t->turns);
}

void turns_free(struct turns *t)
{
    pthread_cond_destroy(&t->moved);
    pthread_mutex_destroy(&t->lock);
    free(t->turns);
}

bool turns_take(struct turns *t, size_t *ret_thing)
{
    bool taken;

    pthread_mutex_lock(&t->lock);
    taken = !t->ended && t->next < t->count;
    if (taken)
        *ret_thing = t->next++;
    pthread_mutex_unlock(&t->lock);
    return taken;
}

static void move(struct turns *t)
{
    while (t->over < t->count && t->turns[t->over].over)
        t->over++;
    while (t->joined < t->count && (t->turns[t->joined].over || t->turns[t->joined].joined))
        t->joined++;
    pthread_cond_broadcast(&t->moved);
}

static bool wait_for(struct turns *t, const size_t *front, size_t thing, bool joins)
{
    bool ended;

    pthread_mutex_lock(&t->lock);
    while (!t->ended && *front < thing)
        pthread_cond_wait(&t->moved, &t->lock);
    ended = t->ended;
    if (joins && !ended) {
        t->turns[thing].joined = true;
        move(t);
    }
    pthread_mutex_unlock(&t->lock);
    return !ended;
}

bool turns_wait(struct turns *t, size_t thing)
{
    return wait_for(t, &t->over, thing, false);
}

bool turns_join(struct turns *t, size_t thing)
{
    return wait_for(t, &t->joined, thing, true);
}

void turns_over(struct turns *t, size_t thing)
{
    pthread_mutex_lock(&t->lock);
    t->turns[thing].over = true;
    move(t);
    pthread_mutex_unlock(&t->lock);
}

void turns_end(struct turns *t)
{
    pthread_mutex_lock(&t->lock);
    t->ended = true;
    pthread_cond_broadcast(&t->moved);
    pthread_mutex_unlock(&t->lock);
}
