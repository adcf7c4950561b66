"""Processing jobs by boto3 and by the SageMaker Python SDK v2, both unchanged."""
import json
import pathlib

import pytest

from conftest import log_lines, needs_tun, processed, wait_for

SCRIPTS = pathlib.Path(__file__).parent / "scripts"
IMAGE = "123456789012.dkr.ecr.us-west-2.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"


def s3_input(name, uri, folder, **more):
    return {"InputName": name,
            "S3Input": {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/{folder}", "S3DataType": "S3Prefix",
                                           "S3InputMode": "File", **more}}


class Job:
    """A job by boto3 that runs a few lines of Python."""

    def __init__(self, aws, role, bucket, name, script, **request):
        self.aws, self.name, self.bucket, self.script = aws, name, bucket, script
        self.sm = aws("sagemaker")
        self.request = {
            "ProcessingJobName": name, "RoleArn": role,
            "AppSpecification": {"ImageUri": IMAGE,
                                 "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/run.py"]},
            "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large",
                                                      "VolumeSizeInGB": 1}},
            "ProcessingOutputConfig": {"Outputs": [
                {"OutputName": "out", "S3Output": {"S3Uri": f"s3://{bucket}/out", "LocalPath": "/opt/ml/processing/out",
                                                   "S3UploadMode": "EndOfJob"}}]},
            **request}
        self.request["ProcessingInputs"] = [s3_input("code", f"s3://{bucket}/code/run.py", "input/code"),
                                            *request.get("ProcessingInputs", [])]

    def create(self):
        self.aws("s3").put_object(Bucket=self.bucket, Key="code/run.py", Body=self.script.encode())
        self.arn = self.sm.create_processing_job(**self.request)["ProcessingJobArn"]
        return self

    def describe(self):
        return self.sm.describe_processing_job(ProcessingJobName=self.name)

    def status(self):
        return self.describe()["ProcessingJobStatus"]

    def ended(self):
        return processed(self.aws, self.name)

    def lines(self):
        return [line for text in log_lines(self.aws("logs"), self.name, "Processing").values() for line in text]

    def object(self, key):
        return self.aws("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()


@pytest.fixture
def job(aws, role, bucket, unique):
    return lambda script, **request: Job(aws, role, bucket, unique, script, **request)


def test_a_job_by_boto3(aws, job, bucket, unique):
    aws("s3").put_object(Bucket=bucket, Key="data/a.txt", Body=b"words")
    j = job("""
import json
config = json.load(open("/opt/ml/config/processingjobconfig.json"))
text = open("/opt/ml/processing/in/a.txt").read()
open("/opt/ml/processing/out/shouted", "w").write(text.upper())
open("/opt/ml/output/message", "w").write("shouted " + text)
import boto3, os
print(config["ProcessingInputs"][1]["S3Input"]["S3DownloadMode"], os.environ["MINE"])
sagemaker = boto3.client("sagemaker")
print(sagemaker.describe_processing_job(ProcessingJobName=config["ProcessingJobName"])["ProcessingJobStatus"])
""", ProcessingInputs=[s3_input("in", f"s3://{bucket}/data", "in")], Environment={"MINE": "yes"},
            Tags=[{"Key": "team", "Value": "blue"}], StoppingCondition={"MaxRuntimeInSeconds": 300}).create()
    d = j.ended()
    assert (d["ProcessingJobStatus"], d["ExitMessage"], d.get("FailureReason")) == ("Completed", "shouted words", None)
    assert d["CreationTime"] <= d["ProcessingStartTime"] <= d["ProcessingEndTime"]
    assert {k: d[k] for k in j.request if k != "Tags"} == {k: v for k, v in j.request.items() if k != "Tags"}
    assert j.object("out/shouted") == b"WORDS"
    assert j.lines() == ["StartOfJob yes", "InProgress"]
    assert j.sm.list_tags(ResourceArn=j.arn)["Tags"] == [{"Key": "team", "Value": "blue"}]
    listed = j.sm.list_processing_jobs(NameContains=unique, StatusEquals="Completed")["ProcessingJobSummaries"]
    assert [(s["ProcessingJobArn"], s["ExitMessage"]) for s in listed] == [(j.arn, "shouted words")]
    with pytest.raises(j.sm.exceptions.ResourceInUse):
        j.create()
    j.sm.delete_processing_job(ProcessingJobName=unique)
    with pytest.raises(j.sm.exceptions.ClientError, match="not found"):
        j.describe()


@pytest.mark.parametrize("script, reason, message", [
    ('open("/opt/ml/output/message", "w").write("no rows"); raise SystemExit(1)',
     "AlgorithmError: no rows, exit code: 1",
     "no rows"),
    ('raise KeyError("column")', "AlgorithmError: KeyError: 'column', exit code: 1", None),
])
def test_an_exit_of_1(job, script, reason, message):
    j = job('open("/opt/ml/processing/out/half", "w").write("x"); ' + script).create()
    d = j.ended()
    assert (d["ProcessingJobStatus"], d["FailureReason"], d.get("ExitMessage")) == ("Failed", reason, message)
    assert j.object("out/half") == b"x", "what was written stays"


def test_an_input_that_is_not_there(job, bucket):
    d = job("pass", ProcessingInputs=[s3_input("in", f"s3://{bucket}/nothing/", "in")]).create().ended()
    assert d["ProcessingJobStatus"] == "Failed"
    assert f'No S3 objects found under S3 URL "s3://{bucket}/nothing/"' in d["FailureReason"]


def test_a_script_that_is_not_there(job):
    j = job("", AppSpecification={"ImageUri": IMAGE,
                                  "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/no.py"]})
    d = j.create().ended()
    assert d["ProcessingJobStatus"] == "Failed" and "No such file or directory" in d["FailureReason"]
    assert "no.py" in d["FailureReason"]


