#!/usr/bin/env python3
"""Fills the disk of the data directory, again and again, during real jobs, uploads and creates, and then looks.

    tests/torture/full_disk.py [--rounds 6] [--seed N] [--mib 192]

The data directory is on a small ext4 of its own (a loop device: needs root). In each round somebody else takes all the
room that is left, leaving a random little, and gives it back some seconds later; in every third our processes are
killed while there is none, and must be back before there is any. In the last round a job fills the disk itself.

What must hold: every write that was answered is there; an error says in words that it is the disk; a job either
completes or its FailureReason says so; nothing of ours ends, and all goes on when there is room again. Prints one line
a finding, and exits 1 if there was any.
"""
import argparse
import collections
import hashlib
import os
import re
import signal
import sys
import threading
import time

import botocore.exceptions

from small_disk import SmallDisk
from world import Server, World, wait_for

CAUSE = re.compile(r"disk|space|room", re.I)
ROOM_AGAIN_S = 60  # within which every kind of work has succeeded again
BACK_S = 60        # within which what was killed answers questions, room or not
IMAGE = "sagemaker-scikit-learn:1.2-1-cpu-py3"
MB = 1 << 20


class Worker(threading.Thread):
    """Does one kind of work over and over; knows what was answered, and what was refused and why."""

    def __init__(self, world, kind):
        super().__init__(daemon=True)
        self.world, self.kind, self.dice = world, kind, world.dice(kind.__name__)
        self.state = kind(world, self.dice)
        self.done_at = 0
        self.counts = collections.Counter()
        self.gone_until = 0  # the control plane was killed: no answer is an answer

    def run(self):
        while not self.world.over.is_set():
            try:
                self.state.step()
                self.done_at = time.monotonic()
                self.counts["done"] += 1
            except botocore.exceptions.ClientError as e:
                self.refused(e.response["ResponseMetadata"]["HTTPStatusCode"], e.response["Error"])
            except (botocore.exceptions.BotoCoreError, OSError) as e:
                self.counts[type(e).__name__] += 1
                if not self.killed_lately():
                    self.world.find(f"{self.kind.__name__}: {type(e).__name__}: {e}")
            except Exception as e:
                self.world.find(f"{self.kind.__name__}: {type(e).__name__}: {e}")
            time.sleep(self.dice.uniform(0, 0.1))

    def killed_lately(self):
        return time.monotonic() < self.gone_until

    def refused(self, status, error):
        text = f"{status} {error['Code']}: {error.get('Message')}"
        if status < 500:
            self.world.find(f"{self.kind.__name__}: {text}")
        elif CAUSE.search(text):
            self.counts[f"{status} {error['Code']}"] += 1
        elif self.killed_lately() and status == 503:
            self.counts["503, killed"] += 1
        else:
            self.world.find(f"{self.kind.__name__}: the cause is not told: {text}")


