#!/usr/bin/env python3
"""From CreateTrainingJob to the first line of user code, beside a bare `runc run` of the same program.

    bench/start_latency.py [--runs 30]

The program writes the wall clock as the first thing it does; the start is taken before the request leaves the client,
so signing, the wire, the durable row, the agent and the container are all in it. The peer is `runc run` of the same
program in a bundle made beforehand, from before the command is started. Two programs: a static C program in an OCI
image of its own, and a Python script in script mode of sagemaker-scikit-learn (its peer: the same Python, /usr of this
host bound).
"""
import argparse
import subprocess
import time
import uuid

import common
import container
import training
from common import need, percentile, show_latency, wait_for
from training import clock_in


def bare(folder, arguments, runs, host_usr=False):
    runc, bundle = need("runc", "runc"), container.bundle(folder, arguments, host_usr)
    if host_usr:
        (bundle / "rootfs" / "train.py").write_text(training.SCRIPT)
    times = []
    for _ in range(runs):
        began = time.time_ns() / 1e6
        out = subprocess.run([runc, "run", "--bundle", bundle, f"bench-{uuid.uuid4().hex[:12]}"], check=True,
                             stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
        times.append(clock_in(out) - began)
    return times


def first_line(server, image, resources=None, **more):
    """Of one job: the milliseconds from the request to its first line."""
    began = time.time_ns() / 1e6
    state = training.run(server, image, resources=resources, step=0.05, **more)
    return wait_for(lambda: clock_in("\n".join(training.lines(server, state))), 10, "the log", 0.05) - began


def programs(server, folder):
    """What is started: title, image, more of the request."""
    source = training.script_mode(server.client("s3"), training.SCRIPT)
    return [("a C program in an OCI image", container.archive(folder, server.data), {}),
            ("Python in script mode", training.PYTHON, {"HyperParameters": source})]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30)
    options = parser.parse_args()
    peers = [(["/container", "train"], False), (["/usr/bin/python3", "/train.py"], True)]
    with common.folder() as folder, common.Server() as server:
        for at, (what, image, more) in enumerate(programs(server, folder)):
            first_line(server, image, **more)  # unpacks the layers, reads everything into memory
            ours = [first_line(server, image, **more) for _ in range(options.runs)]
            show_latency(what, ours, bare(folder / f"bundle-{at}", peers[at][0], options.runs, peers[at][1]),
                         "runc run")
            print(f"  target p50 under 100 ms: {'reached' if percentile(ours, 50) < 100 else 'MISSED'}", flush=True)


if __name__ == "__main__":
    main()
