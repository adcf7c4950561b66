/* tree.c - a saved model into tables, and predictions out of them.
 *
 * Everything in a file is checked here, once: the walk trusts its tables. */
#include "tree/tree.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "tree/table.h"
#include "tree/ubjson.h"

#define FULL_DEPTH 8 /* deeper trees are linked: padding doubles with each level */
#define MAX_CLASSES 65535

enum transform { AS_IS, SIGMOID, EXPONENTIAL, STEP, SOFTMAX, LARGEST };

/* What an objective makes of a margin, and of base_score a margin. */
static const struct objective {
    const char *name;
    enum transform transform, base; /* base: SIGMOID is undone by the logit, EXPONENTIAL by the logarithm */
} objectives[] = {
    { "reg:squarederror", AS_IS, AS_IS },
    { "reg:linear", AS_IS, AS_IS },
    { "reg:squaredlogerror", AS_IS, AS_IS },
    { "reg:pseudohubererror", AS_IS, AS_IS },
    { "reg:absoluteerror", AS_IS, AS_IS },
    { "reg:logistic", SIGMOID, SIGMOID },
    { "binary:logistic", SIGMOID, SIGMOID },
    { "binary:logitraw", AS_IS, AS_IS },
    { "binary:hinge", STEP, AS_IS },
    { "count:poisson", EXPONENTIAL, EXPONENTIAL },
    { "reg:gamma", EXPONENTIAL, EXPONENTIAL },
    { "reg:tweedie", EXPONENTIAL, EXPONENTIAL },
    { "survival:cox", EXPONENTIAL, EXPONENTIAL },
    { "survival:aft", EXPONENTIAL, EXPONENTIAL },
    { "rank:pairwise", AS_IS, AS_IS },
    { "rank:ndcg", AS_IS, AS_IS },
    { "rank:map", AS_IS, AS_IS },
    { "multi:softprob", SOFTMAX, AS_IS },
    { "multi:softmax", LARGEST, AS_IS },
    { 0 },
};

struct tree_model {
    struct tree_table table;
    struct arena *arena;
    const struct objective *objective;
    float base_margin;
    tree_kernel_function *kernel;
    const char *kernel_name;
};

/* One tree while it is laid out. */
struct shape {
    const struct saved_tree *saved;
    size_t nodes;
    unsigned depth;
};

static bool is_leaf(const struct saved_tree *t, size_t node)
{
    return numbers_whole(&t->left, node) < 0;
}

/* Every node is reached from the root once, children are in range, features too. */
static int check_tree(struct arena *a, const struct saved_tree *t, size_t number, size_t features, struct shape *ret,
                      struct err *err)
{
    size_t nodes = t->left.count, seen = 0, top = 0;

    if (nodes == 0 || nodes > 1u << 28 || t->right.count != nodes || t->split.count != nodes ||
        t->condition.count != nodes || t->missing_left.count != nodes)
        return fail(err, ERR_INVALID, "tree %zu is damaged: its lists are not of one length", number);
    if (strchr("dD", t->left.type) || strchr("dD", t->right.type) || strchr("dD", t->split.type) ||
        strchr("dD", t->missing_left.type))
        return fail(err, ERR_INVALID, "tree %zu is damaged: a node number is no whole number", number);
    if (t->categorical)
        return fail(err, ERR_INVALID, "tree %zu splits on categories", number);
    for (size_t i = 0; i < t->split_type.count; i++)
        if (numbers_whole(&t->split_type, i) != 0)
            return fail(err, ERR_INVALID, "tree %zu splits on categories", number);

