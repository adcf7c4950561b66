/* access_key.h - access keys, by their id: the table "iam_keys" has under it
 *     {"AccessKeyId","SecretAccessKey","Status","CreateDate","account","user","trusted","root"}
 * A key without a user acts as a session of the execution role. */
#ifndef SERVICES_IAM_ACCESS_KEY_H
#define SERVICES_IAM_ACCESS_KEY_H

#include "base/arena.h"
#include "base/err.h"
#include "doc/doc.h"
#include "engine/call.h"

#define EXECUTION_ROLE "SagebrushExecutionRole"
#define SESSION_NAME   "local"

struct store;

int access_key_load(struct arena *, struct store *, const char *id, struct doc **ret,
                    struct err *err); /* ERR_NOT_FOUND */
int access_key_save(struct arena *, struct store *, const struct doc *key, struct err *err);

/* Takes it from its user too. */
int access_key_remove(struct arena *, struct store *, const struct doc *key, struct err *err);

/* All of them, in the order of their ids. */
int access_key_each(struct arena *, struct store *, int (*each)(void *data, struct doc *key, struct err *err),
                    void *data, struct err *err);

struct doc *access_key_record(struct arena *, const char *id, const char *secret, const char *account, const char *user,
                              int64_t now_ms);

/* Who acts by it; strings are the key's where they can be. */
int access_key_principal(struct arena *, struct store *, const struct doc *key, struct principal *ret, struct err *err);

/* Gives the key to a user's record (which is then saved), two at most. */
int access_key_give(struct arena *, struct store *, const char *account, struct doc *user, const struct doc *key,
                    struct err *err);

#endif
