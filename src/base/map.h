/* map.h - a hash map from byte strings to pointers. Keys are copied in; values belong to the caller. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct map;

struct map *map_new(void);

/* The order of all maps made from here on follows from the number, for a simulation that must repeat itself. */
void map_reseed(uint64_t seed);

void map_free(struct map *); /* NULL is fine */
size_t map_count(const struct map *);
void *map_get(const struct map *, struct str key);              /* NULL: not there */
void *map_set(struct map *, struct str key, void *value);       /* value is not NULL; the one it replaced, or NULL */
void *map_remove(struct map *, struct str key);                 /* what was there, or NULL */

/* Visits every entry in no order: for (size_t at = 0; map_next(m, &at, &key, &value);). Removing the entry just
 * visited is allowed, adding is not. */
int map_next(const struct map *, size_t *at, struct str *ret_key, void **ret_value);

#endif
