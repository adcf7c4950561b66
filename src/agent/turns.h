/* turns.h - things that several threads do at once, each of which has a step that comes in its turn.
 *
 * A thread takes the next thing, does what can be done at any time, waits for its turn, does the step, and is over with
 * it. Things are taken in their order, so the one whose turn it is never waits for a thread that waits. Steps that may
 * overlap with those before them join them. */
#ifndef AGENT_TURNS_H
#define AGENT_TURNS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct turns {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    size_t count, next;
    size_t over, joined; /* things before it are over; are over or joined */
    struct turn *turns;  /* by thing */
    bool ended;
};

void turns_init(struct turns *, size_t count);
void turns_free(struct turns *);

bool turns_take(struct turns *, size_t *ret_thing);  /* false: there is none left, or it was ended */
bool turns_wait(struct turns *, size_t thing);       /* until all before are over; false: it was ended */
bool turns_join(struct turns *, size_t thing);       /* until all before are over or have joined, too */
void turns_over(struct turns *, size_t thing);       /* also without having waited */
void turns_end(struct turns *);                      /* nothing more is taken, and nobody's turn comes any more */

#endif
