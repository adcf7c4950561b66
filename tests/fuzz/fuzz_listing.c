/* links: base doc sign net aws run agent */
/* What S3 lists, and where its keys would lie; what a container writes, as log lines. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "agent/lines.h"
#include "agent/s3.h"
#include "agent/fetch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(struct arena *a, const char *key)
{
    const char *path = fetch_local_path(a, "p/", arena_printf(a, "p/%s", key));
    const char *rest = path;

    if (!path)
        return;
    assert(*path != '/');
    while (*rest) {
        size_t part = strcspn(rest, "/");

        assert(part && part < 256);
        assert(!(part == 2 && rest[0] == '.' && rest[1] == '.'));
        rest += part;
        rest += *rest == '/';
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str text = { (const char *)data, size }, line;
    struct s3_object *objects = NULL;
    int count = 0, room = 0;
    const char *next;
    size_t taken = 0;
    struct err err;

    if (s3_parse_list(a, text, &objects, &count, &room, &next, &err) == 0)
        for (int i = 0; i < count; i++)
            check_path(a, objects[i].key);
    check_path(a, arena_strndup(a, text.data ? text.data : "", size));
    while (line_next(&text, true, &line)) {
        _cleanup_buf_ struct buf b = { 0 };

        taken += line.size;
        line_escape(&b, line);
        assert(utf8_valid((struct str){ b.data ? b.data : "", b.size }));
        for (size_t i = 0; i < b.size; i++)
            assert((unsigned char)b.data[i] >= ' ' && b.data[i] != 127);
    }
    assert(text.size == 0 && taken <= size);
    return 0;
}
