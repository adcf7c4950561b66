/* matrix.h - rows of numbers, as a model sees them: features, and beside them labels, weights and query groups.
 *
 * Dense: rows * columns values, NaN where one is missing. Sparse: row r is the entries row_start[r] to
 * row_start[r + 1], each with its column. A matrix is one or the other from its first row on. Starts as { 0 }. */
#ifndef ALGO_MATRIX_H
#define ALGO_MATRIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct matrix {
    size_t rows, columns;
    bool sparse;
    float *values;
    size_t *row_start;       /* sparse: rows + 1 of them */
    uint32_t *column;        /* sparse */
    float *labels, *weights; /* NULL: none; else one a row */
    uint64_t *queries;       /* query ids of ranking, NULL: none */

    size_t row_capacity, value_capacity; /* what is allocated */
};

void matrix_free(struct matrix *);
#define _cleanup_matrix_ __attribute__((cleanup(matrix_free)))

/* Room for so many more rows. The columns of a dense matrix must be known by now. */
void matrix_reserve(struct matrix *, size_t more_rows, bool labels, bool weights, bool queries);
void matrix_reserve_values(struct matrix *, size_t more_values); /* sparse */

/* Rows of NaN-filled values, at least 'columns' wide; further columns of a sparse row are left out. */
void matrix_to_dense(const struct matrix *, size_t columns, float *ret);

#endif
