"""The main job with boto3: put a CSV, train, deploy, invoke; and what must go wrong clearly."""
import datetime
import io
import json
import re
import tarfile

import botocore.exceptions
import pytest

from conftest import ended, wait_for
from jobs import request as plain_request

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"


def data(rows=200):
    """Rows of a rule that a tree finds: the label is whether the first two features add up to more than one."""
    lines = []
    for i in range(rows):
        a, b, c = (i * 37 % 101) / 100, (i * 53 % 103) / 100, (i * 11 % 7) / 7
        lines.append(f"{int(a + b > 1)},{a},{b},{c}")
    return "\n".join(lines) + "\n"


def training(name, role, bucket, **changes):
    """Of the built-in XGBoost."""
    plain = plain_request(name, role, bucket, AlgorithmSpecification={"TrainingImage": IMAGE}, InputDataConfig=[
        {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/train/", "S3DataDistributionType": "FullyReplicated"}}}])
    return {**plain, "HyperParameters": {"objective": "binary:logistic", "num_round": "10", "eval_metric": "logloss"},
            **changes}


@pytest.fixture
def trained(aws, role, bucket, unique):
    aws("s3").put_object(Bucket=bucket, Key="train/data.csv", Body=data().encode())
    sm = aws("sagemaker")
    sm.create_training_job(**training(unique, role, bucket))
    return ended(aws, unique)


def test_train_deploy_invoke(aws, role, bucket, unique, trained):
    sm, s3 = aws("sagemaker"), aws("s3")
    assert trained["TrainingJobStatus"] == "Completed", trained.get("FailureReason")
    assert [t["Status"] for t in trained["SecondaryStatusTransitions"]] == [
        "Starting", "Starting", "Downloading", "Training", "Uploading", "Completed"] or \
        [t["Status"] for t in trained["SecondaryStatusTransitions"]] == [
        "Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(t["StatusMessage"] for t in trained["SecondaryStatusTransitions"])
    assert trained["BillableTimeInSeconds"] >= 1
    downloading = [t for t in trained["SecondaryStatusTransitions"] if t["Status"] == "Downloading"][0]
    assert trained["TrainingStartTime"] == downloading["StartTime"], "the download is billed"
    url = trained["ModelArtifacts"]["S3ModelArtifacts"]
    assert url == f"s3://{bucket}/out/{unique}/output/model.tar.gz"
    body = s3.get_object(Bucket=bucket, Key=url.split("/", 3)[3])["Body"].read()
    assert tarfile.open(fileobj=io.BytesIO(body)).getnames() == ["xgboost-model"]

    sm.create_model(ModelName=unique, ExecutionRoleArn=role, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": url})
    sm.create_endpoint_config(EndpointConfigName=unique, ProductionVariants=[{
        "VariantName": "AllTraffic", "ModelName": unique, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1,
        "InitialVariantWeight": 1}])
    sm.create_endpoint(EndpointName=unique, EndpointConfigName=unique)
    sm.get_waiter("endpoint_in_service").wait(EndpointName=unique, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    runtime = aws("sagemaker-runtime")
    answer = runtime.invoke_endpoint(EndpointName=unique, ContentType="text/csv", Body="0.9,0.9,0.1\n0.1,0.1,0.1\n")
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    high, low = (float(x) for x in answer["Body"].read().decode().replace("\n", ",").strip(",").split(","))
    assert high > 0.5 > low

    # The SDK deletes what the endpoint was made of before the endpoint itself.
    sm.delete_endpoint_config(EndpointConfigName=unique)
    sm.delete_model(ModelName=unique)
    assert runtime.invoke_endpoint(EndpointName=unique, ContentType="text/csv", Body="0.9,0.9,0.1")["Body"].read()
    sm.delete_endpoint(EndpointName=unique)

    def gone():
        try:
            sm.describe_endpoint(EndpointName=unique)
        except botocore.exceptions.ClientError as e:
            assert e.response["Error"]["Code"] == "ValidationException"
            assert "Could not find endpoint" in e.response["Error"]["Message"]
            return True
    wait_for(gone, 60, "the end of the endpoint", 0.1)
    with pytest.raises(botocore.exceptions.ClientError) as e:
        runtime.invoke_endpoint(EndpointName=unique, ContentType="text/csv", Body="0.9,0.9,0.1")
    assert e.value.response["Error"]["Code"] == "ValidationError"


def test_the_algorithm_brings_its_metrics(aws, role, bucket, unique):
    aws("s3").put_object(Bucket=bucket, Key="train/data.csv", Body=data().encode())
    sm = aws("sagemaker")
    request = training(unique, role, bucket)
    request["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "mine", "Regex": r"train-logloss:(\S+)"}]
    sm.create_training_job(**request)
    shown = {m["Name"]: m["Regex"] for m in sm.describe_training_job(TrainingJobName=unique)["AlgorithmSpecification"][
        "MetricDefinitions"]}
    assert shown["mine"] == r"train-logloss:(\S+)"
    assert shown["validation:auc"].startswith(r".*\[[0-9]+\].*#011validation-auc:")
    final = {m["MetricName"]: m["Value"] for m in ended(aws, unique)["FinalMetricDataList"]}
    assert final.keys() == {"mine", "train:logloss"} and final["mine"] == final["train:logloss"]
    seen = aws("cloudwatch").list_metrics(Namespace="/aws/sagemaker/TrainingJobs",
                                          Dimensions=[{"Name": "TrainingJobName", "Value": unique}])["Metrics"]
    assert {m["MetricName"] for m in seen} == final.keys()


def test_a_metric_definition_that_is_no_expression(aws, role, bucket, unique):
    request = training(unique, role, bucket)
    request["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "broken", "Regex": "loss=("}]
    with pytest.raises(aws("sagemaker").exceptions.ClientError, match="The metric definition broken is not valid"):
        aws("sagemaker").create_training_job(**request)


def test_a_short_job_has_its_use_measured(aws, unique, trained):
    cloudwatch = aws("cloudwatch")
    host = [{"Name": "Host", "Value": f"{unique}/algo-1"}]

    def maximum(name):
        points = cloudwatch.get_metric_statistics(
            Namespace="/aws/sagemaker/TrainingJobs", MetricName=name, Dimensions=host, Period=60,
            StartTime=trained["CreationTime"] - datetime.timedelta(minutes=1),
            EndTime=trained["TrainingEndTime"] + datetime.timedelta(minutes=1), Statistics=["Maximum"])["Datapoints"]
        return max(point["Maximum"] for point in points)
    assert maximum("CPUUtilization") > 0
    assert 0 < maximum("MemoryUtilization") <= 100
    assert 0 < maximum("DiskUtilization") <= 100


def test_logs_are_there(aws, unique, trained):
    logs = aws("logs")
    group = "/aws/sagemaker/TrainingJobs"

    def messages():
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=unique + "/")["logStreams"]
        events = [logs.get_log_events(logGroupName=group, logStreamName=s["logStreamName"],
                                      startFromHead=True)["events"]
                  for s in streams]
        text = [e["message"] for one in events for e in one]
        return text if any("train-logloss" in m for m in text) else None
    text = wait_for(messages, 60, "the log line")
    assert any("This is libxgboost 1." in m and m.endswith(", in the place of sagemaker-xgboost:1.7-1.") for m in text)


def test_a_bad_hyperparameter_is_the_failure_reason(aws, role, bucket, unique):
    aws("s3").put_object(Bucket=bucket, Key="train/data.csv", Body=data().encode())
    sm = aws("sagemaker")
    sm.create_training_job(**training(unique, role, bucket, HyperParameters={"num_round": "-3"}))
    job = ended(aws, unique)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Hyperparameter num_round"), job["FailureReason"]
    assert job["FailureReason"].endswith(", exit code: 1")


def test_a_missing_image_is_named(aws, role, bucket, unique):
    aws("s3").put_object(Bucket=bucket, Key="train/data.csv", Body=data().encode())
    sm = aws("sagemaker")
    sm.create_training_job(**training(unique, role, bucket, AlgorithmSpecification={
        "TrainingImage": "nobody/has-this:1", "TrainingInputMode": "File"}))
    job = ended(aws, unique)
    assert job["TrainingJobStatus"] == "Failed"
    assert "has-this" in job["FailureReason"]


def test_missing_data_is_named(aws, role, bucket, unique):
    sm = aws("sagemaker")
    sm.create_training_job(**training(unique, role, bucket))
    job = ended(aws, unique)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Data download failed: No S3 objects found under S3 URL "
                                           f'"s3://{bucket}/train/" given in input data source. Please ensure')


def test_a_missing_output_bucket_is_told_before_the_training(aws, role, bucket, unique):
    aws("s3").put_object(Bucket=bucket, Key="train/data.csv", Body=data().encode())
    sm = aws("sagemaker")
    sm.create_training_job(**training(unique, role, bucket,
                                      OutputDataConfig={"S3OutputPath": f"s3://{bucket}-not/out"}))
    job = ended(aws, unique)
    assert job["FailureReason"] == (
        f'ClientError: The bucket "{bucket}-not" of OutputDataConfig.S3OutputPath does not exist in region '
        f'{sm.meta.region_name}. '
        "Create it, or name another.")
    assert "Training" not in [t["Status"] for t in job["SecondaryStatusTransitions"]]


def test_a_role_that_may_not_write_is_told_before_the_training(aws, role, bucket, unique):
    iam, sm = aws("iam"), aws("sagemaker")
    trust = aws("iam").get_role(RoleName="SagebrushExecutionRole")["Role"]["AssumeRolePolicyDocument"]
    reader = iam.create_role(RoleName=unique, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=unique, PolicyName="read", PolicyDocument=json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}]}))
    aws("s3").put_object(Bucket=bucket, Key="train/data.csv", Body=data().encode())
    sm.create_training_job(**training(unique, reader, bucket))
    job = ended(aws, unique)
    assert job["FailureReason"] == (
        f'ClientError: The role "{reader}" may not write below s3://{bucket}/out/{unique}, which '
        f"OutputDataConfig.S3OutputPath names. Allow it s3:PutObject on arn:aws:s3:::{bucket}/*.")
    assert not aws("s3").list_objects_v2(Bucket=bucket, Prefix="out/").get("Contents")


def test_every_violation_is_told_in_aws_words(aws, role, bucket):
    sm = aws("sagemaker")
    with pytest.raises(botocore.exceptions.ClientError) as e:
        sm.create_training_job(**training("bad_name!", role, bucket, ResourceConfig={
            "InstanceType": "ml.nosuch.large", "InstanceCount": 1, "VolumeSizeInGB": 5}))
    error = e.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert error["Message"].startswith("2 validation errors detected: ")
    assert "Value 'bad_name!' at 'trainingJobName' failed to satisfy constraint: " in error["Message"]


@pytest.mark.parametrize("more, at", [
    ({"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/checkpoints/../../../etc"}},
     "checkpointConfig.localPath"),
    ({"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/model"}}, "checkpointConfig.localPath"),
    ({"InputDataConfig": [{"ChannelName": "..",
                           "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/c"}}}]},
     "inputDataConfig.1.member.channelName"),
])
def test_paths_that_climb_or_overlap_are_refused(aws, role, bucket, unique, more, at):
    with pytest.raises(botocore.exceptions.ClientError) as e:
        aws("sagemaker").create_training_job(**training(unique, role, bucket, **more))
    assert e.value.response["Error"]["Code"] == "ValidationException"
    assert f"at '{at}' failed to satisfy constraint: " in e.value.response["Error"]["Message"]


