/* identity.c - from a claim to a principal.
 *
 * A request's identity is looked up each time, so what was found is remembered until any record of IAM changes. Only
 * what is committed is remembered: a turn that fails leaves nothing behind. What is given out is a copy in the caller's
 * arena, for a long upload outlives the memory. */
#include "services/iam/identity.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "aws/policy.h"
#include "base/fd.h"
#include "base/map.h"
#include "doc/json.h"
#include "services/iam/access_key.h"
#include "services/iam/entity.h"
#include "sign/token.h"
#include "store/store.h"

#define EXECUTION_ROLE "SagebrushExecutionRole"
#define SESSION_NAME   "local"

enum { REMEMBERED_MAX = 10000, KEY_FILE_MAX_BYTES = 65536 };

static int64_t revision = 1;

int64_t identity_revision(void)
{
    return revision;
}

void identity_changed(void)
{
    revision++;
}

/* What is remembered
 * --------------------------------------------------------------------------------------------------- */

struct identity_cache {
    int64_t revision;
    struct arena *arena; /* of everything in it */
    struct map *keys;    /* access key id -> struct identity_found */
    struct map *arns;    /* ARN of a role or user -> struct owner */
};

/* Who sessions belong to. */
struct owner {
    const char *id; /* "": there is none of the ARN */
    struct doc *policies;
};

static void forget_all(struct identity_cache *cache)
{
    map_free(cache->keys);
    map_free(cache->arns);
    arena_free(cache->arena);
    *cache =
        (struct identity_cache) { .revision = revision, .arena = arena_new(), .keys = map_new(), .arns = map_new() };
}

static struct identity_cache *cache_of(struct platform *p)
{
    struct identity_cache *cache = p->identity_cache;

    if (!cache) {
        cache = p->identity_cache = calloc(1, sizeof *cache);
        assert(cache && "out of memory");
    }
    if (cache->revision != revision || map_count(cache->keys) + map_count(cache->arns) > REMEMBERED_MAX)
        forget_all(cache);
    return cache;
}

void identity_forget(struct platform *p)
{
    if (!p->identity_cache)
        return;
    map_free(p->identity_cache->keys);
    map_free(p->identity_cache->arns);
    arena_free(p->identity_cache->arena);
    free(p->identity_cache);
    p->identity_cache = NULL;
}

/* Principals
 * ----------------------------------------------------------------------------------------------------------- */

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

static int key_principal(struct arena *a, struct store *store, const struct doc *key, struct principal *ret,
                         struct err *err)
{
    const char *account = doc_text(key, "account"), *user = doc_text(key, "user");

    *ret = (struct principal){ .account = account, .access_key_id = doc_text(key, "AccessKeyId"),
                               .trusted = doc_bool(key, "trusted", false) };
    return *user ? user_principal(a, store, account, user, ret, err) : role_principal(a, store, account, ret, err);
}

static struct principal principal_copy(struct arena *a, const struct principal *p)
{
    struct principal copy = *p;

    copy.account = arena_strdup(a, p->account);
    copy.arn = arena_strdup(a, p->arn);
    copy.user_id = arena_strdup(a, p->user_id);
    copy.access_key_id = arena_strdup(a, p->access_key_id);
    copy.policies = p->trusted || !p->policies ? doc_list(a) : doc_copy(a, p->policies);
    return copy;
}

static int find_key(struct arena *a, struct store *store, struct platform *p, struct str id, const char *service,
                    struct identity_found *ret, struct err *err)
{
    struct identity_cache *cache = cache_of(p);
    struct identity_found *found = map_get(cache->keys, id);
    bool remember = !found && !store_dirty(store);
    struct arena *home = remember ? cache->arena : a;

