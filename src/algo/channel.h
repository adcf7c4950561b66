/* channel.h - an input channel of a training job, read into a matrix. */
#ifndef ALGO_CHANNEL_H
#define ALGO_CHANNEL_H

#include "algo/matrix.h"
#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

enum content { CONTENT_CSV, CONTENT_LIBSVM, CONTENT_RECORDIO, CONTENT_PARQUET };

/* "text/csv; label_size=1", "csv", "application/x-recordio-protobuf"...: ERR_INVALID in the container's words. */
int content_of(const char *content_type, enum content *ret, struct err *);

/* Are the channels those that XGBoost knows, with content types and modes that it takes? All violations. */
int channels_check(struct arena *, const struct doc *input_data_config, struct err *);

/* Reads what channel 'name' holds. No data is ERR_INVALID. A channel without a content type has the one of train. */
int channel_read(struct arena *, const struct doc *input_data_config, const char *name, bool weighted,
                 struct matrix *ret, struct err *);

#endif
