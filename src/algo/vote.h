/* vote.h - one class of what several models say of a row. */
#ifndef ALGO_VOTE_H
#define ALGO_VOTE_H

#include <stddef.h>

/* The one most of them say, the smallest of several such. 'count' is not 0. */
float vote(const float *said, size_t count);

#endif
