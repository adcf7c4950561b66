#include "base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 8192, ALIGNMENT = alignof(max_align_t) };

struct block {
    struct block *next;
    size_t size, used;
    alignas(max_align_t) char data[];
};

struct arena {
    struct block *blocks; /* the newest first; the last one is kept by a reset */
    size_t handed_out;
};

static struct block *block_new(size_t size)
{
    struct block *b = malloc(sizeof *b + size);

    assert(b && "out of memory");
    *b = (struct block){ .size = size };
    return b;
}

struct arena *arena_new(void)
{
    struct arena *a = calloc(1, sizeof *a);

    assert(a && "out of memory");
    return a;
}

void arena_reset(struct arena *a)
{
    struct block *b = a->blocks;

    while (b && b->next) {
        struct block *next = b->next;

        free(b);
        b = next;
    }
    if (b && b->size > BLOCK_BYTES) {
        free(b);
        b = NULL;
    }
    if (b)
        b->used = 0;
    a->blocks = b;
    a->handed_out = 0;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    arena_reset(a);
    free(a->blocks);
    free(a);
}

/* Not zeroed: for who writes every byte. */
static void *take(struct arena *a, size_t size)
{
    struct block *b = a->blocks;
    void *p;

    assert(size < SIZE_MAX / 2);
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (size == 0)
        size = ALIGNMENT;
    if (!b || b->size - b->used < size) {
        /* Blocks grow with the arena, so that a large document costs few of them. */
        size_t want = a->handed_out > BLOCK_BYTES ? a->handed_out : BLOCK_BYTES;

        b = block_new(size > want ? size : want);
        b->next = a->blocks;
        a->blocks = b;
    }
    p = b->data + b->used;
    b->used += size;
    a->handed_out += size;
    return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
    void *p = take(a, size);

    memset(p, 0, size ? size : 1);
    return p;
}

void *arena_copy(struct arena *a, const void *data, size_t size)
{
    void *p = take(a, size);

    if (size)
        memcpy(p, data, size);
    return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t size)
{
    char *p = take(a, size + 1);

    if (size)
        memcpy(p, s, size);
    p[size] = '\0';
    return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_vprintf(struct arena *a, const char *format, va_list ap)
{
    char text[512], *p; /* formatted once, where it is as short as nearly always */
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(text, sizeof text, format, ap);
    assert(n >= 0);
    p = take(a, (size_t)n + 1);
    if ((size_t)n < sizeof text)
        memcpy(p, text, (size_t)n + 1);
    else
        vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return p;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list ap;
    char *p;

    va_start(ap, format);
    p = arena_vprintf(a, format, ap);
    va_end(ap);
    return p;
}

size_t arena_size_bytes(const struct arena *a)
{
    return a->handed_out;
}

void arena_cleanup(struct arena **a)
{
    arena_free(*a);
}
