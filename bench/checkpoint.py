#!/usr/bin/env python3
"""How fast checkpoints reach S3, and what a training loop notices of it.

    bench/checkpoint.py [--size-mb 128] [--count 6]

The same loop runs twice, with CheckpointConfig and without: some arithmetic, then a checkpoint, written beside its name
and renamed into place. What it notices is how much longer the writes and the arithmetic take. The rate is that of the time between
a checkpoint's rename and its .sagemaker-uploaded, under the setting checkpoint-rate.
"""
import argparse
import io
import os
import tarfile
import uuid

from common import Server, wait_for

SCRIPT = """
import os, sys, time
import numpy as np
size, count, wait = %d, %d, %r
data, m = os.urandom(size << 20), np.random.rand(400, 400)
os.makedirs("/opt/ml/checkpoints", exist_ok=True)
os.chdir("/opt/ml/checkpoints")
renamed = []
for step in range(count):
    t = time.time()
    for _ in range(60): m @ m
    worked = time.time()
    with open("tmp", "wb") as f: f.write(data)
    os.rename("tmp", f"ck-{step}")
    now = time.time()
    renamed.append(now)
    print(f"work {1000 * (worked - t):.1f} write {1000 * (now - worked):.1f};", flush=True)
while wait and not all(os.path.exists(f"ck-{s}.sagemaker-uploaded") for s in range(count)): time.sleep(0.01)
uploaded = [os.stat(f"ck-{s}.sagemaker-uploaded").st_ctime if wait else renamed[s] + 1 for s in range(count)]
busy = sum(uploaded[s] - max(renamed[s], uploaded[s - 1] if s else 0) for s in range(count))
print(f"rate {size * count / busy:.0f};")
"""


def source(s3, script):
    """Script mode as the SDK submits it: the source archive in S3, named by hyperparameters."""
    text = script.encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        info = tarfile.TarInfo("train.py")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    key = f"source/{uuid.uuid4().hex}/sourcedir.tar.gz"
    s3.put_object(Bucket="bench", Key=key, Body=archive.getvalue())
    return {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": f'"s3://bench/{key}"'}


def run(clients, role, options, checkpoints):
    s3, sagemaker, logs = clients
    name = f"bench-{uuid.uuid4().hex[:12]}"
    more = {"CheckpointConfig": {"S3Uri": f"s3://bench/{name}"}} if checkpoints else {}
    sagemaker.create_training_job(
        TrainingJobName=name, RoleArn=role, OutputDataConfig={"S3OutputPath": "s3://bench/out"},
        AlgorithmSpecification={"TrainingImage": "sagemaker-scikit-learn:1.2-1-cpu-py3", "TrainingInputMode": "File"},
        HyperParameters=source(s3, SCRIPT % (options.size_mb, options.count, checkpoints)),
        StoppingCondition={"MaxRuntimeInSeconds": 600},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}, **more)
    wait_for(lambda: sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] != "InProgress", 300,
             f"the end of {name}", 0.1)
    if sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] != "Completed":
        raise SystemExit(sagemaker.describe_training_job(TrainingJobName=name)["FailureReason"])
    group = "/aws/sagemaker/TrainingJobs"
    stream = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=name)["logStreams"][0]["logStreamName"]
    lines = [e["message"] for e in logs.get_log_events(logGroupName=group, logStreamName=stream)["events"]]
    steps = [line.rstrip(";").split() for line in lines if line.startswith("work ")]
    rate = next(float(line.rstrip(";").split()[1]) for line in lines if line.startswith("rate "))
    return sorted(float(s[1]) for s in steps), sorted(float(s[3]) for s in steps), rate


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mb", type=int, default=128)
    parser.add_argument("--count", type=int, default=6)
    options = parser.parse_args()
    server = Server()
    try:
        server.start()
        import boto3

        os.environ.update({k: v for k, v in server.env.items() if k.startswith("AWS_")})
        clients = [boto3.client(n) for n in ("s3", "sagemaker", "logs")]
        clients[0].create_bucket(Bucket="bench")
        role = f"arn:aws:iam::{server.account()}:role/SagebrushExecutionRole"
        run(clients, role, options, False)
        work, write, _ = run(clients, role, options, False)
        work_synced, write_synced, rate = run(clients, role, options, True)
        middle = len(work) // 2
        print(f"{options.count} checkpoints of {options.size_mb} MB: {rate:.0f} MB/s to S3 while the job runs")
        for what, plain, synced in (("write", write, write_synced), ("arithmetic", work, work_synced)):
            print(f"{what:10s} p50 {plain[middle]:7.1f} ms without CheckpointConfig, {synced[middle]:7.1f} ms with it "
                  f"({100 * (synced[middle] / plain[middle] - 1):+.0f} %); max {plain[-1]:.1f} and {synced[-1]:.1f}")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
