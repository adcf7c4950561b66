/* model_set.c - the models of an endpoint. */
#include "algo/model_set.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "algo/booster.h"
#include "algo/vote.h"
#include "base/log.h"
#include "base/str.h"
#include "doc/json.h"
#include "tree/tree.h"

#define MAX_MODELS 1000

/* Rows are laid out for the model in blocks: a request of many short sparse rows must not become a table in memory. */
#define BLOCK_VALUES (1 << 16)

struct model {
    struct tree_model *native;
    struct booster *booster; /* where native is NULL */
};

struct model_set {
    struct arena *arena;
    struct model *models;
    size_t count, features, width, classes;
    const char *objective;
    pthread_mutex_t one_at_a_time; /* for libxgboost, whose boosters keep state while they predict */
};

static int by_name(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static int list_files(struct arena *a, const char *folder, const char **ret, size_t *ret_count, struct err *err)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    struct stat st;

    *ret_count = 0;
    if (!d)
        return fail_errno(err, errno, "Unable to load model: reading the folder %s", folder);
    while ((e = readdir(d)) && *ret_count < MAX_MODELS) {
        const char *path = arena_printf(a, "%s/%s", folder, e->d_name);

        if (e->d_name[0] != '.' && !text_ends(e->d_name, ".sagemaker-ignore") && stat(path, &st) == 0 &&
            S_ISREG(st.st_mode))
            ret[(*ret_count)++] = path;
    }
    closedir(d);
    qsort(ret, *ret_count, sizeof *ret, by_name);
    return 0;
}

/* What the model says of itself: objective and number of classes. */
static int read_config(struct arena *a, struct booster *b, const char **ret_objective, size_t *ret_classes,
                       struct err *err)
{
    struct doc *config;
    struct str text;
    int64_t classes = 0;

    if (booster_config(a, b, &text, err) < 0 || json_parse(a, text, &config, err) < 0)
        return -1;
    *ret_objective = arena_strdup(a, doc_text(config, "learner.objective.name"));
    str_to_int64(str_of(doc_text(config, "learner.learner_model_param.num_class")), &classes);
    *ret_classes = classes > 0 ? (size_t)classes : 0;
    return 0;
}

static int load(struct model_set *s, const char *path, struct err *err)
{
    _cleanup_arena_ struct arena *scratch = arena_new();
    struct booster *b = NULL;
    struct tree_model *native = NULL;
    struct err inner = { 0 };
    const char *objective;
    struct str ubjson;
    size_t features, classes, width;

    if (booster_new(NULL, 0, &b, &inner) < 0 || booster_set(b, "nthread", "1", &inner) < 0 ||
        booster_load(b, path, &inner) < 0 || booster_set(b, "nthread", "1", &inner) < 0 ||
        booster_features(b, &features, &inner) < 0 || read_config(s->arena, b, &objective, &classes, &inner) < 0) {
        booster_free(b);
        return fail(err, ERR_INVALID, "Model at %s cannot be loaded:\n%s", path, inner.text);
    }
    if (booster_print(scratch, b, "ubj", &ubjson, &inner) == 0 && tree_model_new(ubjson, &native, &inner) == 0) {
        log_info("model.loaded", "path=%s objective=%s features=%zu predictor=native kernel=%s", path, objective,
                 features, tree_model_kernel(native));
        width = tree_model_width(native);
    } else {
        log_info("model.loaded", "path=%s objective=%s features=%zu predictor=libxgboost because=%s", path, objective,
                 features, log_quote(scratch, inner.text));
        float *row = arena_array_of(scratch, float, features + 1);
        const float *ignored;

        if (booster_predict_rows(b, row, 1, features ? features : 1, false, &ignored, &width, &inner) < 0) {
            booster_free(b);
            return fail(err, ERR_INVALID, "Model at %s cannot be loaded:\n%s", path, inner.text);
        }
    }
    if (s->count && (features != s->features || width != s->width || strcmp(objective, s->objective))) {
        tree_model_free(native);
        booster_free(b);
        return fail(err, ERR_INVALID,
                    "Model at %s cannot be loaded: it has %zu features and objective %s, the models before "
                    "it have %zu and %s; an ensemble must agree",
                    path, features, objective, s->features, s->objective);
    }
    s->features = features;
    s->width = width;
    s->classes = classes;
    s->objective = objective;
    if (native) {
        booster_free(b);
        b = NULL;
    }
    s->models[s->count++] = (struct model){ native, b };
    return 0;
}

