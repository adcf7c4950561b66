/* setting.c - what a bucket is set to: versioning, policy, public access block; and what it is not. */
#include "services/s3/setting.h"

#include <assert.h>
#include <string.h>

#include "doc/json.h"
#include "services/s3/access.h"
#include "services/s3/version.h"

int get_bucket_versioning(struct call *c, struct err *err)
{
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    if (*b.versioning)
        doc_set_string(c->arena, c->output, "Status", b.versioning);
    return 0;
}

int put_bucket_versioning(struct call *c, struct err *err)
{
    const char *status = doc_text(c->input, "VersioningConfiguration.Status");
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    if (doc_is(c->input, "VersioningConfiguration.MFADelete", "Enabled")) {
        fail_code(err, ERR_INVALID, "NotImplemented",
                  "A header you provided implies functionality that is not implemented: "
                  "MFADelete. This server knows no MFA devices.");
        err->http_status = 501;
        return -1;
    }
    if (strcmp(status, "Enabled") != 0 && strcmp(status, "Suspended") != 0)
        return fail_code(err, ERR_INVALID, "IllegalVersioningConfigurationException",
                         "The Versioning element must be specified");
    doc_set_string(c->arena, b.record, "Versioning", status);
    return bucket_save(c, &b, err);
}

/* Policy. Its text is kept beside what it means, for Get gives back the text. */

int get_bucket_policy(struct call *c, struct err *err)
{
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    if (!doc_has(b.record, "PolicyText"))
        return fail_code(err, ERR_NOT_FOUND, "NoSuchBucketPolicy", "The bucket policy does not exist");
    doc_set_string(c->arena, c->output, "Policy", doc_text(b.record, "PolicyText"));
    return 0;
}

static bool blocked(const struct bucket *b, const char *what)
{
    /* New buckets block everything, as S3's do. */
    return doc_bool(doc_get(b->record, "PublicAccessBlock"), what, !doc_has(b->record, "PublicAccessBlock"));
}

int put_bucket_policy(struct call *c, struct err *err)
{
    const struct doc *text = doc_get(c->input, "Policy");
    struct doc *policy;
    struct bucket b;
    bool public;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    if (!text || text->text.size == 0)
        return fail_code(err, ERR_INVALID, "MalformedPolicy",
                         "Policies must be valid JSON and the first byte must be '{'");
    if (access_policy_parse(c->arena, text->text, b.name, &policy, &public, err) < 0)
        return -1;
    if (public && blocked(&b, "BlockPublicPolicy"))
        return fail_code(
            err, ERR_DENIED, "AccessDenied",
            "User: %s is not authorized to perform: s3:PutBucketPolicy on resource: \"arn:aws:s3:::%s\" because "
            "public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
            c->principal->arn, b.name);
    doc_set(c->arena, b.record, "PolicyText", doc_str(c->arena, text->text));
    doc_set(c->arena, b.record, "Policy", policy);
    doc_set_boolean(c->arena, b.record, "PolicyPublic", public);
    return bucket_save(c, &b, err);
}

int delete_bucket_policy(struct call *c, struct err *err)
{
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    doc_set(c->arena, b.record, "PolicyText", NULL);
    doc_set(c->arena, b.record, "Policy", NULL);
    doc_set(c->arena, b.record, "PolicyPublic", NULL);
    return bucket_save(c, &b, err);
}

int get_bucket_policy_status(struct call *c, struct err *err)
{
    struct doc *status = doc_map(c->arena);
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    if (!doc_has(b.record, "Policy"))
        return fail_code(err, ERR_NOT_FOUND, "NoSuchBucketPolicy", "The bucket policy does not exist");
    doc_set_boolean(c->arena, status, "IsPublic", doc_bool(b.record, "PolicyPublic", false));
    doc_set(c->arena, c->output, "PolicyStatus", status);
    return 0;
}

static const char *const blocks[] = { "BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy",
                                      "RestrictPublicBuckets" };

int get_public_access_block(struct call *c, struct err *err)
{
    struct doc *told = doc_map(c->arena);
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    if (doc_has(b.record, "PublicAccessBlock") && doc_get(b.record, "PublicAccessBlock")->count == 0)
        return fail_code(err, ERR_NOT_FOUND, "NoSuchPublicAccessBlockConfiguration",
                         "The public access block configuration was not found");
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        doc_set_boolean(c->arena, told, blocks[i], blocked(&b, blocks[i]));
    doc_set(c->arena, c->output, "PublicAccessBlockConfiguration", told);
    return 0;
}

int put_public_access_block(struct call *c, struct err *err)
{
    const struct doc *wanted = doc_get(c->input, "PublicAccessBlockConfiguration");
    struct doc *kept = doc_map(c->arena);
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        doc_set_boolean(c->arena, kept, blocks[i], doc_bool(wanted, blocks[i], false));
    doc_set(c->arena, b.record, "PublicAccessBlock", kept);
    return bucket_save(c, &b, err);
}

int delete_public_access_block(struct call *c, struct err *err)
{
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    doc_set(c->arena, b.record, "PublicAccessBlock", doc_map(c->arena));
    return bucket_save(c, &b, err);
}

