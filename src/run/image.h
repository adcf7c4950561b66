/* image.h - what an image reference means here.
 *
 * Registry and account are ignored; repository and tag decide. The images of the built-in algorithms are programs of
 * ours, the framework images are script mode on this host's Python, anything else is an OCI image that the user
 * brought: an archive in the folder of archives, "oci-archive:mine.tar", or one in the local layout <data>/images/oci.
 * References come from users of the API: none of them opens a file elsewhere, and no error tells where ours are. */
#ifndef RUN_IMAGE_H
#define RUN_IMAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

enum image_kind {
    IMAGE_HOST, /* a program of ours on the host image */
    IMAGE_OCI,  /* layers of its own */
};

struct image {
    enum image_kind kind;
    const char *title;   /* "sagemaker-xgboost:1.7-1", for messages */
    const char *program; /* host: "sagebrush-xgboost", "sagebrush-toolkit" */
    bool relocatable;    /* it takes SAGEMAKER_BASE_DIR and SAGEMAKER_BIND_TO_PORT: the process runtime can run it */
    /* OCI */
    const char *const *layers; /* folders, the lowest first */
    int layer_count;
    const char *const *entrypoint, *const *command, *const *environment; /* NULL-terminated */
    const char *working_folder;                                        /* "/" when the image says none */
    const char *user;                                                  /* "" is root */
    const char *digest;                                                /* of the manifest */
};

struct image_places {
    const char *data_folder;
    const char *archives; /* the folder of archives; NULL or "": <data>/images/archives */
};

/* Could image_find succeed? Looks at names and files only, unpacks nothing. ERR_INVALID: never, and the text tells the
 * user why and what can be done. 'script': the order brings a script of the user's (sagemaker_program). */
int image_check(struct arena *, const struct image_places *, const char *reference, bool script, struct err *err);

/* Is it a program of ours on the host image? *ret only when it is. */
bool image_is_hosted(struct arena *, const char *reference, bool script, struct image *ret);

/* The repositories of those, in the order of the table, and what runs for them; NULL: there are no more. */
const char *image_hosted(size_t at, const char **ret_about);

const char *image_archives(struct arena *, const struct image_places *); /* the folder of archives */

/* Finds it, and unpacks layers that are not unpacked yet (once a digest, under a lock, checked against the digest). */
int image_find(struct arena *, const struct image_places *, const char *reference, bool script, struct image *ret,
               struct err *err);

#endif
