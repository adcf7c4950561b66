/* recordio.h - recordio-protobuf: records of aialgs.data.Record (proto2), each in a RecordIO frame.
 *
 * A frame is the magic 0xced7230a, the length (both little endian), the bytes, and zeros up to a multiple of four. A
 * Record has maps from a name to a tensor: features "values", label "values". A tensor is float32, float64 or int32,
 * dense, or sparse with a key for each value and the row's width as its shape. */
#ifndef ALGO_RECORDIO_H
#define ALGO_RECORDIO_H

#include <stdbool.h>

#include "algo/matrix.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct recordio_options {
    const char *name; /* of the file, for messages; NULL in a request */
    bool labeled;     /* each record must have a label */
};

/* Rows are added; on failure what 'into' had before still stands. */
int recordio_parse(struct str bytes, const struct recordio_options *, struct matrix *into, struct err *err);

/* One frame: a Record with the label tensors given, each a list of float32. */
struct recordio_label {
    const char *name;
    const float *values;
    size_t count;
};
void recordio_print(struct buf *, const struct recordio_label *, size_t count);

#endif
