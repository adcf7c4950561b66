/* IAM and STS on a memory store, and the identities that come out of them. */
#include "sign/token.h"
#include "services/iam/identity.h"

#include "world.h"

#define TRUST(principal)                                                                                               \
    "{`Version`:`2012-10-17`,`Statement`:[{`Effect`:`Allow`,`Principal`:" principal ",`Action`:`sts:AssumeRole`}]}"
#define ALLOW(action, resource) \
    "{`Version`:`2012-10-17`,`Statement`:[{`Effect`:`Allow`,`Action`:`" action "`,`Resource`:`" resource "`}]}"

/* input[member] = text with backquotes for double quotes. */
static struct doc *with(struct doc *input, const char *member, const char *text)
{
    char *copy = arena_strdup(w.arena, text);

    for (char *p = copy; *p; p++)
        *p = *p == '`' ? '"' : *p;
    doc_set_string(w.arena, input, member, copy);
    return input;
}

static int find(const char *id, const char *token, struct identity_found *ret)
{
    const struct sigv4_claim claim = { .access_key_id = str_of(id), .session_token = str_of(token) };

    w.err = (struct err){ 0 };
    return identity_find(w.arena, w.store, &w.platform, &claim, "sagemaker", w.now_ms, ret, &w.err);
}

static void test_users(void **state)
{
    const struct doc *o =
        must("iam", "CreateUser", json("{'UserName':'Bob','Path':'/team/','Tags':[{'Key':'a','Value':'1'}]}"));

    assert_string_equal(doc_text(o, "User.Arn"), "arn:aws:iam::" ACCOUNT ":user/team/Bob");
    assert_memory_equal(doc_text(o, "User.UserId"), "AIDA", 4);
    assert_int_equal(doc_int(o, "User.CreateDate", 0), NOON);
    refused("iam", "CreateUser", json("{'UserName':'bob'}"), "EntityAlreadyExists");
    refused("iam", "CreateUser",
            json("{'UserName':'eve','PermissionsBoundary':'arn:aws:iam::aws:policy/AmazonS3FullAccess'}"),
            "InvalidInput");
    o = must("iam", "GetUser", json("{'UserName':'BOB'}"));
    assert_string_equal(doc_text(o, "User.UserName"), "Bob");
    assert_string_equal(doc_text(o, "User.Tags[0].Value"), "1");
    must("iam", "TagUser", json("{'UserName':'Bob','Tags':[{'Key':'A','Value':'2'},{'Key':'b','Value':'3'}]}"));
    o = must("iam", "ListUserTags", json("{'UserName':'Bob'}"));
    assert_int_equal(doc_count(o, "Tags"), 2);
    must("iam", "UntagUser", json("{'UserName':'Bob','TagKeys':['a']}"));
    assert_int_equal(doc_count(must("iam", "ListUserTags", json("{'UserName':'Bob'}")), "Tags"), 1);
    refused("iam", "GetUser", json("{'UserName':'eve'}"), "NoSuchEntity");
    assert_string_equal(w.err.text, "The user with name eve cannot be found.");
    must("iam", "DeleteUser", json("{'UserName':'Bob'}"));
    refused("iam", "DeleteUser", json("{'UserName':'Bob'}"), "NoSuchEntity");
}

static void test_pages(void **state)
{
    const struct doc *o;
    char marker[64] = "";
    int seen = 0;

    for (int i = 0; i < 450; i++)
        must("iam", "CreateUser", json("{'UserName':'u%03d','Path':'/%s/'}", i, i % 2 ? "odd" : "even"));
    do {
        o = must("iam", "ListUsers",
                 *marker ? json("{'MaxItems':100,'Marker':'%s'}", marker) : json("{'MaxItems':100}"));
        for (size_t i = 0; i < doc_count(o, "Users"); i++, seen++)
            assert_string_equal(doc_text(o, arena_printf(w.arena, "Users[%zu].UserName", i)),
                                arena_printf(w.arena, "u%03d", seen));
        snprintf(marker, sizeof marker, "%s", doc_text(o, "Marker"));
    } while (doc_bool(o, "IsTruncated", false));
    assert_int_equal(seen, 450);
    assert_string_equal(marker, "");
    o = must("iam", "ListUsers", json("{'PathPrefix':'/odd','MaxItems':1000}"));
    assert_int_equal(doc_count(o, "Users"), 225);
}

