/* sigv4_impl.h - what the files of sigv4*.c share: errors, and the canonical request, which is the same for who signs
 * and who verifies. */
#ifndef SIGN_SIGV4_IMPL_H
#define SIGN_SIGV4_IMPL_H

#include "base/buf.h"
#include "sign/digest.h"
#include "sign/sigv4.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

enum { SKEW_MS = 15 * 60 * 1000, SCOPE_MAX = 192 };

/* --- sigv4_error.c --- */

enum sigv4_family family_of(struct str service);
int refuse(struct err *err, int http_status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int incomplete(struct err *err, enum sigv4_family, const char *what);
const char *mismatch_code(enum sigv4_family);

/* --- sigv4_canonical.c --- */

void sigv4_time(char ret[static 17], int64_t ms); /* 2024-02-29T12:00:00Z as 20240229T120000Z */

struct str sigv4_path(const struct sigv4_request *);
struct str sigv4_query(const struct sigv4_request *);
/* Takes the next "name=value" off the query; false at the end. */
bool sigv4_next_parameter(struct str *query, struct str *ret_name, struct str *ret_value);

struct sigv4_canon {
    const struct sigv4_request *request;
    struct str signed_headers, payload;
    bool s3, presigned;
    bool raw; /* the target as it stands on the wire */
};
/* There until the next one that is as raw. */
struct str sigv4_canonical(struct sigv4_cache *, const struct sigv4_canon *);

void sigv4_scope_text(char ret[static SCOPE_MAX], struct str date, struct str region, struct str service);
const unsigned char *sigv4_key(struct sigv4_cache *, struct str secret, const char *scope, struct str date,
                               struct str region, struct str service);

enum { TO_SIGN_MAX = sizeof ALGORITHM + 18 + SCOPE_MAX + 65 };
size_t sigv4_string_to_sign(char ret[static TO_SIGN_MAX], struct str amz_date, const char *scope, struct str canonical);
void sigv4_signature(char ret[static 65], const unsigned char key[static SHA256_SIZE], struct str amz_date,
                     const char *scope, struct str canonical);

#endif
