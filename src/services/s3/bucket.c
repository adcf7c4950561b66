/* bucket.c - buckets: a global name, an owner, a region that it remembers, and its settings.
 *
 * One row of s3_buckets, a JSON map: Account, Region, CreatedMs, Versioning, Tags, Policy, PublicAccessBlock. */
#include "services/s3/bucket.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "doc/json.h"
#include "engine/engine.h"
#include "services/s3/access.h"
#include "services/s3/key.h"
#include "services/s3/multipart.h"
#include "sign/digest.h"
#include "store/store.h"

static const char buckets[] = "s3_buckets";

struct store *s3_store(const struct call *c)
{
    return engine_world_of(c->engine)->store;
}

struct str input_key(const struct call *c)
{
    const struct doc *key = doc_get(c->input, "Key");

    return key && key->type == DOC_STRING ? key->text : STR("");
}

static bool looks_like_address(const char *name)
{
    int a, b, c, d, end = 0;

    return sscanf(name, "%3d.%3d.%3d.%3d%n", &a, &b, &c, &d, &end) == 4 && name[end] == '\0';
}

/* https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
static bool is_bucket_name(const char *name)
{
    size_t size = strlen(name);

    if (size < 3 || size > 63 || looks_like_address(name))
        return false;
    if (text_starts(name, "xn--") || text_starts(name, "sthree-") || text_starts(name, "amzn-s3-demo-") ||
        text_ends(name, "-s3alias") || text_ends(name, "--ol-s3") || text_ends(name, ".mrap") ||
        text_ends(name, "--x-s3"))
        return false;
    for (size_t i = 0; i < size; i++) {
        bool alphanumeric = islower((unsigned char)name[i]) || isdigit((unsigned char)name[i]);

        if (!alphanumeric && name[i] != '-' && name[i] != '.')
            return false;
        if (!alphanumeric && (i == 0 || i == size - 1))
            return false;
        if (name[i] == '.' && name[i + 1] == '.')
            return false;
    }
    return true;
}

int bucket_load(struct call *c, const char *name, struct bucket *ret, struct err *err)
{
    struct bucket b = { .name = name };
    struct str text;

    if (!is_bucket_name(name))
        return fail_code(err, ERR_INVALID, "InvalidBucketName", "The specified bucket is not valid.");
    if (store_get(c->arena, s3_store(c), buckets, str_of(name), &text, err) < 0)
        return err->kind != ERR_NOT_FOUND ? -1 :
               fail_code(err, ERR_NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist");
    if (json_parse(c->arena, text, &b.record, err) < 0)
        return -1;
    b.account = doc_text(b.record, "Account");
    b.region = doc_text(b.record, "Region");
    b.created_ms = doc_int(b.record, "CreatedMs", 0);
    b.versioning = doc_text(b.record, "Versioning");
    *ret = b;
    return 0;
}

int bucket_save(struct call *c, const struct bucket *b, struct err *err)
{
    return store_put(s3_store(c), buckets, str_of(b->name), str_of(json_text(c->arena, b->record)), err);
}

int bucket_expect_owner(struct call *c, const struct bucket *b, const char *member, struct err *err)
{
    if (doc_has(c->input, member) && !doc_is(c->input, member, b->account))
        return fail_code(err, ERR_DENIED, "AccessDenied", "Access Denied");
    return 0;
}

static int check_key(struct call *c, struct err *err)
{
    struct str key = input_key(c);

    if (key.size > 1024)
        return fail_code(err, ERR_INVALID, "KeyTooLongError", "Your key is too long");
    /* Policies and listings would see another key than the store. */
    if (memchr(key.data, '\0', key.size) || !utf8_valid(key))
        return fail_code(err, ERR_INVALID, "InvalidURI", "Couldn't parse the specified URI.");
    return 0;
}

int bucket_open(struct call *c, const char *action, struct bucket *ret, struct err *err)
{
    const struct op *op = engine_op(c->engine, c->operation);
    struct bucket b;

    assert(op && op->action && op->resource);
    if (check_key(c, err) < 0 || bucket_load(c, doc_text(c->input, "Bucket"), &b, err) < 0)
        return -1;
    if (access_check(c, &b, action ? action : op->action, access_arn(c->arena, b.name, input_key(c)), err) < 0)
        return -1;
    if (bucket_expect_owner(c, &b, "ExpectedBucketOwner", err) < 0 || access_refuse(c, err) < 0)
        return -1;
    *ret = b;
    return 0;
}

struct doc *bucket_owner(struct arena *a, const char *account)
{
    struct doc *owner = doc_map(a);
    char id[2 * SHA256_SIZE + 1];
    const char *text = arena_printf(a, "canonical user of %s", account);

