/* train.c - a training job in the container contract: read, boost, save.
 *
 * What users see in their log and what tuning jobs read is one line an iteration, on standard output:
 *     [7]<TAB>train-rmse:0.51234<TAB>validation-rmse:0.62345
 * and nothing of the model folder is written before it is whole. */
#include "algo/train.h"

#include <assert.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "algo/booster.h"
#include "algo/channel.h"
#include "algo/checkpoint.h"
#include "algo/container.h"
#include "algo/hyperparameter.h"
#include "algo/metric.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/rand.h"
#include "base/str.h"

#define MODEL_NAME "xgboost-model"

/* An interrupted job with save_model_on_termination keeps a model at most this old, also when one iteration takes
 * longer than the platform waits. */
#define INTERMEDIATE_MS 10000

/* Those the user names, the tuner's, and XGBoost's default for the objective. */
#define METRICS (HYPERPARAMETER_METRICS + 2)

enum set { TRAIN, VALIDATION, SETS };
static const char *const set_names[SETS] = { "train", "validation" };

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

static int boosting_failed(const struct err *from, struct err *err)
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

static void print_evaluation(int64_t iteration, const struct evaluation *e, size_t count, bool validated)
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

/* One booster from first to last iteration. fold is -1 outside of cross validation. */
static int boost(struct job *j, struct dataset *const *sets, size_t set_count, int fold, struct booster **ret,
                 struct evaluation *ret_last, size_t *ret_last_count, struct err *err)
{
    struct arena *a = j->arena, *scratch = arena_new();
    const char *checkpoints = j->checkpoint_folder && fold >= 0
                                  ? arena_printf(a, "%s/model-%d", j->checkpoint_folder, fold)
                                  : j->checkpoint_folder;
    const char *model = fold >= 0 ? arena_printf(a, "%s/" MODEL_NAME "-%d", j->model_folder, fold)
                                  : arena_printf(a, "%s/" MODEL_NAME, j->model_folder);
    int64_t saved_ms = clock_boot_ms(clock_system());
    int iteration = 0, best_iteration = -1, without_gain = 0;
    double best = NAN;
    struct booster *b = NULL;
    struct err inner = { 0 };

    *ret_last_count = 0;
    if (booster_new(sets, set_count, &b, &inner) < 0)
        goto failed;
    if (checkpoints && checkpoint_load(a, checkpoints, b, &iteration, &inner) < 0)
        goto failed;
    if (configure(j, b, &inner) < 0)
        goto failed;
    for (; iteration < j->hp.num_round; iteration++) {
        arena_reset(scratch);
        if (booster_update(b, iteration, sets[TRAIN], &inner) < 0 ||
            evaluate(j, scratch, b, iteration, sets, set_count, ret_last, ret_last_count, &inner) < 0)
            goto failed;
        /* In this order: an iteration that the log tells of is not trained again. */
        if (checkpoints && checkpoint_save(scratch, checkpoints, b, iteration, &inner) < 0)
            goto failed;
        print_evaluation(iteration, ret_last, *ret_last_count, set_count > VALIDATION);
        if (j->hp.save_on_termination) {
            int64_t now_ms = clock_boot_ms(clock_system());

            if ((stopping || now_ms - saved_ms >= INTERMEDIATE_MS) && booster_save(b, model, &inner) < 0)
                goto failed;
            if (stopping) {
                say("INFO", "Stopped after iteration %d: the model so far is saved as %s", iteration, model);
                exit(0);
            }
            if (now_ms - saved_ms >= INTERMEDIATE_MS)
                saved_ms = now_ms;
        }
        if (j->hp.early_stopping_rounds && set_count > VALIDATION) {
            const struct evaluation *e = deciding(j, ret_last, *ret_last_count);
            double now = e->value[VALIDATION];

            if (best_iteration < 0 || (metric_maximized(e->name) ? now > best : now < best)) {
                best = now;
                best_iteration = iteration;
                without_gain = 0;
            } else if (++without_gain >= j->hp.early_stopping_rounds) {
                say("INFO", "Stopping early: validation-%s has not improved on %.5f of iteration %d for %d rounds",
                    e->name, best, best_iteration, without_gain);
                break;
            }
        }
    }
    if (checkpoints && iteration > 0)
        checkpoint_finish(a, checkpoints, iteration == j->hp.num_round ? iteration - 1 : iteration);
    if (best_iteration >= 0 && !j->hp.linear) {
        /* Trees of a resumed job stand before those counted here; slicing counts from the first. */
        if (booster_keep_rounds(&b, best_iteration + 1, &inner) < 0)
            goto failed;
    }
    /* What scratch holds of the last evaluation is still wanted. */
    for (size_t i = 0; i < *ret_last_count; i++)
        ret_last[i].name = arena_strdup(a, ret_last[i].name);
    arena_free(scratch);
    *ret = b;
    return 0;
failed:
    arena_free(scratch);
    booster_free(b);
    return boosting_failed(&inner, err);
}

