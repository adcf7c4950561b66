"""What users get wrong, from the request to the FailureReason: images, scripts and archives. What only a small limit
shows - memory, tar bombs, SIGTERM that is ignored - is in tests/agent, a full disk in test_full_disk.py."""
import io
import json
import tarfile
import urllib.request

import pytest

from conftest import ended, wait_for
from jobs import PYTHON as SKLEARN, request

XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
NOBODY = "111122223333.dkr.ecr.us-east-1.amazonaws.com/nobody/has-this:1"


@pytest.fixture
def fails(aws, role, bucket, unique):
    """The FailureReason of a job."""
    def run(image=SKLEARN, role=role, command=None, **more):
        aws("sagemaker").create_training_job(
            **request(unique, role, bucket, command, AlgorithmSpecification={"TrainingImage": image}, **more))
        job = ended(aws, unique)
        assert job["TrainingJobStatus"] == "Failed"
        assert job["SecondaryStatusTransitions"][-1]["StatusMessage"] == job["FailureReason"]
        return job["FailureReason"]
    return run


@pytest.fixture
def does_not_deploy(aws, role, unique):
    """The FailureReason of an endpoint."""
    made = []

    def run(image, url=None):
        sm = aws("sagemaker")
        container = {"Image": image} | ({"ModelDataUrl": url} if url else {})
        sm.create_model(ModelName=unique, ExecutionRoleArn=role, PrimaryContainer=container)
        sm.create_endpoint_config(EndpointConfigName=unique, ProductionVariants=[{
            "VariantName": "AllTraffic", "ModelName": unique, "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1}])
        sm.create_endpoint(EndpointName=unique, EndpointConfigName=unique)
        made.append(unique)

        def settled():
            e = sm.describe_endpoint(EndpointName=unique)
            return e if e["EndpointStatus"] != "Creating" else None
        e = wait_for(settled, 120, "the end of Creating", 0.1)
        assert e["EndpointStatus"] == "Failed"
        return e["FailureReason"]
    yield run
    for name in made:
        aws("sagemaker").delete_endpoint(EndpointName=name)


def archive(name, data=b"", **more):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        for key, value in more.items():
            setattr(member, key, value)
        tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def test_a_missing_image(fails):
    reason = fails(image=NOBODY)
    assert reason.startswith("ClientError: ") and "nobody/has-this:1" in reason, reason


def test_a_missing_image_of_an_endpoint(does_not_deploy):
    assert "nobody/has-this:1" in does_not_deploy(NOBODY)


@pytest.mark.parametrize("command, reason", [
    ("exit 1",
     "AlgorithmError: the command gave no reason, neither in its log nor in /opt/ml/output/failure, exit code: 1"),
    ("echo the data is bad > /opt/ml/output/failure; exit 1", "AlgorithmError: the data is bad, exit code: 1"),
    ("kill -SEGV $$",
     "AlgorithmError: the command was ended by signal 11 (SIGSEGV, Segmentation fault), exit code: 139"),
])
def test_a_command_that_fails(fails, command, reason):
    assert fails(command=command) == reason


@pytest.mark.parametrize("member, words", [
    (dict(name="../../evil"), '".."'),
    (dict(name="/etc/evil"), "absolute"),
    (dict(name="way", type=tarfile.SYMTYPE, linkname="../../.."), "leads out"),
    (dict(name="tty", type=tarfile.CHRTYPE), "neither a file"),
])
def test_a_model_that_climbs_out(aws, bucket, does_not_deploy, member, words):
    aws("s3").put_object(Bucket=bucket, Key="model.tar.gz", Body=archive(**member))
    reason = does_not_deploy(XGBOOST, f"s3://{bucket}/model.tar.gz")
    assert reason.startswith(f'ClientError: Failed to extract model data archive from URL '
                             f'"s3://{bucket}/model.tar.gz": ')
    assert words in reason, reason


def test_a_model_that_is_no_archive(aws, bucket, does_not_deploy):
    aws("s3").put_object(Bucket=bucket, Key="model.tar.gz", Body=b"this is not a tar file" * 100)
    reason = does_not_deploy(XGBOOST, f"s3://{bucket}/model.tar.gz")
    assert f's3://{bucket}/model.tar.gz": ' in reason and "valid tar.gz archive" in reason, reason


def test_source_that_climbs_out(aws, bucket, fails):
    aws("s3").put_object(Bucket=bucket, Key="source.tar.gz", Body=archive("../../evil.py", b"x = 1"))
    reason = fails(HyperParameters={"sagemaker_program": '"train.py"',
                                    "sagemaker_submit_directory": f'"s3://{bucket}/source.tar.gz"'})
    assert "leads out" in reason, reason


def refused(aws, role, bucket, unique, image=XGBOOST, type="ml.m5.large", count=1):
    """What CreateTrainingJob says."""
    sm = aws("sagemaker")
    with pytest.raises(sm.exceptions.ClientError) as e:
        sm.create_training_job(**request(unique, role, bucket, AlgorithmSpecification={"TrainingImage": image},
                                         ResourceConfig={"InstanceType": type, "InstanceCount": count}))
    assert e.value.response["Error"]["Code"] == "ValidationException"
    return e.value.response["Error"]["Message"]


def test_an_instance_type_with_a_typo(aws, role, bucket, unique):
    said = refused(aws, role, bucket, unique, type="ml.m5.lrage")
    assert "'ml.m5.lrage' at 'resourceConfig.instanceType' failed to satisfy constraint" in said
    assert said.startswith("Did you mean ml.m5.large at 'resourceConfig.instanceType'? 1 validation error detected: ")
    assert said.endswith("]")
    said = refused(aws, role, bucket, unique, type="nothing-like-it")
    assert said.startswith("1 validation error detected: ") and said.endswith("]")


def test_the_built_in_xgboost_has_one_instance(aws, role, bucket, unique):
    assert "Set InstanceCount to 1" in refused(aws, role, bucket, unique, count=2)


def test_a_role_that_may_not_read_the_source(aws, fails, bucket, unique):
    """The role, the action and the object are named."""
    iam = aws("iam")
    trust = {"Version": "2012-10-17",
             "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"},
                                                    "Action": "sts:AssumeRole"}]}
    may = {"Version": "2012-10-17",
           "Statement": [{"Effect": "Allow", "Action": ["s3:PutObject", "s3:ListBucket"], "Resource": "*"}]}
    arn = iam.create_role(RoleName=unique, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=unique, PolicyName="p", PolicyDocument=json.dumps(may))
    aws("s3").put_object(Bucket=bucket, Key="in/rows.csv", Body=b"1,2\n")
    reason = fails(role=arn, command="true", InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": {
        "S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/in"}}}])
    assert f":assumed-role/{unique}/" in reason
    assert f's3:GetObject on resource: "arn:aws:s3:::{bucket}/in/rows.csv"' in reason
    iam.delete_role_policy(RoleName=unique, PolicyName="p")
    iam.delete_role(RoleName=unique)


def test_what_the_container_is_told_of_its_job(fails, bucket):
    """trainingjobconfig.json has the words of the request."""
    reason = fails(command="cat /opt/ml/input/config/trainingjobconfig.json > /opt/ml/output/failure; exit 1")
    config = json.loads(reason.removeprefix("AlgorithmError: ").removesuffix(", exit code: 1"))
    assert config["OutputDataConfig"]["S3OutputPath"] == f"s3://{bucket}/out"
    assert config["ResourceConfig"]["InstanceCount"] == 1


def test_what_is_not_here_is_no_fault_of_the_servers(server, aws):
    def counted():
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/_sagebrush/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return {kind: sum(int(x.split()[-1]) for x in lines if x.startswith(f"sagebrush_{kind}_errors_total")
                          and '"iam"' in x)
                for kind in ("client", "server")}

    before = counted()
    with pytest.raises(aws("iam").exceptions.ClientError) as e:
        aws("iam").list_virtual_mfa_devices()
    assert e.value.response["Error"]["Code"] == "NotImplementedException"
    after = counted()
    assert after["client"] > before["client"] and after["server"] == before["server"]
