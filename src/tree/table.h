/* table.h - what a model is while it is used: groups of 16 trees, side by side, one SIMD lane a tree.
 *
 * Trees of a group are walked in step, each lane one level at a time, without a branch. Their leaves are added in the
 * order of the trees, one after another, because that is the order in which XGBoost adds and floats remember it. */
#ifndef TREE_TABLE_H
#define TREE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define LANES 16

/* The split's feature, and this bit when a missing value goes right. */
#define MISSING_RIGHT 0x80000000u

/* Two forms. Full: every tree is padded to the same depth, and the children of node n are 2n+1 and 2n+2; node n of
 * lane l stands at n * LANES + l, its leaves the same way. Linked, for deep trees: a node names its left child, the
 * right one follows it; a leaf is its own left child and no value goes right of it. */
struct group {
    unsigned depth, count; /* levels of splits; lanes in use */
    uint32_t *link;        /* linked: the left child; NULL: full */
    uint32_t *split;
    float *threshold;
    float *leaf;          /* full: by position in the last level; linked: by node */
    uint32_t root[LANES]; /* linked */
    uint16_t class_of[LANES];
};

struct tree_table {
    struct group *groups;
    size_t group_count;
    size_t features, classes;
};

typedef void tree_kernel_function(const struct tree_table *, const float *values, size_t rows, float *margins);

/* Add the leaves of all trees to the margins, 'classes' a row. */
tree_kernel_function kernel_portable;
#if defined(__x86_64__)
tree_kernel_function kernel_avx512;
#endif

#endif
