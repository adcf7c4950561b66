#include "agent/inflate.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <zlib.h>

enum { BLOCK = 1 << 18, GZIP_ONLY = 16 };

struct inflate {
    z_stream z;
    bool between; /* members; the stream may end here */
    char block[BLOCK];
};

struct inflate *inflate_new(void)
{
    struct inflate *i = calloc(1, sizeof *i);
    int r;

    assert(i);
    r = inflateInit2(&i->z, GZIP_ONLY + MAX_WBITS);
    assert(r == Z_OK);
    i->between = true;
    return i;
}

void inflate_free(struct inflate *i)
{
    if (i)
        inflateEnd(&i->z);
    free(i);
}

int inflate_feed(struct inflate *i, struct str bytes, int (*out)(void *data, struct str bytes, struct err *err),
                 void *data, struct err *err)
{
    i->z.next_in = (Bytef *)(uintptr_t)bytes.data;
    i->z.avail_in = (uInt)bytes.size;
    while (i->z.avail_in) {
        int r, done;

        /* Zeros behind a member are padding, to gzip too. */
        if (i->between && *i->z.next_in == 0 && i->z.total_in) {
            i->z.next_in++;
            i->z.avail_in--;
            continue;
        }
        if (i->between && i->z.total_in)
            inflateReset(&i->z);
        i->between = false;
        do {
            i->z.next_out = (Bytef *)i->block;
            i->z.avail_out = BLOCK;
            r = inflate(&i->z, Z_NO_FLUSH);
            if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
                return fail(err, ERR_INVALID, "it is not gzip: %s", i->z.msg ? i->z.msg : "bad data");
            if (i->z.avail_out < BLOCK && (done = out(data, (struct str){ i->block, BLOCK - i->z.avail_out }, err)) < 0)
                return done;
        } while (r != Z_STREAM_END && i->z.avail_out == 0);
        i->between = r == Z_STREAM_END;
        if (r == Z_BUF_ERROR)
            break;
    }
    return 0;
}

int inflate_end(struct inflate *i, struct err *err)
{
    return i->between ? 0 : fail(err, ERR_INVALID, "it is gzip that is cut off");
}