    sha256_hex(id, text, strlen(text));
    doc_set_string(a, owner, "DisplayName", account);
    doc_set_string(a, owner, "ID", id);
    return owner;
}

/* The region whose endpoint was meant. s3cmd signs its first request for a region "US", and AWS's answer would send it
 * to us-east-1. */
static const char *endpoint_region(const struct call *c)
{
    return c->region && strchr(c->region, '-') ? c->region : "us-east-1";
}

/* The region that the new bucket says it is in. Every region's endpoint is this server, so the rules below only keep
 * a client's mistake from passing here and failing there. */
static int choose_region(struct call *c, const char **ret, struct err *err)
{
    const char *wanted = doc_text(c->input, "CreateBucketConfiguration.LocationConstraint"), *here = endpoint_region(c);

    if (doc_has(c->input, "CreateBucketConfiguration.Location") ||
        doc_has(c->input, "CreateBucketConfiguration.Bucket"))
        return fail_code(err, ERR_INVALID, "InvalidRequest", "This server has no directory buckets.");
    if (strcmp(wanted, "EU") == 0)
        wanted = "eu-west-1";
    if (*wanted && strcmp(here, "us-east-1") != 0 && strcmp(wanted, here) != 0)
        return fail_code(err, ERR_INVALID, "IllegalLocationConstraintException",
                         "The %s location constraint is incompatible for the region specific endpoint this request was "
                         "sent to.", wanted);
    if (!*wanted && strcmp(here, "us-east-1") != 0)
        return fail_code(err, ERR_INVALID, "IllegalLocationConstraintException",
                         "The unspecified location constraint is incompatible for the region specific endpoint this "
                         "request was sent to.");
    *ret = *wanted ? wanted : "us-east-1";
    return 0;
}

int create_bucket(struct call *c, struct err *err)
{
    const char *name = doc_text(c->input, "Bucket"), *region = "", *ownership = doc_text(c->input, "ObjectOwnership");
    const struct doc *tags = doc_at(c->input, "CreateBucketConfiguration.Tags");
    struct bucket b = { .name = name, .record = doc_map(c->arena) }, other;

    if (access_check(c, NULL, "s3:CreateBucket", access_arn(c->arena, name, STR("")), err) < 0)
        return -1;
    if (!is_bucket_name(name))
        return fail_code(err, ERR_INVALID, "InvalidBucketName", "The specified bucket is not valid.");
    if (doc_has(c->input, "BucketNamespace") && !doc_is(c->input, "BucketNamespace", "global"))
        return fail_code(err, ERR_INVALID, "InvalidRequest", "This server has one namespace for buckets: global.");
    if (doc_bool(c->input, "ObjectLockEnabledForBucket", false)) {
        fail_code(err, ERR_INVALID, "NotImplemented", "A header you provided implies functionality that is not "
                  "implemented: ObjectLockEnabledForBucket. This server does not lock objects.");
        err->http_status = 501;
        return -1;
    }
    if (*ownership && strcmp(ownership, "BucketOwnerEnforced") != 0)
        return fail_code(
            err, ERR_INVALID, "InvalidRequest",
            "ObjectOwnership %s: this server has no ACLs, so every object belongs to the bucket's owner; use "
            "BucketOwnerEnforced.",
            ownership);
    if (doc_has(c->input, "ACL") && !doc_is(c->input, "ACL", "private"))
        return fail_code(err, ERR_INVALID, "InvalidBucketAclWithObjectOwnership",
                         "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting");
    if (access_refuse(c, err) < 0 || choose_region(c, &region, err) < 0)
        return -1;
    if (bucket_load(c, name, &other, err) == 0) {
        if (strcmp(other.account, c->principal->account) != 0)
            return fail_code(
                err, ERR_CONFLICT, "BucketAlreadyExists",
                "The requested bucket name is not available. The bucket namespace is shared by all users of the "
                "system. Please select a different name and try again.");
        /* us-east-1 keeps the oldest behaviour: a second time is fine. */
        if (strcmp(endpoint_region(c), "us-east-1") != 0 || strcmp(other.region, "us-east-1") != 0)
            return fail_code(err, ERR_CONFLICT, "BucketAlreadyOwnedByYou",
                             "Your previous request to create the named bucket succeeded and you already own it.");
    } else if (err->kind != ERR_NOT_FOUND) {
        return -1;
    } else {
        doc_set_string(c->arena, b.record, "Account", c->principal->account);
        doc_set_string(c->arena, b.record, "Region", region);
        doc_set_integer(c->arena, b.record, "CreatedMs", c->now_ms);
        if (tags)
            doc_set(c->arena, b.record, "Tags", doc_copy(c->arena, tags));
        if (bucket_save(c, &b, err) < 0)
            return -1;
    }
    doc_set_string(c->arena, c->output, "Location", arena_printf(c->arena, "/%s", name));
    doc_set_string(c->arena, c->output, "BucketArn", access_arn(c->arena, name, STR("")));
    return 0;
}

