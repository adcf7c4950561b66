/* boost.h - one booster from its first iteration to its last, as the job's hyperparameters say. */
#ifndef ALGO_BOOST_H
#define ALGO_BOOST_H

#include "algo/booster.h"
#include "algo/hyperparameter.h"

#define MODEL_NAME "xgboost-model"

/* Those the user names, the tuner's, and XGBoost's default for the objective. */
#define METRICS (HYPERPARAMETER_METRICS + 2)

enum set { TRAIN, VALIDATION, SETS };

struct evaluation {
    const char *name; /* of the metric */
    double value[SETS];
};

struct job {
    struct arena *arena;
    struct hyperparameters hp;
    int threads;
    const char *model_folder, *checkpoint_folder; /* checkpoint_folder: NULL when the job has none */
};

/* SIGTERM ends the process at once, or after the iteration and with its model: save_model_on_termination. */
void boost_ends_by_signal(void);
void boost_saves_when_ended(bool saves);

/* 'fold' is -1 outside of cross validation. *ret_last: what the last iteration was worth. */
int boost(struct job *, struct dataset *const *sets, size_t set_count, int fold, struct booster **ret,
          struct evaluation *ret_last, size_t *ret_last_count, struct err *err);

/* Into the model folder. */
int boost_save(struct job *, struct booster *, const char *name, struct err *err);

/* The line of an iteration, which tuning jobs read. */
void boost_print(int64_t iteration, const struct evaluation *, size_t count, bool validated);

/* What libxgboost said, as the container says it: the user's fault or ours. -1. */
int boost_failed(const struct err *from, struct err *err);

#endif
