#!/usr/bin/env python3
"""FastFile reads beside the same bytes in a local file.

    bench/fastfile.py [--size-mb 1024]

A script in a job reads one big object of a FastFile channel from its first byte to its last, then again, when the kernel has
it; then 2,000 random pieces of 64 KB; then 1,000 small objects. The peer is the same of a file in the container, whose
pages were dropped from memory before the first time where this machine allows it.
"""
import argparse
import os
import uuid

import checkpoint
from common import Server, wait_for

SCRIPT = """
import os, random, time
def rate(what, read):
    t = time.time(); n = read(); t = time.time() - t
    print(f"{what}: {n / t / 1e6:.0f} MB/s, {t:.2f} s;", flush=True)
def whole(path):
    n = 0
    with open(path, "rb", buffering=0) as f:
        while block := f.read(1 << 20): n += len(block)
    return n
def pieces(path):
    size, dice, n = os.path.getsize(path), random.Random(1), 0
    with open(path, "rb", buffering=0) as f:
        for _ in range(2000):
            f.seek(dice.randrange(size - 65536)); n += len(f.read(65536))
    return n
def small(folder): return sum(whole(f"{folder}/{name}") for name in os.listdir(folder))
fast, local = "/opt/ml/input/data/fast", "/opt/ml/input/data/local"
for what, folder in (("FastFile", fast), ("local", local)):
    if what == "local":
        for base, _, names in os.walk(folder):
            for name in names:
                fd = os.open(f"{base}/{name}", os.O_RDONLY); os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED); os.close(fd)
    rate(what + " cold", lambda: whole(folder + "/big"))
    rate(what + " again", lambda: whole(folder + "/big"))
    rate(what + " random 64 KB", lambda: pieces(folder + "/big"))
    rate(what + " 1000 small", lambda: small(folder + "/small"))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mb", type=int, default=1024)
    options = parser.parse_args()
    server = Server()
    try:
        server.start()
        import boto3

        os.environ.update({k: v for k, v in server.env.items() if k.startswith("AWS_")})
        s3, sagemaker, logs = (boto3.client(n) for n in ("s3", "sagemaker", "logs"))
        s3.create_bucket(Bucket="bench")
        s3.put_object(Bucket="bench", Key="d/big", Body=os.urandom(options.size_mb << 20))
        for i in range(1000):
            s3.put_object(Bucket="bench", Key=f"d/small/{i}", Body=os.urandom(20000))
        name = f"bench-{uuid.uuid4().hex[:12]}"
        channels = [{"ChannelName": channel, "InputMode": mode, "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": "s3://bench/d/"}}} for channel, mode in (("fast", "FastFile"), ("local", "File"))]
        sagemaker.create_training_job(
            TrainingJobName=name, RoleArn=f"arn:aws:iam::{server.account()}:role/SagebrushExecutionRole",
            AlgorithmSpecification={"TrainingImage": "sagemaker-scikit-learn:1.2-1-cpu-py3", "TrainingInputMode": "File"},
            HyperParameters=checkpoint.source(s3, SCRIPT), InputDataConfig=channels,
            OutputDataConfig={"S3OutputPath": "s3://bench/out"}, StoppingCondition={"MaxRuntimeInSeconds": 600},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30})
        wait_for(lambda: sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] != "InProgress", 300,
                 f"the end of {name}", 0.1)
        group = "/aws/sagemaker/TrainingJobs"
        stream = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=name)["logStreams"][0]["logStreamName"]
        for event in logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]:
            if "MB/s" in event["message"] or "Error" in event["message"]:
                print(event["message"].rstrip(";"))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
