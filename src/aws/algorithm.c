#include "aws/algorithm.h"

#include <pthread.h>
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

static struct doc *add_own(struct arena *a, const struct algorithm *g, struct doc *list)
{
    for (const char *const *set = g->sets; *set; set++) {
        for (const char *const *m = g->maximized; *m; m++)
            define(a, list, g, *set, *m);
        for (const char *const *m = g->minimized; *m; m++)
            define(a, list, g, *set, *m);
    }
    return list;
}

/* Of a job that defines none itself, as nearly all do. Made once, never freed. */
static const struct doc *own[sizeof algorithms / sizeof *algorithms];
static struct arena *of_own;

static void make_own(void)
{
    of_own = arena_new();
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        own[i] = add_own(of_own, algorithms[i], doc_list(of_own));
}

const struct doc *algorithm_metrics(struct arena *a, const char *image, const struct doc *given)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const struct algorithm *g = algorithm_of(image);
    size_t i = 0;

    if (!g || doc_count(given, ""))
        return g ? add_own(a, g, doc_copy(a, given)) : given;
    pthread_once(&once, make_own);
    while (algorithms[i] != g)
        i++;
    return own[i];
}