def test_an_image_without_a_command(job):
    d = job("", AppSpecification={"ImageUri": IMAGE}).create().ended()
    assert d["FailureReason"].startswith("ClientError: The image sagemaker-scikit-learn:1.2-1-cpu-py3 has no entry "
                                         "point")


def test_a_bucket_that_is_not_there(job, unique):
    j = job('print("ran")', ProcessingOutputConfig={"Outputs": [
        {"OutputName": "o", "S3Output": {"S3Uri": f"s3://{unique}-none/o", "LocalPath": "/opt/ml/processing/o",
                                         "S3UploadMode": "EndOfJob"}}]}).create()
    assert f'The bucket "{unique}-none" of an output\'s S3Uri does not exist' in j.ended()["FailureReason"]


SLEEPER = """
import signal, sys, time
def end(*a):
    open("/opt/ml/processing/out/late", "w").write("saved"); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(600)
"""


def test_a_stop_is_sigterm_and_keeps_the_outputs(job):
    j = job(SLEEPER).create()
    wait_for(lambda: j.status() == "InProgress"
             and "ready" in (j.lines() if j.describe().get("ProcessingStartTime") else []), 60, "the script")
    j.sm.stop_processing_job(ProcessingJobName=j.name)
    assert j.status() in ("Stopping", "Stopped")
    d = j.ended()
    assert (d["ProcessingJobStatus"], d.get("FailureReason")) == ("Stopped", None)
    assert j.object("out/late") == b"saved"
    with pytest.raises(j.sm.exceptions.ClientError, match="is in status Stopped"):
        j.sm.stop_processing_job(ProcessingJobName=j.name)


def test_the_time_is_over(job):
    d = job(SLEEPER, StoppingCondition={"MaxRuntimeInSeconds": 2}).create().ended()
    assert (d["ProcessingJobStatus"], d["FailureReason"]) == ("Stopped", "Job runtime exceeded MaxRuntimeInSeconds")


