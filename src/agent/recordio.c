/* recordio.c - a frame is the magic number, a word with the part's kind (3 bits) and its size (29), the bytes, and
 * zeros up to a multiple of four. Where the magic number stands in the bytes themselves, at a multiple of four, the
 * record is cut there into parts and the number left out: a reader that lost its place never finds a frame inside a
 * record. */
#include "agent/recordio.h"

#include <assert.h>
#include <endian.h>
#include <stdint.h>
#include <string.h>

enum part { PART_WHOLE, PART_FIRST, PART_MIDDLE, PART_LAST };

static const uint32_t magic = 0xced7230a;

static void put_part(struct buf *b, enum part part, const char *data, size_t size)
{
    static const char zeros[4];
    uint32_t head[2] = { htole32(magic), htole32((uint32_t)part << 29 | (uint32_t)size) };

    buf_append(b, (const char *)head, sizeof head);
    buf_append(b, data, size);
    buf_append(b, zeros, (4 - size % 4) % 4);
}

void recordio_wrap(struct buf *b, struct str bytes)
{
    size_t done = 0;

    assert(bytes.size <= RECORDIO_MAX_BYTES);
    for (size_t at = 0; at + 4 <= bytes.size; at += 4) {
        uint32_t word;

        memcpy(&word, bytes.data + at, 4);
        if (le32toh(word) != magic)
            continue;
        put_part(b, done ? PART_MIDDLE : PART_FIRST, bytes.data + done, at - done);
        done = at + 4;
    }
    put_part(b, done ? PART_LAST : PART_WHOLE, bytes.data ? bytes.data + done : "", bytes.size - done);
}
