/* links: base sign */
/* A presigned URL of version 2: "METHOD TARGET", then header lines. */
#include <stdbool.h>

#include "sign/sigv2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str text = { (const char *)data, size }, line, name, value;
    struct sigv4_header headers[16];
    struct sigv4_request r = { .headers = headers };
    struct sigv4_claim claim;
    struct err err;
    int count;

    if (!str_cut(text, '\n', &line, &text) || !str_cut(line, ' ', &r.method, &r.target))
        return 0;
    while (r.header_count < 16 && str_cut(text, '\n', &line, &text))
        if (str_cut(line, ':', &name, &value))
            headers[r.header_count++] = (struct sigv4_header){ name, value };
    if (!sigv2_presigned(&r) || sigv2_parse(a, &r, &claim, &err) < 0)
        return 0;
    sigv2_verify(a, &r, &claim, STR("bucket"), STR("secret"), 0, &err);
    sigv2_headers(a, &r, &count);
    return 0;
}
