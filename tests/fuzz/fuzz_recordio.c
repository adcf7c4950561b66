/* links: base doc algo */
#include "algo/recordio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_matrix_ struct matrix m = { 0 };
    struct err err = { 0 };

    if (size == 0)
        return 0;
    struct recordio_options o = { .name = data[0] & 1 ? "f" : NULL, .labeled = data[0] & 2 };
    recordio_parse((struct str){ (const char *)data + 1, size - 1 }, &o, &m, &err);
    return 0;
}
