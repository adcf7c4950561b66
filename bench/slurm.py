#!/usr/bin/env python3
"""Starting work, beside Slurm on the same machine: a slurmctld and three slurmd of its own.

    bench/slurm.py [--runs 20] [--jobs 2000] [--their-jobs 400] [--queued 10000]

Latency: from before the request (CreateTrainingJob, `sbatch`) to the first line of the same static C program, which writes the
wall clock; ours in a container, Slurm's as a plain script; then ours on Slurm (runtime slurm), and ours in a container
again beside Slurm's while so many jobs wait for a node that is taken (with Slurm one array of jobs, which costs it less).
Rate: jobs submitted and completed in a second; ours with the sim runtime (the control plane, nothing is run), Slurm's with
a script that does nothing; eight clients each. Slurm schedules as soon as a job comes (batch_sched_delay=0).
"""
import argparse
import concurrent.futures
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import container
from common import Server, wait_for
from control_plane import call
from start_latency import clock_in, job as training_job, percentile

import slurm_cluster  # of tests/api, which common has put into the path

CLIENTS = 8


def sbatch(cluster, *arguments):
    return subprocess.run(["sbatch", "--parsable", *arguments], check=True, capture_output=True, text=True,
                          env=cluster.env).stdout.strip()


def by_sbatch(cluster, program, folder, *options):
    """From before sbatch to the program's first line, in ms."""
    out = folder / "sbatch.out"
    out.unlink(missing_ok=True)
    began = time.time_ns() / 1e6
    sbatch(cluster, *options, f"--output={out}", "--mem=100", f"--wrap=exec {program} train")
    return wait_for(lambda: out.exists() and clock_in(out.read_text()), 60, "the script's first line", 0.005) - began


def with_server(runtime, options, use):
    import boto3

    server = Server(runtime=runtime, options=options)
    try:
        server.start()
        os.environ.update({k: v for k, v in server.env.items() if k.startswith("AWS_")})
        return use(server, boto3.session.Session())
    finally:
        server.stop()


def by_us(folder, runs, runtime, options=()):
    def use(server, session):
        sagemaker, logs = session.client("sagemaker"), session.client("logs")
        session.client("s3").create_bucket(Bucket="bench")
        role = f"arn:aws:iam::{server.account()}:role/SagebrushExecutionRole"
        image = container.archive(folder, server.data)
        training_job(sagemaker, logs, role, image)  # unpacks the layers
        return [training_job(sagemaker, logs, role, image) for _ in range(runs)]
    return with_server(runtime, options, use)


FLEET = """
[[pools]]
name = "taken"
accepts = ["ml.m5.large"]

[[pools]]
name = "free"
accepts = ["ml.m6i.large"]

[[nodes]]
name = "taken"
like = "ml.m5.large"
pool = "taken"

[[nodes]]
name = "free"
like = "ml.m6i.large"
pool = "free"
"""


def by_us_behind(folder, runs, queued):
    """The latencies while so many wait, and how many of these came in a second."""
    fleet = folder / "fleet.toml"
    fleet.write_text(FLEET)

    def use(server, session):
        sagemaker, logs = session.client("sagemaker"), session.client("logs")
        session.client("s3").create_bucket(Bucket="bench")
        role, url = f"arn:aws:iam::{server.account()}:role/SagebrushExecutionRole", f"http://127.0.0.1:{server.port}"
        image = container.archive(folder, server.data)
        holder = request("bench-holder", role)
        holder["AlgorithmSpecification"] = {"TrainingImage": image, "TrainingInputMode": "File",
                                            "ContainerEntrypoint": ["/container", "serve"]}
        del holder["HyperParameters"]
        texts = [call(server, url, "CreateTrainingJob", d)
                 for d in (holder, *(request(f"bench-{i}", role) for i in range(queued)))]
        began = time.monotonic()
        taken = send(server.port, texts[:1]) + sum(in_parallel(
            lambda part: send(server.port, part), [texts[1 + i::CLIENTS] for i in range(CLIENTS)]))
        if taken != len(texts):
            raise SystemExit(f"{len(texts) - taken} creates were refused")
        rate = len(texts) / (time.monotonic() - began)
        training_job(sagemaker, logs, role, image, instance_type="ml.m6i.large")
        times = [training_job(sagemaker, logs, role, image, instance_type="ml.m6i.large") for _ in range(runs)]
        waiting = sagemaker.describe_training_job(TrainingJobName=f"bench-{queued - 1}")
        assert waiting["SecondaryStatus"] == "Pending", waiting["SecondaryStatus"]
        return times, rate
    return with_server("container", ["--fleet", fleet], use)


def by_sbatch_behind(cluster, program, folder, runs, queued):
    sbatch(cluster, "--nodelist=n1", "--exclusive", "--output=/dev/null", "--wrap=sleep 3600")
    sbatch(cluster, "--nodelist=n1", "--exclusive", "--output=/dev/null", f"--array=1-{queued}", "--wrap=true")
    times = [by_sbatch(cluster, program, folder, "--nodelist=n2") for _ in range(runs)]
    cluster.run("scancel", "--user=root")
    return times


