/* csv.h - comma-separated values into a matrix: RFC 4180 as far as numbers need it, and what people send instead.
 *
 * No header line. An empty cell, "nan" and the usual words for "not available" are missing values; anything else that
 * is no number is an error that names its line. */
#ifndef ALGO_CSV_H
#define ALGO_CSV_H

#include "algo/matrix.h"
#include "base/err.h"
#include "base/str.h"

struct csv_options {
    const char *name; /* of the file, for messages; NULL in a request */
    char delimiter;   /* 0: guessed from the first line */
    bool labeled;     /* the first column is the label */
    bool weighted;    /* and the second the weight */
};

/* Rows are added to those that 'into' has, and must be as wide. On failure what 'into' had before still stands. */
int csv_parse(struct str text, const struct csv_options *, struct matrix *into, struct err *err);

char csv_delimiter(struct str first_line); /* a comma when nothing better is seen */

#endif
