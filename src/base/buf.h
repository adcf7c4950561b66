/* buf.h - bytes that grow at the end.
 *
 * Starts as { 0 }; buf_free() makes it { 0 } again. 'data' is NUL-terminated whenever it is not NULL, the NUL is not
 * part of 'size', and the bytes may contain NULs of their own. Memory that cannot be had ends the process. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data;
    size_t size, capacity;
};

void buf_free(struct buf *);
void buf_clear(struct buf *); /* keeps the memory */
char *buf_reserve(struct buf *, size_t more_bytes); /* where the next bytes go; then add them to size yourself */
void buf_append(struct buf *, const void *data, size_t size);
void buf_append_str(struct buf *, const char *);
void buf_append_char(struct buf *, char);
void buf_append_int(struct buf *, int64_t); /* in decimal */
void buf_printf(struct buf *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *, size_t size); /* drops bytes from the front */
char *buf_steal(struct buf *); /* the NUL-terminated memory, to be freed with free(); the buf is empty again */

#define _cleanup_buf_ __attribute__((cleanup(buf_free)))

#endif
