/* test_tree.c - the tables against libxgboost: random models of every objective, rows with missing values, each
 * kernel. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "algo/booster.h"
#include "base/buf.h"
#include "base/rand.h"
#include "tree/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define ROWS 300

static const struct trial {
    const char *objective, *depth, *extra, *value;
    size_t features, classes;
    int rounds;
} trials[] = {
    { "reg:squarederror", "6", "base_score", "1.25", 12, 0, 40 },
    { "reg:squarederror", "3", "grow_policy", "lossguide", 40, 0, 17 },
    { "reg:squarederror", "14", "min_child_weight", "0", 7, 0, 20 },
    { "reg:squarederror", "6", "num_parallel_tree", "3", 16, 0, 5 },
    { "reg:squarederror", "1", "eta", "0.5", 1, 0, 3 },
    { "reg:squarederror", "6", "gamma", "1000000", 5, 0, 3 }, /* trees that are one leaf */
    { "reg:logistic", "4", "base_score", "0.3", 33, 0, 20 },
    { "binary:logistic", "6", "subsample", "0.8", 28, 0, 50 },
    { "binary:logitraw", "5", "base_score", "0.7", 9, 0, 20 },
    { "binary:hinge", "5", "eta", "0.1", 9, 0, 20 },
    { "count:poisson", "4", "base_score", "2", 9, 0, 20 },
    { "reg:gamma", "4", "base_score", "2", 9, 0, 20 },
    { "reg:tweedie", "4", "tweedie_variance_power", "1.3", 9, 0, 20 },
    { "reg:pseudohubererror", "4", "eta", "0.1", 9, 0, 20 },
    { "reg:squaredlogerror", "4", "eta", "0.1", 9, 0, 20 },
    { "survival:cox", "4", "eta", "0.1", 9, 0, 20 },
    { "rank:pairwise", "4", "eta", "0.1", 9, 0, 20 },
    { "multi:softprob", "6", "eta", "0.3", 20, 5, 12 },
    { "multi:softmax", "9", "eta", "0.3", 64, 3, 12 },
};

static struct matrix random_rows(struct rand *dice, const struct trial *t)
{
    struct matrix m = { .columns = t->features };

    matrix_reserve(&m, ROWS, true, false, false);
    m.rows = ROWS;
    for (size_t r = 0; r < ROWS; r++) {
        float *row = m.values + r * m.columns, sum = 0;

        for (size_t c = 0; c < m.columns; c++) {
            row[c] = rand_below(dice, 5) == 0 ? NAN : (float)(int)rand_below(dice, 40) / 8;
            sum += isnan(row[c]) ? 1 : row[c] * (float)(c % 3);
        }
        if (t->classes)
            m.labels[r] = (float)((size_t)sum % t->classes);
        else if (strstr(t->objective, "logi") || strstr(t->objective, "hinge"))
            m.labels[r] = (int)sum % 2;
        else
            m.labels[r] = 0.5f + (float)((int)sum % 7);
    }
    return m;
}

static void compare(struct booster *b, const struct trial *t, const struct matrix *m)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct tree_model *model;
    struct str ubjson;
    struct err err = { 0 };
    const float *theirs;
    size_t width;

    assert_int_equal(booster_print(a, b, "ubj", &ubjson, &err), 0);
    if (tree_model_new(ubjson, &model, &err) < 0)
        fail_msg("%s: %s", t->objective, err.text);
    assert_int_equal(tree_model_features(model), t->features);
    assert_string_equal(tree_model_objective(model), t->objective);
    size_t margins_width = tree_model_margins_width(model);
    float *mine = calloc(ROWS * margins_width, sizeof *mine);
    for (int k = TREE_PORTABLE; k <= TREE_AVX512; k++) {
        if (!tree_model_use(model, (enum tree_kernel)k))
            continue;
        assert_int_equal(booster_predict_rows(b, m->values, ROWS, m->columns, true, &theirs, &width, &err), 0);
        assert_int_equal(width, margins_width);
        tree_model_margins(model, m->values, ROWS, mine);
        if (memcmp(mine, theirs, ROWS * width * sizeof *mine))
            for (size_t i = 0; i < ROWS * width; i++)
                if (mine[i] != theirs[i])
                    fail_msg("%s depth %s, kernel %s: margin %zu is %.9g, libxgboost has %.9g", t->objective, t->depth,
                             tree_model_kernel(model), i, (double)mine[i], (double)theirs[i]);
        /* One row at a time gives the same. */
        for (size_t r = 0; r < 5; r++) {
            float one[8];

            tree_model_margins(model, m->values + r * m->columns, 1, one);
            assert_memory_equal(one, mine + r * width, width * sizeof *one);
        }
        assert_int_equal(booster_predict_rows(b, m->values, ROWS, m->columns, false, &theirs, &width, &err), 0);
        assert_int_equal(width, tree_model_width(model));
        tree_model_predict(model, m->values, ROWS, mine);
        for (size_t i = 0; i < ROWS * width; i++)
            if (!(fabsf(mine[i] - theirs[i]) <= 1e-6f * fmaxf(1, fabsf(theirs[i]))))
                fail_msg("%s: prediction %zu is %.9g, libxgboost has %.9g", t->objective, i, (double)mine[i],
                         (double)theirs[i]);
    }
    free(mine);
    tree_model_free(model);
}

