/* checkpoint_impl.h - one look at a checkpoint's folder, as the files that make it see it. */
#ifndef AGENT_CHECKPOINT_IMPL_H
#define AGENT_CHECKPOINT_IMPL_H

#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/checkpoint.h"
#include "agent/turns.h"

#define UPLOADING ".sagemaker-uploading"
#define UPLOADED  ".sagemaker-uploaded"

struct candidate {
    const char *path;
    struct timespec changed;
    off_t size_bytes;
};

struct look {
    struct checkpoint *c;
    enum checkpoint_when when;
    struct arena *arena;
    int root;
    struct map *seen;
    struct candidate *candidates;
    size_t count, room;
    bool noting; /* everything is noted, nothing is put */

    struct turns turns; /* of the candidates */
    pthread_mutex_t lock; /* of what follows, while there are lanes */
    bool postponed; /* a file that is whole was not put: it changed a moment ago */
    int64_t again_ms;
    int64_t again_put_ms; /* files that S3 had, and that were written again */
    bool failed, refused; /* the look; a file */
    struct err err;       /* why */
};

void look_again(struct look *, int64_t ms); /* come back then, if not earlier */

const char *look_mark(struct arena *, const struct stat *);

/* Has anybody the file open or mapped for writing? */
bool look_is_written(const struct checkpoint *, int fd, const struct stat *);

/* What the container is told: a file of this name beside 'path', or none. */
void look_marker(const struct look *, const char *path, const char *suffix, bool there);

/* Puts the candidates. */
int look_put(struct look *, struct err *err);

#endif
