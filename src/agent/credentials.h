/* credentials.h - those of the job's role, as its container is told of them. */
#ifndef AGENT_CREDENTIALS_H
#define AGENT_CREDENTIALS_H

#include "agent/order.h"

/* {AccessKeyId, SecretAccessKey, Token, Expiration}. They live longer than it says: who is told so asks again, and
 * would see new ones. */
struct doc *credentials_doc(struct arena *, const struct order *, int64_t now_ms);

/* The name in the role's ARN. */
const char *credentials_role(const struct order *);

#endif