    struct {
        uint32_t node;
        unsigned depth;
    } *stack = arena_alloc(a, (nodes + 2) * sizeof *stack);
    *ret = (struct shape){ .saved = t, .nodes = nodes };
    stack[top].node = 0, stack[top++].depth = 0;
    while (top) {
        uint32_t node = stack[--top].node;
        unsigned depth = stack[top].depth;

        if (++seen > nodes)
            return fail(err, ERR_INVALID, "tree %zu is damaged: a node has two parents", number);
        if (is_leaf(t, node))
            continue;
        int64_t left = numbers_whole(&t->left, node), right = numbers_whole(&t->right, node),
                split = numbers_whole(&t->split, node);
        if (left >= (int64_t)nodes || right < 0 || right >= (int64_t)nodes || split < 0 || split >= (int64_t)features)
            return fail(err, ERR_INVALID, "tree %zu is damaged: node %u points outside", number, node);
        if (depth + 1 > ret->depth)
            ret->depth = depth + 1;
        stack[top].node = (uint32_t)left, stack[top++].depth = depth + 1;
        stack[top].node = (uint32_t)right, stack[top++].depth = depth + 1;
        if (top > nodes)
            return fail(err, ERR_INVALID, "tree %zu is damaged: a node has two parents", number);
    }
    return 0;
}

static uint32_t split_of(const struct saved_tree *t, size_t node)
{
    return (uint32_t)numbers_whole(&t->split, node) | (numbers_whole(&t->missing_left, node) ? 0 : MISSING_RIGHT);
}

/* Puts the subtree of 'node' at position 'at' of its level; a leaf that stands too high fills all below it. */
static void fill_full(struct group *g, unsigned lane, const struct saved_tree *t, size_t node, unsigned level,
                      size_t at)
{
    if (level == g->depth) {
        g->leaf[at * LANES + lane] = numbers_real(&t->condition, node);
        return;
    }
    size_t n = (((size_t)1 << level) - 1 + at) * LANES + lane;
    if (is_leaf(t, node)) {
        g->split[n] = 0;
        g->threshold[n] = NAN;
        fill_full(g, lane, t, node, level + 1, 2 * at);
        fill_full(g, lane, t, node, level + 1, 2 * at + 1);
        return;
    }
    g->split[n] = split_of(t, node);
    g->threshold[n] = numbers_real(&t->condition, node);
    fill_full(g, lane, t, (size_t)numbers_whole(&t->left, node), level + 1, 2 * at);
    fill_full(g, lane, t, (size_t)numbers_whole(&t->right, node), level + 1, 2 * at + 1);
}

/* Breadth first, so that the two children of a node are neighbours. */
static uint32_t fill_linked(struct arena *a, struct group *g, const struct shape *s, uint32_t base)
{
    const struct saved_tree *t = s->saved;
    uint32_t *queue = arena_array_of(a, uint32_t, s->nodes + 2), used = 1;

    queue[0] = 0;
    for (uint32_t i = 0; i < used; i++) {
        uint32_t node = queue[i], n = base + i;

        if (is_leaf(t, node)) {
            g->split[n] = 0;
            g->threshold[n] = NAN;
            g->link[n] = n;
            g->leaf[n] = numbers_real(&t->condition, node);
            continue;
        }
        g->split[n] = split_of(t, node);
        g->threshold[n] = numbers_real(&t->condition, node);
        g->link[n] = base + used;
        queue[used++] = (uint32_t)numbers_whole(&t->left, node);
        queue[used++] = (uint32_t)numbers_whole(&t->right, node);
    }
    return used;
}

static int fill_group(struct tree_model *m, struct arena *scratch, struct group *g, const struct shape *shapes,
                      struct err *err)
{
    struct arena *a = m->arena;