static void test_like_libxgboost(void **state)
{
    struct rand dice = rand_seeded(7);

    (void)state;
    for (size_t i = 0; i < sizeof trials / sizeof trials[0]; i++) {
        const struct trial *t = &trials[i];
        _cleanup_matrix_ struct matrix m = random_rows(&dice, t);
        struct dataset *d;
        struct booster *b;
        char classes[16];
        struct err err = { 0 };

        assert_int_equal(dataset_new(&m, 1, &d, &err), 0);
        assert_int_equal(booster_new(&d, 1, &b, &err), 0);
        snprintf(classes, sizeof classes, "%zu", t->classes);
        assert_int_equal(booster_set(b, "objective", t->objective, &err), 0);
        assert_int_equal(booster_set(b, "max_depth", t->depth, &err), 0);
        assert_int_equal(booster_set(b, "nthread", "1", &err), 0);
        assert_int_equal(booster_set(b, "verbosity", "0", &err), 0);
        assert_int_equal(booster_set(b, t->extra, t->value, &err), 0);
        if (t->classes)
            assert_int_equal(booster_set(b, "num_class", classes, &err), 0);
        for (int round = 0; round < t->rounds; round++)
            if (booster_update(b, round, d, &err) < 0)
                fail_msg("%s: %s", t->objective, err.text);
        compare(b, t, &m);
        booster_free(b);
        dataset_free(d);
    }
}

static struct str trained(struct arena *a, const char *booster)
{
    struct rand dice = rand_seeded(3);
    _cleanup_matrix_ struct matrix m = random_rows(&dice, &trials[0]);
    struct dataset *d;
    struct booster *b;
    struct str ubjson;
    struct err err = { 0 };

    assert_int_equal(dataset_new(&m, 1, &d, &err), 0);
    assert_int_equal(booster_new(&d, 1, &b, &err), 0);
    assert_int_equal(booster_set(b, "booster", booster, &err), 0);
    assert_int_equal(booster_set(b, "max_depth", "3", &err), 0);
    assert_int_equal(booster_set(b, "nthread", "1", &err), 0);
    assert_int_equal(booster_update(b, 0, d, &err), 0);
    assert_int_equal(booster_update(b, 1, d, &err), 0);
    assert_int_equal(booster_print(a, b, "ubj", &ubjson, &err), 0);
    booster_free(b);
    dataset_free(d);
    return ubjson;
}

static void test_not_taken(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct tree_model *model;
    struct err err = { 0 };

    (void)state;
    assert_int_equal(tree_model_new(trained(a, "gblinear"), &model, &err), -1);
    assert_string_equal(err.text, "the booster is 'gblinear', not gbtree");
    assert_int_equal(tree_model_new(trained(a, "dart"), &model, &err), -1);
    assert_string_equal(err.text, "the booster is 'dart', not gbtree");
    assert_int_equal(tree_model_new(STR("{}"), &model, &err), -1);
    assert_int_equal(tree_model_new(STR(""), &model, &err), -1);
}

/* Cut off or changed anywhere, a model is refused or still a model; it never reads outside. */
static void test_damaged(void **state)
{
    _cleanup_arena_ struct arena *a = arena_new();
    struct str good = trained(a, "gbtree");
    struct rand dice = rand_seeded(11);
    struct tree_model *model;
    struct err err = { 0 };
    float row[12] = { 0 }, margin;

    (void)state;
    for (size_t size = 0; size < good.size; size += 7) {
        char *copy = malloc(size + 1);

        memcpy(copy, good.data, size);
        assert_int_equal(tree_model_new((struct str){ copy, size }, &model, &err), -1);
        free(copy);
    }
    for (int i = 0; i < 3000; i++) {
        char *copy = arena_copy(a, good.data, good.size);

        for (int k = 0; k < 3; k++)
            copy[rand_below(&dice, good.size)] = (char)rand_u64(&dice);
        if (tree_model_new((struct str){ copy, good.size }, &model, &err) == 0) {
            if (tree_model_features(model) == 12 && tree_model_margins_width(model) == 1)
                tree_model_margins(model, row, 1, &margin);
            tree_model_free(model);
        }
        if (i % 100 == 99) {
            arena_reset(a);
            good = trained(a, "gbtree");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_libxgboost),
        cmocka_unit_test(test_not_taken),
        cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