int model_set_load(const char *folder, bool ensemble, struct model_set **ret, struct err *err)
{
    struct arena *a = arena_new();
    struct model_set *s = arena_new_of(a, struct model_set);
    const char **paths = arena_array_of(a, const char *, MAX_MODELS);
    struct err inner = { 0 };
    size_t count;

    s->arena = a;
    s->models = arena_array_of(a, struct model, MAX_MODELS);
    pthread_mutex_init(&s->one_at_a_time, NULL);
    if (list_files(a, folder, paths, &count, err) < 0) {
        model_set_free(s);
        return -1;
    }
    for (size_t i = 0; i < count && (ensemble || s->count == 0); i++)
        if (load(s, paths[i], &inner) < 0)
            /* Other files come with a model: its feature map, a requirements file. Only an endpoint without any model
             * is useless. */
            log_warning("model.skipped", "reason=%s", log_quote(a, inner.text));
    if (s->count == 0) {
        if (count)
            fail(err, ERR_INVALID, "Unable to load model: %s", inner.text);
        else
            fail(err, ERR_INVALID, "Unable to load model: there is no file in %s", folder);
        model_set_free(s);
        return -1;
    }
    if (s->count > 1)
        log_info("model.ensemble", "models=%zu", s->count);
    *ret = s;
    return 0;
}

void model_set_free(struct model_set *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        tree_model_free(s->models[i].native);
        booster_free(s->models[i].booster);
    }
    pthread_mutex_destroy(&s->one_at_a_time);
    arena_free(s->arena);
}

const char *model_set_objective(const struct model_set *s)
{
    return s->objective;
}

size_t model_set_classes(const struct model_set *s)
{
    return s->classes;
}

size_t model_set_features(const struct model_set *s)
{
    return s->features;
}

size_t model_set_width(const struct model_set *s)
{
    return s->width;
}

static int predict_one(struct model_set *s, const struct model *m, const float *values, size_t rows, float *ret,
                       struct err *err)
{
    const float *theirs;
    size_t width;
    int rc;

    if (m->native) {
        tree_model_predict(m->native, values, rows, ret);
        return 0;
    }
    pthread_mutex_lock(&s->one_at_a_time);
    rc = booster_predict_rows(m->booster, values, rows, s->features ? s->features : 1, false, &theirs, &width, err);
    if (rc == 0) {
        assert(width == s->width);
        memcpy(ret, theirs, rows * width * sizeof *ret);
    }
    pthread_mutex_unlock(&s->one_at_a_time);
    return rc;
}

static int predict_block(struct model_set *s, const float *values, size_t rows, float *room, float *ret,
                         struct err *err)
{
    size_t size = rows * s->width;
    bool votes = strcmp(s->objective, "multi:softmax") == 0 || strcmp(s->objective, "binary:hinge") == 0;
    float said[MAX_MODELS];

    if (s->count == 1)
        return predict_one(s, &s->models[0], values, rows, ret, err);
    for (size_t m = 0; m < s->count; m++)
        if (predict_one(s, &s->models[m], values, rows, room + m * size, err) < 0)
            return -1;
    for (size_t i = 0; i < size; i++) {
        float sum = 0;

        for (size_t m = 0; m < s->count; m++) {
            said[m] = room[m * size + i];
            sum += said[m];
        }
        ret[i] = votes ? vote(said, s->count) : sum / (float)s->count;
    }
    return 0;
}

int model_set_predict(struct model_set *s, const struct matrix *m, const char *format, float *ret, struct err *err)
{
    size_t columns = s->features ? s->features : 1, block = BLOCK_VALUES / columns ? BLOCK_VALUES / columns : 1;

    /* A model trained on indices from 1 has one feature more than rows without it: the container allows for it. */
    if (strcmp(format, "libsvm") == 0 ? m->columns > s->features + 1
                                      : m->columns != s->features && m->columns + 1 != s->features)
        return fail(err, ERR_INVALID, "Feature size of %s inference data %zu is %s feature size of trained model %zu.",
                    format, m->columns, strcmp(format, "libsvm") == 0 ? "larger than" : "not consistent with",
                    s->features);
    if (block > m->rows)
        block = m->rows;
    if (!m->sparse && m->columns == columns && s->count == 1)
        return predict_block(s, m->values, m->rows, NULL, ret, err);

    float *values = malloc(block * columns * sizeof *values);
    float *room = malloc(block * s->width * s->count * sizeof *room);
    int rc = 0;

    assert(values && room);
    for (size_t r = 0; rc == 0 && r < m->rows; r += block) {
        size_t some = m->rows - r < block ? m->rows - r : block;
        struct matrix part = *m;

        part.rows = some;
        if (m->sparse)
            part.row_start += r;
        else
            part.values += r * m->columns;
        matrix_to_dense(&part, columns, values);
        rc = predict_block(s, values, some, room, ret + r * s->width, err);
    }
    free(values);
    free(room);
    return rc;
}
