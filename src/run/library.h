/* library.h - a library that is loaded where it is there, and its functions by a table. */
#ifndef RUN_LIBRARY_H
#define RUN_LIBRARY_H

#include <stddef.h>

struct library_symbol {
    size_t offset; /* of the pointer in the struct of functions */
    const char *names[2]; /* today's, and that of older ones or NULL; the first that is there counts */
};

/* Of some functions the pointer stays NULL where the library lacks them. NULL: it cannot be loaded, and 'why' says why.
 * RTLD_LOCAL: what it brings is seen by nobody else. */
void *library_open(const char *name, const struct library_symbol *, size_t count, void *functions, char *why,
                   size_t why_size);

/* The first function that is not there; NULL: all are. */
const char *library_lacks(const struct library_symbol *, size_t count, const void *functions);

#endif
