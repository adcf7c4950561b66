"""IAM and STS with boto3: users, keys, roles, policies that are evaluated, temporary credentials."""
import datetime
import json

import botocore.exceptions
import pytest


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def trust(**principal):
    return document({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})


def refused(code, function, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as info:
        function(**arguments)
    error = info.value.response["Error"]
    assert error["Code"] == code, error
    return error["Message"]


def as_key(aws, key):
    """Clients that sign with this key: of CreateAccessKey, or the Credentials of a session."""
    def client(service):
        return aws(service, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"],
                   aws_session_token=key.get("SessionToken"))
    return client


@pytest.fixture
def user(aws, unique):
    iam = aws("iam")
    iam.create_user(UserName=unique)
    key = iam.create_access_key(UserName=unique)["AccessKey"]
    yield as_key(aws, key)
    for name in iam.list_user_policies(UserName=unique)["PolicyNames"]:
        iam.delete_user_policy(UserName=unique, PolicyName=name)
    for policy in iam.list_attached_user_policies(UserName=unique)["AttachedPolicies"]:
        iam.detach_user_policy(UserName=unique, PolicyArn=policy["PolicyArn"])
    for key in iam.list_access_keys(UserName=unique)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=unique, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=unique)


def job(role, name="j"):
    return dict(TrainingJobName=name, RoleArn=role,
                AlgorithmSpecification={"TrainingImage": "x", "TrainingInputMode": "File"},
                OutputDataConfig={"S3OutputPath": "s3://b/o"}, StoppingCondition={"MaxRuntimeInSeconds": 60},
                ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1})


def test_the_first_key_is_a_session_of_the_execution_role(aws):
    identity = aws("sts").get_caller_identity()
    assert identity["Arn"].endswith(":assumed-role/SagebrushExecutionRole/local")
    role = aws("iam").get_role(RoleName="SagebrushExecutionRole")["Role"]
    assert role["Arn"] == f"arn:aws:iam::{identity['Account']}:role/SagebrushExecutionRole"
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"] == "sagemaker.amazonaws.com"
    assert identity["UserId"].startswith(role["RoleId"] + ":")


def test_a_key_without_policies_may_nothing(user, aws, unique):
    account = aws("sts").get_caller_identity()["Account"]
    assert user("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{account}:user/{unique}"
    sagemaker = user("sagemaker")
    message = refused("AccessDeniedException", sagemaker.describe_training_job, TrainingJobName="j")
    assert message == (f"User: arn:aws:iam::{account}:user/{unique} is not authorized to perform: "
                       "sagemaker:DescribeTrainingJob on resource: "
                       f"arn:aws:sagemaker:{sagemaker.meta.region_name}:{account}:training-job/j because no "
                       "identity-based policy allows the sagemaker:DescribeTrainingJob action")
    assert refused("AccessDenied", user("s3").list_buckets)
    assert refused("AccessDenied", user("iam").list_users)


def test_a_key_limited_to_reading_one_bucket_cannot_train(user, aws, unique):
    s3 = aws("s3")
    s3.create_bucket(Bucket=unique)
    s3.create_bucket(Bucket=unique + "-other")
    s3.put_object(Bucket=unique, Key="k", Body=b"hello")
    s3.put_object(Bucket=unique + "-other", Key="k", Body=b"hello")
    aws("iam").put_user_policy(UserName=unique, PolicyName="p", PolicyDocument=document(
        allow("s3:Get*", [f"arn:aws:s3:::{unique}", f"arn:aws:s3:::{unique}/*"])))
    assert user("s3").get_object(Bucket=unique, Key="k")["Body"].read() == b"hello"
    account = aws("sts").get_caller_identity()["Account"]
    assert refused("AccessDenied", user("s3").get_object, Bucket=unique + "-other", Key="k") == (
        f"User: arn:aws:iam::{account}:user/{unique} is not authorized to perform: s3:GetObject on resource: "
        f"\"arn:aws:s3:::{unique}-other/k\" because no identity-based policy allows the s3:GetObject action")
    refused("AccessDenied", user("s3").put_object, Bucket=unique, Key="k2", Body=b"x")
    role = aws("iam").get_role(RoleName="SagebrushExecutionRole")["Role"]["Arn"]
    refused("AccessDeniedException", user("sagemaker").create_training_job, **job(role, unique))


def test_pass_role(user, aws, unique):
    iam = aws("iam")
    role = iam.get_role(RoleName="SagebrushExecutionRole")["Role"]["Arn"]
    iam.put_user_policy(UserName=unique, PolicyName="p", PolicyDocument=document(allow("sagemaker:*")))
    message = refused("AccessDeniedException", user("sagemaker").create_model, ModelName=unique, ExecutionRoleArn=role,
                      PrimaryContainer={"Image": "x"})
    assert "iam:PassRole" in message and role in message
    iam.put_user_policy(UserName=unique, PolicyName="p", PolicyDocument=document(
        allow("sagemaker:*"),
        allow("iam:PassRole", Condition={"StringEquals": {"iam:PassedToService": "glue.amazonaws.com"}})))
    refused("AccessDeniedException", user("sagemaker").create_model, ModelName=unique, ExecutionRoleArn=role,
            PrimaryContainer={"Image": "x"})
    iam.put_user_policy(UserName=unique, PolicyName="p", PolicyDocument=document(
        allow("sagemaker:*"),
        allow("iam:PassRole", Condition={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}})))
    user("sagemaker").create_model(ModelName=unique, ExecutionRoleArn=role, PrimaryContainer={"Image": "x"})
    user("sagemaker").delete_model(ModelName=unique)


