#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "aws/policy.h"
#include "doc/json.h"

#include <cmocka.h> /* last: its fail() is a macro */

static struct arena *a;

static int setup(void **state)
{
    a = arena_new();
    return 0;
}

static int teardown(void **state)
{
    arena_free(a);
    return 0;
}

/* Single quotes for double ones. */
static struct doc *json(const char *text)
{
    char *copy = arena_strdup(a, text);
    struct doc *d;
    struct err err;

    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    if (json_parse(a, str_of(copy), &d, &err) < 0)
        fail_msg("%s: %s", copy, err.text);
    return d;
}

/* One statement allows (or not) sagemaker:CreateTrainingJob on a job of bob's. */
static const struct {
    const char *statement;
    bool allowed;
} actions[] = {
    { "'Action':'*','Resource':'*'", true },
    { "'Action':'sagemaker:*','Resource':'*'", true },
    { "'Action':'SageMaker:createtrainingjob','Resource':'*'", true },
    { "'Action':'sagemaker:Create*Job','Resource':'*'", true },
    { "'Action':['s3:Get*','sagemaker:CreateTrainingJo?'],'Resource':'*'", true },
    { "'Action':'sagemaker:Describe*','Resource':'*'", false },
    { "'Action':'s3:*','Resource':'*'", false },
    { "'NotAction':'s3:*','Resource':'*'", true },
    { "'NotAction':['s3:*','sagemaker:*'],'Resource':'*'", false },
    { "'Action':'*','Resource':'arn:aws:sagemaker:eu-west-1:123456789012:training-job/bob-1'", true },
    { "'Action':'*','Resource':'arn:aws:sagemaker:eu-west-1:123456789012:training-job/BOB-1'", false },
    { "'Action':'*','Resource':'arn:aws:sagemaker:*:123456789012:training-job/*'", true },
    { "'Action':'*','Resource':'arn:aws:sagemaker:*:training-job/*'", false },
    { "'Action':'*','Resource':'arn:aws:s*:*:*:*'", true },
    { "'Action':'*','Resource':'arn:aws:sagemaker:*'", true },
    { "'Action':'*','Resource':'arn:aws:sage*'", false },
    { "'Action':'*','Resource':'arn:aws:*:eu-west-1:123456789012:training-job/bob-1'", true },
    { "'Action':'*','Resource':'arn:aws:sagemaker:eu-west-1:123456789012:training-job/${aws:username}-*'", true },
    { "'Action':'*','Resource':'arn:aws:sagemaker:eu-west-1:123456789012:training-job/${aws:nothing}*'", false },
    { "'Action':'*','Resource':'arn:aws:sagemaker:eu-west-1:123456789012:training-job/${aws:nothing, 'bob'}*'", true },
    { "'Action':'*','Resource':'arn:aws:sagemaker:eu-west-1:123456789012:training-job/b${*}'", false },
    { "'Action':'*','NotResource':'arn:aws:sagemaker:*:*:endpoint/*'", true },
    { "'Action':'*','NotResource':'arn:aws:sagemaker:*:*:training-job/*'", false },
    { "'Action':'*'", false },
    { "'Resource':'*'", false },
    { "'Action':7,'Resource':'*'", false },
    { "'Action':[],'Resource':'*'", false },
};

static const struct doc *context(void)
{
    struct doc *c = policy_context(a, &(struct policy_caller) { .arn = "arn:aws:iam::123456789012:user/team/bob",
                                                                .account = "123456789012",
                                                                .user_id = "AIDA1",
                                                                .source_ip = "10.1.2.3",
                                                                .region = "eu-west-1",
                                                                .tls = true,
                                                                .now_ms = 1709208000000 }); /* 2024-02-29T12:00:00Z */
    struct doc *tags = doc_list(a);

    doc_append(a, tags, doc_string(a, "red"));
    doc_append(a, tags, doc_string(a, "blue"));
    doc_set(a, c, "x:tags", tags);
    doc_set_integer(a, c, "x:size", 10);
    doc_set_string(a, c, "x:arn", "arn:aws:iam::1:role/a/b");
    doc_set_string(a, c, "x:star", "a*");
    return c;
}

