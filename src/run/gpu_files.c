#include "run/gpu_files.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Of the GPUs together. The unified memory's appear when the driver is first used. */
static const char *const shared[] = { "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools" };

/* What CUDA programs load from the driver: beside libnvidia-ml.so.1, under their names with the version too. */
static const char *const libraries[] = {
    "libcuda.so*", "libcudadebugger.so*", "libnvidia-gpucomp.so*", "libnvidia-ml.so*", "libnvidia-nvvm.so*",
    "libnvidia-ptxjitcompiler.so*",
};

static const char *const programs[] = { "/usr/bin/nvidia-smi", "/usr/local/nvidia/bin/nvidia-smi",
                                        "/usr/local/bin/nvidia-smi", "/opt/bin/nvidia-smi" };

static const char *device_folder(void)
{
    const char *folder = getenv("SAGEBRUSH_GPU_DEVICES");

    return folder && *folder ? folder : "/dev";
}

/* false: there is no such file. */
static bool add_device(struct arena *a, struct gpu_files *f, const char *name)
{
    const char *path = arena_printf(a, "%s/%s", device_folder(), name);
    struct stat st;

    if (f->device_count == GPU_FILES_MOST || stat(path, &st) < 0)
        return false;
    f->devices[f->device_count++] = (struct bundle_device){
        .source = path,
        .at = arena_printf(a, "/dev/%s", name),
        .is_node = S_ISCHR(st.st_mode),
        .major = (int)major(st.st_rdev),
        .minor = (int)minor(st.st_rdev),
    };
    return true;
}

static void add_mount(struct arena *a, struct gpu_files *f, const char *source, const char *at)
{
    if (f->mount_count < GPU_FILES_MOST)
        f->mounts[f->mount_count++] =
            (struct bundle_mount){ .source = arena_strdup(a, source), .at = at, .read_only = true };
}

static void add_libraries(struct arena *a, struct gpu_files *f, const char *library)
{
    const char *slash = strrchr(library, '/');
    const char *folder = slash ? arena_strndup(a, library, (size_t)(slash - library)) : "";

    for (size_t i = 0; slash && i < sizeof libraries / sizeof *libraries; i++) {
        glob_t found;

        if (glob(arena_printf(a, "%s/%s", folder, libraries[i]), 0, NULL, &found) != 0)
            continue;
        for (size_t j = 0; j < found.gl_pathc; j++) {
            const char *name = strrchr(found.gl_pathv[j], '/') + 1;
            struct stat st;

            if (stat(found.gl_pathv[j], &st) == 0 && S_ISREG(st.st_mode))
                add_mount(a, f, found.gl_pathv[j], arena_printf(a, GPU_LIBRARIES "/%s", name));
        }
        globfree(&found);
    }
}

int gpu_files_find(struct arena *a, const int *minors, int count, const char *library, struct gpu_files *ret,
                   struct err *err)
{
    struct gpu_files f = { 0 };

    for (int i = 0; i < count; i++) {
        const char *name = arena_printf(a, "nvidia%d", minors[i]);

        if (!add_device(a, &f, name))
            return fail(err, ERR_INTERNAL, "the GPU's device file %s/%s is not there: is the driver loaded?",
                        device_folder(), name);
    }
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        add_device(a, &f, shared[i]);
    add_libraries(a, &f, library);
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        if (access(programs[i], X_OK) == 0) {
            add_mount(a, &f, programs[i], "/usr/local/bin/nvidia-smi");
            break;
        }
    *ret = f;
    return 0;
}
