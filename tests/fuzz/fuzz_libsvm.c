/* links: base doc algo */
#include "algo/libsvm.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_matrix_ struct matrix m = { 0 };
    struct err err = { 0 };
    float row[8];

    if (size == 0)
        return 0;
    struct libsvm_options o = { .name = data[0] & 1 ? "f" : NULL, .labeled = data[0] & 2 };
    if (libsvm_parse((struct str){ (const char *)data + 1, size - 1 }, &o, &m, &err) == 0 && m.rows) {
        struct matrix first = m;

        first.rows = 1;
        matrix_to_dense(&first, 8, row);
        libsvm_parse((struct str){ (const char *)data + 1, size - 1 }, &o, &m, &err);
    }
    return 0;
}
