/* image_list.h - the images that a job or a model can name on this server. */
#ifndef RUN_IMAGE_LIST_H
#define RUN_IMAGE_LIST_H

#include "base/err.h"
#include "doc/doc.h"
#include "run/image.h"

/* A list of {"name","kind","about"}: first what this server runs itself (kind "built-in", any tag), then the OCI images
 * of the local layout ("oci") and the archives ("archive"). */
int image_list(struct arena *, const struct image_places *, struct doc **ret, struct err *err);

/* The name of the list that somebody who wrote the reference most likely meant, with the reference's tag where any will
 * do; NULL: none is like it. */
const char *image_nearest(struct arena *, const struct image_places *, const char *reference);

#endif
