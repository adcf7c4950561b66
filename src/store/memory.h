/* memory.h - the inside of the store in memory, for memory*.c. */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include "store/impl.h"
#include "store/omap.h"

struct undo {
    struct omap *map;
    struct str key;      /* malloc'ed */
    struct cell *before; /* NULL: there was nothing */
};

enum index { BY_NAME, BY_CREATED, BY_MODIFIED, BY_STATE, BY_ARN, BY_PARENT, BY_DUE, INDEXES };

struct memory {
    struct store store;
    struct omap *rows, *events, *indexes[INDEXES];
    struct map *tables; /* name -> struct omap */
    int64_t sequence;
    struct undo *undos;
    size_t undo_count, undo_capacity;
    struct mark { /* at each store_begin that wrote something since */
        size_t undo_count;
        int64_t sequence;
    } marks[16];
    int64_t committed_sequence;
    int marked; /* depth up to which marks are set */
    bool (*full)(void *context);
    void *context;
};

static inline struct memory *memory_of(struct store *s)
{
    return (struct memory *)s;
}

/* Before each write: brackets are marked. Fails when the store is to be full. */
int memory_room(struct memory *, struct err *err);

/* Every change of a map goes through these, which note what was there. 'set' takes over the cell. */
void memory_set(struct memory *, struct omap *, struct str key, struct cell *);
void memory_take(struct memory *, struct omap *, struct str key); /* not there is fine */

extern const struct row_class memory_rows;

#endif