def test_continuous_outputs(job):
    j = job("""
import time
open("/opt/ml/processing/out/first", "w").write("1")
time.sleep(600)
""")
    j.request["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3UploadMode"] = "Continuous"
    j.create()
    s3 = j.aws("s3")
    # It may be brought as long as it is empty, and then again.
    wait_for(lambda: s3.list_objects_v2(Bucket=j.bucket, Prefix="out/").get("KeyCount") and j.object("out/first"), 60,
             "the upload")
    assert j.status() == "InProgress" and j.object("out/first") == b"1"
    j.sm.stop_processing_job(ProcessingJobName=j.name)
    assert j.ended()["ProcessingJobStatus"] == "Stopped"


def of_two(request):
    request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 2


def test_two_instances(aws, job, bucket, unique):
    """Each has its part of the input, they find each other by name, and all outputs come together."""
    for i in range(4):
        aws("s3").put_object(Bucket=bucket, Key=f"parts/{i}", Body=str(i).encode())
    j = job("""
import json, os, socket, time
me = json.load(open("/opt/ml/config/resourceconfig.json"))
mine = sorted(os.listdir("/opt/ml/processing/parts"))
open("/opt/ml/processing/out/" + me["current_host"], "w").write(" ".join(mine))
open("/opt/ml/output/message", "w").write(me["current_host"] + " is done")
if me["current_host"] == "algo-2":
    s = socket.create_server(("", 7777)); print(s.accept()[0].recv(10)); raise SystemExit
for _ in range(600):
    try:
        socket.create_connection(("algo-2", 7777)).send(b"hello"); break
    except OSError: time.sleep(0.05)
print(me["hosts"])
""", ProcessingInputs=[s3_input("parts", f"s3://{bucket}/parts/", "parts", S3DataDistributionType="ShardedByS3Key")])
    of_two(j.request)
    d = j.create().ended()
    assert d["ProcessingJobStatus"] == "Completed", d.get("FailureReason")
    assert d["ExitMessage"] == "algo-1 is done\nalgo-2 is done"
    assert (j.object("out/algo-1"), j.object("out/algo-2")) == (b"0 2", b"1 3")
    assert sorted(j.lines()) == ["['algo-1', 'algo-2']", "b'hello'"]


@needs_tun
def test_two_instances_with_encryption(job):
    """What they send each other goes through the tunnel; tests/api/test_cluster.py listens to it."""
    j = job("""
import os, socket, time
if os.uname().nodename == "algo-2":
    s = socket.create_server(("", 7777)); print(s.accept()[0].recv(10)); raise SystemExit
for _ in range(600):
    try:
        socket.create_connection(("algo-2", 7777)).send(b"hello"); break
    except OSError: time.sleep(0.05)
print("tunnel0" in [name for _, name in socket.if_nameindex()])
""", NetworkConfig={"EnableInterContainerTrafficEncryption": True})
    of_two(j.request)
    d = j.create().ended()
    assert d["ProcessingJobStatus"] == "Completed", d.get("FailureReason")
    assert d["NetworkConfig"]["EnableInterContainerTrafficEncryption"] is True
    assert sorted(j.lines()) == ["True", "b'hello'"]


def test_one_instance_that_fails_ends_the_other(job):
    j = job("""
import os, time
if os.uname().nodename == "algo-2": raise ValueError("two cannot")
time.sleep(600)
""")
    of_two(j.request)
    d = j.create().ended()
    assert (d["ProcessingJobStatus"], d["FailureReason"]) == ("Failed",
                                                              "AlgorithmError: ValueError: two cannot, exit code: 1")


def test_isolation(job):
    j = job('import socket; print([n for _, n in socket.if_nameindex()])',
            NetworkConfig={"EnableNetworkIsolation": True})
    assert j.create().ended()["ProcessingJobStatus"] == "Completed" and j.lines() == ["['lo']"]


