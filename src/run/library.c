#include "run/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static void *find(void *library, const struct library_symbol *s)
{
    void *function = dlsym(library, s->names[0]);

    return function || !s->names[1] ? function : dlsym(library, s->names[1]);
}

void *library_open(const char *name, const struct library_symbol *symbols, size_t count, void *functions, char *why,
                   size_t why_size)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);

    if (!library)
        snprintf(why, why_size, "%s", dlerror());
    for (size_t i = 0; library && i < count; i++) {
        void *function = find(library, &symbols[i]);

        if (!function && symbols[i].needed) {
            snprintf(why, why_size, "%s has no %s", name, symbols[i].names[0]);
            return NULL; /* loaded for good: a driver's library may not come out again */
        }
        memcpy((char *)functions + symbols[i].offset, &function, sizeof function);
    }
    return library;
}
