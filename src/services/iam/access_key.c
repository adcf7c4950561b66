/* access_key.c - AccessKey: a pair that signs. The secret is shown once, when it is made; the table has it, for a
 * signature cannot be checked without. */
#include "services/iam/access_key.h"

#include <string.h>

#include "doc/json.h"
#include "engine/engine.h"
#include "services/iam/entity.h"
#include "services/iam/ops.h"
#include "sign/token.h"
#include "store/store.h"

enum { KEYS_PER_USER = 2, BATCH = 200 };

#define TABLE "iam_keys"

static int missing(const char *id, struct err *err)
{
    return fail_code(err, ERR_NOT_FOUND, "NoSuchEntity", "The Access Key with id %s cannot be found.", id);
}

int access_key_load(struct arena *a, struct store *store, const char *id, struct doc **ret, struct err *err)
{
    struct str text;

    if (store_get(a, store, TABLE, str_of(id), &text, err) < 0)
        return err->kind == ERR_NOT_FOUND ? missing(id, err) : -1;
    return json_parse(a, text, ret, err);
}

int access_key_save(struct arena *a, struct store *store, const struct doc *key, struct err *err)
{
    identity_changed();
    return store_put(store, TABLE, str_of(doc_text(key, "AccessKeyId")), str_of(json_text(a, key)), err);
}

int access_key_remove(struct arena *a, struct store *store, const struct doc *key, struct err *err)
{
    const char *id = doc_text(key, "AccessKeyId"), *name = doc_text(key, "user"), *account = doc_text(key, "account");
    struct doc *user, *left = doc_list(a);
    const struct doc *keys;

    identity_changed();
    if (*name) {
        if (entity_load(a, store, &iam_user, account, name, &user, err) < 0)
            return -1;
        keys = doc_get(user, "keys");
        for (uint32_t i = 0; keys && i < keys->count; i++)
            if (strcmp(doc_value_text(keys->items[i]), id) != 0)
                doc_append(a, left, keys->items[i]);
        doc_set(a, user, "keys", left->count ? left : NULL);
        if (entity_save(a, store, &iam_user, account, user, err) < 0)
            return -1;
    }
    return store_remove(store, TABLE, str_of(id), err);
}

int access_key_each(struct arena *a, struct store *store, int (*each)(void *data, struct doc *key, struct err *err),
                    void *data, struct err *err)
{
    struct range range = { .limit = BATCH };
    struct pair *pairs;
    int count;

    do {
        if (store_scan(a, store, TABLE, &range, &pairs, &count, err) < 0)
            return -1;
        for (int i = 0; i < count; i++) {
            struct doc *key;

            if (json_parse(a, pairs[i].value, &key, err) < 0 || each(data, key, err) < 0)
                return -1;
        }
        if (count)
            range.from = (struct str){ str_dup(a, pairs[count - 1].key), pairs[count - 1].key.size + 1 };
    } while (count == BATCH);
    return 0;
}

struct doc *access_key_record(struct arena *a, const char *id, const char *secret, const char *account,
                              const char *user, int64_t now_ms)
{
    struct doc *key = doc_map(a);

    doc_set_string(a, key, "AccessKeyId", id);
    doc_set_string(a, key, "SecretAccessKey", secret);
    doc_set_string(a, key, "Status", "Active");
    doc_set_integer(a, key, "CreateDate", now_ms / 1000 * 1000);
    doc_set_string(a, key, "account", account);
    doc_set_string(a, key, "user", user);
    return key;
}

int access_key_give(struct arena *a, struct store *store, const char *account, struct doc *user, const struct doc *key,
                    struct err *err)
{
    const struct doc *old = doc_get(user, "keys");
    struct doc *keys = doc_list(a);

    for (uint32_t i = 0; old && i < old->count; i++)
        doc_append(a, keys, old->items[i]);
    if (keys->count >= KEYS_PER_USER)
        return fail_code(err, ERR_LIMIT, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: %d",
                         KEYS_PER_USER);
    doc_append(a, keys, doc_string(a, doc_text(key, "AccessKeyId")));
    doc_set(a, user, "keys", keys);
    if (access_key_save(a, store, key, err) < 0)
        return -1;
    return entity_save(a, store, &iam_user, account, user, err);
}

/* --- Who acts by it --- */

/* A key without a user: a session of the execution role, so that tools that want a role find one. */
static int role_principal(struct arena *a, struct store *store, const char *account, struct principal *ret,
                          struct err *err)
{
    struct doc *role, *policies;

    ret->arn = arena_printf(a, "arn:aws:sts::%s:assumed-role/%s/%s", account, EXECUTION_ROLE, SESSION_NAME);
    if (entity_load(a, store, &iam_role, account, EXECUTION_ROLE, &role, err) < 0) {
        if (err->kind != ERR_NOT_FOUND)
            return -1;
        /* Somebody deleted the role. The key's own rights do not come from it. */
        *err = (struct err){ 0 };
        ret->user_id = account;
        ret->policies = doc_list(a);
        return 0;
    }
    if (entity_policies(a, store, account, role, &policies, err) < 0)
        return -1;
    ret->user_id = arena_printf(a, "%s:%s", doc_text(role, "RoleId"), SESSION_NAME);
    ret->policies = policies;
    return 0;
}

