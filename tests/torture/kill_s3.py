#!/usr/bin/env python3
"""Kills the control plane at random moments while clients put, overwrite, copy and delete objects, and then looks.

    tests/torture/kill_s3.py [--kills 20] [--seed N] [--clients 4]

What must hold: an object is what was last answered for it, or what was under way when the process died, whole; the
bytes on disk are those of the objects and no others once the server has started again. Exits 1 at the first breach.
"""
import argparse
import hashlib
import os
import pathlib
import random
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from conftest import Server, wait_for  # noqa: E402

GONE = None
MB = 1 << 20


class Client(threading.Thread):
    """One thread, keys of its own: for each, the states it may be in."""

    def __init__(self, s3, bucket, number, seed):
        super().__init__(daemon=True)
        self.s3, self.bucket, self.name = s3, bucket, f"c{number}"
        self.dice = random.Random(seed * 1000 + number)
        self.states = {}  # key -> possible digests (GONE: not there)
        self.sizes = {}   # digest -> size
        self.quiet = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.answered = self.failed = 0
        self.over = False

    def body(self):
        size = self.dice.choice([0, 1, 1000, 70000, 300000, 6 * MB])
        data = self.dice.randbytes(size)
        digest = hashlib.sha256(data).hexdigest()
        self.sizes[digest] = size
        return data, digest

    def run(self):
        while not self.over:
            if not self.go.is_set():
                self.quiet.set()
                self.go.wait()
                self.quiet.clear()
            self.step()
        self.quiet.set()

    def step(self):
        key = f"{self.name}/{self.dice.randrange(8)}"
        what = self.dice.choice(["put", "put", "put", "delete", "copy", "multipart"])
        if what == "put":
            data, digest = self.body()
            self.do(key, digest, lambda: self.s3.put_object(Bucket=self.bucket, Key=key, Body=data))
        elif what == "delete":
            self.do(key, GONE, lambda: self.s3.delete_object(Bucket=self.bucket, Key=key))
        elif what == "copy":
            source = f"{self.name}/{self.dice.randrange(8)}"
            known = self.states.get(source, {GONE})
            if source == key or len(known) != 1 or GONE in known:
                return
            self.do(key, next(iter(known)),
                    lambda: self.s3.copy_object(Bucket=self.bucket, Key=key,
                                                CopySource={"Bucket": self.bucket, "Key": source}))
        else:
            data, digest = self.body()
            self.do(key, digest, lambda: self.multipart(key, data))

    def multipart(self, key, data):
        upload = self.s3.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]
        parts = []
        for number, at in enumerate(range(0, max(len(data), 1), 5 * MB), 1):
            part = self.s3.upload_part(Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=number,
                                       Body=data[at : at + 5 * MB])
            parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
        self.s3.complete_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload,
                                          MultipartUpload={"Parts": parts})

    def do(self, key, after, call):
        before = self.states.get(key, {GONE})
        self.states[key] = before | {after}
        try:
            call()
        except Exception as e:  # the server died: either state will do
            status = (getattr(e, "response", None) or {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 503)
            if status < 500:
                raise
            self.failed += 1
            return
        self.answered += 1
        self.states[key] = {after}

    def check(self):
        """With the server up and this client quiet: every key is in one of its states, and then in that one."""
        for key, states in self.states.items():
            try:
                answer = self.s3.get_object(Bucket=self.bucket, Key=key)
                found = hashlib.sha256(answer["Body"].read()).hexdigest()
            except self.s3.exceptions.NoSuchKey:
                found = GONE
            if found not in states:
                raise SystemExit(f"FOUND: {key} is {found}, and was answered as {states}")
            self.states[key] = {found}


def disk_bytes(data):
    return sum(f.stat().st_size for f in (data / "blobs").rglob("*") if f.is_file())


def kill_and_start(server, clients):
    """The supervisor too: it would wait longer after each death of a control plane that lived for a moment only."""
    control = server.pid("control")
    os.kill(server.pid("up"), signal.SIGKILL)
    os.kill(control, signal.SIGKILL)
    server.process.wait()
    for c in clients:
        c.go.clear()
    server.start()
    wait_for(lambda: server.pid("control") not in (None, control), 30, "a new control plane")
    wait_for(server.healthy, 30, "health")
    for c in clients:
        assert c.quiet.wait(90), "a client hangs"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    print("seed", options.seed)
    dice = random.Random(options.seed)
    server = Server()
    server.start()
    for name, value in server.env.items():
        if name.startswith("AWS_"):
            os.environ[name] = value
    import boto3
    from botocore.config import Config

    config = Config(retries={"max_attempts": 0}, read_timeout=40)
    boto3.client("s3").create_bucket(Bucket="torture")
    clients = [Client(boto3.client("s3", config=config), "torture", n, options.seed) for n in range(options.clients)]
    for c in clients:
        c.start()
    try:
        for kill in range(options.kills):
            time.sleep(dice.random() * 1.5)
            kill_and_start(server, clients)
            for c in clients:
                c.check()
            for c in clients:
                c.go.set()
        for c in clients:
            c.over = True
        for c in clients:
            c.join(60)
        s3 = boto3.client("s3")
        for upload in s3.list_multipart_uploads(Bucket="torture").get("Uploads", []):
            s3.abort_multipart_upload(Bucket="torture", Key=upload["Key"], UploadId=upload["UploadId"])
        kill_and_start(server, [])
        for c in clients:
            c.check()
        # A copy shares its source's bytes, so each body counts once for each put; the least is one for each content.
        contents = {next(iter(s)) for c in clients for s in c.states.values()} - {GONE}
        sizes = {d: n for c in clients for d, n in c.sizes.items()}
        least = sum(sizes[d] for d in contents)
        found = wait_for(lambda: disk_bytes(server.data) == least and least or None, 10,
                         f"{least} bytes on disk, not {disk_bytes(server.data)},")
        print(f"{options.kills} kills, {sum(c.answered for c in clients)} answered, {sum(c.failed for c in clients)} "
              f"failed, {len(contents)} contents, {found} bytes on disk: nothing lost, nothing left")
    finally:
        for c in clients:
            c.over = True
            c.go.set()
        server.stop()


if __name__ == "__main__":
    main()
