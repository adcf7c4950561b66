#include "aws/model.h"

#include <string.h>

/* By unsigned bytes. A NUL in a name from outside is no end: it only makes the name greater. */
static int compare(struct str name, const char *row_name)
{
    for (size_t i = 0; i < name.size; i++) {
        unsigned char c = (unsigned char)name.data[i], d = (unsigned char)row_name[i];

        if (c != d)
            return c < d ? -1 : 1;
        if (d == '\0')
            return 1;
    }
    return row_name[name.size] == '\0' ? 0 : -1;
}

/* Every table that is searched starts its rows with the name. */
static const void *find(const void *rows, size_t count, size_t row_size, struct str name)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const void *row = (const char *)rows + middle * row_size;
        int order = compare(name, *(const char *const *)row);

        if (order == 0)
            return row;
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct service *model_service(const char *name)
{
    for (const struct service *const *s = model_services; *s; s++)
        if (strcmp((*s)->name, name) == 0)
            return *s;
    return NULL;
}

const struct operation *model_operation(const struct service *service, struct str name)
{
    return find(service->operations, service->operation_count, sizeof *service->operations, name);
}

const struct member *model_member(const struct shape *shape, struct str name)
{
    return find(shape->members, shape->member_count, sizeof *shape->members, name);
}

const struct shape *model_error(const struct operation *operation, struct str name)
{
    for (const struct shape *const *error = operation->errors; *error; error++)
        if (str_is(name, (*error)->name))
            return *error;
    for (const struct shape *const *error = operation->errors; *error; error++)
        if ((*error)->error_code && str_is(name, (*error)->error_code))
            return *error;
    return NULL;
}