static int save(struct job *j, struct booster *b, const char *name, struct err *err)
{
    if (booster_save(b, arena_printf(j->arena, "%s/%s", j->model_folder, name), err) < 0) {
        err->kind = ERR_INTERNAL;
        return -1;
    }
    say("INFO", "Stored trained model at %s/%s", j->model_folder, name);
    return 0;
}

static void shuffle(struct rand *r, int *list, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t k = rand_below(r, i);
        int swap = list[i - 1];

        list[i - 1] = list[k];
        list[k] = swap;
    }
}

static const float *sort_labels;

static int by_label(const void *x, const void *y)
{
    float a = sort_labels[*(const int *)x], b = sort_labels[*(const int *)y];

    return a < b ? -1 : a > b;
}

/* The fold of each row: random, of equal size, and with the classes in each as in the whole when it is about
 * classes. */
static void deal_folds(struct rand *r, const float *labels, size_t rows, int folds, bool classes, int *ret)
{
    int *order = malloc(rows * sizeof *order);

    assert(order);
    for (size_t i = 0; i < rows; i++)
        order[i] = (int)i;
    shuffle(r, order, rows);
    if (classes) {
        sort_labels = labels;
        qsort(order, rows, sizeof *order, by_label);
    }
    /* qsort need not keep equal rows in their shuffled order, so each run of one label is shuffled again. */
    for (size_t i = 0; classes && i < rows;) {
        size_t end = i;

        while (end < rows && labels[order[end]] == labels[order[i]])
            end++;
        shuffle(r, order + i, end - i);
        i = end;
    }
    for (size_t i = 0; i < rows; i++)
        ret[order[i]] = (int)(i % (size_t)folds);
    free(order);
}

/* What each row was predicted to be by the booster that had not seen it, once a repeat. */
struct held_out {
    bool classes;
    size_t rows;
    int repeats;
    float *value, *label; /* rows * repeats */
};

static void record(struct held_out *h, int repeat, const int *rows, size_t count, const float *predicted, size_t width)
{
    for (size_t i = 0; i < count; i++) {
        const float *p = predicted + i * width;
        size_t at = (size_t)rows[i] * (size_t)h->repeats + (size_t)repeat, best = 0;

        for (size_t c = 1; c < width; c++)
            if (p[c] > p[best])
                best = c;
        h->value[at] = p[best];
        h->label[at] = width > 1 ? (float)best : (float)(p[0] > 0.5f);
    }
}

static float most_frequent(const float *list, int count)
{
    float best = list[0];
    int best_seen = 0;

    for (int i = 0; i < count; i++) {
        int seen = 0;

        for (int k = 0; k < count; k++)
            seen += list[k] == list[i];
        if (seen > best_seen || (seen == best_seen && list[i] < best))
            best = list[i], best_seen = seen;
    }
    return best;
}

