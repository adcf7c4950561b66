/* model_set.h - the models of an endpoint: every file of the model folder, and one answer out of them.
 *
 * A model that the native predictor takes is answered from its tables; the others by libxgboost. Several models are an
 * ensemble: their mean, or their vote where the prediction is a class. */
#ifndef ALGO_MODEL_SET_H
#define ALGO_MODEL_SET_H

#include <stdbool.h>
#include <stddef.h>

#include "algo/matrix.h"
#include "base/arena.h"
#include "base/err.h"

struct model_set;

/* ensemble: false takes the first file alone, in the order of their names. */
int model_set_load(const char *folder, bool ensemble, struct model_set **ret, struct err *err);
void model_set_free(struct model_set *); /* NULL is fine */

const char *model_set_objective(const struct model_set *);
size_t model_set_classes(const struct model_set *); /* num_class, 0 when it has none */
size_t model_set_features(const struct model_set *);
size_t model_set_width(const struct model_set *); /* numbers a row */

/* ret has room for rows * width. Any thread may call it. ERR_INVALID: the rows do not fit the model. 'format' names
 * what the rows came in ("csv", "libsvm"...), for that message. */
int model_set_predict(struct model_set *, const struct matrix *, const char *format, float *ret, struct err *err);

#endif
