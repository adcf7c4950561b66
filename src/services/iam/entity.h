/* entity.h - users and roles: what both are made of. Only this folder reads the tables of IAM.
 *
 * A record is a document in the tables "iam_users" and "iam_roles" under "ACCOUNT/name in lower case": the members
 * that GetUser and GetRole show, by their names, and beside them
 *     inline    {policy name: JSON text}
 *     attached  [ARN of a managed policy]
 *     trust     JSON text (roles)
 *     keys      [access key id] (users) */
#ifndef SERVICES_IAM_ENTITY_H
#define SERVICES_IAM_ENTITY_H

#include "base/rand.h"
#include "engine/call.h"

struct store;

struct entity_kind {
    const char *table, *noun;             /* "iam_users", "User" */
    const char *name_member, *id_member;  /* "UserName", "UserId" */
    const char *arn_type, *id_prefix;     /* "user", "AIDA" */
    size_t inline_max_bytes;              /* of all inline policies together, white space left out */
};

extern const struct entity_kind iam_user, iam_role;

/* The noun that the operation's name says: PutRolePolicy is about a role. */
const struct entity_kind *entity_kind_of(const struct call *);

struct store *iam_store(const struct call *);

/* ERR_NOT_FOUND in AWS's words. */
int entity_load(struct arena *, struct store *, const struct entity_kind *, const char *account, const char *name,
                struct doc **ret, struct err *err);
int entity_save(struct arena *, struct store *, const struct entity_kind *, const char *account,
                const struct doc *record, struct err *err);
int entity_delete(struct arena *, struct store *, const struct entity_kind *, const char *account, const char *name,
                  struct err *err);

/* The one that the input names; a user who names nobody is the caller. */
int entity_of_call(struct call *, struct doc **ret, struct err *err);

/* A fresh record: path, name, id, ARN, date. The second takes them from the input, with its tags, and refuses a name
 * that is taken. */
struct doc *entity_record(struct arena *, struct rand *, const struct entity_kind *, const char *account,
                          const char *path, const char *name, int64_t now_ms);
int entity_new(struct call *, const struct entity_kind *, struct doc **ret, struct err *err);

/* What Get shows. */
struct doc *entity_view(struct arena *, const struct entity_kind *, const struct doc *record, bool tags);

/* The documents that apply to it, parsed: inline, then attached. */
int entity_policies(struct arena *, struct store *, const char *account, const struct doc *record, struct doc **ret,
                    struct err *err);

/* The role of "arn:aws:iam::A:role/path/NAME", or the user. ERR_NOT_FOUND. */
int entity_by_arn(struct arena *, struct store *, const char *arn, const struct entity_kind **ret_kind,
                  struct doc **ret, struct err *err);

/* Calls 'each' for all records of an account, or of all accounts (NULL), in the order of their names; it returns false
 * to stop. */
int entity_each(struct arena *, struct store *, const struct entity_kind *, const char *account,
                bool (*each)(void *data, struct doc *record), void *data, struct err *err);

/* Lists: the page of 'list', sorted by name, that Marker and MaxItems ask for goes to output[member]. 'name' is the
 * member of an item that sorts and stands in a Marker; NULL: the item itself. */
void iam_page(struct call *, const char *member, struct doc *list, const char *name);

/* Operations of both nouns. */
int entity_list(struct call *, struct err *err);
int entity_tag(struct call *, struct err *err);
int entity_untag(struct call *, struct err *err);
int entity_list_tags(struct call *, struct err *err);
int entity_put_inline(struct call *, struct err *err);
int entity_get_inline(struct call *, struct err *err);
int entity_delete_inline(struct call *, struct err *err);
int entity_list_inline(struct call *, struct err *err);
int entity_attach(struct call *, struct err *err);
int entity_detach(struct call *, struct err *err);
int entity_list_attached(struct call *, struct err *err);
int entity_remove(struct call *, struct err *err); /* DeleteUser, DeleteRole: nothing may hang on it */

/* Policies. */
struct managed {
    const char *name, *path, *description, *document;
};
extern const struct managed managed_policies[]; /* AWS's own that are here; ends with an empty row */

/* The default version's text of a managed policy, AWS's or the account's. ERR_NOT_FOUND. */
int managed_document(struct arena *, struct store *, const char *arn, const char **ret_text, struct err *err);

/* Checks a document of an input; the text is kept as it came. */
int iam_check_document(struct call *, const char *text, bool trust, size_t max_bytes, struct err *err);
const char *iam_document_shown(struct arena *, const char *text); /* percent-encoded, as IAM shows documents */

/* A record changed: identities that were looked up may be others now. */
void identity_changed(void);

char *iam_id(struct arena *, struct rand *, const char *prefix);
int iam_refuse_members(struct call *, const char *const *members, struct err *err);

#endif