/* Access control lists: every bucket is "bucket owner enforced", so there is one grant, and no other can be made. */

static void tell_acl(struct call *c, const struct bucket *b)
{
    struct doc *grantee = bucket_owner(c->arena, b->account), *grant = doc_map(c->arena), *grants = doc_list(c->arena);

    doc_set_string(c->arena, grantee, "Type", "CanonicalUser");
    doc_set(c->arena, grant, "Grantee", grantee);
    doc_set_string(c->arena, grant, "Permission", "FULL_CONTROL");
    doc_append(c->arena, grants, grant);
    doc_set(c->arena, c->output, "Owner", bucket_owner(c->arena, b->account));
    doc_set(c->arena, c->output, "Grants", grants);
}

/* Only what changes nothing; access_refuse() saw to the headers. */
static int check_acl(struct call *c, const struct bucket *b, struct err *err)
{
    const struct doc *grants = doc_at(c->input, "AccessControlPolicy.Grants");
    const struct doc *owner = bucket_owner(c->arena, b->account);

    for (uint32_t i = 0; grants && i < grants->count; i++)
        if (!doc_is(grants->items[i], "Permission", "FULL_CONTROL") ||
            !doc_is(grants->items[i], "Grantee.ID", doc_text(owner, "ID")))
            return fail_code(err, ERR_INVALID, "AccessControlListNotSupported", "The bucket does not allow ACLs");
    return 0;
}

int get_bucket_acl(struct call *c, struct err *err)
{
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    tell_acl(c, &b);
    return 0;
}

int put_bucket_acl(struct call *c, struct err *err)
{
    struct bucket b;

    return bucket_open(c, NULL, &b, err) < 0 ? -1 : check_acl(c, &b, err);
}

static int open_object(struct call *c, const char *action, const char *action_of_version, struct bucket *b,
                       struct err *err)
{
    const char *id = doc_text(c->input, "VersionId");
    struct version v;

    if (bucket_open(c, *id ? action_of_version : action, b, err) < 0)
        return -1;
    return version_wanted(c, b, input_key(c), id, &v, err);
}

int get_object_acl(struct call *c, struct err *err)
{
    struct bucket b;

    if (open_object(c, "s3:GetObjectAcl", "s3:GetObjectVersionAcl", &b, err) < 0)
        return -1;
    tell_acl(c, &b);
    return 0;
}

int put_object_acl(struct call *c, struct err *err)
{
    struct bucket b;

    return open_object(c, "s3:PutObjectAcl", "s3:PutObjectVersionAcl", &b, err) < 0 ? -1 : check_acl(c, &b, err);
}

int get_bucket_ownership_controls(struct call *c, struct err *err)
{
    struct doc *controls = doc_map(c->arena), *rules = doc_list(c->arena), *rule = doc_map(c->arena);
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    doc_set_string(c->arena, rule, "ObjectOwnership", "BucketOwnerEnforced");
    doc_append(c->arena, rules, rule);
    doc_set(c->arena, controls, "Rules", rules);
    doc_set(c->arena, c->output, "OwnershipControls", controls);
    return 0;
}

int put_bucket_ownership_controls(struct call *c, struct err *err)
{
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    if (!doc_is(c->input, "OwnershipControls.Rules[0].ObjectOwnership", "BucketOwnerEnforced"))
        return fail_code(
            err, ERR_INVALID, "InvalidRequest",
            "This server has no ACLs, so every object belongs to the bucket's owner: only BucketOwnerEnforced is "
            "possible.");
    return 0;
}

int get_bucket_request_payment(struct call *c, struct err *err)
{
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    doc_set_string(c->arena, c->output, "Payer", "BucketOwner");
    return 0;
}

int get_unset(struct call *c, struct err *err)
{
    static const struct {
        const char *operation, *code, *text; /* code NULL: an empty answer */
    } answers[] = {
        { "GetBucketAccelerateConfiguration", NULL, NULL },
        { "GetBucketCors", "NoSuchCORSConfiguration", "The CORS configuration does not exist" },
        /* S3 encrypts everything and says so; this server does not. */
        { "GetBucketEncryption", "ServerSideEncryptionConfigurationNotFoundError",
          "The server side encryption configuration was not found" },
        { "GetBucketLifecycle", "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist" },
        { "GetBucketLifecycleConfiguration", "NoSuchLifecycleConfiguration",
          "The lifecycle configuration does not exist" },
        { "GetBucketLogging", NULL, NULL },
        { "GetBucketNotificationConfiguration", NULL, NULL },
        { "GetBucketReplication", "ReplicationConfigurationNotFoundError",
          "The replication configuration was not found" },
        { "GetBucketWebsite", "NoSuchWebsiteConfiguration",
          "The specified bucket does not have a website configuration" },
        { "GetObjectLockConfiguration", "ObjectLockConfigurationNotFoundError",
          "Object Lock configuration does not exist for this bucket" },
    };
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        if (strcmp(c->operation->name, answers[i].operation) == 0)
            return answers[i].code ? fail_code(err, ERR_NOT_FOUND, answers[i].code, "%s", answers[i].text) : 0;
    assert(!"an operation that is in the table");
    return -1;
}