    for (unsigned l = 0; l < g->count; l++)
        if (shapes[l].depth > g->depth)
            g->depth = shapes[l].depth;
    if (g->depth <= FULL_DEPTH) {
        size_t inner = ((size_t)1 << g->depth) - 1;

        g->split = arena_array_of(a, uint32_t, inner * LANES + LANES);
        g->threshold = arena_array_of(a, float, inner *LANES + LANES);
        g->leaf = arena_array_of(a, float, (inner + 1) * LANES);
        for (unsigned l = 0; l < g->count; l++)
            fill_full(g, l, shapes[l].saved, 0, 0, 0);
        return 0;
    }
    size_t nodes = 1;
    for (unsigned l = 0; l < g->count; l++)
        nodes += shapes[l].nodes;
    if (nodes > INT32_MAX / 4)
        return fail(err, ERR_INVALID, "the trees are too large: %zu nodes in sixteen of them", nodes);
    g->link = arena_array_of(a, uint32_t, nodes);
    g->split = arena_array_of(a, uint32_t, nodes);
    g->threshold = arena_array_of(a, float, nodes);
    g->leaf = arena_array_of(a, float, nodes);
    g->threshold[0] = NAN; /* lanes without a tree stay on node 0: a leaf of nothing */
    uint32_t used = 1;
    for (unsigned l = 0; l < g->count; l++) {
        g->root[l] = used;
        used += fill_linked(scratch, g, &shapes[l], used);
    }
    return 0;
}

static bool whole_of(struct str text, int64_t otherwise, int64_t *ret)
{
    *ret = otherwise;
    return text.size == 0 || str_to_int64(text, ret);
}

static int build(struct tree_model *m, struct arena *scratch, struct str bytes, struct err *err)
{
    int64_t classes, features, targets;
    struct saved_model saved;
    double base;

    if (saved_model_read(scratch, bytes, &saved, err) < 0)
        return -1;
    if (!str_is(saved.booster, "gbtree"))
        return fail(err, ERR_INVALID, "the booster is '" STR_FMT "', not gbtree", STR_ARG(saved.booster));
    for (m->objective = objectives; m->objective->name; m->objective++)
        if (str_is(saved.objective, m->objective->name))
            break;
    if (!m->objective->name)
        return fail(err, ERR_INVALID, "the objective '" STR_FMT "' is not known", STR_ARG(saved.objective));
    if (!whole_of(saved.class_count, 0, &classes) || !whole_of(saved.feature_count, 0, &features) ||
        !whole_of(saved.target_count, 1, &targets) || classes < 0 || classes > MAX_CLASSES || features < 0 ||
        features > INT32_MAX || !str_to_double(saved.base_score, &base))
        return fail(err, ERR_INVALID, "the model's parameters are damaged");
    if (targets > 1)
        return fail(err, ERR_INVALID, "the model has %lld targets", (long long)targets);
    if (saved.class_of_tree.count != saved.tree_count || (saved.tree_count && strchr("dD", saved.class_of_tree.type)))
        return fail(err, ERR_INVALID, "the model is damaged: %zu trees, %zu of them with a class", saved.tree_count,
                    saved.class_of_tree.count);
    m->table.classes = classes ? (size_t)classes : 1;
    m->table.features = (size_t)features;
    m->base_margin = (float)base;
    if (m->objective->base == SIGMOID)
        m->base_margin = -logf(1.0f / m->base_margin - 1.0f);
    else if (m->objective->base == EXPONENTIAL)
        m->base_margin = logf(m->base_margin);

    m->table.group_count = (saved.tree_count + LANES - 1) / LANES;
    m->table.groups = arena_array_of(m->arena, struct group, m->table.group_count);
    for (size_t t = 0; t < saved.tree_count; t += LANES) {
        struct group *g = &m->table.groups[t / LANES];
        struct shape shapes[LANES];

        g->count = saved.tree_count - t < LANES ? (unsigned)(saved.tree_count - t) : LANES;
        for (unsigned l = 0; l < g->count; l++) {
            int64_t c = numbers_whole(&saved.class_of_tree, t + l);

            if (c < 0 || c >= (int64_t)m->table.classes)
                return fail(err, ERR_INVALID, "tree %zu is of class %lld, there are %zu", t + l, (long long)c,
                            m->table.classes);
            g->class_of[l] = (uint16_t)c;
            if (check_tree(scratch, &saved.trees[t + l], t + l, m->table.features, &shapes[l], err) < 0)
                return -1;
        }
        if (fill_group(m, scratch, g, shapes, err) < 0)
            return -1;
    }
    return 0;
}