def test_what_is_not_here_says_so(aws):
    with pytest.raises(botocore.exceptions.ClientError) as e:
        aws("sagemaker").list_human_task_uis()
    assert "ListHumanTaskUis" in e.value.response["Error"]["Message"]


def test_a_volume_that_is_full_ends_the_job(aws, role, bucket, unique):
    """A third of it in /opt/ml, a third beside it, a third in a file without a name: any two of them have room."""
    write = ("for f in /opt/ml/model/a /tmp/b /root/c; do exec 9>$f && fallocate -l 400M $f || exit 1; done; "
             "rm /root/c; sleep 600")
    sm = aws("sagemaker")
    request = training(unique, role, bucket)
    del request["InputDataConfig"]
    request["AlgorithmSpecification"]["ContainerEntrypoint"] = ["/bin/sh", "-c", write]
    sm.create_training_job(**request)
    job = ended(aws, unique)
    assert job["TrainingJobStatus"] == "Failed"
    assert re.match(r"ClientError: No space left on device: the instance holds 1\.[01]\d GiB, and its volume 1 GiB\. "
                    r"Raise VolumeSizeInGB", job["FailureReason"]), job["FailureReason"]


def test_a_model_of_holes_is_measured_with_them(aws, role, bucket, unique):
    sm = aws("sagemaker")
    request = training(unique, role, bucket)
    del request["InputDataConfig"]
    request["AlgorithmSpecification"]["ContainerEntrypoint"] = ["/usr/bin/truncate", "-s", "200G", "/opt/ml/model/a"]
    sm.create_training_job(**request)
    assert "the files in /opt/ml/model have 200.00 GiB, with the holes in them" in ended(aws, unique)["FailureReason"]


