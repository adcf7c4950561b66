/* access.c - may the caller do this to that bucket or object?
 *
 * A bucket policy differs from an identity's by its Principal. The statements that name the caller are rewritten
 * without it, and then the house's one evaluator (aws/policy.h) decides over both. */
#include "services/s3/access.h"

#include <string.h>

#include "aws/policy.h"
#include "doc/json.h"
#include "services/s3/bucket.h"

const char *access_arn(struct arena *a, const char *bucket, struct str key)
{
    return key.size > 0 ? arena_printf(a, "arn:aws:s3:::%s/" STR_FMT, bucket, STR_ARG(key)) :
                          arena_printf(a, "arn:aws:s3:::%s", bucket);
}

/* How closely a statement's principal means the caller: a whole account delegates to its own policies, it does not
 * grant by itself. */
enum closeness { NOT_MEANT, MEANT_BY_ACCOUNT, MEANT };

/* arn:aws:sts::A:assumed-role/R/S is also meant by arn:aws:iam::A:role/any/path/R. */
static bool is_role_of_session(struct str role, struct str session)
{
    struct str account, name, before, rest;

    if (!str_starts(role, "arn:aws:iam::") || !str_starts(session, "arn:aws:sts::"))
        return false;
    role = (struct str){ role.data + 13, role.size - 13 };
    session = (struct str){ session.data + 13, session.size - 13 };
    if (!str_cut(role, ':', &account, &rest) || !str_starts(rest, "role/"))
        return false;
    while (str_cut(rest, '/', &before, &rest))
        ;
    name = rest;
    if (!str_cut(session, ':', &before, &rest) || !str_eq(before, account) || !str_starts(rest, "assumed-role/"))
        return false;
    rest = (struct str){ rest.data + 13, rest.size - 13 };
    return str_cut(rest, '/', &before, &rest) && str_eq(before, name);
}

static enum closeness closeness_of(struct str principal, const struct principal *caller)
{
    struct str arn = str_of(caller->arn), account, rest;

    if (str_is(principal, "*") || str_eq(principal, arn) || is_role_of_session(principal, arn))
        return MEANT;
    if (str_is(principal, caller->account))
        return MEANT_BY_ACCOUNT;
    if (!str_starts(principal, "arn:aws:iam::"))
        return NOT_MEANT;
    principal = (struct str){ principal.data + 13, principal.size - 13 };
    if (str_cut(principal, ':', &account, &rest) && str_is(rest, "root") && str_is(account, caller->account))
        return MEANT_BY_ACCOUNT;
    return NOT_MEANT;
}

static enum closeness statement_means(const struct doc *statement, const struct principal *caller)
{
    const struct doc *principal = doc_get(statement, "Principal"), *aws = doc_get(principal, "AWS");
    enum closeness closest = NOT_MEANT;

    if (principal && principal->type == DOC_STRING)
        return closeness_of(principal->text, caller);
    if (aws && aws->type == DOC_STRING)
        return closeness_of(aws->text, caller);
    for (uint32_t i = 0; aws && aws->type == DOC_LIST && i < aws->count; i++)
        if (aws->items[i]->type == DOC_STRING && closeness_of(aws->items[i]->text, caller) > closest)
            closest = closeness_of(aws->items[i]->text, caller);
    return closest;
}

/* The statements that mean the caller at least so closely, as a list of one identity policy. */
static const struct doc *policies_for(struct arena *a, const struct doc *policy, const struct principal *caller,
                                      enum closeness least)
{
    const struct doc *statements = doc_get(policy, "Statement");
    struct doc *mine = doc_map(a), *list = doc_list(a), *policies = doc_list(a);
    const struct doc *one[1] = { statements }, *const *items = one;
    uint32_t count = statements ? 1 : 0;

    if (statements && statements->type == DOC_LIST) {
        items = (const struct doc *const *)statements->items;
        count = statements->count;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct doc *copy;

        if (statement_means(items[i], caller) < least)
            continue;
        copy = doc_copy(a, items[i]);
        doc_set(a, copy, "Principal", NULL);
        doc_append(a, list, copy);
    }
    doc_set_string(a, mine, "Version", doc_text_or(policy, "Version", "2008-10-17"));
    doc_set(a, mine, "Statement", list);
    doc_append(a, policies, mine);
    return policies;
}

