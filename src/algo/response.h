/* response.h - predictions into what the client accepts. */
#ifndef ALGO_RESPONSE_H
#define ALGO_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum accept { ACCEPT_CSV, ACCEPT_JSON, ACCEPT_JSON_LINES, ACCEPT_RECORDIO };

/* What an Accept header asks for: nothing and any type give the default of the environment, else text/csv. ERR_INVALID
 * is answered with 406. */
int accept_parse(struct str header, const char *by_default, enum accept *ret, struct err *err);
const char *accept_content_type(enum accept);

struct response_options {
    const char *selected; /* SAGEMAKER_INFERENCE_OUTPUT: "predicted_label, probability"; NULL: the scores alone */
    bool batch;           /* SAGEMAKER_BATCH: CSV has one line a prediction */
    const char *objective;
    size_t classes;
};

/* ERR_INVALID: the objective has no selectable output; answered with 500, as the container does. */
int response_print(struct buf *, enum accept, const struct response_options *, const float *predictions, size_t rows,
                   size_t width, struct err *err);

#endif
