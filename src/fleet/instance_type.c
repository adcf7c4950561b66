#include "fleet/instance_type.h"

#include <stdlib.h>
#include <string.h>

/* Sorted by name, as the data file is. */
static const struct instance_type types[] = {
#include "instance_types.inc"
};

static int compare(const void *key, const void *row)
{
    return strcmp(key, ((const struct instance_type *)row)->name);
}

const struct instance_type *instance_type(const char *name)
{
    return bsearch(name, types, sizeof types / sizeof *types, sizeof *types, compare);
}
