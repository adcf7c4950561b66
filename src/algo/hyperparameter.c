/* hyperparameter.c - what a training job asks of XGBoost.
 *
 * One table says everything about a hyperparameter; the messages are those of the SageMaker XGBoost container
 * (aws/sagemaker-xgboost-container, hyperparameter_validation.py), because people search for them. Where the container
 * stops at the first violation we tell them all: a job costs minutes, a list costs a line. */
#include "algo/hyperparameter.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/algorithm.h"
#include "base/buf.h"
#include "base/str.h"

enum type { INTEGER, REAL, CHOICE, LIST, METRICS, TUPLE, NESTED };

enum flags {
    REQUIRED = 1,
    OURS = 2,     /* read here, not passed to libxgboost */
    LOW_OPEN = 4, /* the bound itself is not allowed */
    HIGH_OPEN = 8,
};

#define NO_BOUND HUGE_VAL

static const struct algorithm *const xgboost = &algorithm_xgboost;

static const char *const boosters[] = { "gbtree", "gblinear", "dart", NULL };
static const char *const tree_methods[] = { "auto", "exact", "approx", "hist", "gpu_hist", NULL };
static const char *const updaters[] = {
    "grow_colmaker", "distcol", "grow_histmaker", "grow_local_histmaker", "grow_skmaker", "grow_quantile_histmaker",
    "sync", "refresh", "prune", "shotgun", "coord_descent", NULL,
};
static const char *const objectives[] = {
    "binary:logistic", "binary:logitraw", "binary:hinge", "count:poisson", "multi:softmax", "multi:softprob",
    "rank:pairwise", "rank:ndcg", "rank:map", "reg:linear", "reg:squarederror", "reg:logistic", "reg:gamma",
    "reg:pseudohubererror", "reg:squaredlogerror", "reg:absoluteerror", "reg:tweedie", "survival:aft", "survival:cox",
    NULL,
};
static const char *const bools[] = { "true", "false", NULL };
static const char *const splits[] = { "row", "col", NULL };
static const char *const process_types[] = { "default", "update", NULL };
static const char *const grow_policies[] = { "depthwise", "lossguide", NULL };
static const char *const predictors[] = { "auto", "cpu_predictor", "gpu_predictor", NULL };
static const char *const sample_types[] = { "uniform", "weighted", NULL };
static const char *const normalize_types[] = { "tree", "forest", NULL };
static const char *const loss_distributions[] = { "normal", "logistic", "extreme", NULL };
static const char *const sampling_methods[] = { "uniform", "gradient_based", NULL };

