/* pool.h - the default pool: this machine, shared.
 *
 * Any instance type is accepted. Cores are shared by weight; the memory limit of an instance is the smaller of its
 * type's and of the machine's share; so many instances run beside each other as the machine's memory and cores bear,
 * the rest wait in the order in which they came. The pool keeps nothing on disk: a restarted control plane tells it
 * again who runs. */
#ifndef FLEET_POOL_H
#define FLEET_POOL_H

#include <stdbool.h>
#include <stdint.h>

struct pool;

/* 'slots' instances at most run at one time; 0: four for each core, as many as 512 MiB each allows. */
struct pool *pool_new(int cores, int64_t memory_bytes, int slots);
void pool_free(struct pool *); /* NULL is fine */

/* Whether 'uid' may run. Who asks and may not keeps its place in the line. Asking again for one that has a slot is
 * fine; 'running' says that it is known to run (after a restart): it gets a slot whatever the line. */
bool pool_take(struct pool *, const char *uid, bool running);

/* The same for 'count' instances that only make sense together: all have a slot, or none. At most pool_slots(). */
bool pool_take_all(struct pool *, const char *uid, int count, bool running);

/* Gives the slots, or the place in the line, back; not having one is fine. Returns the uid at the head of the line that
 * can have it now ("" for none), valid until the next call. */
const char *pool_give(struct pool *, const char *uid);

int pool_waiting_before(const struct pool *, const char *uid); /* how many stand before it in the line */
int pool_waiting(const struct pool *);                         /* how many stand in the line */
int pool_slots(const struct pool *);
int pool_used(const struct pool *);

struct pool_limits {
    int cpus;       /* whole cores that it may use at most */
    int cpu_weight; /* its share when others want them too */
    int64_t memory_bytes;
};
struct pool_limits pool_limits_of(const struct pool *, const char *instance_type);

#endif
