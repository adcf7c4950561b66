#!/usr/bin/env python3
"""From CreateTrainingJob to the first line of user code: cold, and on the instance that the job before has kept warm.

    bench/warm.py [--runs 20]

The programs and the clocks are those of start_latency.py. Cold and warm jobs run in turns, so that what else the
machine does meets both: a job that keeps its instance, a job that takes it (and keeps nothing), and again.
"""
import argparse
import time

import common
from common import show_latency, wait_for
from start_latency import first_line, programs


def kept(server):
    """There is a pool, and what stands by in it has had a moment to start."""
    sagemaker = server.client("sagemaker")
    wait_for(lambda: sagemaker.list_training_jobs(WarmPoolStatusEquals="Available")["TrainingJobSummaries"], 30,
             "the warm pool", 0.05)
    time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    with common.folder() as folder, common.Server() as server:
        for what, image, more in programs(server, folder):
            first_line(server, image, **more)  # unpacks the layers, reads everything into memory
            cold, warm = [], []
            for _ in range(options.runs):
                cold.append(first_line(server, image, {"KeepAlivePeriodInSeconds": 600}, **more))
                kept(server)
                warm.append(first_line(server, image, **more))
            show_latency(f"{what}, warm", warm, cold, "cold", 2)


if __name__ == "__main__":
    main()
