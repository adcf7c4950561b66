"""Other unchanged clients: Debian's boto3 and AWS CLI, s3cmd, the AWS SDK for JavaScript."""
import json
import os
import pathlib
import shutil
import subprocess
import urllib.error
import urllib.request

import botocore.exceptions
import pytest

HERE = pathlib.Path(__file__).parent
DEBIAN_PYTHON = "/usr/bin/python3"


def environment(server):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SAGEMAKER_", "PYTHON", "VIRTUAL_ENV"))}
    return {**clean, **{k: v for k, v in server.env.items() if k.startswith(("AWS_", "SAGEMAKER_"))},
            "PATH": "/usr/bin:/bin"}


def run(server, *command, **more):
    return subprocess.run(command, env=environment(server), check=True, capture_output=True, text=True, **more).stdout


@pytest.mark.skipif(not os.path.exists("/usr/lib/python3/dist-packages/boto3"), reason="python3-boto3 is not installed")
def test_debian_boto3(server, unique):
    program = f"""
import boto3
sts = boto3.client("sts").get_caller_identity()
s3 = boto3.client("s3")
s3.create_bucket(Bucket="{unique}")
s3.put_object(Bucket="{unique}", Key="a/b", Body=b"hello")
body = s3.get_object(Bucket="{unique}", Key="a/b")["Body"].read().decode()
boto3.client("cloudwatch").put_metric_data(Namespace="n", MetricData=[dict(MetricName="m", Value=1.0)])
jobs = boto3.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
print(sts["Arn"], body, boto3.__version__, type(jobs).__name__)
"""
    out = run(server, DEBIAN_PYTHON, "-c", program)
    assert ":assumed-role/SagebrushExecutionRole/" in out and " hello 1.26" in out


@pytest.mark.parametrize("service, operation, arguments", [
    ("glue", "get_databases", {}), ("ecs", "list_clusters", {}), ("sqs", "list_queues", {}), ("sns", "list_topics", {}),
    ("ec2", "describe_instances", {}), ("lambda", "list_functions", {}), ("route53", "list_hosted_zones", {}),
])
def test_a_service_that_is_not_here_is_named(aws, server, service, operation, arguments):
    client = aws(service, endpoint_url=f"http://127.0.0.1:{server.port}")
    with pytest.raises(botocore.exceptions.ClientError) as e:
        getattr(client, operation)(**arguments)
    error = e.value.response["Error"]
    assert error["Code"] in ("UnknownOperationException", "InvalidAction"), error
    assert f"does not have the service {service} (" in error["Message"]


def test_a_scope_of_another_service_opens_nothing(server):
    """boto3 cannot be brought to it: the request is signed by hand."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    who = Credentials(server.env["AWS_ACCESS_KEY_ID"], server.env["AWS_SECRET_ACCESS_KEY"])
    answers = {}
    for scope in ("sagemaker", "sts", "logs", "nothing"):
        request = AWSRequest("POST", f"http://127.0.0.1:{server.port}/", data=b"{}", headers={
            "X-Amz-Target": "SageMaker.ListTrainingJobs", "Content-Type": "application/x-amz-json-1.1"})
        SigV4Auth(who, scope, "us-east-1").add_auth(request)
        try:
            with urllib.request.urlopen(urllib.request.Request(request.url, b"{}", dict(request.headers))) as answer:
                answers[scope] = (answer.status, "")
        except urllib.error.HTTPError as e:
            answers[scope] = (e.code, e.read().decode())
    assert answers["sagemaker"][0] == 200
    for scope in ("sts", "logs", "nothing"):
        status, body = answers[scope]
        assert status == 403 and "Credential should be scoped to correct service: 'sagemaker'." in body, answers


@pytest.mark.skipif(not os.path.exists("/usr/bin/aws"), reason="awscli is not installed")
def test_aws_cli(server, unique, tmp_path):
    aws = "/usr/bin/aws"
    run(server, aws, "s3", "mb", f"s3://{unique}")
    big = tmp_path / "big"
    big.write_bytes(os.urandom(9 << 20))
    run(server, aws, "s3", "cp", str(big), f"s3://{unique}/big")
    run(server, aws, "s3", "cp", f"s3://{unique}/big", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    assert "big" in run(server, aws, "s3", "ls", f"s3://{unique}/")
    run(server, aws, "s3", "rm", f"s3://{unique}/", "--recursive")
    run(server, aws, "s3", "rb", f"s3://{unique}")
    identity = json.loads(run(server, aws, "sts", "get-caller-identity", "--output", "json"))
    assert identity["Account"]
    assert "TrainingJobSummaries" in run(server, aws, "sagemaker", "list-training-jobs", "--output", "json")
    run(server, aws, "logs", "create-log-group", "--log-group-name", unique)
    assert unique in run(server, aws, "logs", "describe-log-groups", "--output", "json")


@pytest.mark.skipif(not shutil.which("curl", path="/usr/bin"), reason="curl is not installed")
def test_curl_opens_a_presigned_url_of_the_cli(server, unique, tmp_path):
    (tmp_path / "f").write_text("what was put")
    run(server, "aws", "s3", "mb", f"s3://{unique}")
    run(server, "aws", "s3", "cp", str(tmp_path / "f"), f"s3://{unique}/f")
    url = run(server, "aws", "s3", "presign", f"s3://{unique}/f").strip()
    assert url.startswith("https://")
    plain = {"PATH": "/usr/bin:/bin"}

    def curl(*words, **more):
        return subprocess.run(["curl", "-sS", *words], capture_output=True, text=True, env={**plain, **more})
    assert "certificate" in curl(url).stderr
    assert curl(url, CURL_CA_BUNDLE=server.env["CURL_CA_BUNDLE"]).stdout == "what was put"
    assert curl("--cacert", str(server.data / "client/ca.pem"), url).stdout == "what was put"
    assert curl(url.replace("https://", "http://", 1)).stdout == "what was put"


@pytest.mark.skipif(not shutil.which("s3cmd"), reason="s3cmd is not installed")
def test_s3cmd(server, unique, tmp_path):
    host = f"127.0.0.1:{server.port}"
    common = ["s3cmd", "--config=/dev/null", "--no-ssl", f"--host={host}", f"--host-bucket={host}",
              "--region=us-east-1",
              f"--access_key={server.env['AWS_ACCESS_KEY_ID']}", f"--secret_key={server.env['AWS_SECRET_ACCESS_KEY']}"]
    if server.env.get("AWS_SESSION_TOKEN"):
        common.append(f"--access_token={server.env['AWS_SESSION_TOKEN']}")
    source = tmp_path / "a file"
    source.write_bytes(b"x" * 100000)
    run(server, *common, "mb", f"s3://{unique}")
    run(server, *common, "put", str(source), f"s3://{unique}/dir/a file")
    run(server, *common, "get", f"s3://{unique}/dir/a file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert "a file" in run(server, *common, "ls", "--recursive", f"s3://{unique}")
    run(server, *common, "rb", "--recursive", "--force", f"s3://{unique}")


@pytest.mark.skipif(not (HERE / "js" / "node_modules").exists(), reason="the AWS SDK for JavaScript is not installed")
def test_javascript(server, unique):
    seen = json.loads(run(server, shutil.which("node"), "main.mjs", unique, cwd=HERE / "js"))
    assert seen["body"] == "hello"
    assert seen["metrics"] == ["m"]
    assert seen["jobs"] is True
    assert seen["missing"].startswith("ValidationException: Could not find endpoint")
    assert ":assumed-role/SagebrushExecutionRole/" in seen["arn"]
