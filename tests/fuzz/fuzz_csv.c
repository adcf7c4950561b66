/* links: base doc algo */
#include "algo/csv.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte chooses the options; the file is read twice, as two files of one channel would be. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_matrix_ struct matrix m = { 0 };
    struct err err = { 0 };

    if (size == 0)
        return 0;
    struct str text = { (const char *)data + 1, size - 1 };
    struct csv_options o = { .name = data[0] & 1 ? "f" : NULL, .labeled = data[0] & 2, .weighted = data[0] & 4 };
    o.labeled |= o.weighted;
    if (csv_parse(text, &o, &m, &err) == 0) {
        size_t rows = m.rows;

        if (rows && csv_parse(text, &o, &m, &err) == 0)
            assert(m.rows == 2 * rows);
    }
    return 0;
}
