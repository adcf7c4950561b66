/* request.h - the body of an invocation into rows. */
#ifndef ALGO_REQUEST_H
#define ALGO_REQUEST_H

#include "algo/matrix.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/* ret_format: "csv", "libsvm", "recordio-protobuf" or "json". No content type is text/csv. ERR_INVALID is answered with
 * 415, as the container does also for a body that does not parse. */
int request_parse(struct str content_type, struct str body, struct matrix *ret, const char **ret_format,
                  struct err *err);

#endif
