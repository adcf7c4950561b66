#!/usr/bin/env python3
"""DescribeTrainingJob and CreateTrainingJob per second, ours (signatures checked, durable) beside moto_server.

    bench/control_plane.py [--seconds 5] [--creates 20000]

Ours runs with the sim runtime: what is measured is the control plane, not containers. Each create is a request of its own
with its own signature, made beforehand; moto does not check signatures and keeps everything in memory.
"""
import argparse
import json
import subprocess
import tempfile

from common import Server, free_port, peer_environment, show, signed, wait_for, wrk, ROOT

TARGET = {"Content-Type": "application/x-amz-json-1.1"}


def raw(method, url, headers, body):
    host = url.split("/")[2]
    lines = [f"{method} / HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{k}: {v}" for k, v in headers.items() if k.lower() not in ("host", "content-length")]
    return "\r\n".join(lines) + "\r\n\r\n" + body.decode()


def call(server, url, operation, body):
    text = json.dumps(body).encode()
    headers = signed(server, "sagemaker", "POST", url, {**TARGET, "X-Amz-Target": f"SageMaker.{operation}"}, text)
    return raw("POST", url, headers, text)


def job(name, role):
    return {"TrainingJobName": name, "RoleArn": role,
            "AlgorithmSpecification": {"TrainingImage": "sagemaker-xgboost:1.7-1", "TrainingInputMode": "File"},
            "HyperParameters": {"num_round": "10", "objective": "binary:logistic"},
            "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {
                "S3DataType": "S3Prefix", "S3Uri": "s3://bench/train/"}}}],
            "OutputDataConfig": {"S3OutputPath": "s3://bench/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600}}


def file_of(requests):
    f = tempfile.NamedTemporaryFile("w", suffix=".requests", delete=False, newline="")
    f.write("".join(r + "\n%%\n" for r in requests))
    f.close()
    return f.name


def measure(server, url, role, options):
    script = ROOT / "bench" / "requests.lua"
    describe = file_of([call(server, url, "DescribeTrainingJob", {"TrainingJobName": "bench-0"})])
    creates = file_of([call(server, url, "CreateTrainingJob", job(f"bench-{i}", role)) for i in range(1, options.creates)])
    first = file_of([call(server, url, "CreateTrainingJob", job("bench-0", role))])
    wrk(url, script, 1, 1, arguments=[first])
    d = wrk(url, script, options.seconds, 32, arguments=[describe])
    c = wrk(url, script, 2, 64, arguments=[creates])
    if d["bad"]:
        raise SystemExit(f"{d['bad']} describes were refused")
    return d, c


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--creates", type=int, default=20000)
    options = parser.parse_args()
    server = Server(runtime="sim")
    server.start()
    role = f"arn:aws:iam::{server.account()}:role/SagebrushExecutionRole"
    ours = measure(server, f"http://127.0.0.1:{server.port}", role, options)
    port = free_port()
    moto = subprocess.Popen([peer_environment("moto[server]") / "moto_server", "-p", str(port)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: reachable(port), 60, "moto_server")
        theirs = measure(server, f"http://127.0.0.1:{port}", role, options)
    finally:
        moto.terminate()
        moto.wait()
        server.stop()
    show("DescribeTrainingJob", ours[0]["rate"], theirs[0]["rate"], "/s", "moto", 100)
    show("CreateTrainingJob (durable)", ours[1]["rate"], theirs[1]["rate"], "/s", "moto", 10)
    print(f"  ours p50/p99 ms: describe {ours[0]['ms']['50']:.2f}/{ours[0]['ms']['99']:.2f}, "
          f"create {ours[1]['ms']['50']:.2f}/{ours[1]['ms']['99']:.2f}; refused creates {ours[1]['bad']} (names used up)")


def reachable(port):
    import socket

    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
