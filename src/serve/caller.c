#include "serve/caller.h"

#include <string.h>

#include "doc/json.h"
#include "sign/token.h"

static int by_key(const struct table *table, struct str access_key_id, struct caller *ret, struct err *err)
{
    const struct route_key *key = table_key(table, access_key_id);

    if (!key)
        return sigv4_refuse(err, "sagemaker", SIGV4_UNKNOWN_KEY);
    *ret = (struct caller){ .secret_access_key = key->secret, .account = key->account, .arn = key->arn,
                            .user_id = key->user_id, .policies = key->policies, .trusted = key->trusted };
    return 0;
}

static int open_session(struct arena *a, const struct table *table, const struct sigv4_claim *claim, int64_t now_ms,
                        struct token *ret, struct err *err)
{
    const struct route_snapshot *s = table_snapshot(table);
    enum token_answer answer = TOKEN_INVALID;

    if (s->session_key.size == SEAL_KEY_SIZE)
        answer = token_open(a, (const unsigned char *)s->session_key.data, claim->session_token, claim->access_key_id,
                            now_ms, ret);
    if (answer == TOKEN_GOOD)
        return 0;
    return sigv4_refuse(err, "sagemaker", answer == TOKEN_EXPIRED ? SIGV4_TOKEN_EXPIRED : SIGV4_TOKEN_INVALID);
}

/* A role or user that is gone has no policies, and so no rights; nor have its sessions those of a new one of its
 * name. */
static void take_rights(const struct table *table, const struct token *t, struct caller *c)
{
    const struct route_role *role = *t->role_arn ? table_role(table, t->role_arn) : NULL;
    const struct route_key *user = *t->role_arn ? NULL : table_key_by_arn(table, t->arn);

    if (role && token_is_of(t, role->id))
        c->policies = role->policies;
    if (user && strcmp(user->user_id, t->user_id) == 0) {
        c->policies = user->policies;
        c->trusted = user->trusted && !c->session_policy;
    }
}

static int by_session(struct arena *a, const struct table *table, const struct sigv4_claim *claim, int64_t now_ms,
                      struct caller *ret, struct err *err)
{
    struct token *t = arena_new_of(a, struct token);
    struct doc *policy = NULL;

    if (open_session(a, table, claim, now_ms, t, err) < 0)
        return -1;
    if (*t->session_policy && json_parse(a, str_of(t->session_policy), &policy, err) < 0)
        return sigv4_refuse(err, "sagemaker", SIGV4_TOKEN_INVALID);
    *ret = (struct caller){ .secret_access_key = t->secret_access_key, .account = t->account, .arn = t->arn,
                            .user_id = t->user_id, .session_policy = policy };
    take_rights(table, t, ret);
    return 0;
}

int caller_find(struct arena *a, const struct table *table, const struct sigv4_claim *claim, int64_t now_ms,
                struct caller *ret, struct err *err)
{
    return claim->session_token.size ? by_session(a, table, claim, now_ms, ret, err)
                                     : by_key(table, claim->access_key_id, ret, err);
}