static void test_keys(void **state)
{
    const struct doc *key, *o;
    struct identity_found found;
    int64_t before;

    must("iam", "CreateUser", json("{'UserName':'bob'}"));
    key = must("iam", "CreateAccessKey", json("{'UserName':'bob'}"));
    assert_int_equal(strlen(doc_text(key, "AccessKey.SecretAccessKey")), 40);
    assert_int_equal(find(doc_text(key, "AccessKey.AccessKeyId"), "", &found), 0);
    assert_string_equal(found.secret_access_key, doc_text(key, "AccessKey.SecretAccessKey"));
    assert_string_equal(found.principal.arn, "arn:aws:iam::" ACCOUNT ":user/bob");
    assert_false(found.principal.trusted);
    assert_int_equal(found.principal.policies->count, 0);
    /* What was remembered is forgotten with any change. */
    before = identity_revision();
    must("iam", "PutUserPolicy",
         with(json("{'UserName':'bob','PolicyName':'p.1'}"), "PolicyDocument", ALLOW("s3:*", "*")));
    assert_true(identity_revision() > before);
    assert_int_equal(find(doc_text(key, "AccessKey.AccessKeyId"), "", &found), 0);
    assert_int_equal(found.principal.policies->count, 1);
    /* Without a user's name it is the caller's own. */
    w.who = &found.principal;
    refused("iam", "ListAccessKeys", json("{}"), "AccessDenied");
    w.who = NULL;
    must("iam", "CreateAccessKey", json("{'UserName':'bob'}"));
    refused("iam", "CreateAccessKey", json("{'UserName':'bob'}"), "LimitExceeded");
    o = must("iam", "ListAccessKeys", json("{'UserName':'bob'}"));
    assert_int_equal(doc_count(o, "AccessKeyMetadata"), 2);
    must("iam", "UpdateAccessKey", json("{'UserName':'bob','AccessKeyId':'%s','Status':'Inactive'}",
                                        doc_text(key, "AccessKey.AccessKeyId")));
    assert_int_equal(find(doc_text(key, "AccessKey.AccessKeyId"), "", &found), -1);
    assert_string_equal(w.err.code, "UnrecognizedClientException");
    refused("iam", "DeleteUser", json("{'UserName':'bob'}"), "DeleteConflict");
    refused("iam", "DeleteAccessKey",
            json("{'UserName':'eve','AccessKeyId':'%s'}", doc_text(key, "AccessKey.AccessKeyId")), "NoSuchEntity");
    must("iam", "DeleteAccessKey",
         json("{'UserName':'bob','AccessKeyId':'%s'}", doc_text(key, "AccessKey.AccessKeyId")));
    assert_int_equal(doc_count(must("iam", "ListAccessKeys", json("{'UserName':'bob'}")), "AccessKeyMetadata"), 1);
    assert_int_equal(find("AKIANOBODYATALLXXXXX", "", &found), -1);
    assert_string_equal(w.err.code, "UnrecognizedClientException");
}