static int save_predictions(struct job *j, const struct held_out *h, const float *labels, struct err *err)
{
    const char *folder = arena_printf(j->arena, "%s/output/data", container_base());
    const char *path = arena_printf(j->arena, "%s/predictions.csv", folder);
    _cleanup_buf_ struct buf text = { 0 };

    for (size_t r = 0; r < h->rows; r++) {
        const float *values = h->value + r * (size_t)h->repeats;
        double mean = 0;

        for (int i = 0; i < h->repeats; i++)
            mean += values[i];
        buf_printf(&text, "%f,%f", (double)labels[r], mean / h->repeats);
        if (h->classes)
            buf_printf(&text, ",%f", (double)most_frequent(h->label + r * (size_t)h->repeats, h->repeats));
        buf_append_char(&text, '\n');
    }
    say("INFO", "Storing predictions on validation set(s) in %s", path);
    if (folder_make(folder, 0755, err) < 0 || file_write_atomic(path, text.data, text.size, 0644, err) < 0) {
        err->kind = ERR_INTERNAL;
        return -1;
    }
    return 0;
}

static void print_means(int64_t num_round, struct evaluation (*of_fold)[METRICS], size_t metrics, int folds)
{
    struct evaluation mean[METRICS];

    for (size_t m = 0; m < metrics; m++) {
        mean[m] = (struct evaluation){ .name = of_fold[0][m].name };
        for (int set = 0; set < SETS; set++) {
            for (int f = 0; f < folds; f++)
                mean[m].value[set] += of_fold[f][m].value[set];
            mean[m].value[set] /= folds;
        }
    }
    print_evaluation(num_round, mean, metrics, true);
}

/* k folds, so many times over; every booster is kept, and the server answers with their mean. */
static int cross_validate(struct job *j, struct dataset *all, struct err *err)
{
    int folds = (int)j->hp.fold_count, repeats = (int)j->hp.fold_repeats, rc = -1;
    size_t rows = dataset_rows(all), metrics = 0;
    struct rand dice = rand_seeded((uint64_t)j->hp.seed);
    struct evaluation (*last)[METRICS] = calloc((size_t)folds * (size_t)repeats, sizeof *last);
    struct held_out held = { .classes = j->hp.num_class || text_starts(j->hp.objective, "binary:"),
                             .rows = rows,
                             .repeats = repeats,
                             .value = calloc(rows * (size_t)repeats, sizeof(float)),
                             .label = calloc(rows * (size_t)repeats, sizeof(float)) };
    int *fold_of = malloc(rows * sizeof *fold_of), *rows_in = malloc(rows * sizeof *rows_in),
        *rows_out = malloc(rows * sizeof *rows_out);

    assert(last && held.value && held.label && fold_of && rows_in && rows_out);
    if (rows < (size_t)folds) {
        fail(err, ERR_INVALID, "Cannot have number of splits n_splits=%d greater than the number of samples: %zu.",
             folds, rows);
        goto out;
    }
    say("INFO", "Run %d-round of %d-fold cross validation with %zu rows", repeats, folds, rows);
    for (int run = 0; run < folds * repeats; run++) {
        struct dataset *sets[SETS] = { 0 };
        struct booster *b = NULL;
        const float *predicted;
        size_t in = 0, out = 0, width;
        struct err inner = { 0 };

        if (run % folds == 0)
            deal_folds(&dice, dataset_labels(all), rows, folds, held.classes, fold_of);
        for (size_t r = 0; r < rows; r++)
            if (fold_of[r] == run % folds)
                rows_out[out++] = (int)r;
            else
                rows_in[in++] = (int)r;
        say("INFO", "Train cross validation fold %d", run % folds + 1);
        if (dataset_slice(all, rows_in, in, &sets[TRAIN], &inner) < 0 ||
            dataset_slice(all, rows_out, out, &sets[VALIDATION], &inner) < 0)
            boosting_failed(&inner, err);
        else if (boost(j, sets, SETS, run, &b, last[run], &metrics, err) == 0) {
            if (booster_predict(b, sets[VALIDATION], false, &predicted, &width, &inner) < 0)
                boosting_failed(&inner, err);
            else {
                record(&held, run / folds, rows_out, out, predicted, width);
                if (save(j, b, arena_printf(j->arena, MODEL_NAME "-%d", run), err) == 0)
                    rc = 0;
            }
        }
        booster_free(b);
        dataset_free(sets[TRAIN]);
        dataset_free(sets[VALIDATION]);
        if (rc < 0)
            goto out;
        rc = -1;
        if (run % folds == folds - 1) {
            say("INFO", "The metrics of round %d cross validation", run / folds + 1);
            print_means(j->hp.num_round, last + run - folds + 1, metrics, folds);
        }
    }
    if (repeats > 1) {
        say("INFO", "The overall metrics of %d-round cross validation", repeats);
        print_means(j->hp.num_round, last, metrics, folds * repeats);
    }
    rc = save_predictions(j, &held, dataset_labels(all), err);
out:
    free(last);
    free(held.value);
    free(held.label);
    free(fold_of);
    free(rows_in);
    free(rows_out);
    return rc;
}

