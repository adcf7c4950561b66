#!/usr/bin/env python3
"""How fast two instances of a job talk to each other, and what EnableInterContainerTrafficEncryption costs of it.

    bench/tunnel.py [--megabytes 2000]

algo-1 sends algo-2 so many bytes over one TCP connection, then one byte there and back many times. The same job runs
without EnableInterContainerTrafficEncryption and with it.
"""
import argparse
import os
import uuid

from checkpoint import source
from common import Server, wait_for

SCRIPT = """
import json, os, socket, time
size, turns = %d << 20, 2000
me, chunk = os.environ["SM_CURRENT_HOST"], bytes(1 << 20)
if me == "algo-2":
    with socket.create_server(("0.0.0.0", 7400)) as server:
        s = server.accept()[0]
    left, room = size, bytearray(1 << 20)
    while left: left -= s.recv_into(room, min(left, len(room)))
    s.sendall(b"x")
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(turns): s.sendall(s.recv(1))
else:
    while True:
        try: s = socket.create_connection(("algo-2", 7400)); break
        except OSError: time.sleep(0.1)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    start = time.time()
    for _ in range(size >> 20): s.sendall(chunk)
    s.recv(1)
    rate = size / (time.time() - start) / 1e6
    start = time.time()
    for _ in range(turns): s.sendall(b"x"); s.recv(1)
    print(f"rate {rate:.1f} turn {1e6 * (time.time() - start) / turns:.1f};", flush=True)
"""


def run(clients, role, megabytes, encrypted):
    s3, sagemaker, logs = clients
    name = f"bench-{uuid.uuid4().hex[:12]}"
    sagemaker.create_training_job(
        TrainingJobName=name, RoleArn=role, OutputDataConfig={"S3OutputPath": "s3://bench/out"},
        AlgorithmSpecification={"TrainingImage": "sagemaker-scikit-learn:1.2-1-cpu-py3", "TrainingInputMode": "File"},
        HyperParameters=source(s3, SCRIPT % megabytes), StoppingCondition={"MaxRuntimeInSeconds": 600},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 30},
        EnableInterContainerTrafficEncryption=encrypted)
    wait_for(lambda: sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] != "InProgress", 300,
             f"the end of {name}", 0.1)
    done = sagemaker.describe_training_job(TrainingJobName=name)
    if done["TrainingJobStatus"] != "Completed":
        raise SystemExit(done["FailureReason"])
    group, stream = "/aws/sagemaker/TrainingJobs", f"{name}/algo-1-"
    stream = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=stream)["logStreams"][0]["logStreamName"]

    def figures():
        for e in logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]:
            if e["message"].startswith("rate "):
                words = e["message"].rstrip(";").split()
                return float(words[1]), float(words[3])
    return wait_for(figures, 30, "the figures", 0.1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=2000)
    options = parser.parse_args()
    server = Server()
    try:
        server.start()
        import boto3

        os.environ.update({k: v for k, v in server.env.items() if k.startswith("AWS_")})
        clients = [boto3.client(n) for n in ("s3", "sagemaker", "logs")]
        clients[0].create_bucket(Bucket="bench")
        role = f"arn:aws:iam::{server.account()}:role/SagebrushExecutionRole"
        (rate, turn), (sealed_rate, sealed_turn) = (run(clients, role, options.megabytes, e) for e in (False, True))
        print(f"between two instances {rate:.0f} MB/s, encrypted {sealed_rate:.0f} MB/s; a byte there and back {turn:.0f} us, "
              f"encrypted {sealed_turn:.0f} us")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