static void test_policies(void **state)
{
    const struct doc *o;
    const char *arn;

    must("iam", "CreateRole", with(json("{'RoleName':'R'}"), "AssumeRolePolicyDocument", TRUST("{`AWS`:`*`}")));
    refused("iam", "CreateRole", with(json("{'RoleName':'S'}"), "AssumeRolePolicyDocument", "{}"),
            "MalformedPolicyDocument");
    must("iam", "PutRolePolicy",
         with(json("{'RoleName':'R','PolicyName':'in.line'}"), "PolicyDocument", ALLOW("s3:*", "*")));
    refused("iam", "PutRolePolicy",
            with(json("{'RoleName':'R','PolicyName':'bad'}"), "PolicyDocument", "{`Statement`:[]}"),
            "MalformedPolicyDocument");
    o = must("iam", "GetRolePolicy", json("{'RoleName':'R','PolicyName':'in.line'}"));
    assert_memory_equal(doc_text(o, "PolicyDocument"), "%7B%22Version%22", 16);
    assert_string_equal(doc_text(must("iam", "ListRolePolicies", json("{'RoleName':'R'}")), "PolicyNames[0]"),
                        "in.line");
    refused("iam", "GetRolePolicy", json("{'RoleName':'R','PolicyName':'none'}"), "NoSuchEntity");

    o = must("iam", "CreatePolicy",
             with(json("{'PolicyName':'P','Path':'/x/'}"), "PolicyDocument", ALLOW("s3:Get*", "*")));
    arn = doc_text(o, "Policy.Arn");
    assert_string_equal(arn, "arn:aws:iam::" ACCOUNT ":policy/x/P");
    refused("iam", "CreatePolicy", with(json("{'PolicyName':'p'}"), "PolicyDocument", ALLOW("s3:Get*", "*")),
            "EntityAlreadyExists");
    must("iam", "AttachRolePolicy", json("{'RoleName':'R','PolicyArn':'%s'}", arn));
    must("iam", "AttachRolePolicy", json("{'RoleName':'R','PolicyArn':'%s'}", arn));
    must("iam", "AttachRolePolicy",
         json("{'RoleName':'R','PolicyArn':'arn:aws:iam::aws:policy/AmazonSageMakerFullAccess'}"));
    refused("iam", "AttachRolePolicy", json("{'RoleName':'R','PolicyArn':'arn:aws:iam::aws:policy/NotThere'}"),
            "NoSuchEntity");
    assert_int_equal(doc_count(must("iam", "ListAttachedRolePolicies", json("{'RoleName':'R'}")), "AttachedPolicies"),
                     2);
    o = must("iam", "GetPolicy", json("{'PolicyArn':'%s'}", arn));
    assert_int_equal(doc_int(o, "Policy.AttachmentCount", 0), 1);
    o = must("iam", "ListEntitiesForPolicy", json("{'PolicyArn':'%s'}", arn));
    assert_string_equal(doc_text(o, "PolicyRoles[0].RoleName"), "R");
    for (int i = 0; i < 4; i++)
        must("iam", "CreatePolicyVersion",
             with(json("{'PolicyArn':'%s','SetAsDefault':%s}", arn, i == 1 ? "true" : "false"), "PolicyDocument",
                  ALLOW("s3:Put*", "*")));
    refused("iam", "CreatePolicyVersion",
            with(json("{'PolicyArn':'%s'}", arn), "PolicyDocument", ALLOW("s3:Put*", "*")), "LimitExceeded");
    assert_string_equal(doc_text(must("iam", "GetPolicy", json("{'PolicyArn':'%s'}", arn)), "Policy.DefaultVersionId"),
                        "v3");
    refused("iam", "DeletePolicyVersion", json("{'PolicyArn':'%s','VersionId':'v3'}", arn), "DeleteConflict");
    must("iam", "DeletePolicyVersion", json("{'PolicyArn':'%s','VersionId':'v5'}", arn));
    o = must("iam", "CreatePolicyVersion",
             with(json("{'PolicyArn':'%s'}", arn), "PolicyDocument", ALLOW("s3:Put*", "*")));
    assert_string_equal(doc_text(o, "PolicyVersion.VersionId"), "v6"); /* never v5 again */
    refused("iam", "GetPolicyVersion", json("{'PolicyArn':'%s','VersionId':'v5'}", arn), "NoSuchEntity");
    must("iam", "SetDefaultPolicyVersion", json("{'PolicyArn':'%s','VersionId':'v1'}", arn));
    refused("iam", "DeletePolicy", json("{'PolicyArn':'%s'}", arn), "DeleteConflict");
    must("iam", "DetachRolePolicy", json("{'RoleName':'R','PolicyArn':'%s'}", arn));
    refused("iam", "DetachRolePolicy", json("{'RoleName':'R','PolicyArn':'%s'}", arn), "NoSuchEntity");
    refused("iam", "DeletePolicy", json("{'PolicyArn':'arn:aws:iam::aws:policy/AmazonS3FullAccess'}"), "InvalidInput");
    o = must("iam", "ListPolicies", json("{'Scope':'Local'}"));
    assert_int_equal(doc_count(o, "Policies"), 1);
    assert_true(doc_count(must("iam", "ListPolicies", json("{}")), "Policies") > 10);
    o = must("iam", "ListPolicies", json("{'OnlyAttached':true}"));
    assert_string_equal(doc_text(o, "Policies[0].PolicyName"), "AmazonSageMakerFullAccess");
    refused("iam", "DeleteRole", json("{'RoleName':'R'}"), "DeleteConflict");
}