def test_a_role_that_does_not_trust_sagemaker(aws, unique):
    role = aws("iam").create_role(RoleName=unique, AssumeRolePolicyDocument=trust(Service="ec2.amazonaws.com"))["Role"]
    message = refused("ValidationException", aws("sagemaker").create_training_job, **job(role["Arn"], unique))
    assert "Could not assume role" in message
    aws("iam").delete_role(RoleName=unique)


def test_an_explicit_deny_wins(user, aws, unique):
    iam = aws("iam")
    iam.attach_user_policy(UserName=unique, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    user("sagemaker").list_models()
    iam.put_user_policy(UserName=unique, PolicyName="no", PolicyDocument=document(
        {"Effect": "Deny", "Action": "sagemaker:List*", "Resource": "*"}))
    assert "with an explicit deny" in refused("AccessDeniedException", user("sagemaker").list_models)


DENIES = [
    ({"ForAnyValue:StringNotLike": {"sagemaker:InstanceTypes": ["ml.m5.*"]}},
     {"ResourceConfig": {"InstanceType": "ml.c5.xlarge"}}),
    ({"NumericGreaterThan": {"sagemaker:MaxRuntimeInSeconds": "3600"}}, {"StoppingCondition": {}}),
    ({"NumericGreaterThan": {"sagemaker:KeepAlivePeriod": "0"}}, {"ResourceConfig": {"KeepAlivePeriodInSeconds": 60}}),
    ({"Bool": {"sagemaker:NetworkIsolation": "false"}}, {"EnableNetworkIsolation": False}),
    ({"Bool": {"sagemaker:InterContainerTrafficEncryption": "false"}},
     {"EnableInterContainerTrafficEncryption": False}),
    ({"StringNotEquals": {"sagemaker:FileSystemId": "fs-00000001"}}, {"InputDataConfig": [
        {"ChannelName": "c", "DataSource": {"FileSystemDataSource": {
            "FileSystemId": "fs-00000002", "FileSystemAccessMode": "ro", "FileSystemType": "EFS",
            "DirectoryPath": "/"}}}]}),
    ({"ForAnyValue:StringNotEquals": {"sagemaker:VpcSubnets": ["subnet-1", "subnet-2"]}},
     {"VpcConfig": {"Subnets": ["subnet-1", "subnet-3"]}}),
    ({"ForAnyValue:StringNotEquals": {"sagemaker:VpcSecurityGroupIds": ["sg-1"]}},
     {"VpcConfig": {"SecurityGroupIds": ["sg-2"]}}),
]


@pytest.mark.parametrize("condition, change", DENIES)
def test_a_policy_knows_what_a_job_asks_for(user, aws, unique, condition, change):
    iam, sm = aws("iam"), user("sagemaker")
    iam.attach_user_policy(UserName=unique, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.put_user_policy(UserName=unique, PolicyName="no", PolicyDocument=document(
        {"Effect": "Deny", "Action": "sagemaker:*", "Resource": "*", "Condition": condition}))
    fine = job("arn:aws:iam::123456789012:role/nobodys", unique)
    fine.update(EnableNetworkIsolation=True, EnableInterContainerTrafficEncryption=True, InputDataConfig=[
        {"ChannelName": "c", "DataSource": {"FileSystemDataSource": {
            "FileSystemId": "fs-00000001", "FileSystemAccessMode": "ro", "FileSystemType": "EFS",
            "DirectoryPath": "/"}}}], VpcConfig={"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]})
    bad = {**fine, **{k: {**fine[k], **v} if isinstance(v, dict) and v else v for k, v in change.items()}}
    assert "with an explicit deny" in refused("AccessDeniedException", sm.create_training_job, **bad)
    # What is wrong with the other is told by whoever comes after the policies.
    refused("ValidationException", sm.create_training_job, **fine)


@pytest.mark.parametrize("key", ["aws:ResourceTag/stage", "sagemaker:ResourceTag/stage"])
def test_a_policy_knows_the_tags_of_what_is_asked_for(user, aws, unique, key):
    role = aws("iam").get_role(RoleName="SagebrushExecutionRole")["Role"]["Arn"]
    aws("iam").put_user_policy(UserName=unique, PolicyName="no", PolicyDocument=document(
        allow("sagemaker:*"),
        {"Effect": "Deny", "Action": ["sagemaker:Delete*", "sagemaker:DeleteTags"], "Resource": "*",
                               "Condition": {"StringEquals": {key: "prod"}}}))
    own, sm = aws("sagemaker"), user("sagemaker")
    arn = own.create_model(ModelName=unique, ExecutionRoleArn=role,
                           PrimaryContainer={"Image": "sagemaker-xgboost:1.7-1"},
                           Tags=[{"Key": "stage", "Value": "prod"}])["ModelArn"]
    assert "with an explicit deny" in refused("AccessDeniedException", sm.delete_model, ModelName=unique)
    assert "with an explicit deny" in refused("AccessDeniedException", sm.delete_tags, ResourceArn=arn,
                                              TagKeys=["stage"])
    sm.describe_model(ModelName=unique)
    own.add_tags(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "test"}])
    sm.delete_model(ModelName=unique)


def test_who_may_not_give_himself_a_priority(user, aws, unique):
    """The policy of docs/manual/fleet.md: neither when a job is created nor afterwards."""
    role = aws("iam").get_role(RoleName="SagebrushExecutionRole")["Role"]["Arn"]
    aws("iam").put_user_policy(UserName=unique, PolicyName="no", PolicyDocument=document(
        allow(["sagemaker:*", "iam:PassRole"]),
        {"Effect": "Deny", "Action": ["sagemaker:Create*", "sagemaker:AddTags"], "Resource": "*",
         "Condition": {"Null": {"aws:RequestTag/sagebrush:priority": "false"}}},
        {"Effect": "Deny", "Action": "sagemaker:DeleteTags", "Resource": "*",
         "Condition": {"ForAnyValue:StringLike": {"aws:TagKeys": "sagebrush:*"}}}))
    own, sm = aws("sagemaker"), user("sagemaker")
    model = dict(ModelName=unique, ExecutionRoleArn=role, PrimaryContainer={"Image": "sagemaker-xgboost:1.7-1"})
    mine, urgent = {"Key": "sagebrush:owner", "Value": "red"}, {"Key": "sagebrush:priority", "Value": "9"}
    refused("ValidationException", own.create_training_job, **job(role, unique),
            Tags=[{**urgent, "Key": "sagebrush:priorty"}])
    for tags in ([urgent], [mine, urgent]):
        assert "with an explicit deny" in refused("AccessDeniedException", sm.create_training_job, **job(role, unique),
                                                  Tags=tags)
    arn = sm.create_model(**model, Tags=[mine])["ModelArn"]
    assert "with an explicit deny" in refused("AccessDeniedException", sm.add_tags, ResourceArn=arn, Tags=[urgent])
    assert "with an explicit deny" in refused("AccessDeniedException", sm.delete_tags, ResourceArn=arn,
                                              TagKeys=["x", "sagebrush:owner"])
    sm.delete_tags(ResourceArn=arn, TagKeys=["x"])
    assert "did you mean sagebrush:priority" in refused("ValidationException", own.add_tags, ResourceArn=arn,
                                                        Tags=[{**urgent, "Key": "sagebrush:Priority"}])
    own.add_tags(ResourceArn=arn, Tags=[urgent])
    assert own.list_tags(ResourceArn=arn)["Tags"] == [mine, urgent]
    sm.delete_model(ModelName=unique)


def test_keys_are_made_inactive_and_deleted(user, aws, unique):
    iam = aws("iam")
    second = iam.create_access_key(UserName=unique)["AccessKey"]
    other = as_key(aws, second)
    other("sts").get_caller_identity()
    refused("LimitExceeded", iam.create_access_key, UserName=unique)
    iam.update_access_key(UserName=unique, AccessKeyId=second["AccessKeyId"], Status="Inactive")
    refused("InvalidClientTokenId", other("sts").get_caller_identity)
    iam.update_access_key(UserName=unique, AccessKeyId=second["AccessKeyId"], Status="Active")
    other("sts").get_caller_identity()
    iam.delete_access_key(UserName=unique, AccessKeyId=second["AccessKeyId"])
    refused("InvalidClientTokenId", other("sts").get_caller_identity)
    refused("UnrecognizedClientException", other("sagemaker").list_models)
    refused("InvalidAccessKeyId", other("s3").list_buckets)
    wrong = as_key(aws, {"AccessKeyId": iam.list_access_keys(UserName=unique)["AccessKeyMetadata"][0]["AccessKeyId"],
                         "SecretAccessKey": "x" * 40})
    refused("SignatureDoesNotMatch", wrong("sts").get_caller_identity)
    refused("InvalidSignatureException", wrong("sagemaker").list_models)
    refused("SignatureDoesNotMatch", wrong("s3").list_buckets)


def test_assume_role(user, aws, unique):
    iam = aws("iam")
    account = aws("sts").get_caller_identity()["Account"]
    role = iam.create_role(RoleName=unique, AssumeRolePolicyDocument=trust(AWS=f"arn:aws:iam::{account}:user/{unique}"),
                           MaxSessionDuration=7200)["Role"]
    iam.put_role_policy(RoleName=unique, PolicyName="p", PolicyDocument=document(allow(["s3:*", "iam:Get*"])))
    refused("AccessDenied", aws("sts").assume_role, RoleArn=role["Arn"] + "x", RoleSessionName="me")
    answer = user("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="me", DurationSeconds=900)
    left = answer["Credentials"]["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(minutes=14) < left <= datetime.timedelta(minutes=15)
    session = as_key(aws, answer["Credentials"])
    assert session("sts").get_caller_identity()["Arn"] == f"arn:aws:sts::{account}:assumed-role/{unique}/me"
    session("s3").list_buckets()
    refused("AccessDenied", session("iam").list_users)
    refused("AccessDeniedException", session("sagemaker").list_models)
    narrow = as_key(aws, user("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="me",
                                                 Policy=document(allow("iam:GetRole")))["Credentials"])
    narrow("iam").get_role(RoleName=unique)
    refused("AccessDenied", narrow("s3").list_buckets)
    refused("ValidationError", user("sts").assume_role, RoleArn=role["Arn"], RoleSessionName="me", DurationSeconds=9000)
    forged = dict(answer["Credentials"], SessionToken=answer["Credentials"]["SessionToken"][:-8] + "AAAAAAA=")
    refused("InvalidClientTokenId", as_key(aws, forged)("sts").get_caller_identity)
    refused("InvalidToken", as_key(aws, forged)("s3").list_buckets)
    without = {k: v for k, v in answer["Credentials"].items() if k != "SessionToken"}
    refused("InvalidClientTokenId", as_key(aws, without)("sts").get_caller_identity)
    # The rights of a session are those its role has now.
    iam.put_role_policy(RoleName=unique, PolicyName="p", PolicyDocument=document(allow("sagemaker:ListModels")))
    session("sagemaker").list_models()
    refused("AccessDenied", session("s3").list_buckets)
    iam.delete_role_policy(RoleName=unique, PolicyName="p")
    iam.delete_role(RoleName=unique)
    refused("AccessDeniedException", session("sagemaker").list_models)


def test_session_token(user, aws, unique):
    session = as_key(aws, user("sts").get_session_token()["Credentials"])
    assert session("sts").get_caller_identity()["Arn"].endswith(":user/" + unique)
    aws("iam").put_user_policy(UserName=unique, PolicyName="p", PolicyDocument=document(allow("sagemaker:ListModels")))
    session("sagemaker").list_models()


def test_managed_policies_in_versions(user, aws, unique):
    iam = aws("iam")
    arn = iam.create_policy(PolicyName=unique, PolicyDocument=document(allow("sagemaker:ListModels")))["Policy"]["Arn"]
    iam.attach_user_policy(UserName=unique, PolicyArn=arn)
    user("sagemaker").list_models()
    iam.create_policy_version(PolicyArn=arn, SetAsDefault=True,
                              PolicyDocument=document(allow("sagemaker:ListEndpoints")))
    user("sagemaker").list_endpoints()
    refused("AccessDeniedException", user("sagemaker").list_models)
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert version["Document"]["Statement"][0]["Action"] == "sagemaker:ListModels" and not version["IsDefaultVersion"]
    refused("DeleteConflict", iam.delete_policy, PolicyArn=arn)
    iam.detach_user_policy(UserName=unique, PolicyArn=arn)
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy(PolicyArn=arn)
    refused("NoSuchEntity", iam.get_policy, PolicyArn=arn)


def test_lists_have_pages(aws, unique):
    iam = aws("iam")
    for i in range(5):
        iam.create_role(RoleName=f"{unique}-{i}", Path=f"/{unique}/", AssumeRolePolicyDocument=trust(AWS="*"))
    pages = iam.get_paginator("list_roles").paginate(PathPrefix=f"/{unique}/", PaginationConfig={"PageSize": 2})
    names = [role["RoleName"] for page in pages for role in page["Roles"]]
    assert names == [f"{unique}-{i}" for i in range(5)]
    for name in names:
        iam.delete_role(RoleName=name)


def test_bad_documents(aws, unique):
    iam = aws("iam")
    refused("MalformedPolicyDocument", iam.create_policy, PolicyName=unique, PolicyDocument="{")
    refused("MalformedPolicyDocument", iam.create_policy, PolicyName=unique, PolicyDocument=document(allow("nothing")))
    refused("MalformedPolicyDocument", iam.create_role, RoleName=unique,
            AssumeRolePolicyDocument=document(allow("s3:*")))


def test_tags(aws, unique):
    iam = aws("iam")
    iam.create_role(RoleName=unique, AssumeRolePolicyDocument=trust(AWS="*"), Tags=[{"Key": "a", "Value": "1"}])
    iam.tag_role(RoleName=unique, Tags=[{"Key": "b", "Value": "2"}])
    iam.untag_role(RoleName=unique, TagKeys=["a"])
    assert iam.list_role_tags(RoleName=unique)["Tags"] == [{"Key": "b", "Value": "2"}]
    assert iam.get_role(RoleName=unique)["Role"]["Tags"] == [{"Key": "b", "Value": "2"}]
    iam.delete_role(RoleName=unique)


def test_a_deny_of_oneself_holds_without_the_name(user, aws, unique):
    me = aws("iam").get_user(UserName=unique)["User"]["Arn"]
    aws("iam").put_user_policy(UserName=unique, PolicyName="p", PolicyDocument=document(
        allow("iam:*"), {"Effect": "Deny", "Action": "iam:CreateAccessKey", "Resource": me}))
    refused("AccessDenied", user("iam").create_access_key, UserName=unique)
    refused("AccessDenied", user("iam").create_access_key)
