/* quota.h - how many instances of a type an account may have at one time, waiting ones included, as AWS counts. */
#ifndef FLEET_QUOTA_H
#define FLEET_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct fleet;
struct quotas;

struct quotas *quotas_new(const struct fleet *);
void quotas_free(struct quotas *); /* NULL is fine */

/* ERR_LIMIT with ResourceLimitExceeded and AWS's sentence, and nothing is taken. 'work': "training job". */
int quota_take(struct quotas *, const char *account, const char *work, const char *type, bool spot, int64_t count,
               struct err *err);

/* Takes what is known to be there already, whatever the limit. */
void quota_restore(struct quotas *, const char *account, const char *work, const char *type, bool spot, int64_t count);
void quota_give(struct quotas *, const char *account, const char *work, const char *type, bool spot, int64_t count);

#endif
