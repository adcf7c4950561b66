#!/usr/bin/env python3
"""The fleet's scheduler by itself: what a decision costs with 100 to 100,000 jobs waiting on 10,000 nodes, and a month
of 10,000 nodes and 100,000 jobs in `sagebrush simulate`. The aim: below a millisecond a decision, the whole in
near-linear time, the month in a minute of one core."""
import pathlib
import subprocess
import tempfile
import time

from common import BUILD, ROOT, need


def main():
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "scheduler"
        subprocess.run([need("gcc", "gcc"), "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-I", ROOT / "src", "-o", program,
                        ROOT / "bench" / "scheduler.c", BUILD / "src/fleet/libfleet.a", BUILD / "src/doc/libdoc.a",
                        BUILD / "src/base/libbase.a", "-lcrypto", "-lm"], check=True)
        subprocess.run([program, "10000", "100", "1000", "10000", "100000"], check=True)
        sagebrush, example = BUILD / "src/cmd/sagebrush", pathlib.Path(folder) / "example"
        subprocess.run([sagebrush, "simulate", "--example", example, "--nodes", "10000", "--jobs", "100000", "--days",
                        "30"], check=True, stdout=subprocess.DEVNULL)
        started = time.monotonic()
        subprocess.run([sagebrush, "simulate", example / "fleet.toml", example / "workload.csv", "--days", "30"],
                       check=True, stdout=subprocess.DEVNULL)
        print(f"30 days of 10,000 nodes and 100,000 jobs: {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
