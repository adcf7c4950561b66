/* ops.h - the operations of IAM that are one noun's own; those of both are in entity.h. */
#ifndef SERVICES_IAM_OPS_H
#define SERVICES_IAM_OPS_H

#include "engine/call.h"

int user_create(struct call *, struct err *err);
int user_get(struct call *, struct err *err);

int access_key_create(struct call *, struct err *err);
int access_key_list(struct call *, struct err *err);
int access_key_update(struct call *, struct err *err);
int access_key_delete(struct call *, struct err *err);

int role_create(struct call *, struct err *err);
int role_get(struct call *, struct err *err);
int role_update(struct call *, struct err *err);
int role_update_trust(struct call *, struct err *err);

int policy_create(struct call *, struct err *err);
int policy_get(struct call *, struct err *err);
int policy_list(struct call *, struct err *err);
int policy_delete(struct call *, struct err *err);
int policy_list_entities(struct call *, struct err *err);
int policy_version_create(struct call *, struct err *err);
int policy_version_get(struct call *, struct err *err);
int policy_version_list(struct call *, struct err *err);
int policy_version_set_default(struct call *, struct err *err);
int policy_version_delete(struct call *, struct err *err);

#endif
