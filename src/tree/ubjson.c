/* ubjson.c - reading UBJSON (draft 12) as far as XGBoost writes it: objects without types, lists with and without. */
#include "tree/ubjson.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define MAX_DEPTH 32

struct reader {
    struct arena *arena;
    const char *at, *end, *start;
    const char *wrong; /* what is; the first fault stays */
};

static bool bad(struct reader *r, const char *why)
{
    if (!r->wrong)
        r->wrong = why;
    return false;
}

static size_t width_of(char type)
{
    switch (type) {
    case 'i':
    case 'U':
    case 'C':
        return 1;
    case 'I':
        return 2;
    case 'l':
    case 'd':
        return 4;
    case 'L':
    case 'D':
        return 8;
    default:
        return 0;
    }
}

static uint64_t big_endian(const char *p, size_t width)
{
    uint64_t v = 0;

    for (size_t i = 0; i < width; i++)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

static int64_t whole(char type, const char *p)
{
    uint64_t v = big_endian(p, width_of(type));

    switch (type) {
    case 'i':
        return (int8_t)v;
    case 'I':
        return (int16_t)v;
    case 'l':
        return (int32_t)v;
    default:
        return (int64_t)v;
    }
}

int64_t numbers_whole(const struct numbers *n, size_t at)
{
    return whole(n->type, n->bytes.data + at * width_of(n->type));
}

float numbers_real(const struct numbers *n, size_t at)
{
    const char *p = n->bytes.data + at * width_of(n->type);

    if (n->type == 'd') {
        uint32_t bits = (uint32_t)big_endian(p, 4);
        float v;

        memcpy(&v, &bits, 4);
        return v;
    }
    if (n->type == 'D') {
        uint64_t bits = big_endian(p, 8);
        double v;

        memcpy(&v, &bits, 8);
        return (float)v;
    }
    return (float)whole(n->type, p);
}

static bool take(struct reader *r, char c)
{
    if (r->at < r->end && *r->at == c) {
        r->at++;
        return true;
    }
    return false;
}

static bool read_marker(struct reader *r, char *ret)
{
    while (r->at < r->end && *r->at == 'N')
        r->at++; /* no-op */
    if (r->at == r->end)
        return bad(r, "the end comes too early");
    *ret = *r->at++;
    return true;
}

/* A length: a marker of a whole number and its bytes. */
static bool read_length(struct reader *r, size_t *ret)
{
    char type;

    if (!read_marker(r, &type))
        return false;
    size_t width = strchr("iUIlL", type) && type ? width_of(type) : 0;
    if (!width || (size_t)(r->end - r->at) < width)
        return bad(r, "a length is expected");
    int64_t v = whole(type, r->at);
    if (v < 0)
        return bad(r, "a length is negative");
    r->at += width;
    *ret = (size_t)v;
    return true;
}

static bool read_bytes(struct reader *r, struct str *ret)
{
    size_t size;

    if (!read_length(r, &size))
        return false;
    if (size > (size_t)(r->end - r->at))
        return bad(r, "a string is longer than the file");
    *ret = (struct str){ r->at, size };
    r->at += size;
    return true;
}

static bool skip_value(struct reader *r, char type, int depth);

/* What stands after '[': a type and a count, a count, or neither. */
static bool read_list_head(struct reader *r, char *ret_type, bool *ret_counted, size_t *ret_count)
{
    *ret_type = 0;
    *ret_counted = false;
    *ret_count = 0;
    if (take(r, '$')) {
        if (!read_marker(r, ret_type))
            return false;
        if (!take(r, '#'))
            return bad(r, "a list with a type has no count");
        *ret_counted = true;
        return read_length(r, ret_count);
    }
    if (take(r, '#')) {
        *ret_counted = true;
        return read_length(r, ret_count);
    }
    return true;
}

static bool skip_list(struct reader *r, int depth)
{
    bool counted;
    size_t count;
    char type, marker;

    if (!read_list_head(r, &type, &counted, &count))
        return false;
    if (type && width_of(type)) {
        if (count > (size_t)(r->end - r->at) / width_of(type))
            return bad(r, "a list is longer than the file");
        r->at += count * width_of(type);
        return true;
    }
    if (type)
        return bad(r, "a list has elements of an unknown type");
    for (size_t i = 0; !counted || i < count; i++) {
        if (!counted && take(r, ']'))
            return true;
        if (!read_marker(r, &marker) || !skip_value(r, marker, depth + 1))
            return false;
    }
    return true;
}

static bool skip_value(struct reader *r, char type, int depth)
{
    struct str ignored;

    if (depth > MAX_DEPTH)
        return bad(r, "it is nested too deeply");
    switch (type) {
    case '{':
        while (!take(r, '}')) {
            char inner;

            if (!read_bytes(r, &ignored) || !read_marker(r, &inner) || !skip_value(r, inner, depth + 1))
                return false;
        }
        return true;
    case '[':
        return skip_list(r, depth);
    case 'S':
        return read_bytes(r, &ignored);
    case 'Z':
    case 'T':
    case 'F':
        return true;
    default:
        if (!width_of(type))
            return bad(r, "a value has an unknown type");
        if ((size_t)(r->end - r->at) < width_of(type))
            return bad(r, "the end comes too early");
        r->at += width_of(type);
        return true;
    }
}

/* A list of numbers. One whose elements carry their own markers (XGBoost writes short ones so) is laid out as 'L'. */
static bool read_numbers(struct reader *r, char type, struct numbers *ret)
{
    bool counted;
    size_t count, capacity = 0;
    char element;

    if (type != '[' || !read_list_head(r, &element, &counted, &count))
        return bad(r, "a list of numbers is expected");
    if (element) {
        if (!width_of(element) || count > (size_t)(r->end - r->at) / width_of(element))
            return bad(r, "a list of numbers is expected");
        *ret = (struct numbers){ element, count, { r->at, count * width_of(element) } };
        r->at += count * width_of(element);
        return true;
    }
    if (counted && count > (size_t)(r->end - r->at) / 2)
        return bad(r, "a list is longer than the file");
    char *bytes = NULL;
    size_t used = 0;
    for (; !counted || used < count; used++) {
        if (!counted && take(r, ']'))
            break;
        if (!read_marker(r, &element) || !element || !strchr("iUIlL", element) ||
            (size_t)(r->end - r->at) < width_of(element))
            return bad(r, "a list of whole numbers is expected");
        if (used == capacity) {
            char *more = arena_alloc(r->arena, (capacity = counted ? count : capacity * 2 + 64) * 8);

            if (used)
                memcpy(more, bytes, used * 8);
            bytes = more;
        }
        uint64_t v = (uint64_t)whole(element, r->at);
        for (int i = 0; i < 8; i++)
            bytes[used * 8 + (size_t)i] = (char)(v >> (56 - 8 * i));
        r->at += width_of(element);
    }
    *ret = (struct numbers){ 'L', used, { bytes, used * 8 } };
    return true;
}

static bool read_string(struct reader *r, char type, struct str *ret)
{
    return type == 'S' ? read_bytes(r, ret) : bad(r, "a string is expected");
}

/* The objects on the way to what is wanted: for each member what reads it, NULL and depth for all others. */
struct member {
    const char *key;
    bool (*read)(struct reader *, char type, void *into);
    size_t offset;
};

static bool read_object(struct reader *r, char type, const struct member *members, void *into)
{
    struct str key;

    if (type != '{')
        return bad(r, "an object is expected");
    while (!take(r, '}')) {
        const struct member *m = members;
        char inner;

        if (!read_bytes(r, &key) || !read_marker(r, &inner))
            return false;
        while (m->key && !str_is(key, m->key))
            m++;
        if (m->key ? !m->read(r, inner, (char *)into + m->offset) : !skip_value(r, inner, 0))
            return false;
    }
    return true;
}

static bool get_string(struct reader *r, char type, void *into)
{
    return read_string(r, type, into);
}

static bool get_numbers(struct reader *r, char type, void *into)
{
    return read_numbers(r, type, into);
}

static bool get_count(struct reader *r, char type, void *into)
{
    struct numbers n;

    if (!read_numbers(r, type, &n))
        return false;
    *(size_t *)into = n.count;
    return true;
}

static bool get_trees(struct reader *r, char type, void *into)
{
    static const struct member tree[] = {
        { "left_children", get_numbers, offsetof(struct saved_tree, left) },
        { "right_children", get_numbers, offsetof(struct saved_tree, right) },
        { "split_indices", get_numbers, offsetof(struct saved_tree, split) },
        { "split_conditions", get_numbers, offsetof(struct saved_tree, condition) },
        { "default_left", get_numbers, offsetof(struct saved_tree, missing_left) },
        { "split_type", get_numbers, offsetof(struct saved_tree, split_type) },
        { "categories_nodes", get_count, offsetof(struct saved_tree, categorical) },
        { 0 },
    };
    struct saved_model *m = into;
    size_t count, capacity = 0;
    bool counted;
    char element;

    m->tree_count = 0;
    if (type != '[' || !read_list_head(r, &element, &counted, &count) || element)
        return bad(r, "a list of trees is expected");
    for (size_t i = 0; !counted || i < count; i++) {
        if (!counted && take(r, ']'))
            break;
        if (i == capacity) {
            struct saved_tree *more = arena_array_of(r->arena, struct saved_tree, capacity = capacity * 2 + 64);

            if (i)
                memcpy(more, m->trees, i * sizeof *more);
            m->trees = more;
        }
        m->trees[i] = (struct saved_tree){ 0 };
        if (!read_marker(r, &element) || !read_object(r, element, tree, &m->trees[i]))
            return false;
        m->tree_count++;
    }
    return true;
}

static bool get_tree_parameters(struct reader *r, char type, void *into)
{
    static const struct member members[] = {
        { "num_parallel_tree", get_string, offsetof(struct saved_model, trees_per_round) },
        { 0 },
    };

    return read_object(r, type, members, into);
}

static bool get_tree_model(struct reader *r, char type, void *into)
{
    static const struct member members[] = {
        { "gbtree_model_param", get_tree_parameters, 0 },
        { "tree_info", get_numbers, offsetof(struct saved_model, class_of_tree) },
        { "trees", get_trees, 0 },
        { 0 },
    };

    return read_object(r, type, members, into);
}

static bool get_booster(struct reader *r, char type, void *into)
{
    static const struct member members[] = {
        { "model", get_tree_model, 0 },
        { "name", get_string, offsetof(struct saved_model, booster) },
        { 0 },
    };

    return read_object(r, type, members, into);
}

static bool get_learner_parameters(struct reader *r, char type, void *into)
{
    static const struct member members[] = {
        { "base_score", get_string, offsetof(struct saved_model, base_score) },
        { "num_class", get_string, offsetof(struct saved_model, class_count) },
        { "num_feature", get_string, offsetof(struct saved_model, feature_count) },
        { "num_target", get_string, offsetof(struct saved_model, target_count) },
        { 0 },
    };

    return read_object(r, type, members, into);
}

static bool get_objective(struct reader *r, char type, void *into)
{
    static const struct member members[] = { { "name", get_string, offsetof(struct saved_model, objective) }, { 0 } };

    return read_object(r, type, members, into);
}

static bool get_learner(struct reader *r, char type, void *into)
{
    static const struct member members[] = {
        { "gradient_booster", get_booster, 0 },
        { "learner_model_param", get_learner_parameters, 0 },
        { "objective", get_objective, 0 },
        { 0 },
    };

    return read_object(r, type, members, into);
}

int saved_model_read(struct arena *a, struct str bytes, struct saved_model *ret, struct err *err)
{
    static const struct member root[] = { { "learner", get_learner, 0 }, { 0 } };
    struct reader r = { .arena = a, .at = bytes.data, .start = bytes.data, .end = bytes.data + bytes.size };
    char type;

    *ret = (struct saved_model){ 0 };
    if (!read_marker(&r, &type) || !read_object(&r, type, root, ret))
        return fail(err, ERR_INVALID, "this is no XGBoost model in UBJSON: byte %td: %s", r.at - r.start,
                    r.wrong ? r.wrong : "not understood");
    return 0;
}
