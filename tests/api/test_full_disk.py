"""The disk of the data directory is full: what was answered stays, errors say why, and all goes on when there is
room."""
import hashlib
import os
import pathlib
import re
import signal
import sys

import botocore.exceptions
import pytest
from botocore.config import Config

from conftest import Server, wait_for
from jobs import PYTHON, Jobs

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "torture"))
from small_disk import SmallDisk  # noqa: E402


@pytest.fixture(scope="module")
def disk():
    try:
        small = SmallDisk(192)
    except PermissionError as e:
        pytest.skip(str(e))
    yield small
    small.close()


@pytest.fixture(scope="module")
def small(disk):
    server = Server(data=disk.data, log=disk.folder / "up.log", options=["--config", disk.settings])
    server.start()
    yield server
    disk.make_room()
    server.stop()


@pytest.fixture
def client(small):
    """What a full disk answers is not tried again."""
    return lambda service: small.client(service, config=Config(retries={"total_max_attempts": 1}))


@pytest.fixture
def jobs(small, client, bucket):
    made = Jobs(client, small.role, bucket)
    yield made
    made.close()


@pytest.fixture
def bucket(client, unique):
    client("s3").create_bucket(Bucket=unique)
    return unique


def refused(what):
    """503 with the disk as the cause."""
    with pytest.raises(botocore.exceptions.ClientError) as e:
        while True:  # what has room yet needs none for long
            what()
    assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert re.search("disk", e.value.response["Error"]["Message"]), e.value.response


def test_writes_are_refused_and_nothing_is_lost(disk, small, client, bucket, unique):
    sm, s3 = client("sagemaker"), client("s3")
    control = small.pid("control")
    body = os.urandom(5 << 20)
    s3.put_object(Bucket=bucket, Key="before", Body=body)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = dict(Bucket=bucket, Key="parts", UploadId=upload)
    first = s3.upload_part(PartNumber=1, Body=body, **part)["ETag"]
    made = []

    def model():
        sm.create_model(ModelName=f"{unique}-{len(made)}", ExecutionRoleArn=small.role,
                        PrimaryContainer={"Image": PYTHON, "Environment": {"X": "x" * 1000}})
        made.append(f"{unique}-{len(made)}")

    disk.fill()
    refused(lambda: s3.put_object(Bucket=bucket, Key="full", Body=body))
    refused(lambda: s3.upload_part(PartNumber=2, Body=body, **part))
    refused(model)
    assert s3.get_object(Bucket=bucket, Key="before")["Body"].read() == body
    disk.make_room()
    assert small.pid("control") == control, "it goes on without a restart"
    second = s3.upload_part(PartNumber=2, Body=b"end", **part)["ETag"]
    s3.complete_multipart_upload(MultipartUpload={"Parts": [
        {"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": second}]}, **part)
    assert s3.get_object(Bucket=bucket, Key="parts")["Body"].read() == body + b"end"
    model()
    found = {m["ModelName"] for page in sm.get_paginator("list_models").paginate(NameContains=unique)
             for m in page["Models"]}
    assert found == set(made)


@pytest.mark.parametrize("wait_s", [0, 2])
def test_a_job_that_fills_it_says_so(disk, jobs, client, bucket, unique, wait_s):
    s3 = client("s3")
    body = os.urandom(100000)
    s3.put_object(Bucket=bucket, Key="before", Body=body)
    jobs.create(unique, f"sleep {wait_s}; dd if=/dev/zero of=/opt/ml/model/all bs=64k; sleep 600")
    job = jobs.ended(unique)
    assert job["TrainingJobStatus"] == "Failed"
    assert "the disk of the server is full" in job["FailureReason"], job["FailureReason"]
    assert s3.get_object(Bucket=bucket, Key="before")["Body"].read() == body
    wait_for(lambda: disk.free() > 64 << 20, 60, "its room given back", 0.1)
    jobs.create(unique + "-next", "echo x > /opt/ml/model/x")
    jobs.completed(unique + "-next")


def test_everything_starts_on_a_full_disk(disk, small, client, bucket, unique):
    s3 = client("s3")
    digest = hashlib.sha256(b"x" * 1000).hexdigest()
    s3.put_object(Bucket=bucket, Key="before", Body=b"x" * 1000)
    disk.fill()
    for name in ("up", "serve", "control"):
        os.kill(small.pid(name), signal.SIGKILL)
    small.process.wait(30)
    small.start()
    assert hashlib.sha256(s3.get_object(Bucket=bucket, Key="before")["Body"].read()).hexdigest() == digest
    disk.make_room()
    s3.put_object(Bucket=bucket, Key="after", Body=b"x")


def test_checkpoints_wait_for_room(disk, small, jobs, client, bucket, unique):
    s3 = client("s3")
    here = "/opt/ml/checkpoints"
    jobs.create(unique, f"echo one > {here}/1; until [ -e {here}/go ]; do sleep 0.1; done; "
                f"until dd if=/dev/zero of={here}/2 bs=64k count=16; do sleep 0.1; done",
                CheckpointConfig={"S3Uri": f"s3://{bucket}/{unique}", "LocalPath": here})

    def kept():
        return {o["Key"].rpartition("/")[2]: o["Size"]
                for o in s3.list_objects_v2(Bucket=bucket, Prefix=unique + "/").get(
            "Contents", [])}

    wait_for(lambda: "1" in kept(), 60, "the first checkpoint", 0.1)
    folder = next(f for f in (small.data / "agents").iterdir() if (f / "ml" / "checkpoints" / "1").exists())
    disk.fill()
    (folder / "ml" / "checkpoints" / "go").touch()
    wait_for((folder / "ml" / "checkpoints" / "2").exists, 60, "the second checkpoint's begin")
    assert kept()["1"] == 4
    disk.make_room()
    jobs.completed(unique)
    assert kept() == {"1": 4, "go": 0, "2": 1 << 20}
