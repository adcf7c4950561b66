/* program.c - where the other programs of Sagebrush are.
 *
 * Installed: bin/sagebrush and libexec/sagebrush/... In a build folder: src/cmd/sagebrush and libexec/...
 * /proc/self/exe tells which of them this is. */
#include "base/program.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

static const char *const folders[] = { ".", "../libexec/sagebrush", "../../libexec" };

int program_path(struct arena *a, const char *name, const char **ret, struct err *err)
{
    const char *fixed = getenv("SAGEBRUSH_LIBEXEC");
    char self[4096];
    ssize_t size;

    if (fixed && *fixed) {
        char *path = arena_printf(a, "%s/%s", fixed, name);

        if (access(path, X_OK) < 0)
            return fail_errno(err, errno, "%s, where SAGEBRUSH_LIBEXEC says that it is", path);
        *ret = path;
        return 0;
    }
    size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size < 0)
        return fail_errno(err, errno, "cannot tell where this program is: readlink /proc/self/exe");
    self[size] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[PATH_MAX];

        if (realpath(arena_printf(a, "%s/%s/%s", self, folders[i], name), path) && access(path, X_OK) == 0) {
            *ret = arena_strdup(a, path);
            return 0;
        }
    }
    return fail(err, ERR_NOT_FOUND, "the program %s is neither in %s nor in the libexec folder that belongs to it",
                name, self);
}