/* Every built-in document is one that policy_parse takes. */
static void test_managed(void **state)
{
    const struct doc *o = must("iam", "ListPolicies", json("{'Scope':'AWS','MaxItems':1000}"));

    for (size_t i = 0; i < doc_count(o, "Policies"); i++) {
        const char *arn = doc_text(o, arena_printf(w.arena, "Policies[%zu].Arn", i));
        const struct doc *v = must("iam", "GetPolicyVersion", json("{'PolicyArn':'%s','VersionId':'v1'}", arn));
        struct str text = uri_decode(w.arena, str_of(doc_text(v, "PolicyVersion.Document")), false);
        struct doc *input = json("{'PolicyName':'copy%zu'}", i);

        doc_set_string(w.arena, input, "PolicyDocument", str_dup(w.arena, text));
        must("iam", "CreatePolicy", input);
    }
}

static void test_assume(void **state)
{
    const struct doc *key, *o;
    struct identity_found bob, session;
    const char *token;

    must("iam", "CreateUser", json("{'UserName':'bob'}"));
    key = must("iam", "CreateAccessKey", json("{'UserName':'bob'}"));
    must("iam", "CreateRole", with(json("{'RoleName':'Named','Path':'/p/'}"), "AssumeRolePolicyDocument",
                                   TRUST("{`AWS`:`arn:aws:iam::" ACCOUNT ":user/bob`}")));
    must("iam", "CreateRole", with(json("{'RoleName':'Account'}"), "AssumeRolePolicyDocument",
                                   TRUST("{`AWS`:`arn:aws:iam::" ACCOUNT ":root`}")));
    must("iam", "CreateRole", with(json("{'RoleName':'Service'}"), "AssumeRolePolicyDocument",
                                   TRUST("{`Service`:`sagemaker.amazonaws.com`}")));
    must("iam", "PutRolePolicy",
         with(json("{'RoleName':'Named','PolicyName':'x'}"), "PolicyDocument", ALLOW("iam:*", "*")));
    assert_int_equal(find(doc_text(key, "AccessKey.AccessKeyId"), "", &bob), 0);

    w.who = &bob.principal;
    refused("sts", "AssumeRole", json("{'RoleArn':'arn:aws:iam::" ACCOUNT ":role/Account','RoleSessionName':'s1'}"),
            "AccessDenied");
    refused("sts", "AssumeRole", json("{'RoleArn':'arn:aws:iam::" ACCOUNT ":role/Service','RoleSessionName':'s1'}"),
            "AccessDenied");
    refused("sts", "AssumeRole", json("{'RoleArn':'arn:aws:iam::" ACCOUNT ":role/Missing','RoleSessionName':'s1'}"),
            "AccessDenied");
    refused("sts", "AssumeRole", json("{'RoleArn':'arn:aws:iam::" ACCOUNT ":role/Named','RoleSessionName':'s1'}"),
            "AccessDenied");
    assert_string_equal(w.err.text,
                        "User: arn:aws:iam::" ACCOUNT ":user/bob is not authorized to perform: sts:AssumeRole on "
                        "resource: arn:aws:iam::" ACCOUNT ":role/Named");
    refused("sts", "AssumeRole", json("{'RoleArn':'arn:aws:iam::" ACCOUNT ":role/p/Named','RoleSessionName':'s1',"
                                      "'DurationSeconds':7200}"), "ValidationError");
    o = must("sts", "AssumeRole", json("{'RoleArn':'arn:aws:iam::" ACCOUNT ":role/p/Named','RoleSessionName':'s1'}"));
    assert_string_equal(doc_text(o, "AssumedRoleUser.Arn"), "arn:aws:sts::" ACCOUNT ":assumed-role/Named/s1");
    assert_int_equal(doc_int(o, "Credentials.Expiration", 0), NOON + 3600 * 1000);
    token = doc_text(o, "Credentials.SessionToken");
    assert_int_equal(find(doc_text(o, "Credentials.AccessKeyId"), token, &session), 0);
    assert_string_equal(session.secret_access_key, doc_text(o, "Credentials.SecretAccessKey"));
    w.who = &session.principal;
    assert_string_equal(doc_text(must("sts", "GetCallerIdentity", json("{}")), "Arn"),
                        "arn:aws:sts::" ACCOUNT ":assumed-role/Named/s1");
    must("iam", "ListUsers", json("{}"));
    refused("sts", "GetSessionToken", json("{}"), "AccessDenied");
    /* Narrowed. */
    w.who = &bob.principal;
    o = must("sts", "AssumeRole", with(json("{'RoleArn':'arn:aws:iam::" ACCOUNT ":role/p/Named','RoleSessionName':'s2',"
                                            "'PolicyArns':[{'arn':'arn:aws:iam::aws:policy/AmazonS3FullAccess'}]}"),
                                       "Policy", ALLOW("iam:Get*", "*")));
    assert_true(doc_int(o, "PackedPolicySize", 0) > 0);
    assert_int_equal(find(doc_text(o, "Credentials.AccessKeyId"), doc_text(o, "Credentials.SessionToken"), &session),
                     0);
    w.who = &session.principal;
    refused("iam", "ListUsers", json("{}"), "AccessDenied");
    assert_non_null(strstr(w.err.text, "because no session policy allows"));
    must("iam", "GetUser", json("{'UserName':'bob'}"));
    /* A user's own session. */
    w.who = &bob.principal;
    o = must("sts", "GetSessionToken", json("{}"));
    assert_int_equal(find(doc_text(o, "Credentials.AccessKeyId"), doc_text(o, "Credentials.SessionToken"), &session),
                     0);
    assert_string_equal(session.principal.arn, "arn:aws:iam::" ACCOUNT ":user/bob");
    /* Somebody else's id with this token, a forged one, one that is over. */
    assert_int_equal(find(doc_text(key, "AccessKey.AccessKeyId"), token, &session), -1);
    assert_string_equal(w.err.code, "UnrecognizedClientException");
    w.now_ms += 12 * 3600 * 1000;
    assert_int_equal(find(doc_text(o, "Credentials.AccessKeyId"), doc_text(o, "Credentials.SessionToken"), &session),
                     -1);
    assert_string_equal(w.err.code, "ExpiredTokenException");
    /* A role that is gone takes its rights with it. */
    w.who = NULL;
    o = must("sts", "AssumeRole", json("{'RoleArn':'arn:aws:iam::" ACCOUNT ":role/Account','RoleSessionName':'s3'}"));
    assert_int_equal(find(doc_text(o, "Credentials.AccessKeyId"), doc_text(o, "Credentials.SessionToken"), &session),
                     0);
    must("iam", "DeleteRole", json("{'RoleName':'Account'}"));
    assert_int_equal(find(doc_text(o, "Credentials.AccessKeyId"), doc_text(o, "Credentials.SessionToken"), &session),
                     0);
    assert_int_equal(session.principal.policies->count, 0);
}

