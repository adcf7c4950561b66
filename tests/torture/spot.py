#!/usr/bin/env python3
"""Takes the capacity back from spot jobs at random moments, and kills processes of ours all the while, and then looks.

    tests/torture/spot.py [--jobs 40] [--twins 0.4] [--interruptions 8] [--seed N] [--at-once 5] [--speed 1]

Each job counts its steps, reads a file of a FastFile channel in each, and has each in its checkpoint before it is told.
What must hold: an attempt goes on exactly where the one before ended, on every instance; S3 never goes back behind a
step that it had; the weights and the model are those of a job that nobody interrupted; each instance is paid once for
each attempt, from before its first line to after its last, and never twice at a time; nobody pays for a moment at
which the kernel knows neither an agent nor a container of the instance, nor for more than DATA_S before and DATA_S
after its container, for what comes and goes; nothing is left behind - no process, container, mount, cgroup, network,
pair of addresses, folder. Prints one line a finding, and exits 1 if there was any.
"""
import argparse
import collections
import http.client
import io
import json
import pathlib
import re
import socket
import subprocess
import sys
import tarfile
import threading
import time

import botocore.exceptions

import spot_train
from killer import Killer
from training import GROUP, IMAGE
from watch import Span, Watch
from world import World, read_json, wait_for
from conftest import SAGEBRUSH  # isort: skip: the world knows where it is

END_S = 900
DATA_S = 30  # what an attempt here has to fetch and to save is kilobytes, but S3 and the agent are killed meanwhile
STEPS_MAX = 60
NET = pathlib.Path("/run/sagebrush/net")
REFUSED = ("there is nothing to interrupt", "has no instance at the moment")


def number(step):
    return step * step + 17


def expected(steps):
    state = spot_train.begun()
    while state["step"] < steps:
        spot_train.step(state, number(state["step"]))
    return state


def source_archive():
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as tar:
        tar.add(spot_train.__file__, "spot_train.py")
    return body.getvalue()


