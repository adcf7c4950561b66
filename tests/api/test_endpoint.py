"""Endpoints of inference scripts: what a failure tells, what becomes of an instance that is lost, errors of a
script."""
import io
import re
import shutil
import tarfile

import botocore.exceptions
import pytest

from conftest import wait_for

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
ECHO = """
import json
def model_fn(model_dir):
    return None
def predict_fn(data, model):
    return data
"""


@pytest.fixture
def deploy(aws, unique):
    """An endpoint of one script; deploy(script) returns its name, not waiting for it."""
    sm, s3 = aws("sagemaker"), aws("s3")
    role = aws("iam").get_role(RoleName="SagebrushExecutionRole")["Role"]["Arn"]
    s3.create_bucket(Bucket=unique)
    made = []

    def start(script, instances=1, ModelDataUrl=None, **variant):
        name = f"{unique}-{len(made)}"
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            entry = tarfile.TarInfo("code/inference.py")
            entry.size = len(script)
            tar.addfile(entry, io.BytesIO(script.encode()))
        s3.put_object(Bucket=unique, Key=f"{name}.tar.gz", Body=out.getvalue())
        sm.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer={
            "Image": IMAGE, "ModelDataUrl": ModelDataUrl or f"s3://{unique}/{name}.tar.gz",
            "Environment": {"SAGEMAKER_MODEL_SERVER_WORKERS": "1", "SAGEMAKER_PROGRAM": "inference.py"}})
        sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[{
            "VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large",
            "InitialInstanceCount": instances, **variant}])
        sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
        made.append(name)
        return name

    yield start
    for name in made:
        sm.delete_endpoint(EndpointName=name)


def settled(sm, name):
    def check():
        d = sm.describe_endpoint(EndpointName=name)
        return d if d["EndpointStatus"] not in ("Creating", "Updating") else None
    return wait_for(check, 120, f"the end of the deployment of {name}", 0.1)


def test_the_reason_is_the_exception_of_the_script(aws, deploy):
    name = deploy("def model_fn(model_dir):\n    raise ValueError('the weights are damaged')\n")
    d = settled(aws("sagemaker"), name)
    assert d["EndpointStatus"] == "Failed"
    assert d["FailureReason"].startswith("The primary container for production variant AllTraffic did not pass the "
                                         "ping health check. Please check CloudWatch logs for this endpoint. ")
    assert "ValueError: the weights are damaged" in d["FailureReason"]
    assert f"/aws/sagemaker/Endpoints/{name}, stream AllTraffic/i-" in d["FailureReason"]
    assert "PendingDeploymentSummary" not in d


def test_an_import_that_fails_is_named(aws, deploy):
    d = settled(aws("sagemaker"), deploy("import no_such_library\n"))
    assert "No module named 'no_such_library'" in d["FailureReason"]


FILLS = ECHO + """
import os, tempfile
def fill(megabytes):
    fd, _ = tempfile.mkstemp()
    os.posix_fallocate(fd, 0, megabytes << 20)
"""


def test_a_volume_that_is_full_before_it_serves(aws, deploy):
    d = settled(aws("sagemaker"), deploy(FILLS + "fill(1100)\nimport time\ntime.sleep(1000)\n", VolumeSizeInGB=1))
    assert d["EndpointStatus"] == "Failed"
    assert re.match(r"ClientError: No space left on device: the instance holds 1\.[01]\d GiB, and its volume 1 GiB\. "
                    r"Raise VolumeSizeInGB", d["FailureReason"]), d["FailureReason"]


def test_an_instance_that_fills_its_volume_is_replaced(aws, deploy):
    sm, runtime, logs = aws("sagemaker"), aws("sagemaker-runtime"), aws("logs")
    name = deploy(FILLS + "def predict_fn(data, model):\n    fill(1100)\n    return data\n", VolumeSizeInGB=1)
    assert settled(sm, name)["EndpointStatus"] == "InService"
    runtime.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=b"[1]")

    def streams():
        return [s["logStreamName"] for s in logs.describe_log_streams(logGroupName=f"/aws/sagemaker/Endpoints/{name}")[
            "logStreams"]]

    def lines():
        return [e["message"] for stream in streams() for e in logs.get_log_events(
            logGroupName=f"/aws/sagemaker/Endpoints/{name}", logStreamName=stream, startFromHead=True)["events"]]

    wait_for(lambda: len(streams()) == 2, 60, "another instance")
    wait_for(lambda: any("No space left on device" in line for line in lines()), 60, "why")
    assert sm.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"