/* What a session of this token may do now: the number of its policies. */
static uint32_t rights_of(const struct doc *credentials)
{
    struct identity_found session;

    assert_int_equal(find(doc_text(credentials, "AccessKeyId"), doc_text(credentials, "SessionToken"), &session), 0);
    return session.principal.policies->count;
}

static void make_and_allow(const char *noun, const char *name)
{
    const char *member = strcmp(noun, "Role") == 0 ? "RoleName" : "UserName";
    struct doc *input = with(json("{}"), member, name), *policy = doc_copy(w.arena, input);
    bool role = strcmp(noun, "Role") == 0;

    must("iam", role ? "CreateRole" : "CreateUser",
         role ? with(input, "AssumeRolePolicyDocument", TRUST("{`AWS`:`*`}")) : input);
    must("iam", role ? "PutRolePolicy" : "PutUserPolicy",
         with(with(policy, "PolicyName", "p"), "PolicyDocument", ALLOW("s3:*", "*")));
}

static void test_sessions_end_with_who_they_are_of(void **state)
{
    struct identity_found bob;
    const struct doc *key, *of_role, *of_user;
    const char *id;

    assert_int_equal(identity_bootstrap(w.arena, w.store, &w.platform, w.now_ms, &w.err), 0);
    make_and_allow("Role", "again");
    make_and_allow("User", "bob");
    of_role = doc_get(must("sts", "AssumeRole",
                           json("{'RoleArn':'arn:aws:iam::" ACCOUNT ":role/again','RoleSessionName':'s1'}")),
                           "Credentials");
    key = must("iam", "CreateAccessKey", json("{'UserName':'bob'}"));
    id = doc_text(key, "AccessKey.AccessKeyId");
    assert_int_equal(find(id, "", &bob), 0);
    w.who = &bob.principal;
    of_user = doc_get(must("sts", "GetSessionToken", json("{}")), "Credentials");
    w.who = NULL;
    assert_int_equal(rights_of(of_role), 1);
    assert_int_equal(rights_of(of_user), 1);

    must("iam", "DeleteRolePolicy", json("{'RoleName':'again','PolicyName':'p'}"));
    must("iam", "DeleteRole", json("{'RoleName':'again'}"));
    must("iam", "DeleteAccessKey", with(json("{'UserName':'bob'}"), "AccessKeyId", id));
    must("iam", "DeleteUserPolicy", json("{'UserName':'bob','PolicyName':'p'}"));
    must("iam", "DeleteUser", json("{'UserName':'bob'}"));
    make_and_allow("Role", "again");
    make_and_allow("User", "bob");
    assert_int_equal(rights_of(of_role), 0);
    assert_int_equal(rights_of(of_user), 0);
}

