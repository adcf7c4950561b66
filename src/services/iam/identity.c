/* identity.c - from a claim to a principal.
 *
 * A request's identity is looked up each time, so what was found is remembered until any record of IAM changes. Only
 * what is committed is remembered: a turn that fails leaves nothing behind. What is given out is a copy in the caller's
 * arena, for a long upload outlives the memory. */
#include "services/iam/identity.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "aws/policy.h"
#include "base/map.h"
#include "doc/json.h"
#include "services/iam/access_key.h"
#include "services/iam/entity.h"
#include "sign/token.h"
#include "store/store.h"

enum { REMEMBERED_MAX = 10000 };

static int64_t revision = 1;

int64_t identity_revision(void)
{
    return revision;
}

void identity_changed(void)
{
    revision++;
}

/* --- What is remembered --- */

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

/* --- Principals --- */

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
            return err->kind == ERR_NOT_FOUND ? sigv4_refuse(err, service, SIGV4_UNKNOWN_KEY) : -1;
        if (!doc_is(key, "Status", "Active"))
            return sigv4_refuse(err, service, SIGV4_UNKNOWN_KEY);
        if (access_key_principal(home, store, key, &found->principal, err) < 0)
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
        return sigv4_refuse(err, service, SIGV4_TOKEN_INVALID);
    case TOKEN_EXPIRED:
        return sigv4_refuse(err, service, SIGV4_TOKEN_EXPIRED);
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

/* --- The snapshot --- */

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
    if (access_key_principal(s->arena, s->store, key, &who, err) < 0)
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

/* --- PassRole --- */

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
