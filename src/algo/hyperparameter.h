/* hyperparameter.h - what a training job asks of XGBoost: names, types, ranges, checked before any data is read. */
#ifndef ALGO_HYPERPARAMETER_H
#define ALGO_HYPERPARAMETER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

#define HYPERPARAMETER_METRICS 32 /* the most that eval_metric may name */

struct hyperparameter {
    const char *name; /* an alias is replaced by the name it stands for */
    const char *value;
};

struct hyperparameters {
    struct hyperparameter *passed; /* what goes to libxgboost as it is, in the order given */
    size_t passed_count;

    int64_t num_round;
    int64_t num_class;             /* 0: not given */
    int64_t early_stopping_rounds; /* 0: none */
    int64_t fold_count;            /* _kfold; 0: no cross validation */
    int64_t fold_repeats;          /* _num_cv_round, at least 1 */
    int64_t thread_count;          /* nthread; 0: not given */
    int64_t seed;
    bool csv_weights, save_on_termination, linear;
    const char *objective;
    const char *objective_metric; /* the metric that a tuning job watches, without "validation:"; NULL: none */
    const char **metrics;         /* eval_metric and the tuner's, in the order in which they are computed */
    size_t metric_count;
    const char *last_metric; /* of eval_metric as it was given; NULL: none */
};

/* 'config' maps names to strings. ERR_INVALID with every violation, one a line, in the container's words. */
int hyperparameters_read(struct arena *, const struct doc *config, struct hyperparameters *ret, struct err *);

/* Is a larger value of this metric the better one? "ndcg@5-" is an ndcg. */
bool metric_maximized(const char *name);

#endif