def test_stop(aws, role, bucket, unique):
    aws("s3").put_object(Bucket=bucket, Key="train/data.csv", Body=data(20000).encode())
    sm = aws("sagemaker")
    sm.create_training_job(**training(unique, role, bucket, HyperParameters={
        "objective": "binary:logistic", "num_round": "100000"}))
    wait_for(lambda: sm.describe_training_job(TrainingJobName=unique)["SecondaryStatus"] == "Training", 60,
             "the training", 0.1)
    sm.stop_training_job(TrainingJobName=unique)
    assert sm.describe_training_job(TrainingJobName=unique)["TrainingJobStatus"] in ("Stopping", "Stopped")
    assert ended(aws, unique)["TrainingJobStatus"] == "Stopped"


def test_names_are_unique(aws, role, bucket, unique, trained):
    with pytest.raises(botocore.exceptions.ClientError) as e:
        aws("sagemaker").create_training_job(**training(unique, role, bucket))
    assert e.value.response["Error"]["Code"] == "ResourceInUse"


def test_list_and_tags(aws, unique, trained):
    sm = aws("sagemaker")
    found = sm.list_training_jobs(NameContains=unique)["TrainingJobSummaries"]
    assert [j["TrainingJobName"] for j in found] == [unique]
    assert trained["ProfilingStatus"] == "Disabled"  # Estimator.disable_profiling() asks
    plan = "arn:aws:sagemaker:us-east-1:123456789012:training-plan/nobodys"
    assert not sm.list_training_jobs(NameContains=unique, TrainingPlanArnEquals=plan)["TrainingJobSummaries"]
    arn = trained["TrainingJobArn"]
    sm.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "a"}, {"Key": "x", "Value": ""}])
    assert {t["Key"] for t in sm.list_tags(ResourceArn=arn)["Tags"]} == {"team", "x"}
    sm.delete_tags(ResourceArn=arn, TagKeys=["x"])
    assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "a"}]


