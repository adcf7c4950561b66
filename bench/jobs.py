#!/usr/bin/env python3
"""Training jobs from CreateTrainingJob to Completed, per second, by how many wait; and what a long queue costs others.

    bench/jobs.py [--queued 100 1000 10000]

With the sim runtime: what is measured is the control plane - requests with signatures, the scheduler, reconcile, SQLite
- and no container. First so many jobs are created as fast as the server takes them, for a machine that runs eight at a
time, and all have to end. Then as many wait for a node that an endpoint keeps, while others go through on a node beside
it. The aim: 200 jobs/s, also with 10,000 that wait.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile
import time

from common import SAGEBRUSH, Server, cpu_seconds, need, wait_for
from load import REQUESTS, call, file_of, job

TARGET = 200  # jobs/s

FLEET = """
[[pools]]
name = "kept"
accepts = ["box.kept"]
[[pools]]
name = "open"
accepts = ["box.open"]
[[nodes]]
name = "kept"
pool = "kept"
cores = 1
memory = "1GiB"
[[nodes]]
name = "open"
pool = "open"
cores = 8
memory = "8GiB"
[[types]]
name = "box.kept"
vcpus = 1
memory = "1GiB"
usd_hour = 0.1
[[types]]
name = "box.open"
vcpus = 1
memory = "1GiB"
usd_hour = 0.1
"""


def states(server):
    out = subprocess.run([SAGEBRUSH, "status", "--json", "--data", server.data], capture_output=True, text=True).stdout
    return json.loads(out).get("server", {}).get("resources", {}).get("TrainingJob", {})


def create(server, names, instance_type="ml.m5.large"):
    """All of them, by 32 connections; returns when each was answered."""
    requests = [call(server, server.url, "CreateTrainingJob", job(name, server.role, instance_type)) for name in names]
    path = file_of(requests)
    before = sum(states(server).values())
    started = time.monotonic()
    wrk = subprocess.Popen([need("wrk", "wrk"), "-t", "1", "-c", "32", "-d", "600s", "-s", REQUESTS, server.url,
                            "--", path], stdout=subprocess.DEVNULL)
    wait_for(lambda: sum(states(server).values()) >= before + len(requests), 600, "the last create", 0.05)
    wrk.terminate()
    wrk.wait()
    pathlib.Path(path).unlink()
    return started


def completed(server, count):
    wait_for(lambda: states(server).get("Completed", 0) >= count, 600, "the last job's end", 0.05)
    return time.monotonic()


def used(server):
    """Seconds of the control plane's core."""
    return cpu_seconds(server.pid("control"))


def show(what, rate, ms, more):
    print(f"{what:36s} {rate:9.1f} jobs/s (aim {TARGET}: {'reached' if rate >= TARGET else 'MISSED'}), {ms:.2f} ms of "
          f"the control plane's core each{more}", flush=True)


def drain(count):
    with Server(runtime="sim") as server:
        cpu = used(server)
        started = create(server, [f"drain-{i}" for i in range(count)])
        seconds = completed(server, count) - started
        cpu = used(server) - cpu
    show(f"{count:7d} jobs created to completed", count / seconds, 1e3 * cpu / count, "")


def beside(count, passing=1000):
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as f:
        f.write(FLEET)
        f.flush()
        with Server(runtime="sim", options=["--fleet", f.name]) as server:
            keep(server)
            create(server, [f"waits-{i}" for i in range(count)], "box.kept")
            settled(server)
            cpu, at = used(server), time.monotonic()
            time.sleep(10)
            idle = 100 * (used(server) - cpu) / (time.monotonic() - at)
            cpu = used(server)
            started = create(server, [f"passes-{i}" for i in range(passing)], "box.open")
            seconds = completed(server, passing) - started
            cpu = used(server) - cpu
    show(f"{count:7d} wait, {passing} pass", passing / seconds, 1e3 * cpu / passing,
         f"; {idle:.1f} % of a core while nothing happens")


def settled(server):
    """Every job that was created has been looked at: the control plane has nothing to do any more."""
    def rests():
        before = used(server)
        time.sleep(1)
        return used(server) - before < 0.1
    wait_for(rests, 120, "a control plane that rests")


def keep(server):
    """An endpoint on the one place of its node."""
    sm = server.client("sagemaker")
    sm.create_model(ModelName="m", ExecutionRoleArn=server.role, PrimaryContainer={"Image": "sagemaker-xgboost:1.7-1"})
    sm.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[
        {"VariantName": "v", "ModelName": "m", "InstanceType": "box.kept", "InitialInstanceCount": 1}])
    sm.create_endpoint(EndpointName="e", EndpointConfigName="c")
    wait_for(lambda: sm.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService", 60, "the endpoint")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queued", type=int, nargs="+", default=[100, 1000, 10000])
    options = parser.parse_args()
    for count in options.queued:
        drain(count)
    for count in options.queued:
        beside(count)


if __name__ == "__main__":
    main()
