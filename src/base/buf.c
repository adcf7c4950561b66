#include "base/buf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){ 0 };
}

void buf_clear(struct buf *b)
{
    b->size = 0;
    if (b->data)
        b->data[0] = '\0';
}

char *buf_reserve(struct buf *b, size_t more)
{
    assert(more < SIZE_MAX / 4 && b->size < SIZE_MAX / 4);
    if (b->size + more + 1 > b->capacity) {
        size_t capacity = b->capacity ? b->capacity : 64;

        while (capacity < b->size + more + 1)
            capacity *= 2;
        b->data = realloc(b->data, capacity);
        assert(b->data && "out of memory");
        b->capacity = capacity;
    }
    b->data[b->size] = '\0';
    return b->data + b->size;
}

void buf_append_int(struct buf *b, int64_t value)
{
    char digits[24];
    size_t at = sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do
        digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0)
        digits[--at] = '-';
    buf_append(b, digits + at, sizeof digits - at);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list ap;
    char *at;
    int n;

    va_start(ap, format);
    n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    assert(n >= 0);
    at = buf_reserve(b, (size_t)n);
    va_start(ap, format);
    vsnprintf(at, (size_t)n + 1, format, ap);
    va_end(ap);
    b->size += (size_t)n;
}

void buf_consume(struct buf *b, size_t size)
{
    assert(size <= b->size);
    if (size == 0)
        return;
    memmove(b->data, b->data + size, b->size - size + 1);
    b->size -= size;
}

char *buf_steal(struct buf *b)
{
    char *data;

    buf_reserve(b, 0);
    data = b->data;
    *b = (struct buf){ 0 };
    return data;
}
