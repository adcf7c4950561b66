/* boost.c - one booster from its first iteration to its last. */
#include "algo/boost.h"

#include <assert.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "algo/checkpoint.h"
#include "algo/container.h"
#include "algo/metric.h"
#include "base/clock.h"
#include "base/str.h"

/* An interrupted job with save_model_on_termination keeps a model at most this old, also when one iteration takes
 * longer than the platform waits. */
#define INTERMEDIATE_MS 10000

static const char *const set_names[SETS] = { "train", "validation" };

/* What the container maps to a fault of the user's (xgb_constants.py), and what release 1.7 says instead. */
static const char *const users_faults[] = {
    "label must be in [0,1] for logistic regression",
    "label must be in [0, num_class)",
    "Target is multiclass but average='binary'",
    "feature_names mismatch",
    "Check failed: preds.size() == info.labels_.size()",
    "the dataset only contains pos or neg samples",
    "base_score must be in (0,1) for logistic loss",
    "label must be nonnegative",
    "label must be positive",
    "Parameter reg_lambda should be greater equal to 0",
    "Label contains NaN, infinity or a value too large",
    "Input data contains `inf`",
    "Metric '",
    NULL,
};

static volatile sig_atomic_t stopping;
static volatile sig_atomic_t saves_when_stopped;

static void on_terminate(int number)
{
    (void)number;
    if (!saves_when_stopped)
        _exit(143); /* checkpoints are whole files; there is nothing else to keep */
    stopping = 1;
}

void boost_ends_by_signal(void)
{
    signal(SIGTERM, on_terminate);
}

void boost_saves_when_ended(bool saves)
{
    saves_when_stopped = saves;
}

int boost_failed(const struct err *from, struct err *err)
{
    for (const char *const *f = users_faults; *f; f++)
        if (strstr(from->text, *f))
            return fail(err, ERR_INVALID, "%s", from->text);
    return fail(err, ERR_INTERNAL, "XGB train call failed with exception:\n %s", from->text);
}

/* "[0]\ttrain-rmse:0.5\tvalidation-rmse:0.6" into one row a metric. */
static size_t parse_evaluation(struct arena *a, const char *line, struct evaluation *ret, size_t limit)
{
    size_t count = 0;

    for (const char *p = strchr(line, '\t'); p; p = strchr(p, '\t')) {
        p++;
        const char *end = p + strcspn(p, "\t"), *dash = strchr(p, '-'), *colon = end;
        size_t at = 0;
        int set = text_starts(p, "train-") ? TRAIN : VALIDATION;

        while (colon > p && *colon != ':')
            colon--;
        assert(dash && dash < colon);
        const char *name = arena_strndup(a, dash + 1, (size_t)(colon - dash - 1));
        while (at < count && strcmp(ret[at].name, name))
            at++;
        if (at == count) {
            assert(count < limit);
            ret[count++] = (struct evaluation){ .name = name, .value = { NAN, NAN } };
        }
        ret[at].value[set] = strtod(colon + 1, NULL);
    }
    return count;
}

void boost_print(int64_t iteration, const struct evaluation *e, size_t count, bool validated)
{
    printf("[%lld]", (long long)iteration);
    for (int set = TRAIN; set <= (validated ? VALIDATION : TRAIN); set++)
        for (size_t i = 0; i < count; i++)
            printf("\t%s-%s:%.5f", set_names[set], e[i].name, e[i].value[set]);
    putchar('\n');
    fflush(stdout);
}

static int evaluate(struct job *j, struct arena *scratch, struct booster *b, int iteration, struct dataset *const *sets,
                    size_t set_count, struct evaluation *ret, size_t *ret_count, struct err *err)
{
    const char *line;
    size_t count, ours = 0;

    if (booster_evaluate(b, iteration, sets, set_names, set_count, &line, err) < 0)
        return -1;
    count = parse_evaluation(scratch, line, ret, METRICS);
    for (size_t m = 0; m < j->hp.metric_count; m++)
        if (metric_is_ours(j->hp.metrics[m]))
            ret[count + ours++] = (struct evaluation){ .name = j->hp.metrics[m], .value = { NAN, NAN } };
    for (size_t s = 0; ours && s < set_count; s++) {
        const float *margins;
        size_t width;

        if (booster_predict(b, sets[s], true, &margins, &width, err) < 0)
            return -1;
        for (size_t m = 0; m < ours; m++)
            if (metric_compute(ret[count + m].name, dataset_labels(sets[s]), margins, dataset_rows(sets[s]), width,
                               &ret[count + m].value[s], err) < 0)
                return -1;
    }
    *ret_count = count + ours;
    return 0;
}

static int configure(struct job *j, struct booster *b, struct err *err)
{
    const char *threads = arena_printf(j->arena, "%d", j->threads);

    if (booster_set(b, "nthread", threads, err) < 0)
        return -1;
    for (size_t i = 0; i < j->hp.passed_count; i++)
        if (booster_set(b, j->hp.passed[i].name, j->hp.passed[i].value, err) < 0)
            return -1;
    for (size_t i = 0; i < j->hp.metric_count; i++)
        if (!metric_is_ours(j->hp.metrics[i]) && booster_set(b, "eval_metric", j->hp.metrics[i], err) < 0)
            return -1;
    return 0;
}

