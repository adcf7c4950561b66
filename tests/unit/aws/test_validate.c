#include "aws/validate.h"
#include "doc/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct arena *arena;
static struct err err;

static int setup(void **state)
{
    arena = arena_new();
    return 0;
}

static int teardown(void **state)
{
    arena_free(arena);
    return 0;
}

static int check(const char *service, const char *operation, const char *json)
{
    struct doc *input;

    assert_int_equal(json_parse(arena, str_of(json), &input, &err), 0);
    err = (struct err){ 0 };
    return validate(arena, model_operation(model_service(service), str_of(operation)), input, &err);
}

static void refuses(const char *service, const char *operation, const char *json, const char *code, const char *text)
{
    assert_int_equal(check(service, operation, json), -1);
    assert_string_equal(err.code, code);
    assert_string_equal(err.text, text);
}

#define GOOD_JOB \
    "\"AlgorithmSpecification\":{\"TrainingInputMode\":\"File\"},\"RoleArn\":\"arn:aws:iam::123456789012:role/r\"," \
    "\"OutputDataConfig\":{\"S3OutputPath\":\"s3://b/p\"},\"StoppingCondition\":{}"

static void a_good_input_passes(void **state)
{
    assert_int_equal(check("sagemaker", "CreateTrainingJob", "{\"TrainingJobName\":\"a-1\"," GOOD_JOB "}"), 0);
    assert_int_equal(check("sagemaker", "ListTrainingJobs", "{}"), 0);
    assert_int_equal(check("sagemaker", "ListTrainingJobs", "{\"Nonsense\":{\"x\":1},\"NextToken\":null}"), 0);
}

static void every_violation_is_told(void **state)
{
    refuses("sagemaker", "DescribeTrainingJob", "{}", "ValidationException",
            "1 validation error detected: Value null at 'trainingJobName' failed to satisfy constraint: Member must "
            "not be null");
    refuses("sagemaker", "DescribeTrainingJob", "{\"TrainingJobName\":\"a_b\"}", "ValidationException",
            "1 validation error detected: Value 'a_b' at 'trainingJobName' failed to satisfy constraint: Member must "
            "satisfy "
            "regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}");
    refuses("sagemaker", "CreateTrainingJob",
            "{\"TrainingJobName\":\"\",\"ResourceConfig\":{\"InstanceType\":\"ml.none\",\"InstanceCount\":-1,"
            "\"VolumeSizeInGB\":0}," GOOD_JOB "}",
            "ValidationException", err.text);
    assert_true(text_starts(err.text,
                            "4 validation errors detected: Value '' at 'trainingJobName' failed to satisfy constraint: "
                            "Member must have length greater than or equal to 1; Value '' at 'trainingJobName' "));
    assert_non_null(strstr(err.text,
                           "; Value '-1' at 'resourceConfig.instanceCount' failed to satisfy constraint: Member must "
                           "have value greater than or equal to 0"));
    assert_non_null(strstr(err.text,
                           "; Value 'ml.none' at 'resourceConfig.instanceType' failed to satisfy constraint: Member "
                           "must satisfy enum value set: [ml.m4.xlarge, "));
}

/* Where it is read, before a list of hundreds; what AWS says stays whole behind it. */
static void what_was_meant_is_told_first(void **state)
{
    refuses("sagemaker", "CreateTrainingJob",
            "{\"TrainingJobName\":\"a\",\"ResourceConfig\":{\"InstanceType\":\"ml.m5.lrage\",\"InstanceCount\":1,"
            "\"VolumeSizeInGB\":1}," GOOD_JOB "}",
            "ValidationException", err.text);
    assert_true(text_starts(err.text,
                            "Did you mean ml.m5.large at 'resourceConfig.instanceType'? 1 validation error detected: "
                            "Value 'ml.m5.lrage' at 'resourceConfig.instanceType' failed to satisfy constraint: Member "
                            "must satisfy enum value set: [ml.m4.xlarge, "));
    assert_true(text_ends(err.text, "]"));
    refuses("sagemaker", "CreateTrainingJob",
            "{\"TrainingJobName\":\"a\",\"ResourceConfig\":{\"InstanceType\":\"m5.large\",\"InstanceCount\":1,"
            "\"VolumeSizeInGB\":1}," GOOD_JOB "}",
            "ValidationException", err.text);
    assert_true(text_starts(err.text,
                            "Did you mean ml.m5.large at 'resourceConfig.instanceType'? 1 validation error detected: "
                            "Value 'm5.large' at "));
}