static enum policy_answer ask(const struct doc *policies, const struct doc *session)
{
    return policy_evaluate(&(struct policy_request){
        .policies = policies,
        .session_policy = session,
        .arn = "arn:aws:iam::123456789012:user/team/bob",
        .action = "sagemaker:CreateTrainingJob",
        .resource = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/bob-1",
        .context = context(),
    });
}

static const struct doc *policy_of(const char *statements)
{
    return json(arena_printf(a, "{'Version':'2012-10-17','Statement':[%s]}", statements));
}

static void test_actions_and_resources(void **state)
{
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        /* The one with quotes inside is built by hand. */
        struct doc *policy = doc_map(a), *statement;

        if (strstr(actions[i].statement, ", '")) {
            statement = json("{'Effect':'Allow','Action':'*'}");
            doc_set_string(a, statement, "Resource",
                           "arn:aws:sagemaker:eu-west-1:123456789012:training-job/${aws:nothing, 'bob'}*");
        } else {
            statement = json(arena_printf(a, "{'Effect':'Allow',%s}", actions[i].statement));
        }
        doc_set(a, policy, "Statement", statement);
        if ((ask(policy, NULL) == POLICY_ALLOWED) != actions[i].allowed)
            fail_msg("%s", actions[i].statement);
    }
}

static const struct {
    const char *condition;
    bool holds;
} conditions[] = {
    { "{}", true },
    { "{'StringEquals':{'aws:username':'bob'}}", true },
    { "{'StringEquals':{'AWS:UserName':['eve','bob']}}", true },
    { "{'StringEquals':{'aws:username':'Bob'}}", false },
    { "{'StringEqualsIgnoreCase':{'aws:username':'Bob'}}", true },
    { "{'StringNotEquals':{'aws:username':['eve','bob']}}", false },
    { "{'StringNotEquals':{'aws:username':'eve'}}", true },
    { "{'StringLike':{'aws:username':'b?b'}}", true },
    { "{'StringLike':{'x:star':'${x:star}'}}", true },
    { "{'StringLike':{'aws:username':'${x:star}'}}", false },
    { "{'StringNotLike':{'aws:username':'b*'}}", false },
    { "{'StringEquals':{'aws:username':'bob','aws:PrincipalAccount':'1'}}", false },
    { "{'StringEquals':{'aws:username':'bob'},'StringLike':{'aws:userid':'AROA*'}}", false },
    { "{'StringEquals':{'x:none':'a'}}", false },
    { "{'StringNotEquals':{'x:none':'a'}}", true },
    { "{'StringEqualsIfExists':{'x:none':'a'}}", true },
    { "{'StringEqualsIfExists':{'aws:username':'a'}}", false },
    { "{'Null':{'x:none':'true'}}", true },
    { "{'Null':{'x:none':true}}", true },
    { "{'Null':{'x:none':'false'}}", false },
    { "{'Null':{'aws:username':'false'}}", true },
    { "{'NumericEquals':{'x:size':10}}", true },
    { "{'NumericEquals':{'x:size':'10.0'}}", true },
    { "{'NumericLessThan':{'x:size':'10'}}", false },
    { "{'NumericLessThanEquals':{'x:size':'10'}}", true },
    { "{'NumericGreaterThan':{'x:size':'9'}}", true },
    { "{'NumericGreaterThanEquals':{'x:size':'11'}}", false },
    { "{'NumericNotEquals':{'x:size':'11'}}", true },
    { "{'NumericEquals':{'x:size':'ten'}}", false },
    { "{'DateGreaterThan':{'aws:CurrentTime':'2024-02-29T11:59:59Z'}}", true },
    { "{'DateLessThan':{'aws:CurrentTime':'2024-02-29'}}", false },
    { "{'DateLessThan':{'aws:EpochTime':'1709208001'}}", true },
    { "{'DateEquals':{'aws:EpochTime':'2024-02-29T12:00:00Z'}}", true },
    { "{'Bool':{'aws:SecureTransport':'true'}}", true },
    { "{'Bool':{'aws:SecureTransport':false}}", false },
    { "{'IpAddress':{'aws:SourceIp':'10.0.0.0/8'}}", true },
    { "{'IpAddress':{'aws:SourceIp':['192.168.0.0/16','10.1.2.3']}}", true },
    { "{'IpAddress':{'aws:SourceIp':'10.1.2.0/31'}}", false },
    { "{'IpAddress':{'aws:SourceIp':'::/0'}}", false },
    { "{'NotIpAddress':{'aws:SourceIp':'10.0.0.0/8'}}", false },
    { "{'IpAddress':{'aws:SourceIp':'0.0.0.0/0'}}", true },
    { "{'IpAddress':{'aws:SourceIp':'10.0.0.0/33'}}", false },
    { "{'ArnLike':{'x:arn':'arn:aws:iam::*:role/*'}}", true },
    { "{'ArnEquals':{'x:arn':'arn:aws:*:role/a/b'}}", false },
    { "{'ArnNotLike':{'x:arn':'arn:aws:iam::1:role/*'}}", false },
    { "{'ForAnyValue:StringEquals':{'x:tags':['blue','green']}}", true },
    { "{'ForAllValues:StringEquals':{'x:tags':['blue','green']}}", false },
    { "{'ForAllValues:StringEquals':{'x:tags':['blue','red','green']}}", true },
    { "{'ForAllValues:StringEquals':{'x:none':'a'}}", true },
    { "{'ForAnyValue:StringEquals':{'x:none':'a'}}", false },
    { "{'ForAnyValue:StringNotEquals':{'x:tags':'red'}}", true },
    { "{'ForAllValues:StringNotEquals':{'x:tags':'red'}}", false },
    { "{'StringNotEquals':{'x:tags':'red'}}", false },
    { "{'StringSortOf':{'x:tags':'red'}}", false },
    { "{'StringEquals':{'aws:username':{}}}", false },
    { "[]", false },
    { "{'StringEquals':{'aws:username':[]}}", false },
};

