/* omap.c - a skip list. The heights come from a counter, not from dice: a simulation must replay. */
#include "store/omap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/impl.h"

enum { TALLEST = 20 };

struct onode {
    struct onode *before; /* of the lowest level; NULL: this is the first */
    struct cell *cell;
    char *key;
    uint32_t key_size;
    uint32_t height;
    struct onode *next[];
};

struct omap {
    struct onode *head[TALLEST];
    struct onode *last;
    uint64_t counter;
};

struct cell *cell_new_bytes(struct str value)
{
    struct cell *c = malloc(sizeof *c + value.size + 1);

    assert(c && "out of memory");
    *c = (struct cell){ .references = 1, .size = value.size };
    if (value.size)
        memcpy(c->bytes, value.data, value.size);
    c->bytes[value.size] = '\0';
    return c;
}

struct cell *cell_new_row(const struct row *r)
{
    struct cell *c = malloc(sizeof *c);

    assert(c && "out of memory");
    *c = (struct cell){ .references = 1, .arena = arena_new() };
    c->row = row_copy(c->arena, r);
    return c;
}

struct cell *cell_hold(struct cell *c)
{
    if (c)
        c->references++;
    return c;
}

void cell_release(struct cell *c)
{
    if (!c || --c->references > 0)
        return;
    arena_free(c->arena);
    free(c);
}

struct omap *omap_new(void)
{
    struct omap *m = calloc(1, sizeof *m);

    assert(m && "out of memory");
    return m;
}

static void node_free(struct onode *n)
{
    cell_release(n->cell);
    free(n->key);
    free(n);
}

void omap_free(struct omap *m)
{
    if (!m)
        return;
    for (struct onode *n = m->head[0], *next; n; n = next) {
        next = n->next[0];
        node_free(n);
    }
    free(m);
}

struct str onode_key(const struct onode *n)
{
    return (struct str){ n->key, n->key_size };
}

struct cell *onode_cell(const struct onode *n)
{
    return n->cell;
}

/* Where the links into 'key' stand at each level; gives the first node at or after it. */
static struct onode *find(struct omap *m, struct str key, struct onode **links[TALLEST], struct onode **ret_before)
{
    struct onode **level = m->head, *before = NULL;

    for (int i = TALLEST - 1; i >= 0; i--) {
        while (level[i] && str_compare(onode_key(level[i]), key) < 0) {
            before = level[i];
            level = before->next;
        }
        links[i] = &level[i];
    }
    *ret_before = before;
    return level[0];
}

static bool is_at(const struct onode *n, struct str key)
{
    return n && n->key_size == key.size && (key.size == 0 || memcmp(n->key, key.data, key.size) == 0);
}

const struct onode *omap_seek(const struct omap *m, struct str key)
{
    struct onode *const *level = m->head;

    for (int i = TALLEST - 1; i >= 0; i--)
        while (level[i] && str_compare(onode_key(level[i]), key) < 0)
            level = level[i]->next;
    return level[0];
}

struct cell *omap_get(const struct omap *m, struct str key)
{
    const struct onode *n = omap_seek(m, key);

    return is_at(n, key) ? n->cell : NULL;
}

/* Half of the nodes are of height 1, a quarter of 2...: the trailing zeros of a scrambled counter. */
static uint32_t next_height(struct omap *m)
{
    uint64_t z = ++m->counter * 0x9e3779b97f4a7c15u;
    uint32_t height;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z ^= z >> 27;
    height = 1 + (uint32_t)__builtin_ctzll(z | (uint64_t)1 << 62);
    return height < TALLEST ? height : TALLEST;
}

struct cell *omap_set(struct omap *m, struct str key, struct cell *c)
{
    struct onode **links[TALLEST], *before, *n = find(m, key, links, &before);
    uint32_t height;

    if (is_at(n, key)) {
        struct cell *replaced = n->cell;

        n->cell = c;
        return replaced;
    }
    height = next_height(m);
    n = malloc(sizeof *n + height * sizeof n->next[0]);
    assert(n && "out of memory");
    *n = (struct onode){ .before = before, .cell = c, .key_size = (uint32_t)key.size, .height = height };
    n->key = malloc(key.size + 1);
    assert(n->key && "out of memory");
    if (key.size)
        memcpy(n->key, key.data, key.size);
    for (uint32_t i = 0; i < height; i++) {
        n->next[i] = *links[i];
        *links[i] = n;
    }
    if (n->next[0])
        n->next[0]->before = n;
    else
        m->last = n;
    return NULL;
}

struct cell *omap_take(struct omap *m, struct str key)
{
    struct onode **links[TALLEST], *before, *n = find(m, key, links, &before);
    struct cell *c;

    if (!is_at(n, key))
        return NULL;
    for (uint32_t i = 0; i < n->height; i++)
        *links[i] = n->next[i];
    if (n->next[0])
        n->next[0]->before = n->before;
    else
        m->last = n->before;
    c = cell_hold(n->cell);
    node_free(n);
    return c;
}

const struct onode *omap_first(const struct omap *m)
{
    return m->head[0];
}

const struct onode *omap_last(const struct omap *m)
{
    return m->last;
}

const struct onode *onode_next(const struct onode *n)
{
    return n->next[0];
}

const struct onode *omap_before(const struct omap *m, const struct onode *n)
{
    return n ? n->before : m->last;
}
