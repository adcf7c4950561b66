/* omap.h - a map from byte strings to cells, in memcmp order: what the memory store is made of. */
#ifndef STORE_OMAP_H
#define STORE_OMAP_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"
#include "store/store.h"

/* What a key leads to: bytes, or a row with an arena of its own. Shared by counting, never changed. */
struct cell {
    int references;
    struct arena *arena; /* NULL: bytes */
    struct row row;
    size_t size;
    char bytes[];
};

struct cell *cell_new_bytes(struct str);
struct cell *cell_new_row(const struct row *); /* copies */
struct cell *cell_hold(struct cell *);         /* NULL is fine */
void cell_release(struct cell *);              /* NULL is fine */

struct omap;
struct onode;

struct omap *omap_new(void);
void omap_free(struct omap *); /* NULL is fine */

struct cell *omap_get(const struct omap *, struct str key); /* NULL: not there; lives as long as the entry */
struct cell *omap_set(struct omap *, struct str key, struct cell *); /* takes the cell; the one it replaced, or NULL */
struct cell *omap_take(struct omap *, struct str key); /* removes; gives what was there, or NULL */

const struct onode *omap_first(const struct omap *);
const struct onode *omap_last(const struct omap *);
const struct onode *omap_seek(const struct omap *, struct str key); /* the first at or after key; NULL: none */
const struct onode *onode_next(const struct onode *);
const struct onode *omap_before(const struct omap *, const struct onode *); /* NULL node: the last */
struct str onode_key(const struct onode *);
struct cell *onode_cell(const struct onode *);

#endif