static void test_conditions(void **state)
{
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++) {
        const struct doc *p = policy_of(
            arena_printf(a, "{'Effect':'Allow','Action':'*','Resource':'*','Condition':%s}", conditions[i].condition));

        if ((ask(p, NULL) == POLICY_ALLOWED) != conditions[i].holds)
            fail_msg("%s", conditions[i].condition);
    }
}

static void test_order(void **state)
{
    const struct doc *allow = policy_of("{'Effect':'Allow','Action':'*','Resource':'*'}");
    const struct doc *deny = policy_of("{'Effect':'Deny','Action':'sagemaker:*','Resource':'*'}");
    const struct doc *unclear_deny =
        policy_of("{'Effect':'Deny','Action':'sagemaker:*','Resource':'*','Condition':{'New':{'a:b':'c'}}}");
    const struct doc *other = policy_of("{'Effect':'Allow','Action':'s3:*','Resource':'*'}");
    struct doc *list = doc_list(a);

    assert_int_equal(ask(NULL, NULL), POLICY_NOT_ALLOWED);
    assert_int_equal(ask(list, NULL), POLICY_NOT_ALLOWED);
    doc_append(a, list, (struct doc *)allow);
    assert_int_equal(ask(list, NULL), POLICY_ALLOWED);
    assert_int_equal(ask(list, other), POLICY_NOT_ALLOWED_BY_SESSION);
    assert_int_equal(ask(list, deny), POLICY_DENIED_BY_SESSION);
    assert_int_equal(ask(list, allow), POLICY_ALLOWED);
    doc_append(a, list, (struct doc *)deny);
    assert_int_equal(ask(list, allow), POLICY_DENIED);
    assert_int_equal(ask(unclear_deny, NULL), POLICY_DENIED);
    assert_int_equal(policy_evaluate(&(struct policy_request) { .trusted = true, .action = "a:b", .resource = "*" }),
                     POLICY_ALLOWED);
    assert_int_equal(policy_evaluate(&(struct policy_request) {
                         .trusted = true, .session_policy = other, .action = "a:b", .resource = "*" }),
                     POLICY_NOT_ALLOWED_BY_SESSION);
}