class SpotJob:
    def __init__(self, world, number, options):
        self.world, self.name, self.dice = world, f"spot-{world.seed}-{number}", world.dice("spot", number)
        self.hosts = ["algo-1", "algo-2"] if self.dice.random() < options.twins else ["algo-1"]
        self.steps = self.dice.randint(STEPS_MAX // 3, STEPS_MAX)
        self.most, self.interruptions = options.interruptions, 0
        self.in_s3 = collections.defaultdict(int)  # host -> the last step that S3 was seen to have
        self.lived = collections.Counter()  # seconds paid for before, during and after the life of containers
        self.most_data = collections.Counter()  # the most of them in one attempt
        self.attempts = 0
        self.runs = False

    def run(self):
        self.world.insist(
            "sagemaker", "create_training_job", late="must be unique", TrainingJobName=self.name,
            RoleArn=self.world.role, AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            HyperParameters={"sagemaker_program": '"spot_train.py"', "steps": str(self.steps),
                             "pause": str(round(self.dice.uniform(0.02, 0.3), 2)),
                             "sagemaker_submit_directory": f'"s3://{self.world.bucket}/source.tar.gz"'},
            InputDataConfig=[{"ChannelName": "numbers", "InputMode": "FastFile", "DataSource": {"S3DataSource": {
                "S3DataType": "S3Prefix", "S3Uri": f"s3://{self.world.bucket}/numbers/"}}}],
            OutputDataConfig={"S3OutputPath": f"s3://{self.world.bucket}/out"},
            CheckpointConfig={"S3Uri": f"s3://{self.world.bucket}/checkpoints/{self.name}"},
            EnableManagedSpotTraining=True,
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": len(self.hosts), "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200})
        self.runs = True
        job = wait_for(self.ended, END_S, f"the end of {self.name}", 0.5)
        self.runs = False
        self.check(job)

    def describe(self):
        return self.world.insist("sagemaker", "describe_training_job", TrainingJobName=self.name)

    def ended(self):
        job = self.describe()
        return job if job["TrainingJobStatus"] not in ("InProgress", "Stopping") else None

    def find(self, text):
        self.world.find(f"{self.name}: {text}")

    # --- while it runs ---

    def interrupt(self):
        drill = subprocess.run([SAGEBRUSH, "drill", "spot", self.name, "--data", self.world.server.data],
                               capture_output=True, text=True)
        return drill.returncode == 0 or (None if any(r in drill.stderr for r in REFUSED) else drill.stderr)

    def look_at_s3(self):
        """What S3 has acknowledged it has."""
        for host in self.hosts:
            key = f"checkpoints/{self.name}/{host}.json"
            try:
                body = self.world.insist("s3", "get_object", Bucket=self.world.bucket, Key=key)["Body"].read()
            except botocore.exceptions.ClientError:
                if self.in_s3[host]:
                    self.find(f"S3 had step {self.in_s3[host]} of {host}, and has nothing")
                continue
            except Exception:
                continue  # cut short: S3 was killed
            step = json.loads(body)["step"]
            if step < self.in_s3[host]:
                self.find(f"S3 had step {self.in_s3[host]} of {host}, and has {step}")
            self.in_s3[host] = max(step, self.in_s3[host])

    # --- when it has ended ---

    def check(self, job):
        statuses = [t["Status"] for t in job["SecondaryStatusTransitions"]]
        self.interruptions = statuses.count("Interrupted")
        self.look_at_s3()
        if job["TrainingJobStatus"] != "Completed":
            self.find(f"is {job['TrainingJobStatus']}: {job.get('FailureReason')}")
            return
        for host in self.hosts:
            self.check_attempts(host, self.logs(host))
        self.check_model(job)

    def logs(self, host):
        """The lines of each attempt that told something: [(time, text)], in their order."""
        streams = self.world.insist("logs", "describe_log_streams", logGroupName=GROUP,
                                    logStreamNamePrefix=f"{self.name}/{host}-")["logStreams"]
        attempts = [[(e["timestamp"], e["message"].strip()) for e in self.world.insist(
            "logs", "get_log_events", logGroupName=GROUP, logStreamName=s["logStreamName"],
            startFromHead=True)["events"]
            if re.match(r"(begins|ends) at \d+$|step \d+$", e["message"].strip())] for s in streams]
        return sorted(a for a in attempts if a)

    def check_attempts(self, host, attempts):
        self.attempts += len(attempts)
        done = 0
        for lines in attempts:
            words = [text for _, text in lines]
            begin = int(words[0].split()[-1]) if words[0].startswith("begins") else -1
            # A step that was saved and not told any more is not lost.
            if begin not in (done, done + 1):
                self.find(f"{host} had told step {done}, and goes on at {begin}")
            told = [int(w.split()[1]) for w in words if w.startswith("step")]
            if told != list(range(begin + 1, begin + 1 + len(told))):
                self.find(f"{host} began at {begin} and told {told}")
            done = told[-1] if told else begin
        if done != self.steps or not any(w == f"ends at {self.steps}" for _, w in attempts[-1]):
            self.find(f"{host} ended at {done} of {self.steps}: {attempts[-1][-3:]}")

    def check_model(self, job):
        key = job["ModelArtifacts"]["S3ModelArtifacts"].split("/", 3)[3]
        body = self.world.insist("s3", "get_object", Bucket=self.world.bucket, Key=key)["Body"].read()
        tar = tarfile.open(fileobj=io.BytesIO(body))
        names = sorted(m.name for m in tar.getmembers() if m.isfile())
        if names != sorted([f"{h}.json" for h in self.hosts] + [f"of/{h}" for h in self.hosts]):
            self.find(f"the model is {names}")
            return
        for host in self.hosts:
            weights = json.load(tar.extractfile(f"{host}.json"))
            if weights != expected(self.steps):
                self.find(f"{host} has learned {weights}, not {expected(self.steps)}")
        there = {o["Key"].rsplit("/", 1)[1] for o in self.world.insist(
            "s3", "list_objects_v2", Bucket=self.world.bucket, Prefix=f"checkpoints/{self.name}/").get("Contents", [])}
        last = range(self.steps - spot_train.KEPT + 1, self.steps + 1)
        for host in self.hosts:
            mine = {n for n in there if n.startswith(host)}
            missing = {f"{host}.json", *(f"{host}-{n}.txt" for n in last)} - mine
            if missing:
                self.find(f"S3 has not {sorted(missing)} of the last checkpoints")

    def check_interval(self, host, interval):
        """Against what the kernel knew of the attempt. What was too quick to be seen has no more than its data."""
        begin, end = interval["from_ms"], interval["to_ms"]
        sight = self.world.watch.sights.get(interval["uid"])
        if not sight or not sight.alive.begin:
            if end - begin > DATA_S * 1000:
                self.find(f"{host} was paid for, and nobody saw it: {interval}")
            return
        if begin < sight.alive.begin or end > sight.alive.end:
            self.find(f"{host} was there from {sight.alive.begin} to {sight.alive.end}, and was paid for when it was "
                      f"not: {interval}")
        middle = sight.container if sight.container.begin else Span(begin)
        spent = {"before": middle.begin - begin, "container": middle.ms(), "after": end - middle.end}
        for when, ms in spent.items():
            self.lived[when] += max(ms, 0) / 1000
            self.most_data[when] = max(self.most_data[when], ms / 1000)
            if when != "container" and ms > DATA_S * 1000:
                self.find(f"{host} was paid for {ms} ms {when} its container: {interval}")

    def check_bill(self, intervals):
        """Seconds paid, and seconds from the first to the last line of each attempt."""
        job, paid, told = self.describe(), 0, 0
        for host in self.hosts:
            mine = [i for i in intervals if i["owner_arn"] == job["TrainingJobArn"] and i["uid"] in self.agents(host)]
            attempts = self.logs(host)
            mine.sort(key=lambda i: i["from_ms"])
            if any(i["open"] for i in mine):
                self.find(f"{host} is paid for still")
            for interval in mine:
                self.check_interval(host, interval)
            for before, after in zip(mine, mine[1:]):
                if after["from_ms"] < before["to_ms"]:
                    self.find(f"{host} was paid for twice at a time: {before} {after}")
            for lines in attempts:
                if not any(i["from_ms"] <= lines[0][0] and lines[-1][0] <= i["to_ms"] for i in mine):
                    self.find(f"{host} ran from {lines[0]} to {lines[-1]}, and was not paid for: {mine}")
            if len(mine) > self.interruptions + 1:
                self.find(f"{host} has {len(mine)} intervals of {self.interruptions + 1} attempts")
            paid += sum(i["to_ms"] - i["from_ms"] for i in mine) / 1000
            told += sum(a[-1][0] - a[0][0] for a in attempts) / 1000
            wall = sum(i["to_ms"] - i["from_ms"] for i in mine) / 1000
            if len(self.hosts) == 1 and not wall <= job["TrainingTimeInSeconds"] < wall + 1:
                self.find(f"ran {job['TrainingTimeInSeconds']} s, and was paid for {wall} s")
        return paid, told

    def agents(self, host):
        """The world has seen every agent of ours, with its order."""
        return {name for name, i in self.world.seen.items()
                if i.owner == self.name and self.world.hosts.get(name) == host}


