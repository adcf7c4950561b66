/* container.h - where the platform put us: the folders under /opt/ml, their documents, and the cores we were
 * granted. */
#ifndef ALGO_CONTAINER_H
#define ALGO_CONTAINER_H

#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"

/* SAGEMAKER_BASE_DIR, or /opt/ml. */
const char *container_base(void);

/* A path that the request gave as the container sees it: /opt/ml/checkpoints moves with the base folder. */
const char *container_path(struct arena *, const char *path);

/* input/config/<name>: NULL when there is no such file. */
int container_config(struct arena *, const char *name, struct doc **ret, struct err *);

/* The cores this process may keep busy: affinity, and the CPU quota of its cgroup (version 1 or 2); at least 1. */
int container_cores(void);

/* One line of the algorithm's own log, on standard output: "[2024-02-29:12:00:00:INFO] Train matrix has 455 rows". */
void say(const char *level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
