#!/usr/bin/env python3
"""DescribeTrainingJob and CreateTrainingJob per second, ours (signatures checked, durable) beside moto_server.

    bench/control_plane.py [--seconds 5] [--creates 20000]

Ours runs with the sim runtime: what is measured is the control plane, not containers. Each create is a request of its
own with its own signature, made beforehand; moto does not check signatures and keeps everything in memory.
"""
import argparse
import os
import subprocess

from common import Server, free_port, peer_environment, reachable, show, wait_for
from load import REQUESTS, call, file_of, job, wrk

CREATING_S = 2


def measure(server, url, options):
    describe = file_of([call(server, url, "DescribeTrainingJob", {"TrainingJobName": "bench-0"})])
    first, *creates = [call(server, url, "CreateTrainingJob", job(f"bench-{i}", server.role))
                       for i in range(options.creates)]
    first, creates = file_of([first]), file_of(creates)
    wrk(url, REQUESTS, 1, 1, arguments=[first])
    d = wrk(url, REQUESTS, options.seconds, 32, arguments=[describe])
    c = wrk(url, REQUESTS, CREATING_S, 64, arguments=[creates])
    c["rate"] -= c["bad"] / CREATING_S  # when all names are used up, the rest is refused, which costs less
    for path in (describe, first, creates):
        os.unlink(path)
    if d["bad"]:
        raise SystemExit(f"{d['bad']} describes were refused")
    return d, c


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--creates", type=int, default=20000,
                        help="where they are too few, the rate is what they allow")
    options = parser.parse_args()
    with Server(runtime="sim") as server:
        ours = measure(server, server.url, options)
        port = free_port()
        moto = subprocess.Popen([peer_environment("moto[server]") / "moto_server", "-p", str(port)],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: reachable(port), 60, "moto_server")
            theirs = measure(server, f"http://127.0.0.1:{port}", options)
        finally:
            moto.terminate()
            moto.wait()
    show("DescribeTrainingJob", ours[0]["rate"], theirs[0]["rate"], "/s", "moto", 100)
    show("CreateTrainingJob (durable)", ours[1]["rate"], theirs[1]["rate"], "/s", "moto", 10)
    print(f"  ours p50/p99 ms: describe {ours[0]['ms']['50']:.2f}/{ours[0]['ms']['99']:.2f}, "
          f"create {ours[1]['ms']['50']:.2f}/{ours[1]['ms']['99']:.2f}; refused creates {ours[1]['bad']} (names used "
          f"up)")


if __name__ == "__main__":
    main()
