#!/usr/bin/env python3
"""FastFile reads beside the same bytes in a local file.

    bench/fastfile.py [--size-mb 1024] [--small 2000]

A script in a job reads a FastFile channel: one big object from its first byte to its last, then again, when the kernel
has it; four big objects by four processes at a time; 1,000 random pieces of 64 KB of another; small objects of 20 KB in
the order of the listing, the second half of them in no order, and by four processes. The peer is the same of local
files in the container, whose pages were dropped from memory before each time that is called cold.
"""
import argparse
import concurrent.futures
import os

import training
from common import Server, show

SCRIPT = """
import multiprocessing, os, random, time
def whole(path):
    n = 0
    with open(path, "rb", buffering=0) as f:
        while block := f.read(1 << 20): n += len(block)
    return n
def many(paths): return sum(map(whole, paths))
def pieces(path):
    size, dice, n = os.path.getsize(path), random.Random(1), 0
    with open(path, "rb", buffering=0) as f:
        for _ in range(1000):
            f.seek(dice.randrange(size - 65536)); n += len(f.read(65536))
    return n
def four(lists):
    with multiprocessing.Pool(4) as pool: return sum(pool.map(many, lists))
def rate(who, what, read, *arguments):
    t = time.time(); n = read(*arguments); t = time.time() - t
    print(f"rate|{who}|{what}|{n / t / 1e6:.3f};", flush=True)
os.sync()
for who in ("fast", "local"):
    folder = "/opt/ml/input/data/" + who
    for base, _, names in os.walk(folder) if who == "local" else ():
        for name in names:
            fd = os.open(f"{base}/{name}", os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
    big = [f"{folder}/big-{i}" for i in range(6)]
    lists = {kind: [f"{folder}/{kind}/{n}" for n in os.listdir(f"{folder}/{kind}")]
             for kind in ("listed", "shuffled", "shared")}
    random.Random(1).shuffle(lists["shuffled"])
    lists["shared"] = [lists["shared"][i * 100:i * 100 + 100] for i in range(len(lists["shared"]) // 100)]
    rate(who, "a big file, cold", whole, big[0])
    rate(who, "a big file, again", whole, big[0])
    rate(who, "four big files at a time, cold", four, [[b] for b in big[1:5]])
    rate(who, "random 64 KB, cold", pieces, big[5])
    rate(who, "small files as listed, cold", many, lists["listed"])
    rate(who, "small files as listed, again", many, lists["listed"])
    rate(who, "small files in no order, cold", many, lists["shuffled"])
    rate(who, "small files by four, cold", four, lists["shared"])
"""


def put(s3, options):
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        for i in range(6):
            threads.submit(s3.put_object, Bucket="bench", Key=f"d/big-{i}",
                           Body=os.urandom((options.size_mb << 20) // (1 if i in (0, 5) else 4)))
        for kind in ("listed", "shuffled", "shared"):
            for i in range(options.small):
                threads.submit(s3.put_object, Bucket="bench", Key=f"d/{kind}/{i:06}", Body=os.urandom(20000))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mb", type=int, default=1024)
    parser.add_argument("--small", type=int, default=2000)
    options = parser.parse_args()
    with Server() as server:
        put(server.client("s3"), options)
        state = training.run(server, script=SCRIPT,
                             InputDataConfig=[training.channel("fast", "d", "FastFile"),
                                              training.channel("local", "d")])
        rates = {}
        for line in training.lines(server, state):
            if line.startswith("rate|"):
                _, who, what, rate = line.rstrip(";").split("|")
                rates.setdefault(what, {})[who] = float(rate)
    for what, rate in rates.items():
        show(what, rate["fast"], rate["local"], "MB/s", "local file")


if __name__ == "__main__":
    main()
