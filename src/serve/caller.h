/* caller.h - who asks the data plane, and by which rights: the keys, roles and sessions of the routing snapshot. */
#ifndef SERVE_CALLER_H
#define SERVE_CALLER_H

#include "serve/table.h"
#include "sign/sigv4.h"

struct caller {
    const char *secret_access_key;
    const char *account, *arn, *user_id;
    const struct doc *policies, *session_policy; /* NULL: none */
    bool trusted;                                /* may do everything */
};

/* Whom the claim names, so that its signature can be verified; strings are the table's or in the arena. -1 with the
 * refusal in SageMaker's words. */
int caller_find(struct arena *, const struct table *, const struct sigv4_claim *, int64_t now_ms, struct caller *ret,
                struct err *err);

#endif
