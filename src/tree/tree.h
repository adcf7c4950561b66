/* tree.h - gradient boosted trees as tables: the same margins as XGBoost, without XGBoost.
 *
 * Takes what booster "gbtree" saves as UBJSON (XGBoost 1.3 to 2): numeric splits, a direction for missing values, any
 * number of classes. A model it cannot take is refused with the reason, and the caller asks libxgboost instead. A model
 * is read-only after it was made, so any number of threads may use it at once. */
#ifndef TREE_TREE_H
#define TREE_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

struct tree_model;

enum tree_kernel { TREE_PORTABLE, TREE_AVX512 };

/* ERR_INVALID: damaged, or of a kind that is not taken. */
int tree_model_new(struct str ubjson, struct tree_model **ret, struct err *err);
void tree_model_free(struct tree_model *); /* NULL is fine */

size_t tree_model_features(const struct tree_model *);      /* a row has so many values, NaN where one is missing */
size_t tree_model_margins_width(const struct tree_model *); /* 1, or one a class */
size_t tree_model_width(const struct tree_model *);         /* of a prediction: 1, or one a class */
const char *tree_model_objective(const struct tree_model *);

/* ret has room for rows times the width. */
void tree_model_margins(const struct tree_model *, const float *values, size_t rows, float *ret);
void tree_model_predict(const struct tree_model *, const float *values, size_t rows, float *ret);

/* The fastest kernel this processor has is taken; a test may choose another. false: this processor has it not. */
bool tree_model_use(struct tree_model *, enum tree_kernel);
const char *tree_model_kernel(const struct tree_model *);

#endif
