/* arena.h - memory that is freed all at once.
 *
 * One request, one reconcile pass, one report: one arena. A function that takes an arena first allocates from it;
 * what it returns lives as long as the arena. Memory that cannot be had ends the process: there is no null to check. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *); /* NULL is fine */
void arena_reset(struct arena *); /* everything allocated is gone; the first block is kept for the next use */

void *arena_alloc(struct arena *, size_t size_bytes); /* zeroed, aligned for any type; size 0 gives a valid pointer */
void *arena_copy(struct arena *, const void *data, size_t size_bytes);
char *arena_strdup(struct arena *, const char *);                    /* NULL stays NULL */
char *arena_strndup(struct arena *, const char *, size_t size_bytes); /* always NUL-terminated */
char *arena_printf(struct arena *, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *, const char *format, va_list);

size_t arena_size_bytes(const struct arena *); /* what was handed out since the last reset */

#define arena_new_of(arena, type)          ((type *)arena_alloc((arena), sizeof(type)))
#define arena_array_of(arena, type, count) ((type *)arena_alloc((arena), sizeof(type) * (count)))

void arena_cleanup(struct arena **);
#define _cleanup_arena_ __attribute__((cleanup(arena_cleanup)))

#endif
