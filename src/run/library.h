/* library.h - a library that is loaded where it is there, and its functions by a table. */
#ifndef RUN_LIBRARY_H
#define RUN_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

struct library_symbol {
    size_t offset; /* of the pointer in the struct of functions */
    const char *names[2]; /* today's, and that of older ones or NULL; the first that is there counts */
    bool needed; /* else the pointer is NULL where the library lacks it */
};

/* NULL: it cannot be loaded, or lacks what is needed, and 'why' says so. What it brings is seen by nobody else. */
void *library_open(const char *name, const struct library_symbol *, size_t count, void *functions, char *why,
                   size_t why_size);

#endif
