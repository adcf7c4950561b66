#include "aws/algorithm.h"

#include <string.h>

/* The metrics are those of aws/sagemaker-xgboost-container, constants/xgb_constants.py; the expression is the one that
 * SageMaker's Describe shows for them. A TAB is #011 in a log. */
const struct algorithm algorithm_xgboost = {
    .repositories = (const char *const[]){ "sagemaker-xgboost", "xgboost", NULL },
    .sets = (const char *const[]){ "train", "validation", NULL },
    .maximized = (const char *const[]){ "accuracy", "auc", "aucpr", "balanced_accuracy", "f1", "f1_binary", "f1_macro",
                                        "map", "ndcg", "precision", "r2", "recall", "precision_macro",
                                        "precision_micro", "recall_macro", "recall_micro", NULL },
    .minimized = (const char *const[]){ "aft-nloglik", "cox-nloglik", "error", "gamma-deviance", "gamma-nloglik",
                                        "interval-regression-accuracy", "logloss", "mae", "mape", "merror", "mlogloss",
                                        "mphe", "mse", "poisson-nloglik", "rmse", "rmsle", "tweedie-nloglik", NULL },
    .regex = { ".*\\[[0-9]+\\].*#011", ":([-+]?[0-9]*\\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*" },
};

static const struct algorithm *const algorithms[] = { &algorithm_xgboost };

const struct algorithm *algorithm_of(const char *image)
{
    const char *slash = strrchr(image, '/'), *name = slash ? slash + 1 : image;
    size_t size = strcspn(name, ":@");

    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
        for (const char *const *r = algorithms[i]->repositories; *r; r++)
            if (strlen(*r) == size && memcmp(*r, name, size) == 0)
                return algorithms[i];
    return NULL;
}

static bool defined(const struct doc *list, const char *name)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (doc_is(list->items[i], "Name", name))
            return true;
    return false;
}

static void define(struct arena *a, struct doc *list, const struct algorithm *g, const char *set, const char *metric)
{
    const char *name = arena_printf(a, "%s:%s", set, metric);
    struct doc *m;

    if (defined(list, name))
        return;
    m = doc_map(a);
    doc_set_string(a, m, "Name", name);
    doc_set_string(a, m, "Regex", arena_printf(a, "%s%s-%s%s", g->regex[0], set, metric, g->regex[1]));
    doc_append(a, list, m);
}

struct doc *algorithm_metrics(struct arena *a, const char *image, const struct doc *given)
{
    const struct algorithm *g = algorithm_of(image);
    struct doc *list = given && given->type == DOC_LIST ? doc_copy(a, given) : doc_list(a);

    for (const char *const *set = g ? g->sets : NULL; set && *set; set++) {
        for (const char *const *m = g->maximized; *m; m++)
            define(a, list, g, *set, *m);
        for (const char *const *m = g->minimized; *m; m++)
            define(a, list, g, *set, *m);
    }
    return list->count ? list : NULL;
}
