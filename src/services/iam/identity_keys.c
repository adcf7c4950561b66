/* identity_keys.c - the keys that the house gives out itself: the first one, and those of the command line. */
#include "services/iam/identity.h"

#include <string.h>

#include "base/fd.h"
#include "doc/json.h"
#include "services/iam/access_key.h"
#include "services/iam/entity.h"
#include "sign/token.h"
#include "store/store.h"

enum { KEY_FILE_MAX_BYTES = 65536 };

/* --- First start --- */

static int make_role(struct arena *a, struct store *store, struct platform *p, int64_t now_ms, struct err *err)
{
    struct doc *role, *attached = doc_list(a);

    if (entity_load(a, store, &iam_role, p->account, EXECUTION_ROLE, &role, err) == 0)
        return 0;
    if (err->kind != ERR_NOT_FOUND)
        return -1;
    *err = (struct err){ 0 };
    role = entity_record(a, p->rand, &iam_role, p->account, "/", EXECUTION_ROLE, now_ms);
    doc_set_string(a, role, "Description", "The role that jobs and endpoints run as, unless another one is named.");
    doc_set_string(
        a, role, "trust",
        arena_printf(a,
                     "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":"
                     "\"sagemaker.amazonaws.com\",\"AWS\":\"arn:aws:iam::%s:root\"},\"Action\":\"sts:AssumeRole\"}]}",
                     p->account));
    doc_set_integer(a, role, "MaxSessionDuration", 43200);
    doc_append(a, attached, doc_string(a, "arn:aws:iam::aws:policy/AdministratorAccess"));
    doc_set(a, role, "attached", attached);
    return entity_save(a, store, &iam_role, p->account, role, err);
}

/* Reads secrets/root-key.json, and makes it when there is none. */
static int root_pair(struct arena *a, struct platform *p, struct doc **ret, struct err *err)
{
    const char *path = arena_printf(a, "%s/secrets/root-key.json", p->data_folder);
    struct token_pair pair;
    struct str text;
    struct doc *d;

    if (file_read(a, path, KEY_FILE_MAX_BYTES, &text, err) == 0) {
        if (json_parse(a, text, ret, err) < 0 || !*doc_text(*ret, "access_key_id") ||
            !*doc_text(*ret, "secret_access_key"))
            return fail(err, ERR_INVALID,
                        "%s does not hold an access_key_id and a secret_access_key; remove it to have a new pair made",
                        path);
        return 0;
    }
    if (err->kind != ERR_NOT_FOUND)
        return -1;
    *err = (struct err){ 0 };
    token_pair_new(p->rand, "AKIA", &pair);
    d = doc_map(a);
    doc_set_string(a, d, "access_key_id", pair.access_key_id);
    doc_set_string(a, d, "secret_access_key", pair.secret_access_key);
    text = str_of(json_text(a, d));
    if (folder_make(arena_printf(a, "%s/secrets", p->data_folder), 0700, err) < 0 ||
        file_write_atomic(path, text.data, text.size, 0600, err) < 0)
        return -1;
    *ret = d;
    return 0;
}

struct others {
    struct arena *arena;
    struct doc *list;
    const char *but;
};

static int other_root(void *data, struct doc *key, struct err *err)
{
    struct others *o = data;

    if (doc_bool(key, "root", false) && !doc_is(key, "AccessKeyId", o->but))
        doc_append(o->arena, o->list, key);
    return 0;
}

int identity_bootstrap(struct arena *a, struct store *store, struct platform *p, int64_t now_ms, struct err *err)
{
    struct doc *pair, *key, *old;
    struct others others = { a, doc_list(a), NULL };

    if (make_role(a, store, p, now_ms, err) < 0)
        return -1;
    if (!p->data_folder) /* a simulation: no files, no key */
        return 0;
    if (root_pair(a, p, &pair, err) < 0)
        return -1;
    key = access_key_record(a, doc_text(pair, "access_key_id"), doc_text(pair, "secret_access_key"), p->account, "",
                            now_ms);
    doc_set_boolean(a, key, "trusted", true);
    doc_set_boolean(a, key, "root", true);
    if (access_key_load(a, store, doc_text(pair, "access_key_id"), &old, err) == 0) {
        doc_set_integer(a, key, "CreateDate", doc_int(old, "CreateDate", 0));
        if (doc_equal(key, old))
            return 0;
    } else if (err->kind != ERR_NOT_FOUND) {
        return -1;
    }
    *err = (struct err){ 0 };
    if (access_key_save(a, store, key, err) < 0)
        return -1;
    /* The file was replaced: the pair that stood in it before is no longer good. */
    others.but = doc_text(pair, "access_key_id");
    if (access_key_each(a, store, other_root, &others, err) < 0)
        return -1;
    for (uint32_t i = 0; i < others.list->count; i++)
        if (access_key_remove(a, store, others.list->items[i], err) < 0)
            return -1;
    return 0;
}