def test_how_long_a_job_may_run_is_told_also_when_it_was_not_asked(aws, role, bucket, unique):
    """Estimator.attach() takes it without looking."""
    request = training(unique, role, bucket)
    del request["StoppingCondition"]
    sm = aws("sagemaker")
    sm.create_training_job(**request)
    assert sm.describe_training_job(TrainingJobName=unique)["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    ended(aws, unique)


def test_a_job_has_no_ipv6_and_no_word_about_its_address(aws, role, bucket, unique):
    """What would reach past the rules of isolation and of conditions on the source address."""
    iam, s3 = aws("iam"), aws("s3")
    s3.put_object(Bucket=bucket, Key="secret", Body=b"x")
    iam.put_role_policy(RoleName="SagebrushExecutionRole", PolicyName=unique, PolicyDocument=json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/secret",
                                                "Condition": {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}]}))
    program = f"""
import boto3, os
s3 = boto3.client("s3")
peer = {{"x-sagebrush-peer": "203.0.113.9 tls"}}
s3.meta.events.register("before-send.s3", lambda request, **_: request.headers.update(peer))
try:
    s3.get_object(Bucket="{bucket}", Key="secret")
    print("FORGED")
except Exception as e:
    print("kept:", "AccessDenied" in str(e), str(e)[:200])
print("ipv6:", open("/proc/net/if_inet6").read().strip() or "none")
"""
    s3.put_object(Bucket=bucket, Key="train/p.py", Body=program.encode())
    try:
        sm = aws("sagemaker")
        sm.create_training_job(**training(unique, role, bucket, HyperParameters={}, AlgorithmSpecification={
            "TrainingImage": "sagemaker-scikit-learn:1.2-1-cpu-py3", "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/usr/bin/python3", "/opt/ml/input/data/train/p.py"]}))
        assert ended(aws, unique)["TrainingJobStatus"] == "Completed"
        logs, group = aws("logs"), "/aws/sagemaker/TrainingJobs"

        def lines():
            streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=unique + "/")["logStreams"]
            text = [e["message"] for s in streams for e in logs.get_log_events(
                logGroupName=group, logStreamName=s["logStreamName"], startFromHead=True)["events"]]
            return text if any(t.startswith("ipv6:") for t in text) else None
        text = wait_for(lines, 60, "the log")
        assert any(t.startswith("kept: True") for t in text) and "ipv6: none" in text, text
    finally:
        iam.delete_role_policy(RoleName="SagebrushExecutionRole", PolicyName=unique)