static int is_empty(struct call *c, const char *table, const char *bucket, bool *ret, struct err *err)
{
    struct str from = key_of_bucket(c->arena, bucket);
    struct range range = { from, store_after_prefix(c->arena, from), .limit = 1 };
    struct pair *pairs;
    int count;

    if (store_scan(c->arena, s3_store(c), table, &range, &pairs, &count, err) < 0)
        return -1;
    *ret = count == 0;
    return 0;
}

int delete_bucket(struct call *c, struct err *err)
{
    struct bucket b;
    bool empty;

    if (bucket_open(c, NULL, &b, err) < 0 || is_empty(c, "s3_objects", b.name, &empty, err) < 0)
        return -1;
    if (!empty)
        return fail_code(err, ERR_CONFLICT, "BucketNotEmpty", "The bucket you tried to delete is not empty%s",
                         *b.versioning ? ". You must delete all versions in the bucket." : "");
    /* Its uploads would outlive it, out of sight, until a bucket of that name came back. */
    if (multipart_abort_all(c, &b, err) < 0)
        return -1;
    return store_remove(s3_store(c), buckets, str_of(b.name), err);
}

int head_bucket(struct call *c, struct err *err)
{
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    doc_set_string(c->arena, c->output, "BucketRegion", b.region);
    doc_set_string(c->arena, c->output, "BucketArn", access_arn(c->arena, b.name, STR("")));
    return 0;
}

int get_bucket_location(struct call *c, struct err *err)
{
    struct bucket b;

    if (bucket_open(c, NULL, &b, err) < 0)
        return -1;
    /* us-east-1 is told by saying nothing. */
    if (strcmp(b.region, "us-east-1") != 0)
        doc_set_string(c->arena, c->output, "LocationConstraint", b.region);
    return 0;
}

int list_buckets(struct call *c, struct err *err)
{
    const char *prefix = doc_text(c->input, "Prefix"), *region = doc_text(c->input, "BucketRegion");
    int64_t limit = doc_int(c->input, "MaxBuckets", INT64_MAX);
    struct str from = str_of(prefix), token;
    struct range range = { .from = from, .to = store_after_prefix(c->arena, from) };
    struct doc *list = doc_list(c->arena);
    const char *last = NULL;

    if (access_check(c, NULL, "s3:ListAllMyBuckets", "arn:aws:s3:::*", err) < 0)
        return -1;
    if (doc_has(c->input, "ContinuationToken")) {
        if (!base64_decode(c->arena, str_of(doc_text(c->input, "ContinuationToken")), &token))
            return fail_code(err, ERR_INVALID, "InvalidArgument", "The continuation token provided is incorrect");
        range.from = str_of(arena_printf(c->arena, STR_FMT "%c", STR_ARG(token), '\1'));
    }
    for (;;) {
        struct pair *pairs;
        int count;

        range.limit = 1000;
        if (store_scan(c->arena, s3_store(c), buckets, &range, &pairs, &count, err) < 0)
            return -1;
        for (int i = 0; i < count; i++) {
            struct doc *record, *item = doc_map(c->arena);
            const char *name = str_dup(c->arena, pairs[i].key);

            if (json_parse(c->arena, pairs[i].value, &record, err) < 0)
                return -1;
            if (!doc_is(record, "Account", c->principal->account) || (*region && !doc_is(record, "Region", region)))
                continue;
            if ((int64_t)list->count == limit) {
                doc_set_string(c->arena, c->output, "ContinuationToken", base64_encode(c->arena, last, strlen(last)));
                goto done;
            }
            doc_set_string(c->arena, item, "Name", name);
            doc_set_integer(c->arena, item, "CreationDate", doc_int(record, "CreatedMs", 0));
            doc_set_string(c->arena, item, "BucketRegion", doc_text(record, "Region"));
            doc_set_string(c->arena, item, "BucketArn", access_arn(c->arena, name, STR("")));
            doc_append(c->arena, list, item);
            last = name;
        }
        if (count < range.limit)
            break;
        range.from = str_of(arena_printf(c->arena, STR_FMT "%c", STR_ARG(pairs[count - 1].key), '\1'));
    }
done:
    doc_set(c->arena, c->output, "Buckets", list);
    doc_set(c->arena, c->output, "Owner", bucket_owner(c->arena, c->principal->account));
    if (*prefix)
        doc_set_string(c->arena, c->output, "Prefix", prefix);
    return 0;
}