/* --- Keys for the command line --- */

static bool plain(const char *text, size_t min, size_t max, const char *also)
{
    size_t size = strlen(text);

    for (const char *p = text; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr(also, *p)))
            return false;
    return size >= min && size <= max;
}

static int check_pair(struct arena *a, struct store *store, const struct identity_key *key, struct err *err)
{
    struct doc *old;

    if (!plain(key->access_key_id, 3, 128, "_-."))
        return fail(err, ERR_INVALID, "an access key id has 3 to 128 letters, digits, '_', '-' and '.'");
    if (!plain(key->secret_access_key, 3, 128, "_-.+/="))
        return fail(err, ERR_INVALID,
                    "a secret access key has 3 to 128 letters, digits, '_', '-', '.', '+', '/' and '='");
    if (access_key_load(a, store, key->access_key_id, &old, err) == 0)
        return fail(err, ERR_CONFLICT, "there is a key %s already", key->access_key_id);
    if (err->kind != ERR_NOT_FOUND)
        return -1;
    *err = (struct err){ 0 };
    return 0;
}

int identity_key_create(struct arena *a, struct store *store, struct platform *p, struct identity_key *key,
                        int64_t now_ms, struct err *err)
{
    struct token_pair fresh;
    struct doc *user, *record;

    if (!*key->access_key_id) {
        token_pair_new(p->rand, "AKIA", &fresh);
        key->access_key_id = arena_strdup(a, fresh.access_key_id);
        key->secret_access_key = arena_strdup(a, fresh.secret_access_key);
    } else if (check_pair(a, store, key, err) < 0) {
        return -1;
    }
    record = access_key_record(a, key->access_key_id, key->secret_access_key, p->account, key->user_name, now_ms);
    if (!*key->user_name) {
        doc_set_boolean(a, record, "trusted", true);
        key->arn = arena_printf(a, "arn:aws:sts::%s:assumed-role/%s/%s", p->account, EXECUTION_ROLE, SESSION_NAME);
        return access_key_save(a, store, record, err);
    }
    if (!plain(key->user_name, 1, 64, "+=,.@_-"))
        return fail(err, ERR_INVALID, "a user's name has at most 64 letters, digits and '+=,.@_-'");
    if (entity_load(a, store, &iam_user, p->account, key->user_name, &user, err) < 0) {
        if (err->kind != ERR_NOT_FOUND)
            return -1;
        *err = (struct err){ 0 };
        user = entity_record(a, p->rand, &iam_user, p->account, "/", key->user_name, now_ms);
    }
    key->user_name = doc_text(user, "UserName");
    key->arn = doc_text(user, "Arn");
    doc_set_string(a, record, "user", key->user_name);
    return access_key_give(a, store, p->account, user, record, err);
}

int identity_key_revoke(struct arena *a, struct store *store, const char *access_key_id, struct err *err)
{
    struct doc *key;

    if (access_key_load(a, store, access_key_id, &key, err) < 0)
        return -1;
    if (doc_bool(key, "root", false))
        return fail(err, ERR_INVALID,
                    "%s is the key of the root; to replace it, remove secrets/root-key.json and restart",
                    access_key_id);
    return access_key_remove(a, store, key, err);
}

struct key_list {
    struct arena *arena;
    struct store *store;
    struct doc *list;
};

static int list_key(void *data, struct doc *key, struct err *err)
{
    struct key_list *l = data;
    struct principal who;
    struct doc *one = doc_map(l->arena);

    if (access_key_principal(l->arena, l->store, key, &who, err) < 0)
        return -1;
    doc_set_string(l->arena, one, "access_key_id", doc_text(key, "AccessKeyId"));
    doc_set_string(l->arena, one, "arn", who.arn);
    doc_set_string(l->arena, one, "user_name", doc_text(key, "user"));
    doc_set_integer(l->arena, one, "created_ms", doc_int(key, "CreateDate", 0));
    doc_set_boolean(l->arena, one, "active", doc_is(key, "Status", "Active"));
    doc_append(l->arena, l->list, one);
    return 0;
}

int identity_key_list(struct arena *a, struct store *store, struct doc **ret, struct err *err)
{
    struct key_list l = { a, store, doc_list(a) };

    if (access_key_each(a, store, list_key, &l, err) < 0)
        return -1;
    *ret = l.list;
    return 0;
}
