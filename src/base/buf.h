/* buf.h - bytes that grow at the end.
 *
 * Starts as { 0 }; buf_free() makes it { 0 } again. 'data' is NUL-terminated whenever it is not NULL, the NUL is not
 * part of 'size', and the bytes may contain NULs of their own. Memory that cannot be had ends the process. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    char *data;
    size_t size, capacity;
};

void buf_free(struct buf *);
void buf_clear(struct buf *); /* keeps the memory */
char *buf_reserve(struct buf *, size_t more_bytes); /* where the next bytes go; then add them to size yourself */
void buf_append_int(struct buf *, int64_t); /* in decimal */
void buf_printf(struct buf *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *, size_t size); /* drops bytes from the front */
char *buf_steal(struct buf *); /* the NUL-terminated memory, to be freed with free(); the buf is empty again */

/* Here so that what fits costs no call: answers are written in thousands of small pieces. */
static inline void buf_append(struct buf *b, const void *data, size_t size)
{
    if (b->capacity - b->size <= size)
        buf_reserve(b, size);
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = '\0';
}

static inline void buf_append_str(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

static inline void buf_append_char(struct buf *b, char c)
{
    buf_append(b, &c, 1);
}

#define _cleanup_buf_ __attribute__((cleanup(buf_free)))

#endif