static int user_principal(struct arena *a, struct store *store, const char *account, const char *name,
                          struct principal *ret, struct err *err)
{
    struct doc *user, *policies;

    if (entity_load(a, store, &iam_user, account, name, &user, err) < 0 ||
        entity_policies(a, store, account, user, &policies, err) < 0)
        return -1;
    ret->arn = doc_text(user, "Arn");
    ret->user_id = doc_text(user, "UserId");
    ret->policies = policies;
    return 0;
}

int access_key_principal(struct arena *a, struct store *store, const struct doc *key, struct principal *ret,
                         struct err *err)
{
    const char *account = doc_text(key, "account"), *user = doc_text(key, "user");

    *ret = (struct principal){ .account = account, .access_key_id = doc_text(key, "AccessKeyId"),
                               .trusted = doc_bool(key, "trusted", false) };
    return *user ? user_principal(a, store, account, user, ret, err) : role_principal(a, store, account, ret, err);
}

/* --- Operations --- */

int access_key_create(struct call *c, struct err *err)
{
    struct token_pair pair;
    struct doc *user, *key, *shown = doc_map(c->arena);
    const char *name;

    if (entity_of_call(c, &user, err) < 0)
        return -1;
    name = doc_text(user, "UserName");
    token_pair_new(engine_world_of(c->engine)->rand, "AKIA", &pair);
    key =
        access_key_record(c->arena, pair.access_key_id, pair.secret_access_key, c->principal->account, name, c->now_ms);
    if (access_key_give(c->arena, iam_store(c), c->principal->account, user, key, err) < 0)
        return -1;
    doc_set_string(c->arena, shown, "UserName", name);
    doc_set_string(c->arena, shown, "AccessKeyId", pair.access_key_id);
    doc_set_string(c->arena, shown, "Status", "Active");
    doc_set_string(c->arena, shown, "SecretAccessKey", pair.secret_access_key);
    doc_set_integer(c->arena, shown, "CreateDate", doc_int(key, "CreateDate", 0));
    doc_set(c->arena, c->output, "AccessKey", shown);
    return 0;
}

int access_key_list(struct call *c, struct err *err)
{
    struct doc *user, *list = doc_list(c->arena);
    const struct doc *keys;

    if (entity_of_call(c, &user, err) < 0)
        return -1;
    keys = doc_get(user, "keys");
    for (uint32_t i = 0; keys && i < keys->count; i++) {
        struct doc *key, *shown = doc_map(c->arena);

        if (access_key_load(c->arena, iam_store(c), doc_value_text(keys->items[i]), &key, err) < 0)
            return -1;
        doc_set_string(c->arena, shown, "UserName", doc_text(user, "UserName"));
        doc_set_string(c->arena, shown, "AccessKeyId", doc_text(key, "AccessKeyId"));
        doc_set_string(c->arena, shown, "Status", doc_text(key, "Status"));
        doc_set_integer(c->arena, shown, "CreateDate", doc_int(key, "CreateDate", 0));
        doc_append(c->arena, list, shown);
    }
    iam_page(c, "AccessKeyMetadata", list, "AccessKeyId");
    return 0;
}

/* The key that the input names; it must be the user's. Without a user, its own: one may change the key one signs with.
 */
static int key_of_call(struct call *c, struct doc **ret, struct err *err)
{
    const char *id = doc_text(c->input, "AccessKeyId"), *name = doc_text(c->input, "UserName");
    const char *slash = strrchr(c->principal->arn, '/');
    struct doc *key;

    if (access_key_load(c->arena, iam_store(c), id, &key, err) < 0)
        return -1;
    if (!*name)
        name = strstr(c->principal->arn, ":user/") && slash ? slash + 1 : "";
    if (!doc_is(key, "account", c->principal->account) || strcasecmp(doc_text(key, "user"), name) != 0)
        return missing(id, err);
    *ret = key;
    return 0;
}

int access_key_update(struct call *c, struct err *err)
{
    struct doc *key;

    if (key_of_call(c, &key, err) < 0)
        return -1;
    if (doc_bool(key, "root", false))
        return fail_code(err, ERR_INVALID, "InvalidInput", "The key of this server's root stays active.");
    doc_set_string(c->arena, key, "Status", doc_text(c->input, "Status"));
    return access_key_save(c->arena, iam_store(c), key, err);
}

int access_key_delete(struct call *c, struct err *err)
{
    struct doc *key;

    if (key_of_call(c, &key, err) < 0)
        return -1;
    if (doc_bool(key, "root", false))
        return fail_code(
            err, ERR_CONFLICT, "DeleteConflict",
            "The key of this server's root cannot be deleted. To replace it, remove secrets/root-key.json and "
            "restart the server.");
    return access_key_remove(c->arena, iam_store(c), key, err);
}
