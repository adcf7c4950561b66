/* links: base tree */
#include "tree/tree.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A model that was taken must be safe to ask, with every kernel. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tree_model *m;
    struct err err = { 0 };

    if (tree_model_new((struct str){ (const char *)data, size }, &m, &err) < 0)
        return 0;
    if (tree_model_features(m) < 10000 && tree_model_margins_width(m) < 10000) {
        float *row = calloc(2 * tree_model_features(m) + 1, sizeof *row);
        float *margins = calloc(2 * tree_model_margins_width(m), sizeof *margins);

        if (tree_model_features(m))
            row[0] = NAN;
        for (int k = TREE_PORTABLE; k <= TREE_AVX512; k++)
            if (tree_model_use(m, (enum tree_kernel)k))
                tree_model_predict(m, row, 2, margins);
        free(row);
        free(margins);
    }
    tree_model_free(m);
    return 0;
}
