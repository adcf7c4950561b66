/* libsvm.h - "label[:weight] [qid:n] index:value ..." lines into a sparse matrix; "#" starts a comment. */
#ifndef ALGO_LIBSVM_H
#define ALGO_LIBSVM_H

#include "algo/matrix.h"
#include "base/err.h"
#include "base/str.h"

struct libsvm_options {
    const char *name; /* of the file, for messages; NULL in a request */
    bool labeled;     /* each line starts with its label; in a request it may, and the label is passed over */
};

/* Rows are added; on failure what 'into' had before still stands. */
int libsvm_parse(struct str text, const struct libsvm_options *, struct matrix *into, struct err *err);

#endif