    if (!found) {
        struct doc *key;

        found = arena_new_of(home, struct identity_found);
        if (access_key_load(home, store, str_dup(a, id), &key, err) < 0)
            return err->kind == ERR_NOT_FOUND ? sigv4_refuse(err, service, SIGV4_UNKNOWN_KEY, id) : -1;
        if (!doc_is(key, "Status", "Active"))
            return sigv4_refuse(err, service, SIGV4_UNKNOWN_KEY, id);
        if (key_principal(home, store, key, &found->principal, err) < 0)
            return -1;
        found->secret_access_key = doc_text(key, "SecretAccessKey");
        if (remember)
            map_set(cache->keys, id, found);
    }
    ret->secret_access_key = arena_strdup(a, found->secret_access_key);
    ret->principal = principal_copy(a, &found->principal);
    return 0;
}

static int load_owner(struct arena *a, struct store *store, const char *arn, struct owner *ret, struct err *err)
{
    const char *account = arn + strlen("arn:aws:iam::");
    const struct entity_kind *kind;
    struct doc *record;

    *ret = (struct owner){ "", doc_list(a) };
    if (entity_by_arn(a, store, arn, &kind, &record, err) < 0) {
        if (err->kind != ERR_NOT_FOUND)
            return -1;
        *err = (struct err){ 0 };
        return 0;
    }
    ret->id = doc_text(record, kind->id_member);
    return entity_policies(a, store, arena_strndup(a, account, strcspn(account, ":")), record, &ret->policies, err);
}

/* The policies of the role or the user that the token was made for; none when it is gone, whoever has its name now: its
 * sessions may do nothing more. */
static int find_policies(struct arena *a, struct store *store, struct platform *p, const struct token *t,
                         const struct doc **ret, struct err *err)
{
    struct identity_cache *cache = cache_of(p);
    struct owner *owner = map_get(cache->arns, str_of(t->role_arn));
    bool remember = !owner && !store_dirty(store);
    struct arena *home = remember ? cache->arena : a;

    if (!owner) {
        owner = arena_new_of(home, struct owner);
        if (load_owner(home, store, t->role_arn, owner, err) < 0)
            return -1;
        if (remember)
            map_set(cache->arns, str_of(t->role_arn), owner);
    }
    *ret = token_is_of(t, owner->id) ? doc_copy(a, owner->policies) : doc_list(a);
    return 0;
}

int identity_role_id(struct arena *a, struct store *store, const char *role_arn, const char **ret, struct err *err)
{
    const struct entity_kind *kind;
    struct doc *record;

    *ret = "";
    if (entity_by_arn(a, store, role_arn, &kind, &record, err) < 0) {
        if (err->kind != ERR_NOT_FOUND)
            return -1;
        *err = (struct err){ 0 };
        return 0;
    }
    *ret = doc_text(record, kind->id_member);
    return 0;
}

static int find_session(struct arena *a, struct store *store, struct platform *p, const struct sigv4_claim *claim,
                        const char *service, int64_t now_ms, struct identity_found *ret, struct err *err)
{
    struct token t;
    struct doc *session_policy = NULL;
    const struct doc *policies;

    switch (token_open(a, p->session_key, claim->session_token, claim->access_key_id, now_ms, &t)) {
    case TOKEN_INVALID:
        return sigv4_refuse(err, service, SIGV4_TOKEN_INVALID, claim->access_key_id);
    case TOKEN_EXPIRED:
        return sigv4_refuse(err, service, SIGV4_TOKEN_EXPIRED, claim->access_key_id);
    case TOKEN_GOOD:
        break;
    }
    if (*t.session_policy && json_parse(a, str_of(t.session_policy), &session_policy, err) < 0)
        return -1;
    if (find_policies(a, store, p, &t, &policies, err) < 0)
        return -1;
    ret->secret_access_key = t.secret_access_key;
    ret->principal = (struct principal){ .account = t.account, .arn = t.arn, .user_id = t.user_id,
                                         .access_key_id = t.access_key_id, .policies = policies,
                                         .session_policy = session_policy };
    return 0;
}

int identity_find(struct arena *a, struct store *store, struct platform *p, const struct sigv4_claim *claim,
                  const char *service, int64_t now_ms, struct identity_found *ret, struct err *err)
{
    if (claim->session_token.size)
        return find_session(a, store, p, claim, service, now_ms, ret, err);
    return find_key(a, store, p, claim->access_key_id, service, ret, err);
}

