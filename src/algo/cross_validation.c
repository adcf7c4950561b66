/* cross_validation.c - k folds, so many times over.
 *
 * Each row is in one fold of each repeat, and is predicted once a repeat by the booster that has not seen it. */
#include "algo/cross_validation.h"

#include <assert.h>
#include <stdlib.h>

#include "algo/container.h"
#include "algo/vote.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/rand.h"
#include "base/str.h"

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
            buf_printf(&text, ",%f", (double)vote(h->label + r * (size_t)h->repeats, (size_t)h->repeats));
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
    boost_print(num_round, mean, metrics, true);
}

static int predict_held_out(struct job *j, struct held_out *h, struct booster *b, struct dataset *set, int run,
                            const int *rows, size_t count, struct err *err)
{
    const float *predicted;
    struct err inner;
    size_t width;

    if (booster_predict(b, set, false, &predicted, &width, &inner) < 0)
        return boost_failed(&inner, err);
    record(h, run / (int)j->hp.fold_count, rows, count, predicted, width);
    return 0;
}

/* One fold: a booster that has not seen it. */
static int run_fold(struct job *j, struct dataset *all, int run, const int *fold_of, struct held_out *h,
                    struct evaluation *ret_last, size_t *ret_metrics, struct err *err)
{
    int fold = run % (int)j->hp.fold_count, *rows_in = malloc(h->rows * sizeof *rows_in), result = -1,
        *rows_out = malloc(h->rows * sizeof *rows_out);
    struct dataset *sets[SETS] = { 0 };
    struct booster *b = NULL;
    struct err inner = { 0 };
    size_t in = 0, out = 0;

    assert(rows_in && rows_out);
    for (size_t r = 0; r < h->rows; r++)
        if (fold_of[r] == fold)
            rows_out[out++] = (int)r;
        else
            rows_in[in++] = (int)r;
    say("INFO", "Train cross validation fold %d", fold + 1);
    if (dataset_slice(all, rows_in, in, &sets[TRAIN], &inner) < 0 ||
        dataset_slice(all, rows_out, out, &sets[VALIDATION], &inner) < 0)
        boost_failed(&inner, err);
    else if (boost(j, sets, SETS, run, &b, ret_last, ret_metrics, err) == 0 &&
             predict_held_out(j, h, b, sets[VALIDATION], run, rows_out, out, err) == 0)
        result = boost_save(j, b, arena_printf(j->arena, MODEL_NAME "-%d", run), err);
    booster_free(b);
    dataset_free(sets[TRAIN]);
    dataset_free(sets[VALIDATION]);
    free(rows_in);
    free(rows_out);
    return result;
}

static int run_folds(struct job *j, struct dataset *all, struct held_out *h, struct evaluation (*last)[METRICS],
                     int *fold_of, struct err *err)
{
    int folds = (int)j->hp.fold_count;
    struct rand dice = rand_seeded((uint64_t)j->hp.seed);
    size_t metrics = 0;

    say("INFO", "Run %d-round of %d-fold cross validation with %zu rows", h->repeats, folds, h->rows);
    for (int run = 0; run < folds * h->repeats; run++) {
        if (run % folds == 0)
            deal_folds(&dice, dataset_labels(all), h->rows, folds, h->classes, fold_of);
        if (run_fold(j, all, run, fold_of, h, last[run], &metrics, err) < 0)
            return -1;
        if (run % folds == folds - 1) {
            say("INFO", "The metrics of round %d cross validation", run / folds + 1);
            print_means(j->hp.num_round, last + run - folds + 1, metrics, folds);
        }
    }
    if (h->repeats > 1) {
        say("INFO", "The overall metrics of %d-round cross validation", h->repeats);
        print_means(j->hp.num_round, last, metrics, folds * h->repeats);
    }
    return save_predictions(j, h, dataset_labels(all), err);
}

int cross_validate(struct job *j, struct dataset *all, struct err *err)
{
    int folds = (int)j->hp.fold_count, repeats = (int)j->hp.fold_repeats, result;
    size_t rows = dataset_rows(all);
    struct evaluation (*last)[METRICS] = calloc((size_t)folds * (size_t)repeats, sizeof *last);
    struct held_out held = { .classes = j->hp.num_class || text_starts(j->hp.objective, "binary:"),
                             .rows = rows,
                             .repeats = repeats,
                             .value = calloc(rows * (size_t)repeats, sizeof(float)),
                             .label = calloc(rows * (size_t)repeats, sizeof(float)) };
    int *fold_of = malloc(rows * sizeof *fold_of);

    assert(last && held.value && held.label && fold_of);
    if (rows < (size_t)folds)
        result = fail(err, ERR_INVALID,
                      "Cannot have number of splits n_splits=%d greater than the number of samples: %zu.", folds, rows);
    else
        result = run_folds(j, all, &held, last, fold_of, err);
    free(last);
    free(held.value);
    free(held.label);
    free(fold_of);
    return result;
}
