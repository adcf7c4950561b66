/* err.h - why something did not work, told to whoever can answer for it.
 *
 * The caller owns the struct, usually on its stack, so there is nothing to free and an error can be reported
 * when memory cannot be had. An error is told once: who calls a failed function adds nothing and logs nothing;
 * only the request handler, the reconcile loop and main() log it. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

enum err_kind {
    ERR_NONE,
    ERR_INVALID,     /* the request is wrong: HTTP 400 */
    ERR_DENIED,      /* the caller may not: 403 */
    ERR_NOT_FOUND,   /* 404 */
    ERR_CONFLICT,    /* it is there already, or moved on meanwhile: 409 */
    ERR_LIMIT,       /* too many, too big, too fast: 400 or 413 or 429 */
    ERR_UNAVAILABLE, /* cannot tell, ask again: 503 */
    ERR_INTERNAL,    /* our fault or the machine's: 500 */
};

struct err {
    enum err_kind kind;
    int http_status; /* 0: the usual one of the kind */
    char code[64];   /* AWS's code for a fault of the user's ("ValidationException"), "" when there is none */
    char text[8192]; /* AWS recites the whole set when a value is not in it: 5 KB for an endpoint's instance types */
};

/* Fills in 'err' and returns -1, so that a failing path is one statement. */
int fail(struct err *err, enum err_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same with AWS's code, for a fault of the user's. 'code' is kept to 63 bytes. */
int fail_code(struct err *err, enum err_kind kind, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Appends ": " and strerror(errno_value) to the text: fail_errno(err, errno, "open %s", path). Returns -1. */
int fail_errno(struct err *err, int errno_value, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* For whoever is not of this machine: paths in a fault that is not the user's are cut to their last part, "open
 * /var/lib/x/blobs/ab" to "open ab", so that nobody learns where our files are. A text with AWS's code, or of
 * ERR_INVALID, was written for the user and stays; so do paths below /opt/ml, which are the container's. True:
 * something was cut, and the whole text belongs into the log. */
bool err_hide_paths(struct err *err);

#endif
