"""Training jobs that are run to be measured: script mode as the SDK submits it, the end, the lines of the log."""
import io
import re
import tarfile
import time
import uuid

from common import wait_for

PYTHON = "sagemaker-scikit-learn:1.2-1-cpu-py3"
SCRIPT = "import time\nprint('first line at %d' % time.time_ns(), flush=True)\n"
GROUP = "/aws/sagemaker/TrainingJobs"


def script_mode(s3, script):
    """Hyperparameters that name the archive with the script, which is put into S3."""
    text = script.encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        info = tarfile.TarInfo("train.py")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    key = f"source/{uuid.uuid4().hex}/sourcedir.tar.gz"
    s3.put_object(Bucket="bench", Key=key, Body=archive.getvalue())
    return {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": f'"s3://bench/{key}"'}


def channel(name, prefix, mode="File"):
    return {"ChannelName": name, "InputMode": mode, "DataSource": {"S3DataSource": {
        "S3DataType": "S3Prefix", "S3Uri": f"s3://bench/{prefix}/"}}}


def run(server, image=PYTHON, script=None, resources=None, step=0.1, **more):
    """One job from its creation to Completed; answers what Describe says then."""
    sagemaker, name = server.client("sagemaker"), f"bench-{uuid.uuid4().hex[:12]}"
    if script:
        more["HyperParameters"] = script_mode(server.client("s3"), script)
    sagemaker.create_training_job(
        TrainingJobName=name, RoleArn=server.role, OutputDataConfig={"S3OutputPath": "s3://bench/out"},
        AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30, **(resources or {})},
        StoppingCondition={"MaxRuntimeInSeconds": 600}, **more)

    def ended():
        state = sagemaker.describe_training_job(TrainingJobName=name)
        return state if state["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    state = wait_for(ended, 600, f"the end of {name}", step)
    if state["TrainingJobStatus"] != "Completed":
        raise SystemExit(f"{name}: {state.get('FailureReason', state['TrainingJobStatus'])}")
    return state


def lines(server, state, host="algo-1"):
    """Of the log of one instance of a job."""
    logs, prefix = server.client("logs"), f"{state['TrainingJobName']}/{host}-"
    stream = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=prefix)["logStreams"][0]["logStreamName"]
    token, found = {}, []
    while True:
        page = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True, **token)
        if page["nextForwardToken"] == token.get("nextToken"):
            return found
        found += [e["message"] for e in page["events"]]
        token = {"nextToken": page["nextForwardToken"]}


def clock_in(text):
    """The milliseconds that SCRIPT, or container.c, has written."""
    found = re.search(r"first line at (\d+)", text)
    return int(found[1]) / 1e6 if found else None
