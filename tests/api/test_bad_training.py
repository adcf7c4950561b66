"""Training jobs that contradict themselves, and worlds that change under one: each says why, and loses nothing."""
import hashlib
import io
import json
import os
import tarfile

import pytest

from conftest import drill_spot, ended, wait_for

SPOT = {"EnableManagedSpotTraining": True}


@pytest.fixture
def training(jobs, unique):
    """Creates a job that runs a shell's command."""
    return lambda command="true", **more: jobs.create(unique, command, **more)


def channel(bucket, key, kind):
    return [{"ChannelName": "train",
             "DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": f"s3://{bucket}/{key}"}}}]


def in_container(server, job, name):
    """Where a file of the job is on this machine, once it is there."""
    return wait_for(lambda: next((path for agent, _ in server.agents(job) if (path := agent / "ml" / name).exists()),
                                 None), 60, name, 0.05)


@pytest.mark.parametrize("change, words", [
    (SPOT, "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"),
    (SPOT | {"StoppingCondition": {"MaxWaitTimeInSeconds": 3599}},
     "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"),
    ({"StoppingCondition": {"MaxWaitTimeInSeconds": 3700}},
     "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true"),
    ({"StoppingCondition": {"MaxRuntimeInSeconds": 28 * 86400 + 1}}, "Invalid MaxRuntimeInSeconds"),
    ({"ResourceConfig": {"InstancePreferences": [{"InstanceType": "ml.m5.large", "InstanceCount": 1}]}},
     "InstancePreferences"),
    (SPOT | {"StoppingCondition": {"MaxWaitTimeInSeconds": 3700}, "ResourceConfig": {"KeepAlivePeriodInSeconds": 60}},
     "KeepAlivePeriodInSeconds cannot be used with EnableManagedSpotTraining"),
    ({"ResourceConfig": {"InstanceCount": 100000}}, "ResourceLimitExceeded"),
    ({"ResourceConfig": {"InstanceType": "ml.m5.lage"}}, "ml.m5.lage"),
    ({"OutputDataConfig": {"S3OutputPath": "file:///etc"}}, "s3OutputPath"),
    ({"CheckpointConfig": {"S3Uri": "https://b/c"}}, "CheckpointConfig.S3Uri must be an S3 URI: https://b/c"),
    ({"TensorBoardOutputConfig": {"S3OutputPath": "https://b/c"}},
     "TensorBoardOutputConfig.S3OutputPath must be an S3 URI"),
    ({"TensorBoardOutputConfig": {"S3OutputPath": "s3://b/c", "LocalPath": "/logs"}},
     "tensorBoardOutputConfig.localPath"),
    ({"InputDataConfig": [{"ChannelName": "x",
                           "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "https://b/c"}}}]},
     "Channel x: S3Uri must be an S3 URI: https://b/c"),
    ({"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/checkpoints/../../../etc"}}, "localPath"),
])
def test_what_contradicts_itself_is_refused(jobs, training, unique, change, words):
    with pytest.raises(jobs.sm.exceptions.ClientError) as e:
        training(**change)
    assert words in str(e.value)
    with pytest.raises(jobs.sm.exceptions.ClientError, match="not found"):
        jobs.describe(unique)


def test_a_bucket_that_goes_while_the_job_runs(server, aws, training, bucket, unique):
    training("touch /opt/ml/model/here; until [ -e /opt/ml/model/go ]; do sleep 0.05; done",
             CheckpointConfig={"S3Uri": f"s3://{bucket}/checkpoints"})
    here = in_container(server, unique, "model/here")
    aws("s3").delete_bucket(Bucket=bucket)
    (here.parent / "go").touch()
    job = ended(aws, unique)
    assert job["TrainingJobStatus"] == "Failed"
    assert "ClientError" in job["FailureReason"] and bucket in job["FailureReason"], job["FailureReason"]
    assert "does not exist" in job["FailureReason"], job["FailureReason"]


@pytest.mark.parametrize("lines, words", [
    (lambda b: [{"prefix": f"s3://{b}/data/"}, "there", "missing"], "data/missing"),
    (lambda b: [{"prefix": f"s3://{b}-nobodys/data/"}, "there"], "-nobodys"),
    (lambda b: {"prefix": f"s3://{b}/data/"}, "manifest"),
])
def test_a_manifest_of_what_is_not_there(aws, training, bucket, unique, lines, words):
    s3 = aws("s3")
    s3.put_object(Bucket=bucket, Key="data/there", Body=b"x")
    s3.put_object(Bucket=bucket, Key="manifest", Body=json.dumps(lines(bucket)))
    training(InputDataConfig=channel(bucket, "manifest", "ManifestFile"))
    job = ended(aws, unique)
    assert job["TrainingJobStatus"] == "Failed"
    assert "ClientError" in job["FailureReason"] and words in job["FailureReason"], job["FailureReason"]


def test_a_notice_while_the_model_is_uploaded(server, aws, jobs, training, bucket, unique):
    body = os.urandom(1 << 20)
    aws("s3").put_object(Bucket=bucket, Key="train/seed", Body=body)
    training("for i in $(seq 100); do cat /opt/ml/input/data/train/seed; done > /opt/ml/model/all",
             InputDataConfig=channel(bucket, "train/", "S3Prefix"), **SPOT,
             CheckpointConfig={"S3Uri": f"s3://{bucket}/checkpoints"}, StoppingCondition={"MaxWaitTimeInSeconds": 7200})
    wait_for(lambda: jobs.describe(unique)["SecondaryStatus"] in ("Uploading", "Completed"), 120, "the upload", 0.005)
    drill = drill_spot(server, unique)
    job = ended(aws, unique)
    assert job["TrainingJobStatus"] == "Completed", (job.get("FailureReason"), drill.stderr)
    key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{bucket}/")
    with tarfile.open(fileobj=io.BytesIO(aws("s3").get_object(Bucket=bucket, Key=key)["Body"].read())) as tar:
        assert hashlib.sha256(tar.extractfile("all").read()).digest() == hashlib.sha256(body * 100).digest()
