/* program.h - where the other programs of Sagebrush are, whether it is installed or stands in a build folder. */
#ifndef BASE_PROGRAM_H
#define BASE_PROGRAM_H

#include "base/arena.h"
#include "base/err.h"

/* The path of "sagebrush-serve", "sagebrush-agent", "sagebrush-init", "sagebrush-xgboost", "sagebrush-toolkit"...: in
 * $SAGEBRUSH_LIBEXEC, beside this program, or in the libexec folder of the installation or the build. All of them stand
 * in one folder. ERR_NOT_FOUND says where it was looked for. */
int program_path(struct arena *, const char *name, const char **ret, struct err *err);

#endif
