#!/usr/bin/env python3
"""From CreateTrainingJob to the first line of user code, beside a bare `runc run` of the same program.

    bench/start_latency.py [--runs 30]

The program writes the wall clock as the first thing it does; the start is taken before the request leaves the client, so
signing, the wire, the durable row, the agent and the container are all in it. The peer is `runc run` of the same program
in a bundle made beforehand, from before the command is started. Two programs: a static C program in an OCI image of its
own, and a Python script in script mode of sagemaker-scikit-learn (its peer: the same Python, /usr of this host bound).
"""
import argparse
import io
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
import uuid

import container
from common import Server, need, wait_for

SCRIPT = "import time\nprint('first line at %d' % time.time_ns(), flush=True)\n"


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))]


def clock_in(text):
    found = re.search(r"first line at (\d+)", text)
    return int(found[1]) / 1e6 if found else None


def bare(folder, arguments, runs, host_usr=False):
    runc, bundle = need("runc", "runc"), container.bundle(folder, arguments, host_usr)
    if host_usr:
        (bundle / "rootfs" / "train.py").write_text(SCRIPT)
    times = []
    for _ in range(runs):
        began = time.time_ns() / 1e6
        out = subprocess.run([runc, "run", "--bundle", bundle, f"bench-{uuid.uuid4().hex[:12]}"], check=True,
                             stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
        times.append(clock_in(out) - began)
    return times


def first_line(logs, name):
    """The clock that the job wrote, from its log."""
    group = "/aws/sagemaker/TrainingJobs"
    for stream in logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=name + "/")["logStreams"]:
        events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)["events"]
        return next((c for c in (clock_in(e["message"]) for e in events) if c), None)


def job(sagemaker, logs, role, image, keep=0, then=lambda name: None, instance_type="ml.m5.large", **more):
    """Milliseconds to the first line. 'keep': its KeepAlivePeriodInSeconds; 'then' is called with the job's name."""
    name = f"bench-{uuid.uuid4().hex[:12]}"
    resources = {"InstanceType": instance_type, "InstanceCount": 1, "VolumeSizeInGB": 1}
    began = time.time_ns() / 1e6
    sagemaker.create_training_job(
        TrainingJobName=name, RoleArn=role, AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": "s3://bench/out"}, StoppingCondition={"MaxRuntimeInSeconds": 600},
        ResourceConfig={**resources, "KeepAlivePeriodInSeconds": keep} if keep else resources, **more)

    def ended():
        state = sagemaker.describe_training_job(TrainingJobName=name)
        return state if state["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    state = wait_for(ended, 60, f"the end of {name}", 0.05)
    if state["TrainingJobStatus"] != "Completed":
        raise SystemExit(f"{name}: {state['FailureReason']}")
    first = wait_for(lambda: first_line(logs, name), 10, f"the log of {name}", 0.05)
    then(name)
    return first - began


def script_mode(s3):
    """Script mode as the SDK submits it: the source archive in S3, named by hyperparameters."""
    source = io.BytesIO()
    with tarfile.open(fileobj=source, mode="w:gz") as tar:
        info = tarfile.TarInfo("train.py")
        info.size = len(SCRIPT)
        tar.addfile(info, io.BytesIO(SCRIPT.encode()))
    s3.put_object(Bucket="bench", Key="source/sourcedir.tar.gz", Body=source.getvalue())
    return {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": '"s3://bench/source/sourcedir.tar.gz"'}


def show(what, ours, theirs):
    print(f"{what:32s} ours p50 {percentile(ours, 50):7.1f} p90 {percentile(ours, 90):7.1f} ms   runc run p50 "
          f"{percentile(theirs, 50):7.1f} p90 {percentile(theirs, 90):7.1f} ms   ratio "
          f"{percentile(theirs, 50) / percentile(ours, 50):5.2f}   target p50 under 100 ms: "
          f"{'reached' if percentile(ours, 50) < 100 else 'MISSED'}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30)
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sagebrush-bench-"))
    folder.chmod(0o755)
    server = Server()
    try:
        server.start()
        import boto3

        os.environ.update({k: v for k, v in server.env.items() if k.startswith("AWS_")})
        s3, sagemaker, logs = boto3.client("s3"), boto3.client("sagemaker"), boto3.client("logs")
        s3.create_bucket(Bucket="bench")
        role = f"arn:aws:iam::{server.account()}:role/SagebrushExecutionRole"
        cases = [("a C program in an OCI image", container.archive(folder, server.data), {}, ["/container", "train"], False),
                 ("Python in script mode", "sagemaker-scikit-learn:1.2-1-cpu-py3", {"HyperParameters": script_mode(s3)},
                  ["/usr/bin/python3", "/train.py"], True)]
        for at, (what, image, more, arguments, host_usr) in enumerate(cases):
            job(sagemaker, logs, role, image, **more)  # unpacks the layers, reads everything into memory
            ours = [job(sagemaker, logs, role, image, **more) for _ in range(options.runs)]
            show(what, ours, bare(folder / f"bundle-{at}", arguments, options.runs, host_usr))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