/* Both channels as one, for cross validation. */
static int join(struct matrix *into, const struct matrix *from, struct err *err)
{
    if (into->sparse != from->sparse || (!into->sparse && into->columns != from->columns) ||
        !into->weights != !from->weights || into->queries || from->queries)
        return fail(err, ERR_INVALID,
                    "The train and validation channels do not have the same form: cross validation "
                    "needs both as one data set, with the same columns and without query ids");
    matrix_reserve(into, from->rows, true, into->weights != NULL, false);
    if (into->sparse) {
        size_t base = into->row_start[into->rows], entries = from->row_start[from->rows];

        matrix_reserve_values(into, entries);
        memcpy(into->values + base, from->values, entries * sizeof *into->values);
        memcpy(into->column + base, from->column, entries * sizeof *into->column);
        for (size_t r = 1; r <= from->rows; r++)
            into->row_start[into->rows + r] = base + from->row_start[r];
        if (from->columns > into->columns)
            into->columns = from->columns;
    } else {
        memcpy(into->values + into->rows * into->columns, from->values,
               from->rows * from->columns * sizeof *into->values);
    }
    memcpy(into->labels + into->rows, from->labels, from->rows * sizeof *into->labels);
    if (into->weights)
        memcpy(into->weights + into->rows, from->weights, from->rows * sizeof *into->weights);
    into->rows += from->rows;
    return 0;
}

static int read_job(struct job *j, struct doc **ret_channels, struct err *err)
{
    struct doc *config, *resources, *checkpoint;
    const char *path = container_base();

    if (container_config(j->arena, "hyperparameters.json", &config, err) < 0 ||
        container_config(j->arena, "inputdataconfig.json", ret_channels, err) < 0 ||
        container_config(j->arena, "resourceconfig.json", &resources, err) < 0 ||
        container_config(j->arena, "checkpointconfig.json", &checkpoint, err) < 0)
        return -1;
    if (!config)
        config = doc_map(j->arena);
    if (!*ret_channels)
        return fail(err, ERR_INTERNAL, "%s/input/config/inputdataconfig.json is not there", path);
    if (hyperparameters_read(j->arena, config, &j->hp, err) < 0 || channels_check(j->arena, *ret_channels, err) < 0)
        return -1;
    if (doc_count(resources, "hosts") > 1)
        return fail(err, ERR_INVALID,
                    "Distributed training is not supported: the job has %zu hosts. Set InstanceCount to 1; "
                    "a larger instance type gives more cores.",
                    doc_count(resources, "hosts"));
    j->threads = container_cores();
    if (j->hp.thread_count && j->hp.thread_count < j->threads)
        j->threads = (int)j->hp.thread_count;
    j->model_folder = arena_printf(j->arena, "%s/model", path);
    if (*doc_text(checkpoint, "LocalPath")) {
        struct str folder = str_of(container_path(j->arena, doc_text(checkpoint, "LocalPath")));

        while (folder.size > 1 && folder.data[folder.size - 1] == '/')
            folder.size--;
        j->checkpoint_folder = str_dup(j->arena, folder);
    }
    return 0;
}

