/* box_bundle.h - what the container of a box is made of: its root, its names, config.json. For box.c and box_wait.c. */
#ifndef RUN_BOX_BUNDLE_H
#define RUN_BOX_BUNDLE_H

#include "base/str.h"
#include "run/box.h"

#define BOX_INIT "/run/sagebrush/init" /* where the container has it */

/* The folders and mounts of the root, with everything in it. Again is fine. */
int box_lay_root(struct arena *, const struct box *, const struct box_order *, struct err *err);

/* /etc/hosts, /etc/hostname and /etc/resolv.conf, also of a container that is there already. */
int box_name_hosts(struct arena *, const struct box *, const struct box_order *, struct err *err);

/* The text of config.json; nothing is written. 'arguments' are those of pid 1. */
int box_config(struct arena *, const struct box *, const struct box_order *, const char *const *arguments,
               const char *const *environment, char **ret, struct err *err);

const char *const *box_environment(struct arena *, const struct box_order *);

/* "user", "user:group", names or numbers -> "uid:gid"; NULL is root. After box_lay_root. */
int box_user(struct arena *, const struct box *, const struct image *, const char **ret, struct err *err);

int box_write(const char *path, struct str text, struct err *err);

#endif