/* Which metric decides about stopping: the tuner's, else the last one the user named, else the last one computed. */
static const struct evaluation *deciding(const struct job *j, const struct evaluation *e, size_t count)
{
    const char *name = j->hp.objective_metric ? j->hp.objective_metric : j->hp.last_metric;

    for (size_t i = 0; name && i < count; i++)
        if (strcmp(e[i].name, name) == 0)
            return &e[i];
    return &e[count - 1];
}

/* Early stopping: what the deciding metric was at its best, and when. */
struct best {
    double value;
    int iteration; /* -1: none yet */
    int without_gain;
};

static bool gains_no_more(const struct job *j, struct best *best, const struct evaluation *e, int iteration)
{
    double now = e->value[VALIDATION];

    if (best->iteration < 0 || (metric_maximized(e->name) ? now > best->value : now < best->value)) {
        *best = (struct best){ .value = now, .iteration = iteration };
        return false;
    }
    if (++best->without_gain < j->hp.early_stopping_rounds)
        return false;
    say("INFO", "Stopping early: validation-%s has not improved on %.5f of iteration %d for %d rounds", e->name,
        best->value, best->iteration, best->without_gain);
    return true;
}

/* The model so far, now and then and when the job is ended, which it is with it. */
static int save_so_far(struct booster *b, const char *model, int iteration, int64_t *saved_ms, struct err *err)
{
    int64_t now_ms = clock_boot_ms(clock_system());
    bool old = now_ms - *saved_ms >= INTERMEDIATE_MS;

    if ((stopping || old) && booster_save(b, model, err) < 0)
        return -1;
    if (stopping) {
        say("INFO", "Stopped after iteration %d: the model so far is saved as %s", iteration, model);
        exit(0);
    }
    if (old)
        *saved_ms = now_ms;
    return 0;
}

/* 'checkpoints': the folder, or NULL. Leaves in *ret_last what is in the scratch arena. */
static int iterate(struct job *j, struct arena *scratch, struct booster **b, struct dataset *const *sets,
                   size_t set_count, const char *checkpoints, const char *model, struct evaluation *ret_last,
                   size_t *ret_last_count, struct err *err)
{
    struct best best = { .value = NAN, .iteration = -1 };
    int64_t saved_ms = clock_boot_ms(clock_system());
    int iteration = 0;

    if (checkpoints && checkpoint_load(j->arena, checkpoints, *b, &iteration, err) < 0)
        return -1;
    if (configure(j, *b, err) < 0)
        return -1;
    for (; iteration < j->hp.num_round; iteration++) {
        arena_reset(scratch);
        if (booster_update(*b, iteration, sets[TRAIN], err) < 0 ||
            evaluate(j, scratch, *b, iteration, sets, set_count, ret_last, ret_last_count, err) < 0)
            return -1;
        /* In this order: an iteration that the log tells of is not trained again. */
        if (checkpoints && checkpoint_save(scratch, checkpoints, *b, iteration, err) < 0)
            return -1;
        boost_print(iteration, ret_last, *ret_last_count, set_count > VALIDATION);
        if (j->hp.save_on_termination && save_so_far(*b, model, iteration, &saved_ms, err) < 0)
            return -1;
        if (j->hp.early_stopping_rounds && set_count > VALIDATION &&
            gains_no_more(j, &best, deciding(j, ret_last, *ret_last_count), iteration))
            break;
    }
    if (checkpoints && iteration > 0)
        checkpoint_finish(j->arena, checkpoints, iteration == j->hp.num_round ? iteration - 1 : iteration);
    /* Trees of a resumed job stand before those counted here; slicing counts from the first. */
    return best.iteration >= 0 && !j->hp.linear ? booster_keep_rounds(b, best.iteration + 1, err) : 0;
}

int boost(struct job *j, struct dataset *const *sets, size_t set_count, int fold, struct booster **ret,
          struct evaluation *ret_last, size_t *ret_last_count, struct err *err)
{
    _cleanup_arena_ struct arena *scratch = arena_new();
    struct arena *a = j->arena;
    const char *checkpoints = j->checkpoint_folder && fold >= 0
                                  ? arena_printf(a, "%s/model-%d", j->checkpoint_folder, fold)
                                  : j->checkpoint_folder;
    const char *model = fold >= 0 ? arena_printf(a, "%s/" MODEL_NAME "-%d", j->model_folder, fold)
                                  : arena_printf(a, "%s/" MODEL_NAME, j->model_folder);
    struct booster *b = NULL;
    struct err inner = { 0 };

    *ret_last_count = 0;
    if (booster_new(sets, set_count, &b, &inner) < 0 ||
        iterate(j, scratch, &b, sets, set_count, checkpoints, model, ret_last, ret_last_count, &inner) < 0) {
        booster_free(b);
        return boost_failed(&inner, err);
    }
    /* What scratch holds of the last evaluation is still wanted. */
    for (size_t i = 0; i < *ret_last_count; i++)
        ret_last[i].name = arena_strdup(a, ret_last[i].name);
    *ret = b;
    return 0;
}

int boost_save(struct job *j, struct booster *b, const char *name, struct err *err)
{
    if (booster_save(b, arena_printf(j->arena, "%s/%s", j->model_folder, name), err) < 0) {
        err->kind = ERR_INTERNAL;
        return -1;
    }
    say("INFO", "Stored trained model at %s/%s", j->model_folder, name);
    return 0;
}
