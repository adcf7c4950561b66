/* links: base doc sign engine */
/* What a client states about a body: lines of "name=value", an empty line, trailers, an empty line, the body. */
#include <string.h>

#include "doc/doc.h"
#include "engine/integrity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct doc *lines(struct arena *a, struct str *text)
{
    struct doc *map = doc_map(a);
    struct str line, name, value;

    while (str_cut(*text, '\n', &line, text) && line.size > 0)
        if (str_cut(line, '=', &name, &value))
            doc_set(a, map, str_dup(a, name), doc_str(a, value));
    return map;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str text = { (const char *)data, size };
    const struct doc *headers = lines(a, &text), *trailers = lines(a, &text);
    struct integrity in;
    struct err err;
    unsigned char value[CHECKSUM_MAX_SIZE];

    integrity_start(&in);
    if (integrity_headers(&in, headers, UPLOAD_CRC64NVME, &err) < 0)
        return 0;
    integrity_update(&in, text.data, text.size / 2);
    integrity_update(&in, text.data + text.size / 2, text.size - text.size / 2);
    if (integrity_trailers(&in, trailers, &err) == 0 && integrity_finish(&in, &err) == 0)
        checksum_value(&in.measured, in.checksum, value);
    return 0;
}
