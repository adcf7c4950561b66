/* local_path.c - the places in a container that a request may name: none that climbs, and none where something of the
 * platform's or of the system's is already. */
#include "services/sagemaker/local_path.h"

#include <stdbool.h>
#include <string.h>

#include "base/str.h"

/* What is mounted or written by somebody else, and all that is in it. Below /opt/ml only these are taken. */
static const char *const taken[] = {
    "/opt/ml/code", "/opt/ml/errors", "/opt/ml/input", "/opt/ml/model", "/opt/ml/output", "/opt/sagebrush",
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr",
};

static bool climbs(struct str word)
{
    return str_is(word, ".") || str_is(word, "..");
}

int local_path_check_channel(size_t number, const char *name, struct err *err)
{
    if (!climbs(str_of(name)))
        return 0;
    return fail_code(err, ERR_INVALID, "ValidationException",
                     "1 validation error detected: Value '%s' at 'inputDataConfig.%zu.member.channelName' failed to "
                     "satisfy constraint: Member must be the name of a folder, and neither '.' nor '..'",
                     name, number);
}

static bool is_clean(const char *path)
{
    struct str rest, word;

    if (path[0] != '/')
        return false;
    rest = str_of(path + 1);
    while (str_cut(rest, '/', &word, &rest))
        if (word.size == 0 || climbs(word))
            return false;
    return !climbs(rest); /* empty behind a slash at the end */
}

/* Is one of them the other, or in it? */
static bool overlap(struct str a, struct str b)
{
    struct str shorter = a.size < b.size ? a : b, longer = a.size < b.size ? b : a;

    return memcmp(shorter.data, longer.data, shorter.size) == 0 &&
           (shorter.size == longer.size || longer.data[shorter.size] == '/');
}

static const char *taken_by(const char *path)
{
    struct str s = str_of(path);

    if (s.size > 1 && s.data[s.size - 1] == '/')
        s.size--;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (s.size == 1 || overlap(s, str_of(taken[i])))
            return taken[i];
    return NULL;
}

int local_path_check_checkpoints(const char *path, struct err *err)
{
    const char *other;

    if (!*path)
        return 0;
    if (!is_clean(path))
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "1 validation error detected: Value '%.200s' at 'checkpointConfig.localPath' failed to "
                         "satisfy constraint: Member must be an absolute path without empty parts, '.' and '..'", path);
    other = taken_by(path);
    if (other)
        return fail_code(err, ERR_INVALID, "ValidationException",
                         "1 validation error detected: Value '%.200s' at 'checkpointConfig.localPath' failed to "
                         "satisfy constraint: Member must not overlap with %s; use /opt/ml/checkpoints", path, other);
    return 0;
}

static bool is_below(const char *path, const char *root)
{
    return is_clean(path) && text_starts(path, root) && path[strlen(root)];
}

int local_path_check_tensorboard(const char *path, struct err *err)
{
    if (!*path || is_below(path, "/opt/ml/output/"))
        return 0;
    return fail_code(err, ERR_INVALID, "ValidationException",
                     "1 validation error detected: Value '%.200s' at 'tensorBoardOutputConfig.localPath' failed to "
                     "satisfy constraint: Member must be a folder below /opt/ml/output/, without empty parts, '.' and "
                     "'..'", path);
}

int local_path_check_processing(const char *noun, const char *name, const char *path, struct err *err)
{
    if (is_below(path, "/opt/ml/processing/"))
        return 0;
    return fail_code(err, ERR_INVALID, "ValidationException",
                     "%s %s: LocalPath must be a folder below /opt/ml/processing/, without empty parts, '.' and '..': "
                     "%.200s", noun, name, path);
}