class SpotKiller(Killer):
    """The container's own process 1 is let live: a job that loses it has lost its steps since the last upload."""

    def victims(self):
        return [v for v in super().victims() if v[0] != "init"]


class SpotWorld(World):
    def __init__(self, seed):
        super().__init__(seed)
        self.hosts = {}  # name of an agent -> its host
        self.watch = Watch(self)

    def instances(self):
        there = super().instances()
        for i in there:
            if i.name not in self.hosts:
                host = read_json(i.folder / "order.json").get("host_name")
                if host:
                    self.hosts[i.name] = host
        return there

    def left(self):
        """What the world knows of, and pairs of addresses that are let through for nobody."""
        reserved = {p.name for p in NET.glob("[0-9]*") if p.is_symlink()}
        found = [f"pairs {p.name} of no network" for p in NET.glob("*.peers")
                 if p.name[:-len(".peers")] not in reserved]
        table = subprocess.run(["nft", "list", "set", "ip", "sagebrush", "peers"], capture_output=True,
                               text=True).stdout
        for b, c in {m for m in re.findall(r"10\.213\.(\d+)\.(\d+)", table)}:
            if str((int(b) * 256 + int(c)) // 4) not in reserved:
                found.append(f"10.213.{b}.{c} is let through and reserved by nobody")
        return super().left() + found


def usage(world):
    class Admin(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(str(world.server.data / "run" / "admin.sock"))

    admin = Admin("localhost", timeout=60)
    intervals, query = [], ""
    while True:
        admin.request("GET", "/_sagebrush/admin/v1/usage" + query)
        page = json.loads(admin.getresponse().read())
        intervals += page["intervals"]
        if "after_ms" not in page:
            return intervals
        query = f"?after_ms={page['after_ms']}"


def interrupt_all(world, jobs, pace_s, told):
    dice = world.dice("interrupts")
    while not world.over.wait(dice.uniform(0.2, 1.8) * pace_s):
        running = [j for j in jobs if j.runs and j.interruptions < j.most]
        if running:
            job = dice.choice(running)
            answer = job.interrupt()
            told["notices" if answer is True else "refused" if answer is None else "unanswered"] += 1
            job.interruptions += answer is True


def watch_s3(world, jobs):
    while not world.over.wait(0.3):
        for job in jobs:
            if job.runs:
                job.look_at_s3()


def work(world, jobs):
    for job in jobs:
        try:
            job.run()
        except Exception as e:
            job.runs = False
            job.find(f"{type(e).__name__}: {e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--twins", type=float, default=0.4, help="how many of them have two instances")
    parser.add_argument("--interruptions", type=int, default=8, help="at most, of one job")
    parser.add_argument("--at-once", type=int, default=5)
    parser.add_argument("--speed", type=float, default=1.0,
                        help="how many times faster than a kill and a notice each 1.1 s")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    began = time.monotonic()
    world = SpotWorld(options.seed)
    world.start()
    world.watch.start()
    world.insist("s3", "put_object", Bucket=world.bucket, Key="source.tar.gz", Body=source_archive())
    for n in range(STEPS_MAX):
        world.insist("s3", "put_object", Bucket=world.bucket, Key=f"numbers/{n}", Body=str(number(n)).encode())
    jobs = [SpotJob(world, n, options) for n in range(options.jobs)]
    killer, told = SpotKiller(world, options.speed), collections.Counter()
    workers = [threading.Thread(target=work, daemon=True, args=(world, jobs[i::options.at_once]))
               for i in range(options.at_once)]
    others = [killer, threading.Thread(target=watch_s3, daemon=True, args=(world, jobs)),
              threading.Thread(target=interrupt_all, daemon=True, args=(world, jobs, 1 / options.speed, told))]
    for t in workers + others:
        t.start()
    for t in workers:
        t.join()
    world.over.set()
    for t in [*others, world.watch]:
        t.join()
    wait_for(world.server.healthy, 120, "the server's health")
    intervals = usage(world)
    paid, logged = (round(sum(s), 1) for s in zip(*[j.check_bill(intervals) for j in jobs]))
    print(f"{len(jobs)} jobs, {sum(len(j.hosts) == 2 for j in jobs)} of two instances: "
          f"{sum(j.interruptions for j in jobs)} "
          f"interruptions, {dict(told)}; {sum(j.attempts for j in jobs)} attempts of instances that told something")
    print(f"kills: {sum(killer.kills.values())} {dict(killer.kills)}; in pairs: {dict(killer.pairs)}; calls tried "
          f"again: {dict(world.unanswered)}")
    print(f"paid for {paid} s in {len(intervals)} intervals, of which the logs tell {logged} s", flush=True)
    lived = {w: (round(sum(j.lived[w] for j in jobs), 1), max(j.most_data[w] for j in jobs))
             for w in ("before", "container", "after")}
    print("of these " + "; ".join(f"{s} s {w}, {most} at most" for w, (s, most) in lived.items()), flush=True)
    status = world.end(lambda: None)
    print(f"seed {options.seed}: {len(world.findings)} findings, {time.monotonic() - began:.0f} s", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