/* SageMaker knocks by itself. */
static void test_service_assumes(void **state)
{
    const struct principal sagemaker = {
        .account = "", .arn = "sagemaker.amazonaws.com", .user_id = "", .access_key_id = "", .trusted = true
    };

    assert_int_equal(identity_bootstrap(w.arena, w.store, &w.platform, w.now_ms, &w.err), 0);
    must("iam", "CreateRole",
         with(json("{'RoleName':'Ec2'}"), "AssumeRolePolicyDocument", TRUST("{`Service`:`ec2.amazonaws.com`}")));
    w.who = &sagemaker;
    must("sts", "AssumeRole",
         json("{'RoleArn':'arn:aws:iam::" ACCOUNT ":role/SagebrushExecutionRole','RoleSessionName':'SageMaker'}"));
    refused("sts", "AssumeRole", json("{'RoleArn':'arn:aws:iam::" ACCOUNT ":role/Ec2','RoleSessionName':'SageMaker'}"),
            "AccessDenied");
}

static void test_bootstrap(void **state)
{
    char folder[] = "/tmp/test_iam_XXXXXX";
    struct doc *keys, *snapshot;
    struct identity_found found;
    struct identity_key imported = { "TESTKEY", "testsecret", "" }, again = { "TESTKEY", "xyz", "" },
                        eve = { "", "", "eve" };
    const char *root;
    char *path;

    assert_non_null(mkdtemp(folder));
    w.platform.data_folder = folder;
    for (int i = 0; i < 2; i++)
        assert_int_equal(identity_bootstrap(w.arena, w.store, &w.platform, w.now_ms + i, &w.err), 0);
    assert_int_equal(store_commit(w.store, &w.err), 0);
    assert_int_equal(identity_key_list(w.arena, w.store, &keys, &w.err), 0);
    assert_int_equal(keys->count, 1);
    root = doc_text(keys->items[0], "access_key_id");
    assert_int_equal(find(root, "", &found), 0);
    assert_true(found.principal.trusted);
    w.who = &found.principal;
    assert_string_equal(doc_text(must("sts", "GetCallerIdentity", json("{}")), "Arn"),
                        "arn:aws:sts::" ACCOUNT ":assumed-role/SagebrushExecutionRole/local");
    assert_string_equal(doc_text(must("iam", "GetRole", json("{'RoleName':'SagebrushExecutionRole'}")), "Role.Arn"),
                        "arn:aws:iam::" ACCOUNT ":role/SagebrushExecutionRole");
    w.who = NULL;
    assert_int_equal(identity_key_revoke(w.arena, w.store, root, &w.err), -1);
    /* The file is replaced: so is the key. */
    path = arena_printf(w.arena, "%s/secrets/root-key.json", folder);
    assert_int_equal(remove(path), 0);
    assert_int_equal(identity_bootstrap(w.arena, w.store, &w.platform, w.now_ms, &w.err), 0);
    assert_int_equal(store_commit(w.store, &w.err), 0);
    assert_int_equal(find(root, "", &found), -1);
    /* Imported, of a user, listed, revoked. */
    assert_int_equal(identity_key_create(w.arena, w.store, &w.platform, &imported, w.now_ms, &w.err), 0);
    assert_int_equal(identity_key_create(w.arena, w.store, &w.platform, &again, w.now_ms, &w.err), -1);
    assert_int_equal(w.err.kind, ERR_CONFLICT);
    assert_int_equal(identity_key_create(w.arena, w.store, &w.platform, &eve, w.now_ms, &w.err), 0);
    assert_string_equal(eve.arn, "arn:aws:iam::" ACCOUNT ":user/eve");
    assert_int_equal(find("TESTKEY", "", &found), 0);
    assert_string_equal(found.secret_access_key, "testsecret");
    assert_int_equal(find(eve.access_key_id, "", &found), 0);
    assert_int_equal(identity_snapshot(w.arena, w.store, &w.platform, &snapshot, &w.err), 0);
    assert_int_equal(doc_count(snapshot, "keys"), 3);
    assert_int_equal(doc_count(snapshot, "roles"), 2);
    assert_int_equal(identity_key_revoke(w.arena, w.store, eve.access_key_id, &w.err), 0);
    assert_int_equal(find(eve.access_key_id, "", &found), -1);
    assert_int_equal(identity_key_revoke(w.arena, w.store, eve.access_key_id, &w.err), -1);
    assert_int_equal(w.err.kind, ERR_NOT_FOUND);
    assert_int_equal(remove(path), 0);
    *strrchr(path, '/') = '\0';
    assert_int_equal(remove(path), 0);
    assert_int_equal(remove(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_users, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_pages, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_keys, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_policies, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_managed, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_assume, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_sessions_end_with_who_they_are_of, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_service_assumes, world_new, world_free),
        cmocka_unit_test_setup_teardown(test_bootstrap, world_new, world_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
