#include "aws/model.h"

#include <string.h>

/* Every table that is searched starts its rows with the name. */
static const void *find(const void *rows, size_t count, size_t row_size, struct str name)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const void *row = (const char *)rows + middle * row_size;
        const char *row_name = *(const char *const *)row;
        int order = strncmp(name.data, row_name, name.size);

        /* Equal as far as the name goes: the row's is longer, or it is the one. */
        if (order == 0 && row_name[name.size] == '\0')
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

/* A name from outside may hold a NUL, at which strncmp would stop. */
static bool is_word(struct str name)
{
    return name.size > 0 && !memchr(name.data, '\0', name.size);
}

const struct operation *model_operation(const struct service *service, struct str name)
{
    return is_word(name) ? find(service->operations, service->operation_count, sizeof *service->operations, name) : NULL;
}

const struct member *model_member(const struct shape *shape, struct str name)
{
    return is_word(name) ? find(shape->members, shape->member_count, sizeof *shape->members, name) : NULL;
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