def test_the_source_archive_reaches_an_isolated_job(aws, role, bucket, unique):
    """Its container has no way to S3: the archive is there before it starts."""
    source = io.BytesIO()
    with tarfile.open(fileobj=source, mode="w:gz") as tar:
        text = b"print('isolated and running')\n"
        entry = tarfile.TarInfo("p.py")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    s3, sm = aws("s3"), aws("sagemaker")
    s3.put_object(Bucket=bucket, Key="source.tar.gz", Body=source.getvalue())
    for name, key, status, reason in [(unique, "source.tar.gz", "Completed", ""),
                                      (unique + "-not", "missing.tar.gz", "Failed", "missing.tar.gz")]:
        request = training(name, role, bucket, EnableNetworkIsolation=True, HyperParameters={
            "sagemaker_program": '"p.py"', "sagemaker_submit_directory": f'"s3://{bucket}/{key}"'},
            AlgorithmSpecification={"TrainingImage": "sagemaker-scikit-learn:1.2-1-cpu-py3",
                                    "TrainingInputMode": "File"})
        del request["InputDataConfig"]
        sm.create_training_job(**request)
        found = ended(aws, name)
        assert found["TrainingJobStatus"] == status and reason in found.get("FailureReason", ""), found


def test_a_job_that_has_had_its_time_stops_as_one_that_is_stopped(aws, role, bucket, unique):
    sm = aws("sagemaker")
    request = training(unique, role, bucket, StoppingCondition={"MaxRuntimeInSeconds": 1})
    del request["InputDataConfig"]
    request["AlgorithmSpecification"]["ContainerEntrypoint"] = ["/bin/sleep", "600"]
    sm.create_training_job(**request)
    job = ended(aws, unique)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert [(t["Status"], t["StatusMessage"]) for t in job["SecondaryStatusTransitions"]][-2:] == [
        ("Stopping", "Stopping the training job"),
        ("MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds")]