static void paths_go_through_lists_and_maps(void **state)
{
    refuses("sagemaker", "CreateTrainingJob",
            "{\"TrainingJobName\":\"a\",\"InputDataConfig\":[{\"ChannelName\":\"x\",\"DataSource\":{}},{"
            "\"ChannelName\":\"b "
            "d\",\"DataSource\":{\"S3DataSource\":{\"S3DataType\":\"S3Prefix\"}}}]," GOOD_JOB "}",
            "ValidationException",
            "2 validation errors detected: Value 'b d' at 'inputDataConfig.2.member.channelName' failed to satisfy "
            "constraint: "
            "Member must satisfy regular expression pattern: [A-Za-z0-9\\.\\-_]+; Value null at "
            "'inputDataConfig.2.member.dataSource.s3DataSource.s3Uri' failed to satisfy constraint: Member must not be "
            "null");
}

/* The wording of SageMaker's own answer to a hyperparameter that is too long. */
static void a_map_recites_its_constraints(void **state)
{
    char json[4000], value[2600];

    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = '\0';
    snprintf(json, sizeof json,
             "{\"TrainingJobName\":\"a\",\"HyperParameters\":{\"k\":\"%s\",\"l\":\"2\"}," GOOD_JOB "}", value);
    assert_int_equal(check("sagemaker", "CreateTrainingJob", json), -1);
    assert_true(text_starts(err.text, "1 validation error detected: Value '{k=vvv"));
    assert_true(text_ends(err.text,
                          "vvv...' at 'hyperParameters' failed to satisfy constraint: Map value must satisfy "
                          "constraint: [Member must have length less than or equal to 2500, Member must have length "
                          "greater than or equal to 0, Member must satisfy regular expression pattern: .*]"));
}

static void lengths_count_characters(void **state)
{
    /* 256 of them are 512 bytes. */
    char json[1000] = "{\"ResourceArn\":\"arn:aws:sagemaker:us-east-1:123456789012:training-job/"
                      "a\",\"Tags\":[{\"Key\":\"k\",\"Value\":\"";

    for (int i = 0; i < 256; i++)
        strcat(json, "é");
    strcat(json, "\"}]}");
    assert_int_equal(check("sagemaker", "AddTags", json), 0);
}

static void secrets_are_not_echoed(void **state)
{
    assert_int_equal(
        check("sagemaker", "CreateWorkforce",
              "{\"WorkforceName\":\"w\",\"OidcConfig\":{\"ClientId\":\"c\",\"ClientSecret\":\"hush \\u00e9\","
              "\"Issuer\":\"i\",\"AuthorizationEndpoint\":\"https://x\",\"TokenEndpoint\":\"https://x\","
              "\"UserInfoEndpoint\":\"https://x\",\"LogoutEndpoint\":\"https://x\",\"JwksUri\":\"https://x\"}}"),
        -1);
    assert_null(strstr(err.text, "hush"));
    assert_non_null(strstr(err.text, "Value '***Sensitive information***' at 'oidcConfig.clientSecret'"));
}

static void a_wrong_type_is_no_validation_error(void **state)
{
    refuses("sagemaker", "DescribeTrainingJob", "{\"TrainingJobName\":[]}", "SerializationException",
            "the value at 'trainingJobName' is not a String");
}

static void services_have_their_own_codes(void **state)
{
    refuses("iam", "GetUser", "{\"UserName\":\"\"}", "ValidationError", err.text);
    refuses("s3", "PutBucketVersioning", "{\"Bucket\":\"b\",\"VersioningConfiguration\":{\"Status\":\"Maybe\"}}",
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema");
    refuses("s3", "PutObject", "{\"Bucket\":\"b\",\"Key\":\"k\",\"ACL\":\"everybody\"}", "InvalidArgument", err.text);
    assert_int_equal(check("s3", "PutObject", "{\"Bucket\":\"b\",\"Key\":\"\"}"), 0);
    assert_int_equal(check("s3", "CreateBucket",
                           "{\"Bucket\":\"b\",\"CreateBucketConfiguration\":{\"LocationConstraint\":\"here\"}}"),
                     0);
}

static void a_thousand_violations_are_counted(void **state)
{
    _cleanup_buf_ struct buf b = { 0 };

    buf_append_str(&b, "{\"ResourceArn\":\"arn:aws:sagemaker:us-east-1:123456789012:training-job/a\",\"Tags\":[");
    for (int i = 0; i < 1000; i++)
        buf_append_str(&b, i ? ",{}" : "{}");
    buf_append_str(&b, "]}");
    assert_int_equal(check("sagemaker", "AddTags", b.data), -1);
    assert_true(text_starts(err.text, "2001 validation errors detected: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_input_passes),
        cmocka_unit_test(every_violation_is_told),
        cmocka_unit_test(what_was_meant_is_told_first),
        cmocka_unit_test(paths_go_through_lists_and_maps),
        cmocka_unit_test(a_map_recites_its_constraints),
        cmocka_unit_test(lengths_count_characters),
        cmocka_unit_test(secrets_are_not_echoed),
        cmocka_unit_test(a_wrong_type_is_no_validation_error),
        cmocka_unit_test(services_have_their_own_codes),
        cmocka_unit_test(a_thousand_violations_are_counted),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