/* The condition keys of S3 that stand in the request. */
static struct doc *context_of(struct call *c)
{
    static const char *const keys[][2] = {
        { "Prefix", "s3:prefix" }, { "Delimiter", "s3:delimiter" }, { "VersionId", "s3:VersionId" },
        { "ACL", "s3:x-amz-acl" }, { "CopySource", "s3:x-amz-copy-source" },
        { "MetadataDirective", "s3:x-amz-metadata-directive" }, { "StorageClass", "s3:x-amz-storage-class" },
        { "ServerSideEncryption", "s3:x-amz-server-side-encryption" },
    };
    const struct policy_caller caller = {
        .arn = c->principal->arn,
        .account = c->principal->account,
        .user_id = c->principal->user_id,
        .source_ip = c->source_ip ? c->source_ip : "",
        .region = c->region ? c->region : "",
        .tls = c->tls,
        .now_ms = c->now_ms,
    };
    struct doc *context = policy_context(c->arena, &caller);

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (doc_has(c->input, keys[i][0]))
            doc_set_string(c->arena, context, keys[i][1], doc_text(c->input, keys[i][0]));
    if (doc_has(c->input, "MaxKeys"))
        doc_set_string(c->arena, context, "s3:max-keys",
                       arena_printf(c->arena, "%lld", (long long)doc_int(c->input, "MaxKeys", 0)));
    return context;
}

/* Another account is not told why. */
static int denied(struct err *err)
{
    return fail_code(err, ERR_DENIED, "AccessDenied", "Access Denied");
}

static int denied_by_bucket(const struct policy_request *q, struct err *err)
{
    return fail_code(err, ERR_DENIED, "AccessDenied",
                     "User: %s is not authorized to perform: %s on resource: \"%s\" with an explicit deny in a "
                     "resource-based policy", q->arn, q->action, q->resource);
}

int access_check(struct call *c, const struct bucket *b, const char *action, const char *resource, struct err *err)
{
    const struct principal *p = c->principal;
    const struct doc *policy = b ? doc_get(b->record, "Policy") : NULL;
    bool foreign = b && strcmp(b->account, p->account) != 0;
    struct policy_request own = {
        .policies = p->policies,
        .session_policy = p->session_policy,
        .trusted = p->trusted,
        .arn = p->arn,
        .action = action,
        .resource = resource,
        .context = context_of(c),
    };
    struct policy_request of_bucket = own;
    enum policy_answer mine, by_account, directly;

    /* The house itself, on nobody's behalf: no policy can stop it. */
    if (p->trusted && p->access_key_id[0] == '\0')
        return 0;
    if (!policy)
        return foreign ? denied(err) : policy_allow(&own, "s3", err);

    of_bucket.trusted = false;
    of_bucket.session_policy = NULL;
    of_bucket.policies = policies_for(c->arena, policy, p, MEANT_BY_ACCOUNT);
    by_account = policy_evaluate(&of_bucket);
    of_bucket.policies = policies_for(c->arena, policy, p, MEANT);
    directly = policy_evaluate(&of_bucket);
    if (by_account == POLICY_DENIED)
        return foreign ? denied(err) : denied_by_bucket(&own, err);
    mine = policy_evaluate(&own);
    if (foreign)
        return mine == POLICY_ALLOWED && by_account == POLICY_ALLOWED ? 0 : denied(err);
    if (mine == POLICY_NOT_ALLOWED && directly == POLICY_ALLOWED) {
        /* The bucket stands in for the identity's policies; a session's own narrowing still holds. */
        own.policies = of_bucket.policies;
        mine = policy_evaluate(&own);
    }
    return mine == POLICY_ALLOWED ? 0 : policy_allow(&own, "s3", err);
}

static int malformed(struct err *err, const char *what)
{
    return fail_code(err, ERR_INVALID, "MalformedPolicy", "%s", what);
}

/* A member of a statement that is one string or a list of them. */
static uint32_t strings_of(const struct doc *d, const struct doc *const **ret, const struct doc **one)
{
    *one = d;
    *ret = one;
    if (d && d->type == DOC_LIST) {
        *ret = (const struct doc *const *)d->items;
        return d->count;
    }
    return d ? 1 : 0;
}

