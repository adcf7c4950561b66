/* matrix.c - rows of numbers. Arrays grow by half, so that a file of unknown length is read once. */
#include "algo/matrix.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *p, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes) || !(p = realloc(p, bytes ? bytes : 1))) {
        fprintf(stderr, "out of memory for a matrix of %zu values of %zu bytes\n", count, size);
        abort();
    }
    return p;
}

void matrix_free(struct matrix *m)
{
    free(m->values);
    free(m->row_start);
    free(m->column);
    free(m->labels);
    free(m->weights);
    free(m->queries);
    *m = (struct matrix){ 0 };
}

void matrix_reserve_values(struct matrix *m, size_t more)
{
    size_t used = m->rows ? m->row_start[m->rows] : 0, need = used + more;

    if (need <= m->value_capacity)
        return;
    m->value_capacity = need + need / 2;
    m->values = grown(m->values, m->value_capacity, sizeof *m->values);
    m->column = grown(m->column, m->value_capacity, sizeof *m->column);
}

void matrix_reserve(struct matrix *m, size_t more_rows, bool labels, bool weights, bool queries)
{
    size_t need = m->rows + more_rows;

    bool grow = need > m->row_capacity;

    if (grow)
        m->row_capacity = need < m->row_capacity * 3 / 2 ? m->row_capacity * 3 / 2 : need;
    if (m->sparse && (grow || !m->row_start))
        m->row_start = grown(m->row_start, m->row_capacity + 1, sizeof *m->row_start);
    if (!m->sparse && (grow || !m->values))
        m->values = grown(m->values, m->row_capacity, m->columns * sizeof *m->values);
    if (m->labels ? grow : labels)
        m->labels = grown(m->labels, m->row_capacity, sizeof *m->labels);
    if (m->weights ? grow : weights)
        m->weights = grown(m->weights, m->row_capacity, sizeof *m->weights);
    if (m->queries ? grow : queries)
        m->queries = grown(m->queries, m->row_capacity, sizeof *m->queries);
    if (m->sparse && m->rows == 0)
        m->row_start[0] = 0;
}

void matrix_to_dense(const struct matrix *m, size_t columns, float *ret)
{
    size_t shared = m->columns < columns ? m->columns : columns;

    for (size_t r = 0; r < m->rows; r++) {
        float *row = ret + r * columns;

        if (!m->sparse)
            memcpy(row, m->values + r * m->columns, shared * sizeof *row);
        for (size_t c = m->sparse ? 0 : shared; c < columns; c++)
            row[c] = NAN;
        if (m->sparse)
            for (size_t i = m->row_start[r]; i < m->row_start[r + 1]; i++)
                if (m->column[i] < columns)
                    row[m->column[i]] = m->values[i];
    }
}