int tree_model_new(struct str bytes, struct tree_model **ret, struct err *err)
{
    _cleanup_arena_ struct arena *scratch = arena_new();
    struct arena *a = arena_new();
    struct tree_model *m = arena_new_of(a, struct tree_model);

    m->arena = a;
    if (build(m, scratch, bytes, err) < 0) {
        arena_free(a);
        return -1;
    }
    if (!tree_model_use(m, TREE_AVX512))
        tree_model_use(m, TREE_PORTABLE);
    *ret = m;
    return 0;
}

void tree_model_free(struct tree_model *m)
{
    if (m)
        arena_free(m->arena);
}

bool tree_model_use(struct tree_model *m, enum tree_kernel kernel)
{
    switch (kernel) {
#if defined(__x86_64__)
    case TREE_AVX512:
        if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq"))
            return false;
        m->kernel = kernel_avx512;
        m->kernel_name = "avx512";
        return true;
#endif
    case TREE_PORTABLE:
        m->kernel = kernel_portable;
        m->kernel_name = "portable";
        return true;
    default:
        return false;
    }
}

const char *tree_model_kernel(const struct tree_model *m)
{
    return m->kernel_name;
}

size_t tree_model_features(const struct tree_model *m)
{
    return m->table.features;
}

size_t tree_model_margins_width(const struct tree_model *m)
{
    return m->table.classes;
}

size_t tree_model_width(const struct tree_model *m)
{
    return m->objective->transform == LARGEST ? 1 : m->table.classes;
}

const char *tree_model_objective(const struct tree_model *m)
{
    return m->objective->name;
}

void tree_model_margins(const struct tree_model *m, const float *values, size_t rows, float *ret)
{
    for (size_t i = 0; i < rows * m->table.classes; i++)
        ret[i] = m->base_margin;
    m->kernel(&m->table, values, rows, ret);
}

/* As XGBoost does it, bounds and all. */
static float sigmoid(float x)
{
    float power = -x < 88.7f ? -x : 88.7f;

    return 1.0f / (expf(power) + 1.0f + 1e-16f);
}

static void softmax(float *row, size_t count)
{
    float largest = row[0];
    double sum = 0;

    for (size_t i = 1; i < count; i++)
        largest = row[i] > largest ? row[i] : largest;
    for (size_t i = 0; i < count; i++) {
        row[i] = expf(row[i] - largest);
        sum += row[i];
    }
    for (size_t i = 0; i < count; i++)
        row[i] /= (float)sum;
}

static size_t largest_of(const float *row, size_t count)
{
    size_t best = 0;

    for (size_t i = 1; i < count; i++)
        if (row[i] > row[best])
            best = i;
    return best;
}

void tree_model_predict(const struct tree_model *m, const float *values, size_t rows, float *ret)
{
    size_t classes = m->table.classes;

    if (m->objective->transform == LARGEST) {
        float margins[64 * 64];
        size_t at_once = sizeof margins / sizeof *margins / classes;
        float *room = at_once ? margins : malloc(classes * sizeof *room);

        assert(room);
        for (size_t r = 0; r < rows; r += at_once ? at_once : 1) {
            size_t some = at_once ? at_once : 1;

            if (some > rows - r)
                some = rows - r;
            tree_model_margins(m, values + r * m->table.features, some, room);
            for (size_t i = 0; i < some; i++)
                ret[r + i] = (float)largest_of(room + i * classes, classes);
        }
        if (!at_once)
            free(room);
        return;
    }
    tree_model_margins(m, values, rows, ret);
    for (size_t i = 0; i < rows * classes; i++)
        switch (m->objective->transform) {
        case SIGMOID:
            ret[i] = sigmoid(ret[i]);
            break;
        case EXPONENTIAL:
            ret[i] = expf(ret[i]);
            break;
        case STEP:
            ret[i] = ret[i] > 0 ? 1 : 0;
            break;
        case SOFTMAX:
            if (i % classes == 0)
                softmax(ret + i, classes);
            break;
        case AS_IS:
        case LARGEST:
            break;
        }
}