static void test_words(void **state)
{
    struct policy_request q = { .arn = "arn:aws:iam::1:user/bob", .action = "sagemaker:CreateTrainingJob",
                                .resource = "arn:aws:sagemaker:r:1:training-job/x" };
    struct err err = { 0 };

    assert_int_equal(policy_allow(&q, "sagemaker", &err), -1);
    assert_string_equal(err.code, "AccessDeniedException");
    assert_string_equal(err.text,
                        "User: arn:aws:iam::1:user/bob is not authorized to perform: sagemaker:CreateTrainingJob on "
                        "resource: arn:aws:sagemaker:r:1:training-job/x because no identity-based policy allows the "
                        "sagemaker:CreateTrainingJob action");
    q.policies = policy_of("{'Effect':'Deny','Action':'*','Resource':'*'}");
    assert_int_equal(policy_allow(&q, "iam", &err), -1);
    assert_string_equal(err.code, "AccessDenied");
    assert_non_null(strstr(err.text, "with an explicit deny in an identity-based policy"));
    assert_int_equal(policy_allow(&q, "s3", &err), -1);
    assert_string_equal(err.code, "AccessDenied");
    assert_string_equal(err.text,
                        "User: arn:aws:iam::1:user/bob is not authorized to perform: sagemaker:CreateTrainingJob on "
                        "resource: \"arn:aws:sagemaker:r:1:training-job/x\" with an explicit deny in an identity-based "
                        "policy");
    q.trusted = true;
    assert_int_equal(policy_allow(&q, "s3", &err), 0);
}

static const struct {
    const char *principal;
    const char *arn, *service;
    enum policy_answer answer;
    bool named;
} knocks[] = {
    { "'Principal':{'Service':'sagemaker.amazonaws.com'}", "", "sagemaker.amazonaws.com", POLICY_ALLOWED, false },
    { "'Principal':{'Service':['ec2.amazonaws.com','sagemaker.amazonaws.com']}", "", "sagemaker.amazonaws.com",
      POLICY_ALLOWED, false },
    { "'Principal':{'Service':'ec2.amazonaws.com'}", "", "sagemaker.amazonaws.com", POLICY_NOT_ALLOWED, false },
    { "'Principal':{'Service':'sagemaker.amazonaws.com'}", "arn:aws:iam::123456789012:user/bob", "", POLICY_NOT_ALLOWED,
      false },
    { "'Principal':{'AWS':'*'}", "arn:aws:iam::123456789012:user/bob", "", POLICY_ALLOWED, false },
    { "'Principal':'*'", "arn:aws:iam::123456789012:user/bob", "", POLICY_ALLOWED, false },
    { "'Principal':{'AWS':'123456789012'}", "arn:aws:iam::123456789012:user/bob", "", POLICY_ALLOWED, false },
    { "'Principal':{'AWS':'arn:aws:iam::123456789012:root'}", "arn:aws:iam::123456789012:user/bob", "", POLICY_ALLOWED,
      false },
    { "'Principal':{'AWS':'arn:aws:iam::999999999999:root'}", "arn:aws:iam::123456789012:user/bob", "",
      POLICY_NOT_ALLOWED, false },
    { "'Principal':{'AWS':'arn:aws:iam::123456789012:user/bob'}", "arn:aws:iam::123456789012:user/bob", "",
      POLICY_ALLOWED, true },
    { "'Principal':{'AWS':'arn:aws:iam::123456789012:role/p/R'}", "arn:aws:sts::123456789012:assumed-role/R/s", "",
      POLICY_ALLOWED, true },
    { "'Principal':{'AWS':'arn:aws:iam::123456789012:role/p/RR'}", "arn:aws:sts::123456789012:assumed-role/R/s", "",
      POLICY_NOT_ALLOWED, false },
    { "'Principal':{'AWS':'arn:aws:iam::999999999999:role/R'}", "arn:aws:sts::123456789012:assumed-role/R/s", "",
      POLICY_NOT_ALLOWED, false },
    { "'NotPrincipal':{'AWS':'arn:aws:iam::123456789012:user/bob'}", "arn:aws:iam::123456789012:user/bob", "",
      POLICY_NOT_ALLOWED, false },
    { "'Sid':'nobody'", "arn:aws:iam::123456789012:user/bob", "", POLICY_NOT_ALLOWED, false },
};

static void test_knocks(void **state)
{
    for (size_t i = 0; i < sizeof knocks / sizeof *knocks; i++) {
        const struct policy_knock k = {
            .document =
                policy_of(arena_printf(a, "{'Effect':'Allow','Action':'sts:AssumeRole',%s}", knocks[i].principal)),
            .arn = knocks[i].arn,
            .account = *knocks[i].arn ? "123456789012" : "",
            .service = knocks[i].service,
            .action = "sts:AssumeRole",
            .resource = "",
        };
        bool named = false;

        if (policy_knocks(&k, &named) != knocks[i].answer || named != knocks[i].named)
            fail_msg("%s %s", knocks[i].principal, knocks[i].arn);
    }
}

