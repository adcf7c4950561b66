#!/usr/bin/env python3
"""How fast the input of a job comes: channels in File mode beside `aws s3 cp` and curl.

    bench/download.py [--size-mb 1024] [--small 1000]

A job has one big object as its channel, then many small ones, each below a prefix and named by a manifest; what counts
is its status Downloading. The peers fetch the same objects from the same server, from outside and onto the same disk:
`aws s3 cp` (ten threads, parts of 8 MB), which is given its start for nothing (what it takes for one empty object is
taken off), and for the big object curl with one connection.
"""
import argparse
import concurrent.futures
import json
import os
import subprocess
import tempfile
import time

import training
from common import Server, need, show


def by_manifest(s3, prefix, names):
    s3.put_object(Bucket="bench", Key=f"{prefix}-manifest",
                  Body=json.dumps([{"prefix": f"s3://bench/{prefix}/"}, *names]))
    return {"ChannelName": "c", "DataSource": {"S3DataSource": {
        "S3DataType": "ManifestFile", "S3Uri": f"s3://bench/{prefix}-manifest"}}}


def downloading(server, channel):
    """The seconds of Downloading, of the second of two jobs: the first one finds the image."""
    for _ in range(2):
        state = training.run(server, script="print(1)", InputDataConfig=[channel])
    step = next(t for t in state["SecondaryStatusTransitions"] if t["Status"] == "Downloading")
    return (step["EndTime"] - step["StartTime"]).total_seconds()


def seconds(command):
    began = time.time()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.time() - began


def cp(prefix):
    aws = [need("aws", "awscli"), "--endpoint-url", os.environ["AWS_ENDPOINT_URL"], "s3", "cp", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        start = seconds([*aws, "s3://bench/empty", f"{folder}/empty"])
        return seconds([*aws, "--recursive", f"s3://bench/{prefix}/", folder]) - start


def curl(s3, key):
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "bench", "Key": key})
    with tempfile.TemporaryDirectory() as folder:
        return seconds([need("curl", "curl"), "-sfo", f"{folder}/object", url])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mb", type=int, default=1024)
    parser.add_argument("--small", type=int, default=1000, help="small objects, of 64 KB")
    options = parser.parse_args()
    with Server() as server:
        s3 = server.client("s3")
        s3.put_object(Bucket="bench", Key="empty")
        s3.put_object(Bucket="bench", Key="big/object", Body=os.urandom(options.size_mb << 20))
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda i: s3.put_object(Bucket="bench", Key=f"small/{i}", Body=os.urandom(65536)),
                             range(options.small)))
        for prefix, size, what in (("big", options.size_mb << 20, f"one object of {options.size_mb} MB"),
                                   ("small", options.small << 16, f"{options.small} objects of 64 KB")):
            ours, theirs = size / 1e6 / downloading(server, training.channel("c", prefix)), size / 1e6 / cp(prefix)
            show(what, ours, theirs, "MB/s", "aws s3 cp")
            names = ["object"] if prefix == "big" else [str(i) for i in range(options.small)]
            listed = size / 1e6 / downloading(server, by_manifest(s3, prefix, names))
            show(f"{what}, by a manifest", listed, theirs, "MB/s", "aws s3 cp")
            if prefix == "big":
                show(what, ours, size / 1e6 / curl(s3, "big/object"), "MB/s", "curl")


if __name__ == "__main__":
    main()
