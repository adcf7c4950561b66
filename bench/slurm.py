#!/usr/bin/env python3
"""Starting work, beside Slurm on the same machine: a slurmctld and three slurmd of its own.

    bench/slurm.py [--runs 20] [--jobs 2000] [--their-jobs 400] [--queued 10000]

Latency: from before the request (CreateTrainingJob, `sbatch`) to the first line of the same static C program, which
writes the wall clock; ours in a container, Slurm's as a plain script; then ours on Slurm (runtime slurm), and ours in a
container again beside Slurm's while so many jobs wait for a node that is taken (with Slurm one array of jobs, which
costs it less).

Rate: jobs submitted and completed in a second; ours with the sim runtime (the control plane, nothing is run), Slurm's
with a script that does nothing; eight clients each. Slurm schedules as soon as a job comes (batch_sched_delay=0).
"""
import argparse
import concurrent.futures
import os
import subprocess
import time

import common
import container
from common import Server, show, show_latency, wait_for
from load import call, job, send
from start_latency import first_line
from training import clock_in

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


def by_us(folder, runs, runtime, settings=""):
    with Server(settings, runtime=runtime) as server:
        image = container.archive(folder, server.data)
        first_line(server, image)  # unpacks the layers
        return [first_line(server, image) for _ in range(runs)]


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
    fleet, there = folder / "fleet.toml", {"InstanceType": "ml.m6i.large"}
    fleet.write_text(FLEET)
    with Server(options=["--fleet", fleet]) as server:
        image = container.archive(folder, server.data)
        holder = job("bench-holder", server.role)
        holder["AlgorithmSpecification"] = {"TrainingImage": image, "TrainingInputMode": "File",
                                            "ContainerEntrypoint": ["/container", "serve"]}
        holder["StoppingCondition"] = {"MaxRuntimeInSeconds": 86400}
        del holder["HyperParameters"], holder["InputDataConfig"]
        texts = [call(server, server.url, "CreateTrainingJob", d)
                 for d in (holder, *(job(f"bench-{i}", server.role) for i in range(queued)))]
        began = time.monotonic()
        if send(server.port, texts[:1]) + sent(server, texts[1:]) != len(texts):
            raise SystemExit("creates were refused")
        rate = len(texts) / (time.monotonic() - began)
        first_line(server, image, there)
        times = [first_line(server, image, there) for _ in range(runs)]
        waiting = server.client("sagemaker").describe_training_job(TrainingJobName=f"bench-{queued - 1}")
        assert waiting["SecondaryStatus"] == "Pending", waiting["SecondaryStatus"]
        return times, rate


def by_sbatch_behind(cluster, program, folder, runs, queued):
    sbatch(cluster, "--nodelist=n1", "--exclusive", "--output=/dev/null", "--wrap=sleep 3600")
    sbatch(cluster, "--nodelist=n1", "--exclusive", "--output=/dev/null", f"--array=1-{queued}", "--wrap=true")
    times = [by_sbatch(cluster, program, folder, "--nodelist=n2") for _ in range(runs)]
    cluster.run("scancel", "--user=root")
    return times


# --- Rates ---

def in_parallel(work, parts):
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(work, parts))


def sent(server, texts):
    return sum(in_parallel(lambda part: send(server.port, part), [texts[i::CLIENTS] for i in range(CLIENTS)]))


def our_rate(count):
    with Server(runtime="sim") as server:
        sagemaker = server.client("sagemaker")
        texts = [call(server, server.url, "CreateTrainingJob", job(f"bench-{i}", server.role)) for i in range(count)]
        began = time.monotonic()
        taken = sent(server, texts)
        submitted = time.monotonic()
        wait_for(lambda: not sagemaker.list_training_jobs(StatusEquals="InProgress",
                                                          MaxResults=1)["TrainingJobSummaries"],
                 600, "the end of the jobs", 0.05)
        done = time.monotonic()
        if taken != count:
            raise SystemExit(f"{count - taken} creates were refused")
        return count / (submitted - began), count / (done - began)


def their_rate(cluster, count):
    def submit(_):
        sbatch(cluster, "--output=/dev/null", "--mem=100", "--wrap=true")
    began = time.monotonic()
    in_parallel(submit, range(count))
    submitted = time.monotonic()
    wait_for(lambda: not cluster.jobs(), 1200, "the end of the jobs", 0.2)
    return count / (submitted - began), count / (time.monotonic() - began)


def compare(cluster, folder, options):
    program = container.program(folder)
    theirs = [by_sbatch(cluster, program, folder) for _ in range(options.runs)]
    show_latency("submit to first line, container", by_us(folder, options.runs, "container"), theirs, "sbatch", 10)
    os.environ["SLURM_CONF"] = str(cluster.conf)
    ours = by_us(folder, options.runs, "slurm", "slurm-partition = batch\n")
    show_latency("submit to first line, runtime slurm", ours, theirs, "sbatch")
    ours, slurm = our_rate(options.jobs), their_rate(cluster, options.their_jobs)
    show("jobs submitted", ours[0], slurm[0], "/s", "sbatch")
    show("jobs submitted and completed", ours[1], slurm[1], "/s", "sbatch")
    theirs = by_sbatch_behind(cluster, program, folder, options.runs, options.queued)
    times, rate = by_us_behind(folder, options.runs, options.queued)
    show_latency(f"the same with {options.queued} jobs waiting", times, theirs, "sbatch", 10)
    print(f"{options.queued} jobs were queued at {rate:.1f} /s")
    print(f"ours, sim runtime, sustained: {ours[1]:.1f} jobs/s   target 200: "
          f"{'reached' if ours[1] >= 200 else 'MISSED'}")


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
    cluster = slurm_cluster.Cluster(more=["MaxArraySize=100001", "MaxJobCount=200000"])
    with common.folder() as folder:
        try:
            cluster.start()
            compare(cluster, folder, options)
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