def test_what_the_platform_does_not_carry(job, bucket):
    """AppManaged: neither downloaded nor made nor uploaded."""
    j = job('import os; print(os.listdir("/opt/ml/processing"))',
            ProcessingInputs=[{"InputName": "i", "AppManaged": True, **{
                "S3Input": s3_input("i", f"s3://{bucket}/none", "in")["S3Input"]}}],
            ProcessingOutputConfig={"Outputs": [{"OutputName": "o", "AppManaged": True}]}).create()
    assert j.ended()["ProcessingJobStatus"] == "Completed" and j.lines() == ["['input']"]


def changed(request, path, value):
    *folders, last = path
    d = request
    for part in folders:
        d = d.setdefault(part, {}) if isinstance(part, str) else d[part]
    d[last] = value


OUT = ("ProcessingOutputConfig", "Outputs", 0)


@pytest.mark.parametrize("path, value, words", [
    (("NetworkConfig", "VpcConfig"), {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
     "VpcConfig is not honoured here.*administrator says so: vpc = subnet-1, sg-1"),
    (("ProcessingOutputConfig", "KmsKeyId"), "key", "KmsKeyId is not honoured"),
    (("ProcessingResources", "ClusterConfig", "VolumeKmsKeyId"), "key", "VolumeKmsKeyId is not honoured"),
    ((*OUT, "S3Output", "LocalPath"), "/opt/ml/out", "LocalPath must be a folder below /opt/ml/processing/"),
    ((*OUT, "S3Output", "LocalPath"), "/opt/ml/processing/../../etc", "LocalPath must be a folder below"),
    ((*OUT, "S3Output", "S3Uri"), "https://b/o", "S3Uri must be an S3 URI"),
    ((*OUT, "FeatureStoreOutput"), {"FeatureGroupName": "g"}, "FeatureStoreOutput is not here yet"),
    (("ProcessingInputs",), [s3_input("i", "s3://b/i", "i")] * 2, "names must be unique"),
    (("ProcessingInputs",), [s3_input("i", "s3://b/i", "i"), s3_input("j", "s3://b/i", "i")], "is that of i, too"),
    (("ProcessingInputs",), [s3_input("i", "s3://b/i", "i", S3InputMode="Pipe")], "Pipe is not here: .* Use File"),
    (("ProcessingInputs",), [{"InputName": "i"}], "S3Input is required"),
    (("ProcessingInputs",), [{"InputName": "i", "DatasetDefinition": {"AthenaDatasetDefinition": {
        "Catalog": "c", "Database": "d", "QueryString": "q", "OutputS3Uri": "s3://b/o", "OutputFormat": "PARQUET"}}}],
     "DatasetDefinition is not here yet"),
    (("RoleArn",), "arn:aws:iam::123456789012:role/nobody", "Could not assume role|not authorized to perform"),
])
def test_what_is_refused(job, path, value, words):
    j = job("pass")
    changed(j.request, path, value)
    with pytest.raises(j.sm.exceptions.ClientError, match=words):
        j.create()
    with pytest.raises(j.sm.exceptions.ClientError, match="not found"):
        j.describe()


# --- The SDK ---

sagemaker = pytest.importorskip("sagemaker")
from sagemaker.processing import FrameworkProcessor, ProcessingInput, ProcessingOutput, ScriptProcessor  # noqa: E402


def common(session):
    return dict(role=sagemaker.get_execution_role(session), instance_count=1, instance_type="ml.m5.large",
                sagemaker_session=session)


def text_of(session, uri):
    return sagemaker.s3.S3Downloader.read_file(uri, sagemaker_session=session)


def test_sklearn_processor(session, tmp_path, capsys):
    from sagemaker.sklearn.processing import SKLearnProcessor

    rows = tmp_path / "rows.csv"
    rows.write_text("".join(f"{i},{i * i}\n" for i in range(100)))
    processor = SKLearnProcessor(framework_version="1.2-1", **common(session))
    processor.run(code=str(SCRIPTS / "process_sklearn.py"),
                  inputs=[ProcessingInput(source=str(rows), destination="/opt/ml/processing/input")],
                  outputs=[ProcessingOutput(output_name="train", source="/opt/ml/processing/train"),
                           ProcessingOutput(output_name="test", source="/opt/ml/processing/test")],
                  arguments=["--held-out", "0.2"], logs=True)
    assert "80 rows for training, 20 held out" in capsys.readouterr().out
    made = {o["OutputName"]: o["S3Output"]["S3Uri"] for o in
            processor.latest_job.describe()["ProcessingOutputConfig"]["Outputs"]}
    assert len(text_of(session, made["train"] + "/train.csv").splitlines()) == 80
    assert len(text_of(session, made["test"] + "/test.csv").splitlines()) == 20


def test_script_processor(session, tmp_path, capsys):
    script = tmp_path / "say.sh"
    script.write_text('echo "$@" "$WHO" > /opt/ml/processing/said/words; cat /opt/ml/processing/said/words\n')
    processor = ScriptProcessor(image_uri=IMAGE, command=["bash"], env={"WHO": "world"}, **common(session))
    processor.run(code=str(script), arguments=["hello", "big"],
                  outputs=[ProcessingOutput(output_name="said", source="/opt/ml/processing/said",
                                            s3_upload_mode="Continuous")])
    assert "hello big world" in capsys.readouterr().out
    output = processor.latest_job.describe()["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]
    assert text_of(session, output["S3Uri"] + "/words") == "hello big world\n"


@pytest.mark.parametrize("kind", ["framework", "pytorch"])
def test_framework_processors(session, kind, capsys):
    if kind == "pytorch":
        from sagemaker.pytorch.processing import PyTorchProcessor
        processor = PyTorchProcessor(framework_version="1.13", py_version="py39", **common(session))
    else:
        from sagemaker.pytorch import PyTorch
        processor = FrameworkProcessor(estimator_cls=PyTorch, framework_version="1.13", py_version="py39",
                                       **common(session))
    processor.run(code="main.py", source_dir=str(SCRIPTS / "process_pytorch"), arguments=["--flag", "two words"],
                  outputs=[ProcessingOutput(output_name="sum", source="/opt/ml/processing/output")])
    assert "the sum is 12 ['--flag', 'two words']" in capsys.readouterr().out
    output = processor.latest_job.describe()["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]
    assert text_of(session, output["S3Uri"] + "/sum") == "12"


def test_a_processor_says_why_it_failed(session, tmp_path):
    script = tmp_path / "fail.py"
    script.write_text("raise ValueError('there are no rows')\n")
    processor = ScriptProcessor(image_uri=IMAGE, command=["python3"], **common(session))
    with pytest.raises(sagemaker.exceptions.UnexpectedStatusException, match="ValueError: there are no rows"):
        processor.run(code=str(script), logs=False)


def test_a_processor_is_stopped(session, tmp_path):
    script = tmp_path / "sleep.py"
    script.write_text("import time; time.sleep(600)\n")
    processor = ScriptProcessor(image_uri=IMAGE, command=["python3"], **common(session))
    processor.run(code=str(script), wait=False)
    processor.latest_job.stop()
    processor.latest_job.wait(logs=False)
    assert processor.latest_job.describe()["ProcessingJobStatus"] == "Stopped"


def test_a_job_that_hangs_fails(aws, role, bucket, unique):
    job = Job(aws, role, bucket, unique, "import time; print('begins', flush=True); time.sleep(3600)",
              Environment={"SAGEBRUSH_HANG_AFTER": "2s"}).create()
    d = job.ended()
    assert d["ProcessingJobStatus"] == "Failed"
    assert d["FailureReason"].startswith("InternalServerError: the job hung: for "), d
