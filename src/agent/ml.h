/* ml.h - /opt/ml as the container contract says: its folders, its configuration files, the environment beside it. */
#ifndef AGENT_ML_H
#define AGENT_ML_H

#include "agent/order.h"
#include "run/image.h"

/* Makes the folders and writes the configuration files below 'ml'. Again is fine. */
int ml_make(struct arena *, const struct order *, const char *ml, struct err *err);

/* The container has ended, and may have put anything in place of the folders that its results are in: what is no folder
 * fails, a link is never followed, what is gone is an empty folder again. */
int ml_check_results(struct arena *, const char *ml, bool with_model, struct err *err);

/* "NAME=value", NULL-terminated: the image's, the platform's, the request's. base and port only for a process. */
const char *const *ml_environment(struct arena *, const struct order *, const struct image *, const char *base,
                                  int port);

/* The whole command: the request's entry point and arguments, or the image's, with "train" or "serve" for its CMD
 * unless it processes. */
const char *const *ml_command(struct arena *, const struct order *, const struct image *, const char *program);

#endif
