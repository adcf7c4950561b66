/* nearest.h - what somebody who mistyped a name most likely meant. */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

/* How many letters must be put in, left out, replaced, or swapped with their neighbour; at most 'limit' + 1. */
int text_distance(const char *a, const char *b, int limit);

/* The name that is nearest to the word; NULL when none is near enough to be meant. 'names' ends with NULL. */
const char *text_nearest(const char *word, const char *const *names);
const char *text_nearest_of(const char *word, const char *const *names, size_t count);

#endif
