/* ubjson.h - the members of a model that prediction needs, out of XGBoost's UBJSON. */
#ifndef TREE_UBJSON_H
#define TREE_UBJSON_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct numbers { /* a list as it stands in the file: count elements of type 'i' 'U' 'I' 'l' 'L' 'd' 'D' */
    char type;
    size_t count;
    struct str bytes; /* of a list whose elements carry their own markers: type 0, and the list itself */
};

struct saved_tree {
    struct numbers left, right, split, condition, missing_left, split_type;
    size_t categorical; /* nodes that split on a category */
};

struct saved_model {
    struct str booster, objective, base_score, class_count, feature_count, target_count, trees_per_round;
    struct numbers class_of_tree;
    struct saved_tree *trees;
    size_t tree_count;
};

/* Strings and lists point into the bytes. Members that are not there stay empty. */
int saved_model_read(struct arena *, struct str bytes, struct saved_model *ret, struct err *err);

int64_t numbers_whole(const struct numbers *, size_t at);
float numbers_real(const struct numbers *, size_t at);

#endif