def test_a_model_that_is_larger_than_the_volume(aws, deploy, unique, role):
    """Not one byte of it is taken: here it is a part that is copied again and again."""
    s3, sm = aws("s3"), aws("sagemaker")
    s3.put_object(Bucket=unique, Key="part", Body=bytes(128 << 20))
    upload = s3.create_multipart_upload(Bucket=unique, Key="model.tar.gz")["UploadId"]
    parts = [{"PartNumber": i, "ETag": s3.upload_part_copy(
        Bucket=unique, Key="model.tar.gz", UploadId=upload, PartNumber=i, CopySource=f"{unique}/part")[
            "CopyPartResult"]["ETag"]} for i in range(1, 10)]
    s3.complete_multipart_upload(Bucket=unique, Key="model.tar.gz", UploadId=upload, MultipartUpload={"Parts": parts})
    name = deploy("", ModelDataUrl=f"s3://{unique}/model.tar.gz", VolumeSizeInGB=1)
    assert settled(sm, name)["FailureReason"].endswith(
        "the model data has 1.12 GiB, and the volume of the instance 1 GiB. Raise VolumeSizeInGB.")


def test_a_lost_instance_is_replaced(aws, server, deploy):
    sm, runtime = aws("sagemaker"), aws("sagemaker-runtime")
    name = deploy(ECHO)
    assert settled(sm, name)["EndpointStatus"] == "InService"

    def instances():
        group = f"/aws/sagemaker/Endpoints/{name}"
        return {folder for folder, order in server.orders() if order.get("log_group") == group}

    first, = instances()
    shutil.rmtree(first, ignore_errors=True)
    second, = wait_for(lambda: instances() - {first}, 60, "another instance")
    assert second.name.endswith("-1")

    def answered():
        try:
            return runtime.invoke_endpoint(EndpointName=name, ContentType="application/json",
                                           Body=b"[1, 2]")["Body"].read()
        except botocore.exceptions.ClientError as e:
            assert e.response["Error"]["Code"] in ("ServiceUnavailable", "ModelError"), e
            assert sm.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
    assert wait_for(answered, 60, "an answer", 0.1) == b"[1, 2]"
    assert sm.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"


def test_errors_of_a_script_are_model_errors(aws, deploy):
    sm, runtime = aws("sagemaker"), aws("sagemaker-runtime")
    name = deploy(ECHO.replace("return data", "return {}[data.tolist()[0]] if data.ndim == 1 else data"))
    assert settled(sm, name)["EndpointStatus"] == "InService"

    def fails(status, words, body, kind="application/json", accept="application/json"):
        with pytest.raises(botocore.exceptions.ClientError) as e:
            runtime.invoke_endpoint(EndpointName=name, ContentType=kind, Accept=accept, Body=body)
        answer = e.value.response
        assert answer["Error"]["Code"] == "ModelError" and answer["OriginalStatusCode"] == status, answer
        assert words in answer["OriginalMessage"] and answer["OriginalMessage"] in answer["Error"]["Message"]
        side = "client" if status < 500 else "server"
        assert answer["Error"]["Message"].startswith(f"Received {side} error ({status}) from primary with message ")
        assert answer["LogStreamArn"].endswith(f"log-group:/aws/sagemaker/Endpoints/{name}")

    fails(415, "'image/png' is not supported", b"x", kind="image/png")
    fails(406, "'image/png' is not supported", b"[[1]]", accept="image/png")
    fails(500, "JSONDecodeError", b"{broken")
    fails(500, "JSONDecodeError", b"")
    fails(500, "KeyError: 7", b"[7]")
    assert runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Accept="text/csv",
                                   Body=b"1,2\n3,4\n")["Body"].read() == b"1.0,2.0\n3.0,4.0\n"


def test_response_stream(aws, deploy):
    name = deploy(ECHO)
    assert settled(aws("sagemaker"), name)["EndpointStatus"] == "InService"
    answer = aws("sagemaker-runtime").invoke_endpoint_with_response_stream(
        EndpointName=name, ContentType="application/json", Accept="text/csv", Body=b"[[1, 2], [3, 4]]")
    assert answer["ContentType"] == "text/csv" and answer["InvokedProductionVariant"] == "AllTraffic"
    assert b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"]) == b"1,2\n3,4\n"


@pytest.mark.parametrize("source, words", [
    ({"S3Uri": "s3://b/model"}, "must end with a forward slash (/): s3://b/model"),
    ({"CompressionType": "Gzip"}, "S3DataType S3Prefix needs CompressionType None"),
    ({"ManifestS3Uri": "s3://b/manifest"}, "ManifestS3Uri is not honoured"),
    ({"ETag": "0" * 32}, "ETag is not honoured"),
])
def test_model_data_that_would_be_other_than_asked_is_refused(aws, role, unique, source, words):
    sm = aws("sagemaker")
    s3 = {"S3Uri": "s3://b/model/", "S3DataType": "S3Prefix", "CompressionType": "None", **source}
    with pytest.raises(botocore.exceptions.ClientError) as e:
        sm.create_model(ModelName=unique, ExecutionRoleArn=role,
                        PrimaryContainer={"Image": IMAGE, "ModelDataSource": {"S3DataSource": s3}})
    assert e.value.response["Error"]["Code"] == "ValidationException" and words in str(e.value)
