#!/usr/bin/env python3
"""How fast checkpoints reach S3, and what a training loop notices of it.

    bench/checkpoint.py [--size-mb 128] [--count 6] [--small 200] [--rate 256M]

Upload: the seconds from a checkpoint's rename to its .sagemaker-uploaded, under the setting checkpoint-rate. In the
same run the peer, boto3's upload_file of the same files with its ten threads, sends them to the same server from
outside. One big file, several, and many small ones. What an upload takes from a job is mostly what the server does
meanwhile: its CPU is told, too.

Stall: the same loop runs without CheckpointConfig and with it: some arithmetic, then a checkpoint, written in blocks of
1 MB beside its name and renamed into place. What is told is how long a block's write takes, and the arithmetic.
"""
import argparse
import concurrent.futures
import os
import pathlib
import tempfile
import time
import uuid

import training
from common import Server, cpu_seconds, percentile, show

BEGIN = """
import os, sys, time
os.makedirs("/opt/ml/checkpoints", exist_ok=True)
os.chdir("/opt/ml/checkpoints")
def uploaded(names):
    while not all(os.path.exists(f"{n}.sagemaker-uploaded") for n in names): time.sleep(0.005)
    return max(os.stat(f"{n}.sagemaker-uploaded").st_ctime for n in names)
"""
STALL = BEGIN + """
import numpy as np
size, count, wait = %d, %d, %r
block, m = os.urandom(1 << 20), np.random.rand(400, 400)
for step in range(count):
    t = time.time()
    for _ in range(60): m @ m
    print(f"work {1000 * (time.time() - t):.2f};", flush=True)
    times = []
    with open("tmp", "wb", buffering=0) as f:
        for _ in range(size):
            t = time.time()
            f.write(block)
            times.append(time.time() - t)
    os.rename("tmp", f"ck-{step}")
    for t in times: print(f"write {1000 * t:.3f};")
if wait: uploaded([f"ck-{s}" for s in range(count)])
"""
UPLOAD = BEGIN + """
for title, count, bytes in %r:
    data = os.urandom(bytes)
    os.mkdir("tmp.sagemaker-ignore")
    for i in range(count): open(f"tmp.sagemaker-ignore/{i}", "wb").write(data)
    os.sync()
    time.sleep(0.1)
    began = time.time()
    os.rename("tmp.sagemaker-ignore", title)
    print(f"uploaded {title} {uploaded([f'{title}/{i}' for i in range(count)]) - began:.3f};", flush=True)
"""


def said(server, script, checkpoints=True):
    """The lines that a job with this script wrote for us, as lists of words."""
    more = {"CheckpointConfig": {"S3Uri": f"s3://bench/{uuid.uuid4().hex}"}} if checkpoints else {}
    lines = training.lines(server, training.run(server, script=script, **more))
    return [line.rstrip(";").split() for line in lines if line.endswith(";")]


def numbers(lines, word):
    return [float(line[1]) for line in lines if line[0] == word]


def peer(s3, title, count, size):
    """boto3 with its usual settings: ten threads, parts of 8 MB."""
    with tempfile.TemporaryDirectory() as folder:
        data = os.urandom(size)
        for i in range(count):
            pathlib.Path(folder, str(i)).write_bytes(data)
        os.sync()
        began = time.time()
        with concurrent.futures.ThreadPoolExecutor(10) as threads:
            list(threads.map(lambda i: s3.upload_file(f"{folder}/{i}", "bench", f"peer-{title}/{i}"), range(count)))
        return time.time() - began


def serving(rate):
    return Server(f"checkpoint-rate = {rate}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mb", type=int, default=128)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--small", type=int, default=200, help="small files, of 64 KB")
    parser.add_argument("--rate", default="256M", help="the setting checkpoint-rate, for the stall")
    options = parser.parse_args()
    loads = [("one-big", 1, options.size_mb << 21), ("several", options.count, options.size_mb << 20),
             ("small", options.small, 64 << 10)]
    with serving("100G") as server:
        control, megabytes = server.pid("control"), sum(count * size for _, count, size in loads) / 1e6
        cpu = [cpu_seconds(control)]
        ours = {line[1]: float(line[2]) for line in said(server, UPLOAD % loads)}
        cpu.append(cpu_seconds(control))
        for title, count, size in loads:
            total = count * size / 1e6
            theirs = peer(server.client("s3"), title, count, size)
            show(f"{count} x {size / 1e6:.2f} MB", total / ours[title], total / theirs, "MB/s", "boto3")
        cpu.append(cpu_seconds(control))
        ours, theirs = (1000 * (after - before) / megabytes for before, after in zip(cpu, cpu[1:]))
        print(f"the server's CPU, ms a MB                    ours {ours:12.2f}   boto3 {theirs:12.2f}", flush=True)
    with serving(options.rate) as server:
        plain, synced = [said(server, STALL % (options.size_mb, options.count, sync), sync) for sync in (False, True)]
    for word, what in (("write", "write of 1 MB"), ("work", "arithmetic")):
        before, after = numbers(plain, word), numbers(synced, word)
        print(f"{what:14s} " + "   ".join(
            f"p{p} {percentile(before, p):8.2f} ms without CheckpointConfig, {percentile(after, p):8.2f} with it"
            for p in (50, 99)), flush=True)


if __name__ == "__main__":
    main()