static const struct row {
    const char *name, *alias;
    enum type type;
    unsigned flags;
    double low, high;
    const char *const *choices;
} rows[] = {
    { "num_round", NULL, INTEGER, REQUIRED | OURS, 1, NO_BOUND },
    { "csv_weights", NULL, INTEGER, OURS, 0, 1 },
    { "early_stopping_rounds", NULL, INTEGER, OURS, 1, NO_BOUND },
    { "booster", NULL, CHOICE, 0, .choices = boosters },
    { "verbosity", NULL, INTEGER, 0, 0, 3 },
    { "nthread", NULL, INTEGER, OURS, 1, NO_BOUND },
    { "eta", "learning_rate", REAL, 0, 0, 1 },
    { "gamma", "min_split_loss", REAL, 0, 0, NO_BOUND },
    { "max_depth", NULL, INTEGER, 0, 0, NO_BOUND },
    { "min_child_weight", NULL, REAL, 0, 0, NO_BOUND },
    { "max_delta_step", NULL, REAL, 0, 0, NO_BOUND },
    { "subsample", NULL, REAL, LOW_OPEN, 0, 1 },
    { "colsample_bytree", NULL, REAL, LOW_OPEN, 0, 1 },
    { "colsample_bylevel", NULL, REAL, LOW_OPEN, 0, 1 },
    { "colsample_bynode", NULL, REAL, LOW_OPEN, 0, 1 },
    { "lambda", "reg_lambda", REAL, 0, 0, NO_BOUND },
    { "alpha", "reg_alpha", REAL, 0, 0, NO_BOUND },
    { "tree_method", NULL, CHOICE, 0, .choices = tree_methods },
    { "sketch_eps", NULL, REAL, LOW_OPEN | HIGH_OPEN, 0, 1 },
    { "scale_pos_weight", NULL, REAL, LOW_OPEN, 0, NO_BOUND },
    { "updater", NULL, LIST, 0, .choices = updaters },
    { "dsplit", NULL, CHOICE, 0, .choices = splits },
    { "refresh_leaf", NULL, INTEGER, 0, 0, 1 },
    { "process_type", NULL, CHOICE, 0, .choices = process_types },
    { "grow_policy", NULL, CHOICE, 0, .choices = grow_policies },
    { "max_leaves", NULL, INTEGER, 0, 0, NO_BOUND },
    { "max_bin", NULL, INTEGER, 0, 0, NO_BOUND },
    { "predictor", NULL, CHOICE, 0, .choices = predictors },
    { "monotone_constraints", NULL, TUPLE, 0, -1, 1 },
    { "interaction_constraints", NULL, NESTED, 0, 0, NO_BOUND },
    { "sample_type", NULL, CHOICE, 0, .choices = sample_types },
    { "normalize_type", NULL, CHOICE, 0, .choices = normalize_types },
    { "rate_drop", NULL, REAL, 0, 0, 1 },
    { "one_drop", NULL, INTEGER, 0, 0, 1 },
    { "skip_drop", NULL, REAL, 0, 0, 1 },
    { "lambda_bias", NULL, REAL, 0, 0, 1 },
    { "tweedie_variance_power", NULL, REAL, LOW_OPEN | HIGH_OPEN, 1, 2 },
    { "objective", NULL, CHOICE, 0, .choices = objectives },
    { "num_class", NULL, INTEGER, 0, 2, NO_BOUND },
    { "base_score", NULL, REAL, 0, 0, NO_BOUND },
    { "_kfold", NULL, INTEGER, OURS, 2, NO_BOUND },
    { "_num_cv_round", NULL, INTEGER, OURS, 1, NO_BOUND },
    { "_tuning_objective_metric", NULL, METRICS, OURS },
    { "eval_metric", NULL, METRICS, OURS },
    { "seed", NULL, INTEGER, LOW_OPEN | HIGH_OPEN, -2147483648.0, 2147483647.0 },
    { "num_parallel_tree", NULL, INTEGER, 0, 1, NO_BOUND },
    { "save_model_on_termination", NULL, CHOICE, OURS, .choices = bools },
    { "aft_loss_distribution", NULL, CHOICE, 0, .choices = loss_distributions },
    { "aft_loss_distribution_scale", NULL, REAL, 0, 0, NO_BOUND },
    { "single_precision_histogram", NULL, CHOICE, 0, .choices = bools },
    { "deterministic_histogram", NULL, CHOICE, 0, .choices = bools },
    { "sampling_method", NULL, CHOICE, 0, .choices = sampling_methods },
    { "prob_buffer_row", NULL, REAL, LOW_OPEN, 1, NO_BOUND },
    { "huber_slope", NULL, REAL, LOW_OPEN, 0, NO_BOUND },
    { "use_dask_gpu_training", NULL, CHOICE, OURS, .choices = bools },
    { 0 },
};

static bool among(const char *const *list, const char *text)
{
    for (; *list; list++)
        if (strcmp(*list, text) == 0)
            return true;
    return false;
}

bool metric_maximized(const char *name)
{
    char base[64];

    snprintf(base, sizeof base, "%.*s", (int)strcspn(name, "@"), name);
    return among(xgboost->maximized, base);
}

static const struct row *row_of(const char *name)
{
    for (const struct row *r = rows; r->name; r++)
        if (strcmp(r->name, name) == 0 || (r->alias && strcmp(r->alias, name) == 0))
            return r;
    return NULL;
}