static const struct {
    enum policy_kind kind;
    const char *text, *error; /* NULL: good */
} documents[] = {
    { POLICY_IDENTITY, "{'Version':'2012-10-17','Statement':{'Effect':'Allow','Action':'s3:*','Resource':'*'}}", NULL },
    { POLICY_IDENTITY,
      "{'Statement':[{'Sid':'a','Effect':'Deny','NotAction':['s3:*'],'NotResource':['arn:aws:s3:::b']}]}", NULL },
    { POLICY_TRUST,
      "{'Version':'2012-10-17','Statement':[{'Effect':'Allow','Principal':{'Service':'sagemaker.amazonaws.com'},"
      "'Action':'sts:AssumeRole'}]}",
      NULL },
    { POLICY_IDENTITY, "", "Syntax errors in policy." },
    { POLICY_IDENTITY, "[]", "Syntax errors in policy." },
    { POLICY_IDENTITY, "{'Version':'2012-10-17'}", "Syntax errors in policy." },
    { POLICY_IDENTITY, "{'Version':'2020-10-17','Statement':[]}",
      "Policy document must be version 2012-10-17 or greater." },
    { POLICY_IDENTITY, "{'Statement':[{'Action':'s3:*','Resource':'*'}]}", "Missing required field Effect" },
    { POLICY_IDENTITY, "{'Statement':[{'Effect':'Allow','Resource':'*'}]}", "Policy statement must contain actions." },
    { POLICY_IDENTITY, "{'Statement':[{'Effect':'Allow','Action':'s3:*'}]}",
      "Policy statement must contain resources." },
    { POLICY_IDENTITY, "{'Statement':[{'Effect':'Allow','Action':'s3','Resource':'*'}]}",
      "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc." },
    { POLICY_IDENTITY, "{'Statement':[{'Effect':'Allow','Action':'s3:*','Resource':'bucket'}]}",
      "Resource bucket must be in ARN format or \"*\"." },
    { POLICY_IDENTITY, "{'Statement':[{'Effect':'Allow','Action':'s3:*','Resource':'*','Principal':'*'}]}",
      "Policy document should not specify a principal." },
    { POLICY_IDENTITY,
      "{'Statement':[{'Effect':'Allow','Action':'s3:*','Resource':'*','Condition':{'Odd':{'a:b':'c'}}}]}",
      "Invalid Condition type : Odd." },
    { POLICY_TRUST, "{'Statement':[{'Effect':'Allow','Action':'sts:AssumeRole'}]}",
      "Missing required field Principal" },
    { POLICY_TRUST, "{'Statement':[{'Effect':'Allow','Action':'s3:Get','Principal':'*'}]}",
      "AssumeRole policy may only specify STS AssumeRole actions." },
    { POLICY_TRUST, "{'Statement':[{'Effect':'Allow','Action':'sts:AssumeRole','Principal':{'Bad':'x'}}]}",
      "Invalid principal in policy" },
    { POLICY_TRUST, "{'Statement':[{'Effect':'Allow','Action':'sts:AssumeRole','Principal':'*','Resource':'*'}]}",
      "Has prohibited field Resource" },
};

static void test_parse(void **state)
{
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        char *text = arena_strdup(a, documents[i].text);
        struct doc *d;
        struct err err = { 0 };
        int rc;

        for (char *p = text; *p; p++)
            if (*p == '\'')
                *p = '"';
        rc = policy_parse(a, str_of(text), documents[i].kind, &d, &err);
        if ((rc < 0) != (documents[i].error != NULL))
            fail_msg("%s: %s", text, err.text);
        if (rc < 0) {
            assert_string_equal(err.code, "MalformedPolicyDocument");
            assert_string_equal(err.text, documents[i].error);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_actions_and_resources), cmocka_unit_test(test_conditions), cmocka_unit_test(test_order),
        cmocka_unit_test(test_words), cmocka_unit_test(test_knocks), cmocka_unit_test(test_parse),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
