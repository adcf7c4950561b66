#include "services/sagemaker/node_row.h"

struct doc *node_row(struct arena *a, const struct node_view *node)
{
    struct doc *row = doc_map(a);

    doc_set_string(a, row, "name", node->name);
    doc_set_string(a, row, "pool", node->pool);
    doc_set_string(a, row, "state", node->state);
    doc_set_boolean(a, row, "lemon", node->lemon);
    doc_set_integer(a, row, "instances", node->instances);
    return row;
}

void node_row_used(struct arena *a, struct doc *row, const char *name, int64_t left, int64_t has)
{
    struct doc *pair = doc_map(a);

    if (!has)
        return;
    doc_set_integer(a, pair, "used", has - left);
    doc_set_integer(a, pair, "has", has);
    doc_set(a, row, name, pair);
}

void node_row_capacity(struct arena *a, struct doc *row, const struct node_view *node)
{
    node_row_used(a, row, "cores", node->left.cores, node->has.cores);
    node_row_used(a, row, "memory_mib", node->left.memory_mib, node->has.memory_mib);
    node_row_used(a, row, "gpus", node->left.gpus, node->has.gpus);
    if (*node->gpu)
        doc_set_string(a, row, "gpu", node->gpu);
    if (*node->labels)
        doc_set_string(a, row, "labels", node->labels);
}