/* The snapshot
 * --------------------------------------------------------------------------------------------------------- */

struct snapshot {
    struct arena *arena;
    struct store *store;
    struct doc *list;
    struct err *err;
    bool failed;
    const struct entity_kind *kind; /* of what is being told */
};

static int snapshot_key(void *data, struct doc *key, struct err *err)
{
    struct snapshot *s = data;
    struct principal who;
    struct doc *one;

    if (!doc_is(key, "Status", "Active"))
        return 0;
    if (key_principal(s->arena, s->store, key, &who, err) < 0)
        return -1;
    one = doc_map(s->arena);
    doc_set_string(s->arena, one, "id", who.access_key_id);
    doc_set_string(s->arena, one, "secret", doc_text(key, "SecretAccessKey"));
    doc_set_string(s->arena, one, "account", who.account);
    doc_set_string(s->arena, one, "arn", who.arn);
    doc_set_string(s->arena, one, "user_id", who.user_id);
    doc_set(s->arena, one, "policies", (struct doc *)who.policies);
    doc_set_boolean(s->arena, one, "trusted", who.trusted);
    doc_append(s->arena, s->list, one);
    return 0;
}

static bool snapshot_entity(void *data, struct doc *record)
{
    struct snapshot *s = data;
    const char *arn = doc_text(record, "Arn"), *account = arn + strlen("arn:aws:iam::");
    struct doc *one = doc_map(s->arena), *policies;

    if (entity_policies(s->arena, s->store, arena_strndup(s->arena, account, strcspn(account, ":")), record, &policies,
                        s->err) < 0) {
        s->failed = true;
        return false;
    }
    doc_set_string(s->arena, one, "arn", arn);
    doc_set_string(s->arena, one, "id", doc_text(record, s->kind->id_member));
    doc_set(s->arena, one, "policies", policies);
    doc_append(s->arena, s->list, one);
    return true;
}

int identity_snapshot(struct arena *a, struct store *store, struct platform *p, struct doc **ret, struct err *err)
{
    struct snapshot keys = { a, store, doc_list(a), err, false, NULL },
                    roles = { a, store, doc_list(a), err, false, &iam_role }, users = roles;
    struct doc *d = doc_map(a);

    users.kind = &iam_user; /* into the same list */
    if (access_key_each(a, store, snapshot_key, &keys, err) < 0 ||
        entity_each(a, store, &iam_role, NULL, snapshot_entity, &roles, err) < 0 || roles.failed ||
        entity_each(a, store, &iam_user, NULL, snapshot_entity, &users, err) < 0 || users.failed)
        return -1;
    doc_set_string(a, d, "session_key", base64_encode(a, p->session_key, sizeof p->session_key));
    doc_set_string(a, d, "account", p->account);
    doc_set_string(a, d, "default_region", p->default_region);
    doc_set(a, d, "keys", keys.list);
    doc_set(a, d, "roles", roles.list);
    *ret = d;
    return 0;
}

/* First start
 * ---------------------------------------------------------------------------------------------------------- */

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

/* Keys for the command line
 * -------------------------------------------------------------------------------------------- */

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

    if (key_principal(l->arena, l->store, key, &who, err) < 0)
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

/* PassRole
 * --------------------------------------------------------------------------------------------------------------- */

int iam_check_pass_role(struct call *c, const char *role_arn, const char *service, struct err *err)
{
    const struct principal *who = c->principal;
    struct doc *context = policy_context(c->arena, &(struct policy_caller) { .arn = who->arn,
                                                                             .account = who->account,
                                                                             .user_id = who->user_id,
                                                                             .source_ip = c->source_ip,
                                                                             .region = c->region,
                                                                             .tls = c->tls,
                                                                             .now_ms = c->now_ms });

    doc_set_string(c->arena, context, "iam:PassedToService", service);
    return policy_allow(&(struct policy_request){ .policies = who->policies, .session_policy = who->session_policy,
                                                  .trusted = who->trusted, .arn = who->arn, .action = "iam:PassRole",
                                                  .resource = role_arn, .context = context },
                        c->operation->service->signing_name, err);
}