class Objects:
    """Small and large puts, multipart uploads, deletes. A call without an answer may have happened or not."""

    GONE = None

    def __init__(self, world, dice):
        self.world, self.dice, self.s3 = world, dice, world.client("s3")
        self.states = {}  # key -> digests that it may have

    def step(self):
        key = f"k{self.dice.randrange(12)}"
        self.states.setdefault(key, {self.GONE})
        data = self.dice.randbytes(self.dice.choice([0, 100, 70000, 300000, 2 * MB]))
        self.dice.choice([self.put, self.put, self.put, self.multipart, lambda key, _: self.delete(key)])(key, data)

    def put(self, key, data):
        digest = hashlib.sha256(data).hexdigest()
        self.states[key].add(digest)
        self.s3.put_object(Bucket=self.world.bucket, Key=key, Body=data)
        self.states[key] = {digest}

    def delete(self, key):
        self.states[key].add(self.GONE)
        self.s3.delete_object(Bucket=self.world.bucket, Key=key)
        self.states[key] = {self.GONE}

    def multipart(self, key, last):
        where = dict(Bucket=self.world.bucket, Key=key)
        first = bytes(5 * MB)
        whole = hashlib.sha256(first + last).hexdigest()
        where["UploadId"] = self.s3.create_multipart_upload(**where)["UploadId"]
        try:
            parts = [{"PartNumber": n, "ETag": self.s3.upload_part(PartNumber=n, Body=body, **where)["ETag"]}
                     for n, body in ((1, first), (2, last))]
            self.states[key].add(whole)
            self.s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where)
        except botocore.exceptions.ClientError:
            self.abort(where)
            raise
        self.states[key] = {whole}
        if self.dice.random() < 0.8:  # so that the disk is not full of them
            self.delete(key)

    def abort(self, where):
        """Its parts take room until it is; one that was completed all the same is gone."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                return self.s3.abort_multipart_upload(**where)
            except botocore.exceptions.ClientError as e:
                if e.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                    return
            except (botocore.exceptions.BotoCoreError, OSError):
                pass
            time.sleep(0.2)

    def check(self):
        for key, states in self.states.items():
            try:
                body = self.world.insist("s3", "get_object", Bucket=self.world.bucket, Key=key)["Body"].read()
                digest = hashlib.sha256(body).hexdigest()
            except botocore.exceptions.ClientError:
                digest = self.GONE
            if digest not in states:
                self.world.find(f"object {key} is not what was answered for it")


class Records:
    """Models and endpoint configs: rows and nothing else."""

    def __init__(self, world, dice):
        self.world, self.sm, self.number = world, world.client("sagemaker"), 0
        self.there, self.unsure = set(), set()

    def step(self):
        self.number += 1
        name = f"model-{self.number}"
        self.unsure.add(name)
        self.sm.create_model(ModelName=name, ExecutionRoleArn=self.world.role,
                             PrimaryContainer={"Image": IMAGE, "Environment": {"FILL": "x" * 1000}})
        self.unsure.remove(name)
        self.there.add(name)

    def check(self):
        found, token = set(), {}
        while True:
            page = self.world.insist("sagemaker", "list_models", MaxResults=100, **token)
            found |= {m["ModelName"] for m in page["Models"]}
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
        if self.there - found:
            self.world.find(f"models were created and are not there: {sorted(self.there - found)}")
        if found - self.there - self.unsure:
            self.world.find(f"models are there that nobody created: {sorted(found - self.there - self.unsure)}")


class Jobs:
    """One after the other; each must end, and what it saved must be there."""

    COMMAND = "echo started; head -c {size} /dev/zero > /opt/ml/model/data || exit 9; sleep 0.5; echo finished"

    def __init__(self, world, dice):
        self.world, self.dice, self.number = world, dice, 0
        self.unsure, self.ends = set(), {}
        self.reasons = collections.Counter()

    def step(self):
        self.number += 1
        name = f"job-{self.number}"
        self.unsure.add(name)
        self.create(name, self.COMMAND.format(size=self.dice.randrange(1, 2 * MB)))
        self.unsure.remove(name)
        self.wait(name)

    def create(self, name, command):
        self.world.client("sagemaker").create_training_job(
            TrainingJobName=name, RoleArn=self.world.role,
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File",
                                    "ContainerEntrypoint": ["/bin/sh", "-c"], "ContainerArguments": [command]},
            OutputDataConfig={"S3OutputPath": f"s3://{self.world.bucket}/out"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 3600})

    def wait(self, name):
        def ended():
            job = self.world.insist("sagemaker", "describe_training_job", TrainingJobName=name)
            return job if job["TrainingJobStatus"] in ("Completed", "Failed") else None
        job = wait_for(ended, 300, f"the end of {name}", 0.2)
        reason = job.get("FailureReason", "")
        self.ends[name] = (job["TrainingJobStatus"], reason)
        self.reasons[re.sub(r"[0-9.]+", "N", reason)[:160]] += 1
        if job["TrainingJobStatus"] == "Completed":
            key = job["ModelArtifacts"]["S3ModelArtifacts"].split("/", 3)[3]
            self.world.insist("s3", "delete_object", Bucket=self.world.bucket, Key=key)
        elif not CAUSE.search(reason):
            self.world.find(f"{name} failed, and its reason says nothing of the disk: {reason}")
        return job

    def check(self):
        for name, end in self.ends.items():
            job = self.world.insist("sagemaker", "describe_training_job", TrainingJobName=name)
            if (job["TrainingJobStatus"], job.get("FailureReason", "")) != end:
                self.world.find(f"{name} was {end}, and is {job['TrainingJobStatus']} {job.get('FailureReason')}")


class Logs:
    """Lines of our own, which are answered and must be read again."""

    def __init__(self, world, dice):
        self.world, self.logs, self.number = world, world.client("logs"), 0
        self.there = []
        self.logs.create_log_group(logGroupName="full")
        self.logs.create_log_stream(logGroupName="full", logStreamName="disk")

    def step(self):
        self.number += 1
        text = f"line {self.number} " + "x" * 500
        self.logs.put_log_events(logGroupName="full", logStreamName="disk",
                                 logEvents=[{"timestamp": int(time.time() * 1000), "message": text}])
        self.there.append(text)

    def check(self):
        found, token = set(), {}
        while True:
            page = self.world.insist("logs", "get_log_events", logGroupName="full", logStreamName="disk",
                                     startFromHead=True, **token)
            found |= {e["message"] for e in page["events"]}
            if token.get("nextToken") == page["nextForwardToken"]:
                break
            token = {"nextToken": page["nextForwardToken"]}
        missing = [t for t in self.there if t not in found]
        if missing:
            self.world.find(f"{len(missing)} of {len(self.there)} lines were answered and are not there: "
                            f"{missing[0][:12]}...")


class Story:
    def __init__(self, options):
        self.options, self.disk = options, SmallDisk(options.mib)
        self.world = World(options.seed, Server(data=self.disk.data, log=self.disk.folder / "up.log",
                                                options=["--config", self.disk.settings]))
        self.dice = self.world.dice("rounds")

    def run(self):
        world = self.world
        world.start()
        print(f"{self.options.mib} MiB, of which {self.disk.free() >> 20} are free", flush=True)
        self.workers = [Worker(world, kind) for kind in (Objects, Records, Jobs, Logs)]
        for w in self.workers:
            w.start()
        self.all_go_on(time.monotonic())
        self.pid = world.server.pid("control")
        for n in range(self.options.rounds):
            self.round(n)
        self.a_job_fills_it()
        world.over.set()
        for w in self.workers:
            w.join()
        self.tell()
        return world.end(self.check)

    def round(self, n):
        world, began = self.world, time.monotonic()
        until = began + self.dice.uniform(2, 6)
        leave = self.dice.choice([0, 0, 4096, 65536, MB])
        killed = n % 3 == 2
        self.disk.fill(leave)
        if killed:
            self.kill_ours()
        while time.monotonic() < until or (killed and not self.is_back()):
            self.disk.fill(leave)
            time.sleep(0.05)
        self.disk.make_room()
        room_at = time.monotonic()
        self.all_go_on(room_at)
        print(f"round {n}: {leave} bytes left for {room_at - began:.1f} s{', killed' if killed else ''}; all went on "
              f"{time.monotonic() - room_at:.1f} s later", flush=True)
        if not killed and world.server.pid("control") != self.pid:
            world.find("the control plane ended for want of room")
        self.pid = world.server.pid("control")

    def kill_ours(self):
        self.killed_at = time.monotonic()
        for w in self.workers:
            w.gone_until = self.killed_at + BACK_S
        for name in self.dice.choice([["control"], ["up", "serve", "control"]]):
            os.kill(self.world.server.pid(name), signal.SIGKILL)

    def is_back(self):
        try:
            self.world.client("sagemaker").list_models(MaxResults=1)
            return True
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError) as e:
            if time.monotonic() - self.killed_at < BACK_S:
                return False
            self.world.find(f"killed on a full disk, it was not back within {BACK_S} s: {e}")
            return True

    def all_go_on(self, since):
        for w in self.workers:
            try:
                wait_for(lambda: w.done_at > since, ROOM_AGAIN_S, "it")
            except AssertionError:
                self.world.find(f"{w.kind.__name__} did not go on within {ROOM_AGAIN_S} s: {dict(w.counts)}")

    def a_job_fills_it(self):
        jobs = next(w.state for w in self.workers if w.kind is Jobs)
        began = time.monotonic()
        self.world.insist("sagemaker", "list_models")
        jobs.create("greedy", "echo started; dd if=/dev/zero of=/opt/ml/model/all bs=64k; sleep 60; exit 9")
        job = jobs.wait("greedy")
        if job["TrainingJobStatus"] != "Failed":
            self.world.find(f"greedy is {job['TrainingJobStatus']}")
        print(f"greedy: {job.get('FailureReason')} ({time.monotonic() - began:.1f} s)", flush=True)
        self.all_go_on(time.monotonic())

    def check(self):
        for w in self.workers:
            w.state.check()

    def close(self):
        """Also after a story that broke."""
        self.world.over.set()
        self.disk.make_room()
        if self.world.server.process:
            self.world.server.stop()
        self.disk.close(keep=bool(self.world.findings))

    def tell(self):
        for w in self.workers:
            print(f"{w.kind.__name__}: {dict(w.counts)}")
        jobs = next(w.state for w in self.workers if w.kind is Jobs)
        print("jobs:", dict(collections.Counter(s for s, _ in jobs.ends.values())), dict(jobs.reasons), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--mib", type=int, default=192)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    story = Story(options)
    try:
        status = story.run()
    finally:
        story.close()
    print(f"seed {options.seed}: {len(story.world.findings)} findings, {time.monotonic() - began:.0f} s", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
