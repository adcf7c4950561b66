/* booster.h - libxgboost behind a door: data sets and boosters. What it says of an error is passed on word for word. */
#ifndef ALGO_BOOSTER_H
#define ALGO_BOOSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "algo/matrix.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct dataset;
struct booster;

const char *booster_version(struct arena *); /* of libxgboost, "1.7.4" */

int dataset_new(const struct matrix *, int threads, struct dataset **ret, struct err *);
int dataset_slice(const struct dataset *, const int *rows, size_t count, struct dataset **ret, struct err *);
void dataset_free(struct dataset *);
size_t dataset_rows(const struct dataset *);
size_t dataset_columns(const struct dataset *);
const float *dataset_labels(const struct dataset *);

/* The data sets are those it will be trained and evaluated on; none for a booster that only predicts. */
int booster_new(struct dataset *const *, size_t count, struct booster **ret, struct err *);
void booster_free(struct booster *);
int booster_set(struct booster *, const char *name, const char *value, struct err *);

int booster_load(struct booster *, const char *path, struct err *);
int booster_save(struct booster *, const char *path, struct err *); /* atomically */
int booster_print(struct arena *, struct booster *, const char *format, struct str *ret,
                  struct err *); /* "ubj", "json" */
int booster_config(struct arena *, struct booster *, struct str *ret, struct err *);
int booster_rounds(struct booster *, int *ret, struct err *);
int booster_features(struct booster *, size_t *ret, struct err *);
int booster_keep_rounds(struct booster **, int rounds, struct err *); /* the first ones; the rest is dropped */

int booster_update(struct booster *, int iteration, struct dataset *, struct err *);

/* "[3]\ttrain-rmse:0.51...\tvalidation-rmse:0.62..."; valid until the next call. */
int booster_evaluate(struct booster *, int iteration, struct dataset *const *, const char *const *names, size_t count,
                     const char **ret, struct err *);

/* 'width' numbers a row; valid until the next call. */
int booster_predict(struct booster *, struct dataset *, bool margin, const float **ret, size_t *ret_width,
                    struct err *);
int booster_predict_rows(struct booster *, const float *values, size_t rows, size_t columns, bool margin,
                         const float **ret, size_t *ret_width, struct err *);

#endif