static int run(struct job *j, struct err *err)
{
    struct matrix matrices[SETS] = { 0 };
    struct dataset *sets[SETS] = { 0 };
    struct evaluation last[METRICS];
    struct booster *b = NULL;
    struct doc *channels;
    size_t count = 1, last_count;
    struct err inner = { 0 };
    const char *image = getenv("SAGEBRUSH_IMAGE");
    int rc = -1;

    /* Whatever the image's tag says. */
    say("INFO", "This is libxgboost %s%s%s.", booster_version(j->arena), image ? ", in the place of " : "",
        image ? image : "");
    if (read_job(j, &channels, err) < 0)
        return -1;
    if (folder_make(j->model_folder, 0755, err) < 0) {
        err->kind = ERR_INTERNAL;
        return -1;
    }
    saves_when_stopped = j->hp.save_on_termination;
    if (channel_read(j->arena, channels, "train", j->hp.csv_weights, &matrices[TRAIN], err) < 0)
        goto out;
    if (doc_get(channels, "validation")) {
        if (channel_read(j->arena, channels, "validation", j->hp.csv_weights, &matrices[VALIDATION], err) < 0)
            goto out;
        if (!matrices[TRAIN].sparse && !matrices[VALIDATION].sparse &&
            matrices[TRAIN].columns != matrices[VALIDATION].columns) {
            fail(err, ERR_INVALID, "The validation channel has %zu features, the train channel has %zu",
                 matrices[VALIDATION].columns, matrices[TRAIN].columns);
            goto out;
        }
        count = 2;
    }
    say("INFO", "Train matrix has %zu rows and %zu columns", matrices[TRAIN].rows, matrices[TRAIN].columns);
    if (count == 2)
        say("INFO", "Validation matrix has %zu rows", matrices[VALIDATION].rows);
    if (j->hp.fold_count && count == 2) {
        say("INFO", "Read both train and validation data into one DMatrix");
        if (join(&matrices[TRAIN], &matrices[VALIDATION], err) < 0)
            goto out;
        count = 1;
    }
    for (size_t s = 0; s < count; s++) {
        if (dataset_new(&matrices[s], j->threads, &sets[s], &inner) < 0) {
            boosting_failed(&inner, err);
            goto out;
        }
        matrix_free(&matrices[s]); /* libxgboost has its own copy */
    }
    if (j->hp.fold_count) {
        rc = cross_validate(j, sets[TRAIN], err);
    } else {
        say("INFO", "Single node training with %d thread%s.", j->threads, j->threads == 1 ? "" : "s");
        if (boost(j, sets, count, -1, &b, last, &last_count, err) == 0)
            rc = save(j, b, MODEL_NAME, err);
    }
out:
    booster_free(b);
    for (size_t s = 0; s < SETS; s++) {
        dataset_free(sets[s]);
        matrix_free(&matrices[s]);
    }
    return rc;
}

static void report_failure(struct arena *a, const struct err *why)
{
    const char *folder = arena_printf(a, "%s/output", container_base());
    const char *text = arena_printf(a, "%s%s", why->kind == ERR_INVALID ? "ClientError: " : "", why->text);
    struct err unsaid = { 0 };

    fflush(stdout);
    fprintf(stderr, "%s\n", text);
    if (folder_make(folder, 0755, &unsaid) < 0 ||
        file_write_atomic(arena_printf(a, "%s/failure", folder), text, strlen(text), 0644, &unsaid) < 0)
        fprintf(stderr, "the reason could not be saved: %s\n", unsaid.text);
}

int train(void)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct job j = { .arena = a };
    struct err err = { 0 };

    signal(SIGTERM, on_terminate);
    if (run(&j, &err) == 0)
        return 0;
    report_failure(a, &err);
    return 1;
}
