#include "aws/eventstream.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/crc.h"

enum { PRELUDE_BYTES = 12, HEADER_STRING = 7 };

static void put_u32(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(value >> (24 - 8 * i));
}

static void put_header(struct buf *b, const char *name, const char *value)
{
    size_t size = strlen(value);

    assert(size <= UINT16_MAX);
    buf_append_char(b, (char)strlen(name));
    buf_append_str(b, name);
    buf_append_char(b, HEADER_STRING);
    buf_append(b, (char[]){ (char)(size >> 8), (char)size }, 2);
    buf_append(b, value, size);
}

static void put_message(struct buf *b, const char *const headers[][2], size_t count, struct str payload)
{
    size_t start = b->size, headers_size;
    char number[4];

    assert(payload.size <= EVENTSTREAM_PAYLOAD_MAX_BYTES);
    buf_reserve(b, PRELUDE_BYTES);
    b->size += PRELUDE_BYTES;
    for (size_t i = 0; i < count; i++)
        put_header(b, headers[i][0], headers[i][1]);
    headers_size = b->size - start - PRELUDE_BYTES;
    buf_append(b, payload.data, payload.size);
    put_u32(b->data + start, (uint32_t)(b->size - start + 4));
    put_u32(b->data + start + 4, (uint32_t)headers_size);
    put_u32(b->data + start + 8, (uint32_t)crc_update(CRC_32, 0, b->data + start, 8));
    put_u32(number, (uint32_t)crc_update(CRC_32, 0, b->data + start, b->size - start));
    buf_append(b, number, 4);
}

void eventstream_event(struct buf *b, const char *type, const char *content_type, struct str payload)
{
    const char *const headers[][2] = { { ":event-type", type },
                                       { ":content-type", content_type },
                                       { ":message-type", "event" } };

    put_message(b, headers, 3, payload);
}

void eventstream_exception(struct buf *b, const char *type, struct str payload)
{
    const char *const headers[][2] = { { ":exception-type", type },
                                       { ":content-type", "application/json" },
                                       { ":message-type", "exception" } };

    put_message(b, headers, 3, payload);
}
