/* links: base doc algo */
#include "algo/request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte chooses the content type. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = { "application/json", "application/jsonlines", "text/csv", "text/libsvm",
                                         "application/x-recordio-protobuf" };
    _cleanup_matrix_ struct matrix m = { 0 };
    struct err err = { 0 };
    const char *format;

    if (size == 0)
        return 0;
    if (request_parse(str_of(types[data[0] % 5]), (struct str){ (const char *)data + 1, size - 1 }, &m, &format,
                      &err) == 0 &&
        m.columns < 1000) {
        float *rows = malloc(m.rows * m.columns * sizeof *rows + 1);

        matrix_to_dense(&m, m.columns, rows);
        free(rows);
    }
    return 0;
}
