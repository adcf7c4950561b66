/* metric.c - evaluation metrics that XGBoost does not have.
 *
 * They follow scikit-learn, which the container calls, on the margin: class 1 when it is above 0, or the largest of a
 * row. rmse and mae stay XGBoost's own: it knows the weights. */
#include "algo/metric.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum average { NONE, BINARY, MACRO, MICRO, BALANCED };
enum score { ACCURACY, PRECISION, RECALL, F1, MSE, R2 };

static const struct row {
    const char *name;
    enum score score;
    enum average average;
} rows_of_metrics[] = {
    { "accuracy", ACCURACY, NONE },
    { "balanced_accuracy", RECALL, BALANCED },
    { "f1", F1, MACRO },
    { "f1_binary", F1, BINARY },
    { "f1_macro", F1, MACRO },
    { "mse", MSE, NONE },
    { "precision", PRECISION, BINARY },
    { "precision_macro", PRECISION, MACRO },
    { "precision_micro", PRECISION, MICRO },
    { "r2", R2, NONE },
    { "recall", RECALL, BINARY },
    { "recall_macro", RECALL, MACRO },
    { "recall_micro", RECALL, MICRO },
    { 0 },
};

static const struct row *row_of(const char *name)
{
    for (const struct row *r = rows_of_metrics; r->name; r++)
        if (strcmp(r->name, name) == 0)
            return r;
    return NULL;
}

bool metric_is_ours(const char *name)
{
    return row_of(name) != NULL;
}

static double regression(enum score score, const float *labels, const float *margins, size_t rows)
{
    double residual = 0, total = 0, mean = 0;

    for (size_t i = 0; i < rows; i++) {
        double d = (double)labels[i] - (double)margins[i];

        residual += d * d;
        mean += labels[i];
    }
    if (score == MSE)
        return residual / (double)rows;
    mean /= (double)rows;
    for (size_t i = 0; i < rows; i++)
        total += (labels[i] - mean) * (labels[i] - mean);
    if (rows < 2)
        return NAN;
    return total == 0 ? (residual == 0 ? 1 : 0) : 1 - residual / total;
}

static size_t predicted_class(const float *margins, size_t width)
{
    size_t best = 0;

    if (width == 1)
        return margins[0] > 0;
    for (size_t c = 1; c < width; c++)
        if (margins[c] > margins[best])
            best = c;
    return best;
}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0; /* scikit-learn's zero_division */
}

static double of_class(enum score score, size_t hit, size_t actual, size_t predicted)
{
    if (score == PRECISION)
        return ratio((double)hit, (double)predicted);
    if (score == RECALL)
        return ratio((double)hit, (double)actual);
    return ratio(2.0 * (double)hit, (double)(actual + predicted));
}

/* How often each class was, was predicted, and both. */
struct confusion {
    size_t classes, rows, all_hits;
    size_t *hit, *actual, *predicted;
};

static int count_classes(const char *name, const float *labels, size_t rows, size_t width, size_t *ret, struct err *err)
{
    *ret = width > 2 ? width : 2;
    for (size_t i = 0; i < rows; i++) {
        if (!(labels[i] >= 0 && labels[i] < 1e6f && floorf(labels[i]) == labels[i]))
            return fail(err, ERR_INVALID,
                        "Metric '%s': classification metrics can't handle a mix of continuous and "
                        "binary targets: label %g is no class number",
                        name, (double)labels[i]);
        if (labels[i] >= *ret)
            *ret = (size_t)labels[i] + 1;
    }
    return 0;
}

static void confuse(struct confusion *c, const float *labels, const float *margins, size_t width)
{
    for (size_t i = 0; i < c->rows; i++) {
        size_t is = (size_t)labels[i], seen = predicted_class(margins + i * width, width);

        c->actual[is]++;
        c->predicted[seen]++;
        c->hit[is] += is == seen;
        c->all_hits += is == seen;
    }
}

static double mean_of_classes(const struct row *r, const struct confusion *m)
{
    size_t counted = 0;
    double sum = 0;

    for (size_t c = 0; c < m->classes; c++)
        if (r->average == BALANCED ? m->actual[c] > 0 : m->actual[c] + m->predicted[c] > 0) {
            sum += of_class(r->score, m->hit[c], m->actual[c], m->predicted[c]);
            counted++;
        }
    return ratio(sum, (double)counted);
}

static int classification(const struct row *r, const struct confusion *m, double *ret, struct err *err)
{
    switch (r->average) {
    case NONE:
    case MICRO:
        *ret = ratio((double)m->all_hits, (double)m->rows); /* over all classes precision and recall are the accuracy */
        return 0;
    case BINARY:
        if (m->classes > 2)
            return fail(err, ERR_INVALID,
                        "Target is multiclass but average='binary'. Please choose another average setting, "
                        "one of [None, 'micro', 'macro', 'weighted'].");
        *ret = of_class(r->score, m->hit[1], m->actual[1], m->predicted[1]);
        return 0;
    default:
        *ret = mean_of_classes(r, m);
        return 0;
    }
}

int metric_compute(const char *name, const float *labels, const float *margins, size_t rows, size_t width, double *ret,
                   struct err *err)
{
    const struct row *r = row_of(name);
    struct confusion m = { .rows = rows };
    size_t *counts;
    int result;

    assert(r);
    if (r->score == MSE || r->score == R2) {
        if (width != 1)
            return fail(err, ERR_INVALID, "Metric '%s' needs one prediction a row, this objective gives %zu", name,
                        width);
        *ret = regression(r->score, labels, margins, rows);
        return 0;
    }
    if (count_classes(name, labels, rows, width, &m.classes, err) < 0)
        return -1;
    counts = calloc(m.classes * 3, sizeof *counts);
    assert(counts);
    m.hit = counts;
    m.actual = counts + m.classes;
    m.predicted = counts + 2 * m.classes;
    confuse(&m, labels, margins, width);
    result = classification(r, &m, ret, err);
    free(counts);
    return result;
}