static int check_statement(const struct doc *s, const char *bucket, bool *ret_public, struct err *err)
{
    const struct doc *const *items, *one, *principal = doc_get(s, "Principal");
    uint32_t count = strings_of(doc_get(s, "Resource"), &items, &one);
    size_t bucket_size = strlen(bucket);
    bool anyone = doc_is(s, "Principal", "*");

    if (doc_get(s, "NotPrincipal") || doc_get(s, "NotResource"))
        return malformed(err, "NotPrincipal and NotResource are not supported in bucket policies by this server");
    if (!principal)
        return malformed(err, "Missing required field Principal");
    for (uint32_t i = 0; i < count; i++) {
        struct str r = items[i]->type == DOC_STRING ? items[i]->text : STR("");

        if (!str_starts(r, "arn:aws:s3:::") || r.size < 13 + bucket_size ||
            memcmp(r.data + 13, bucket, bucket_size) != 0 ||
            (r.size > 13 + bucket_size && r.data[13 + bucket_size] != '/'))
            return malformed(err, "Policy has invalid resource");
    }
    count = strings_of(doc_get(s, "Action"), &items, &one);
    for (uint32_t i = 0; i < count; i++)
        if (!str_starts(items[i]->type == DOC_STRING ? items[i]->text : STR(""), "s3:") &&
            !str_is(items[i]->type == DOC_STRING ? items[i]->text : STR(""), "*"))
            return malformed(err, "Policy has invalid action");
    count = strings_of(doc_get(principal, "AWS"), &items, &one);
    for (uint32_t i = 0; i < count; i++)
        anyone = anyone || (items[i]->type == DOC_STRING && str_is(items[i]->text, "*"));
    if (anyone && doc_is(s, "Effect", "Allow") && !doc_get(s, "Condition"))
        *ret_public = true;
    return 0;
}

int access_policy_parse(struct arena *a, struct str text, const char *bucket, struct doc **ret, bool *ret_public,
                        struct err *err)
{
    const struct doc *const *items, *one;
    struct doc *policy;
    bool public = false;
    uint32_t count;

    if (text.size > 20480)
        return fail_code(err, ERR_INVALID, "PolicyTooLarge", "Policy exceeds the maximum allowed document size.");
    if (policy_parse(a, text, POLICY_RESOURCE, &policy, err) < 0) {
        strcpy(err->code, "MalformedPolicy"); /* S3's name for it */
        return -1;
    }
    count = strings_of(doc_get(policy, "Statement"), &items, &one);
    for (uint32_t i = 0; i < count; i++)
        if (check_statement(items[i], bucket, &public, err) < 0)
            return -1;
    *ret = policy;
    *ret_public = public;
    return 0;
}

/* ServerSideEncryption alone names no key of the caller's: it asks for what AWS does to every object anyway, and the
 * SageMaker SDK sends it with each script. It is taken without effect, and no answer claims that something was
 * encrypted; docs/decisions has the why. Whoever names a key relies on it, and is refused. */
int access_refuse(struct call *c, struct err *err)
{
    static const char *const members[] = {
        "SSECustomerAlgorithm",
        "SSECustomerKey",
        "SSECustomerKeyMD5",
        "SSEKMSKeyId",
        "SSEKMSEncryptionContext",
        "BucketKeyEnabled",
        "CopySourceSSECustomerAlgorithm",
        "CopySourceSSECustomerKey",
        "CopySourceSSECustomerKeyMD5",
        "ObjectLockMode",
        "ObjectLockRetainUntilDate",
        "ObjectLockLegalHoldStatus",
        "ObjectLockEventHold",
        "ObjectLockEventHoldDurationDays",
        "ObjectLockEventHoldDurationYears",
        "WriteOffsetBytes",
        "MFA",
        "BypassGovernanceRetention",
        "IfMatchLastModifiedTime",
        "IfMatchSize",
    };
    static const char *const grants[] = { "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWrite",
                                          "GrantWriteACP" };
    const char *acl = doc_text(c->input, "ACL");

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (doc_has(c->input, members[i])) {
            fail_code(err, ERR_INVALID, "NotImplemented",
                      "A header you provided implies functionality that is not implemented: %s. This server neither "
                      "encrypts nor locks objects; keep its data directory on an encrypted disk.", members[i]);
            err->http_status = 501;
            return -1;
        }
    for (size_t i = 0; i < sizeof grants / sizeof grants[0]; i++)
        if (doc_has(c->input, grants[i]))
            return fail_code(err, ERR_INVALID, "AccessControlListNotSupported", "The bucket does not allow ACLs");
    if (*acl && strcmp(acl, "private") != 0 && strcmp(acl, "bucket-owner-full-control") != 0)
        return fail_code(err, ERR_INVALID, "AccessControlListNotSupported", "The bucket does not allow ACLs");
    return 0;
}