/* A number as Python's str() gives it: the messages are compared with the container's. */
static const char *python_real(struct arena *a, double v)
{
    char *text = NULL;

    for (int digits = 1; digits <= 17; digits++) {
        text = arena_printf(a, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    return strpbrk(text, ".en") ? text : arena_printf(a, "%s.0", text);
}

static const char *python_list(struct arena *a, const char *const *list)
{
    _cleanup_buf_ struct buf b = { 0 };

    for (const char *const *l = list; *l; l++)
        buf_printf(&b, "%s'%s'", l == list ? "[" : ", ", *l);
    buf_append_str(&b, list[0] ? "]" : "[]");
    return arena_strdup(a, b.data);
}

static const char *interval(struct arena *a, const struct row *r)
{
    const char *low = arena_printf(a, "%c%.10g, ", r->flags & LOW_OPEN ? '(' : '[', r->low);

    if (r->high == NO_BOUND)
        return arena_printf(a, "%s+inf)", low);
    return arena_printf(a, "%s%.10g%c", low, r->high, r->flags & HIGH_OPEN ? ')' : ']');
}

static bool in_interval(const struct row *r, double v)
{
    if (r->flags & LOW_OPEN ? v <= r->low : v < r->low)
        return false;
    return r->high == NO_BOUND || (r->flags & HIGH_OPEN ? v < r->high : v <= r->high);
}

/* The words of a comma-separated list, NULL at the end. */
static const char **words(struct arena *a, const char *text)
{
    size_t count = 1;

    for (const char *t = text; *t; t++)
        count += *t == ',';
    const char **list = arena_array_of(a, const char *, count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t size = strcspn(text, ",");

        list[i] = str_dup(a, str_trim((struct str){ text, size }));
        text += size + 1;
    }
    return list;
}

#define SAY(b, ...) (buf_printf((b), "%s", (b)->size ? "\n" : ""), buf_printf((b), __VA_ARGS__))

static void check_metrics(struct arena *a, const struct row *r, const char *value, struct buf *errors)
{
    const char **list = words(a, value);

    for (const char **m = list; *m; m++) {
        const char *at = strchr(*m, '@');

        if (at) {
            const char *base = str_dup(a, str_trim((struct str){ *m, (size_t)(at - *m) }));
            struct str threshold = str_trim(str_of(at + 1));
            double ignored;

            if (strcmp(base, "error") && strcmp(base, "ndcg") && strcmp(base, "map")) {
                SAY(errors,
                    "Metric '%s' is not supported. Parameter 'eval_metric' with customized threshold should "
                    "be one of these options: 'error', 'ndcg', 'map'.",
                    *m);
                continue;
            }
            /* "ndcg@5-" counts lists without positives as 0: XGBoost's own suffix. */
            if (threshold.size && threshold.data[threshold.size - 1] == '-' && strcmp(base, "error"))
                threshold.size--;
            if (!str_to_double(threshold, &ignored))
                SAY(errors, "Threshold value 't' in '%s@t' expects float input.", base);
        } else if (!among(xgboost->maximized, *m) && !among(xgboost->minimized, *m)) {
            SAY(errors, "Hyperparameter %s: value %s not in range [%.*s, %.*s]", r->name, python_list(a, list),
                (int)strlen(python_list(a, xgboost->maximized)) - 2, python_list(a, xgboost->maximized) + 1,
                (int)strlen(python_list(a, xgboost->minimized)) - 2, python_list(a, xgboost->minimized) + 1);
            return;
        }
    }
}

/* "(1, 0, -1)" or "[1,0,-1]": whole numbers within the row's bounds, between brackets of one kind. */
static bool tuple_valid(const struct row *r, const char *text, bool *parsed)
{
    struct str t = str_trim(str_of(text)), item;

    *parsed = t.size >= 2 &&
              ((t.data[0] == '(' && t.data[t.size - 1] == ')') || (t.data[0] == '[' && t.data[t.size - 1] == ']'));
    if (!*parsed)
        return false;
    t = (struct str){ t.data + 1, t.size - 2 };
    while (t.size) {
        struct str rest = { t.data + t.size, 0 };
        int64_t v;

        if (!str_cut(t, ',', &item, &rest))
            item = t;
        item = str_trim(item);
        if (item.size == 0 && str_trim(rest).size == 0)
            break; /* "(1,)" */
        if (!str_to_int64(item, &v)) {
            *parsed = false;
            return false;
        }
        if (!in_interval(r, (double)v))
            return false;
        t = rest;
    }
    return true;
}

/* "[[0, 1], [2, 3, 4]]" */
static bool nested_valid(const char *text)
{
    int depth = 0;
    bool number = false;

    for (const char *t = text; *t; t++) {
        if (*t == '[') {
            if (++depth > 2 || number)
                return false;
        } else if (*t == ']') {
            if (--depth < 0)
                return false;
            number = false;
            if (depth == 0 && *str_trim(str_of(t + 1)).data)
                return false;
        } else if (isdigit((unsigned char)*t)) {
            if (depth != 2)
                return false;
            number = true;
        } else if (*t == ',') {
            number = false;
        } else if (!isspace((unsigned char)*t)) {
            return false;
        }
    }
    return depth == 0 && strchr(text, '[');
}

/* Python reads "+3" too. */
static struct str number_text(const char *value)
{
    struct str text = str_trim(str_of(value));

    if (text.size && text.data[0] == '+')
        text.data++, text.size--;
    return text;
}

static void check_tuned_metric(struct arena *a, const struct row *r, const char *value, struct buf *errors)
{
    const char *metric = text_starts(value, "validation:") ? value + strlen("validation:") : "";
    const char *maximized = python_list(a, xgboost->maximized);

    if (among(xgboost->maximized, metric) || among(xgboost->minimized, metric))
        return;
    SAY(errors, "Hyperparameter %s: %s is not in the metrics of this algorithm: 'validation:' and one of %.*s, %s",
        r->name, value, (int)strlen(maximized) - 1, maximized, python_list(a, xgboost->minimized) + 1);
}

static void check(struct arena *a, const struct row *r, const char *value, struct buf *errors)
{
    int64_t whole;
    double real;
    bool parsed;

    switch (r->type) {
    case INTEGER:
        if (!str_to_int64(number_text(value), &whole))
            SAY(errors, "Hyperparameter %s: could not parse value (caused by ValueError)", r->name);
        else if (!in_interval(r, (double)whole))
            SAY(errors, "Hyperparameter %s: %lld is not in %s", r->name, (long long)whole, interval(a, r));
        break;
    case REAL:
        if (!str_to_double(number_text(value), &real))
            SAY(errors, "Hyperparameter %s: could not parse value (caused by ValueError)", r->name);
        else if (!in_interval(r, real))
            SAY(errors, "Hyperparameter %s: %s is not in %s", r->name, python_real(a, real), interval(a, r));
        break;
    case CHOICE:
        if (!among(r->choices, value))
            SAY(errors, "Hyperparameter %s: %s is not in %s", r->name, value, python_list(a, r->choices));
        break;
    case LIST:
        for (const char **w = words(a, value); *w; w++)
            if (!among(r->choices, *w)) {
                SAY(errors, "Hyperparameter %s: value %s not in range %s", r->name, python_list(a, words(a, value)),
                    python_list(a, r->choices));
                break;
            }
        break;
    case METRICS:
        if (strcmp(r->name, "_tuning_objective_metric") == 0)
            check_tuned_metric(a, r, value, errors);
        else
            check_metrics(a, r, value, errors);
        break;
    case TUPLE:
        if (!tuple_valid(r, value, &parsed)) {
            if (parsed)
                SAY(errors, "Hyperparameter %s: value %s not in range [-1, 0, 1]", r->name, value);
            else
                SAY(errors, "Hyperparameter %s: could not parse value (caused by ValueError)", r->name);
        }
        break;
    case NESTED:
        if (!nested_valid(value))
            SAY(errors, "Hyperparameter %s: could not parse value (caused by ValueError)", r->name);
        break;
    }
}

static void check_metrics_together(struct arena *a, const struct doc *values, const char *objective, struct buf *errors)
{
    const char **list = words(a, doc_text(values, "eval_metric"));
    size_t count = 0;

    while (list[count])
        count++;
    if (count > HYPERPARAMETER_METRICS)
        SAY(errors, "Hyperparameter eval_metric: %zu metrics are given, at most %d are computed", count,
            HYPERPARAMETER_METRICS);
    for (const char **m = list; *m; m++) {
        if (strcmp(*m, "auc") == 0 && !text_starts(objective, "binary:") && !text_starts(objective, "rank:") &&
            !text_starts(objective, "multi:"))
            SAY(errors, "Metric 'auc' can only be applied for classification and ranking problems.");
        if (strcmp(*m, "aft-nloglik") == 0 && strcmp(objective, "survival:aft"))
            SAY(errors, "Metric 'aft-nloglik' can only be applied for 'survival:aft' objective.");
    }
}

static void check_updaters(struct arena *a, const struct doc *values, struct buf *errors)
{
    const char **list = words(a, doc_text(values, "updater"));
    int builders = 0, linear = 0, updates = 0, count = 0;

    for (const char **w = list; *w; w++, count++) {
        builders += text_starts(*w, "grow_") || strcmp(*w, "distcol") == 0;
        linear += strcmp(*w, "shotgun") == 0 || strcmp(*w, "coord_descent") == 0;
        updates += strcmp(*w, "refresh") == 0 || strcmp(*w, "prune") == 0;
    }
    if (doc_is(values, "booster", "gblinear")) {
        if (count != 1 || linear != 1)
            SAY(errors, "Linear updater should be one of these options: 'shotgun', 'coord_descent'.");
    } else if (doc_is(values, "process_type", "update")) {
        if (updates != count)
            SAY(errors, "process_type 'update' can only be used with updater 'refresh' and 'prune'");
    } else if (linear) {
        SAY(errors, "Tree updater should be selected from these options: 'grow_colmaker', 'distcol', "
                    "'grow_histmaker', 'grow_local_histmaker', 'grow_skmaker', 'grow_quantile_histmaker', 'sync', "
                    "'refresh', 'prune', 'shortgun', 'coord_descent'.");
    } else if (builders > 1) {
        SAY(errors, "Only one tree grow plugin can be selected. Choose one from the following: 'grow_colmaker', "
                    "'distcol', 'grow_histmaker', 'grow_local_histmaker', 'grow_skmaker'");
    }
}

/* What one hyperparameter means depends on others; every value here is valid by itself. */
static void check_together(struct arena *a, const struct doc *values, struct buf *errors)
{
    const char *objective = doc_text(values, "objective"), *tree_method = doc_text(values, "tree_method");

    if (text_starts(objective, "multi:") && !doc_has(values, "num_class"))
        SAY(errors, "Require input for parameter 'num_class' for multi-classification");
    if (doc_has(values, "num_class") && !text_starts(objective, "multi:"))
        SAY(errors, "Do not need to setup parameter 'num_class' for learning task other than multi-classification.");
    if (doc_has(values, "eval_metric"))
        check_metrics_together(a, values, objective, errors);
    if (doc_has(values, "monotone_constraints") && strcmp(tree_method, "exact") && strcmp(tree_method, "hist"))
        SAY(errors, "monotone_constraints can be used only when the tree_method parameter is set to either 'exact' or "
                    "'hist'.");
    if (doc_has(values, "interaction_constraints") && strcmp(tree_method, "exact") && strcmp(tree_method, "hist") &&
        strcmp(tree_method, "approx"))
        SAY(errors, "interaction_constraints can be used only when the tree_method parameter is set to either 'exact', "
                    "'hist' or 'approx'.");
    if (strcmp(tree_method, "gpu_hist") == 0 || doc_is(values, "predictor", "gpu_predictor") ||
        doc_is(values, "use_dask_gpu_training", "true"))
        SAY(errors, "This build of XGBoost has no GPU support: use tree_method 'hist', and leave out 'predictor' and "
                    "'use_dask_gpu_training'.");
    if (*doc_text(values, "updater"))
        check_updaters(a, values, errors);
}

static int64_t whole_of(const struct doc *values, const char *name, int64_t otherwise)
{
    int64_t v;

    if (!doc_has(values, name))
        return otherwise;
    bool is_whole = str_to_int64(number_text(doc_text(values, name)), &v);
    assert(is_whole); /* checked before */
    return v;
}

/* The metrics to compute: those of the user in their order; with a tuner's, the union, sorted, as the container
 * does. */
static void collect_metrics(struct arena *a, const struct doc *values, struct hyperparameters *h)
{
    const char **given = doc_has(values, "eval_metric") ? words(a, doc_text(values, "eval_metric")) : NULL;
    size_t count = 0;

    while (given && given[count])
        count++;
    h->last_metric = count ? given[count - 1] : NULL;
    h->objective_metric = doc_has(values, "_tuning_objective_metric")
                              ? strchr(doc_text(values, "_tuning_objective_metric"), ':') + 1
                              : NULL;
    h->metrics = arena_array_of(a, const char *, count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;

        while (at < h->metric_count && strcmp(h->metrics[at], given[i]))
            at++;
        if (at == h->metric_count)
            h->metrics[h->metric_count++] = given[i];
    }
    if (!h->objective_metric)
        return;
    size_t at = 0;
    while (at < h->metric_count && strcmp(h->metrics[at], h->objective_metric))
        at++;
    if (at == h->metric_count)
        h->metrics[h->metric_count++] = h->objective_metric;
    for (size_t i = 1; i < h->metric_count; i++)
        for (size_t j = i; j > 0 && strcmp(h->metrics[j - 1], h->metrics[j]) > 0; j--) {
            const char *swap = h->metrics[j];

            h->metrics[j] = h->metrics[j - 1];
            h->metrics[j - 1] = swap;
        }
}

int hyperparameters_read(struct arena *a, const struct doc *config, struct hyperparameters *ret, struct err *err)
{
    _cleanup_buf_ struct buf errors = { 0 };
    struct doc *values = doc_map(a);

    if (config->type != DOC_MAP)
        return fail(err, ERR_INVALID, "hyperparameters.json must be a JSON object of strings");
    for (uint32_t i = 0; i < config->count; i++) {
        const char *name = config->members[i].key;
        const struct doc *v = config->members[i].value;
        const struct row *r = row_of(name);
        const char *text = v->type == DOC_STRING    ? v->text.data
                           : v->type == DOC_INTEGER ? arena_printf(a, "%lld", (long long)v->integer)
                           : v->type == DOC_REAL    ? arena_printf(a, "%.17g", v->real)
                           : v->type == DOC_BOOLEAN ? (v->boolean ? "true" : "false")
                                                    : NULL;

        if (!r) {
            SAY(&errors, "Extraneous hyperparameter found: %s", name);
        } else if (!text) {
            SAY(&errors, "Hyperparameter %s: could not parse value (caused by ValueError)", name);
        } else if (doc_has(values, r->name)) {
            SAY(&errors, "Hyperparameter %s is given twice: '%s' is an alias of '%s'", r->name, r->alias, r->name);
        } else {
            size_t before = errors.size;

            check(a, r, text, &errors);
            if (errors.size == before)
                doc_set_string(a, values, r->name, text);
        }
    }
    for (const struct row *r = rows; r->name; r++)
        if ((r->flags & REQUIRED) && !doc_get(config, r->name))
            SAY(&errors, "Missing required hyperparameter: %s", r->name);
    if (errors.size == 0)
        check_together(a, values, &errors);
    if (errors.size)
        return fail(err, ERR_INVALID, "%s", errors.data);

    *ret = (struct hyperparameters){
        .num_round = whole_of(values, "num_round", 0),
        .num_class = whole_of(values, "num_class", 0),
        .early_stopping_rounds = whole_of(values, "early_stopping_rounds", 0),
        .fold_count = whole_of(values, "_kfold", 0),
        .fold_repeats = whole_of(values, "_num_cv_round", 1),
        .thread_count = whole_of(values, "nthread", 0),
        .seed = whole_of(values, "seed", 0),
        .csv_weights = whole_of(values, "csv_weights", 0) == 1,
        .save_on_termination = doc_is(values, "save_model_on_termination", "true"),
        .linear = doc_is(values, "booster", "gblinear"),
        .objective = doc_text_or(values, "objective", "reg:squarederror"),
        .passed = arena_array_of(a, struct hyperparameter, values->count + 1),
    };
    collect_metrics(a, values, ret);
    for (uint32_t i = 0; i < values->count; i++)
        if (!(row_of(values->members[i].key)->flags & OURS))
            ret->passed[ret->passed_count++] =
                (struct hyperparameter){ values->members[i].key, doc_text(values, values->members[i].key) };
    return 0;
}
