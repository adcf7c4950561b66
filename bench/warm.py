#!/usr/bin/env python3
"""From CreateTrainingJob to the first line of user code: cold, and on the instance that the job before has kept warm.

    bench/warm.py [--runs 20]

The programs and the clocks are those of start_latency.py. Cold and warm jobs run in turns, so that what else the machine
does meets both: a job that keeps its instance, a job that takes it (and keeps nothing), and again.
"""
import argparse
import os
import pathlib
import shutil
import tempfile
import time

import container
from common import Server, wait_for
from start_latency import job, percentile, script_mode


def kept(sagemaker, name):
    """The job's pool is there, and what stands by in it has had a moment to start."""
    wait_for(lambda: sagemaker.describe_training_job(TrainingJobName=name).get("WarmPoolStatus", {}).get("Status")
             == "Available", 30, f"the warm pool of {name}", 0.05)
    time.sleep(0.5)


def show(what, cold, warm):
    ratio = percentile(warm, 50) / percentile(cold, 50)
    print(f"{what:32s} cold p50 {percentile(cold, 50):7.1f} p90 {percentile(cold, 90):7.1f} ms   warm p50 "
          f"{percentile(warm, 50):7.1f} p90 {percentile(warm, 90):7.1f} ms   ratio {ratio:5.2f}   target under half the "
          f"cold time: {'reached' if ratio < 0.5 else 'MISSED'}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
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
        cases = [("a C program in an OCI image", container.archive(folder, server.data), {}),
                 ("Python in script mode", "sagemaker-scikit-learn:1.2-1-cpu-py3", {"HyperParameters": script_mode(s3)})]
        for what, image, more in cases:
            job(sagemaker, logs, role, image, **more)  # unpacks the layers, reads everything into memory
            cold, warm = [], []
            for _ in range(options.runs):
                cold.append(job(sagemaker, logs, role, image, keep=600, then=lambda name: kept(sagemaker, name), **more))
                warm.append(job(sagemaker, logs, role, image, **more))
            show(what, cold, warm)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