def show_latency(what, ours, theirs, target=None):
    ratio = percentile(theirs, 50) / percentile(ours, 50)
    goal = "" if target is None else f"   target {target}x: {'reached' if ratio >= target else 'MISSED'}"
    print(f"{what:44s} ours p50 {percentile(ours, 50):7.1f} p90 {percentile(ours, 90):7.1f} ms   sbatch p50 "
          f"{percentile(theirs, 50):7.1f} p90 {percentile(theirs, 90):7.1f} ms   ratio {ratio:5.2f}{goal}", flush=True)


# --- Rates ---

def send(port, requests):
    """One connection, one request after the other; how many were taken."""
    taken = 0
    with socket.create_connection(("127.0.0.1", port)) as s:
        answers = s.makefile("rb")
        for text in requests:
            s.sendall(text.encode())
            taken += answers.readline().startswith(b"HTTP/1.1 200")
            size = 0
            while (line := answers.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
            answers.read(size)
    return taken


def request(name, role, instance_type="ml.m5.large"):
    return {"TrainingJobName": name, "RoleArn": role,
            "AlgorithmSpecification": {"TrainingImage": "sagemaker-xgboost:1.7-1", "TrainingInputMode": "File"},
            "HyperParameters": {"num_round": "10"}, "OutputDataConfig": {"S3OutputPath": "s3://bench/out"},
            "ResourceConfig": {"InstanceType": instance_type, "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 86400}}


def in_parallel(work, parts):
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(work, parts))


def our_rate(count):
    def use(server, session):
        sagemaker = session.client("sagemaker")
        role, url = f"arn:aws:iam::{server.account()}:role/SagebrushExecutionRole", f"http://127.0.0.1:{server.port}"
        texts = [call(server, url, "CreateTrainingJob", request(f"bench-{i}", role)) for i in range(count)]

        def all_completed():
            page = sagemaker.list_training_jobs(StatusEquals="InProgress", MaxResults=1)
            return not page["TrainingJobSummaries"]
        began = time.monotonic()
        taken = sum(in_parallel(lambda part: send(server.port, part), [texts[i::CLIENTS] for i in range(CLIENTS)]))
        submitted = time.monotonic()
        wait_for(all_completed, 600, "the end of the jobs", 0.05)
        done = time.monotonic()
        if taken != count:
            raise SystemExit(f"{count - taken} creates were refused")
        return count / (submitted - began), count / (done - began)
    return with_server("sim", [], use)


def their_rate(cluster, count):
    def submit(_):
        sbatch(cluster, "--output=/dev/null", "--mem=100", "--wrap=true")
    began = time.monotonic()
    in_parallel(submit, range(count))
    submitted = time.monotonic()
    wait_for(lambda: not cluster.jobs(), 1200, "the end of the jobs", 0.2)
    return count / (submitted - began), count / (time.monotonic() - began)


def show_rate(what, ours, theirs):
    print(f"{what:44s} ours {ours:8.1f}   sbatch {theirs:8.1f} /s   ratio {ours / theirs:6.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--their-jobs", type=int, default=400, help="sbatch is so much slower that fewer will do")
    parser.add_argument("--queued", type=int, default=10000)
    options = parser.parse_args()
    why = slurm_cluster.missing()
    if why:
        raise SystemExit(f"no figures: {why}")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sagebrush-bench-"))
    folder.chmod(0o755)
    cluster = slurm_cluster.Cluster(more=["MaxArraySize=100001", "MaxJobCount=200000"])
    try:
        cluster.start()
        program = container.program(folder)
        theirs = [by_sbatch(cluster, program, folder) for _ in range(options.runs)]
        show_latency("submit to first line, container", by_us(folder, options.runs, "container"), theirs, 10)
        conf = folder / "sagebrush.conf"
        conf.write_text("slurm-partition = batch\n")
        os.environ["SLURM_CONF"] = str(cluster.conf)
        show_latency("submit to first line, runtime slurm", by_us(folder, options.runs, "slurm", ["--config", conf]), theirs)
        ours, slurm = our_rate(options.jobs), their_rate(cluster, options.their_jobs)
        show_rate("jobs submitted", ours[0], slurm[0])
        show_rate("jobs submitted and completed", ours[1], slurm[1])
        theirs = by_sbatch_behind(cluster, program, folder, options.runs, options.queued)
        times, rate = by_us_behind(folder, options.runs, options.queued)
        show_latency(f"the same with {options.queued} jobs waiting", times, theirs, 10)
        print(f"{options.queued} jobs were queued at {rate:.1f} /s")
        print(f"ours, sim runtime, sustained: {ours[1]:.1f} jobs/s   target 200: "
              f"{'reached' if ours[1] >= 200 else 'MISSED'}")
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
