#!/usr/bin/env python3
"""Kills processes of ours, one at a time and in pairs, at random moments of real jobs and endpoints, and then looks.

    tests/torture/kill.py [--jobs 200] [--seed N] [--at-once 6] [--kills 1]

What must hold: what was answered is there; every job ends; a job's command ran once and only once; nothing is left
behind - no process, container, mount, cgroup, network name. A job whose container's own first process was killed
may end as Failed, with a reason; no other may. Prints one line a finding, and exits 1 if there was any.
"""
import argparse
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from conftest import Server, wait_for  # noqa: E402

IMAGE = "sagemaker-scikit-learn:1.2-1-cpu-py3"
COMMAND = "echo started $TRAINING_JOB_NAME; sleep {seconds}; echo done > /opt/ml/model/done; echo finished"


class Story:
    def __init__(self, options):
        self.options = options
        self.dice = random.Random(options.seed)
        self.server = Server()
        self.findings = []
        self.over = threading.Event()
        self.kills = {}
        self.wounded = set()  # jobs whose init was killed

    def find(self, text):
        self.findings.append(text)
        print("FOUND:", text, flush=True)

    # --- processes ---

    def processes(self):
        """(pid, role, agent folder) of everything that belongs to this server's data directory."""
        data = str(self.server.data)
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if not any(data in w for w in words):
                continue
            name = os.path.basename(words[0])
            if name in ("sagebrush", "sagebrushd", "sagebrush-serve", "sagebrush-agent"):
                yield int(entry), name

    def keep_supervised(self):
        """What an init system does: starts `sagebrush up` again when it is gone."""
        while not self.over.is_set():
            if self.server.process.poll() is not None:
                self.server.process = subprocess.Popen(
                    [self.server.process.args[0], *self.server.process.args[1:]],
                    stdin=subprocess.DEVNULL, stdout=self.server.log, stderr=self.server.log)
            time.sleep(0.2)

    def killer(self):
        while not self.over.wait(self.dice.uniform(0.2, 2.0) / self.options.kills):
            victims = list(self.processes())
            for pid, name in self.dice.sample(victims, min(len(victims), self.dice.choice([1, 1, 2]))):
                try:
                    os.kill(pid, signal.SIGKILL)
                    self.kills[name] = self.kills.get(name, 0) + 1
                except ProcessLookupError:
                    pass

    # --- clients ---

    def client(self, service):
        import boto3
        from botocore.config import Config

        return boto3.client(service, config=Config(retries={"max_attempts": 2}, read_timeout=40, connect_timeout=5))

    def insist(self, what, *allowed):
        """Calls until it is answered; True when the answer was one of the allowed errors."""
        import botocore.exceptions

        deadline = time.monotonic() + 180
        while True:
            try:
                return what()
            except botocore.exceptions.ClientError as e:
                if e.response["Error"]["Code"] in allowed:
                    return None
                if e.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                    raise
            except (botocore.exceptions.BotoCoreError, OSError):
                pass
            if time.monotonic() > deadline:
                raise AssertionError("no answer for 180 s")
            time.sleep(0.3)

    def job(self, number, dice):
        sm, logs = self.client("sagemaker"), self.client("logs")
        name = f"kill-{self.options.seed}-{number}"
        request = dict(
            TrainingJobName=name, RoleArn=self.role,
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File",
                                    "ContainerEntrypoint": ["/bin/sh", "-c"],
                                    "ContainerArguments": [COMMAND.format(seconds=round(dice.uniform(0, 3), 1))]},
            OutputDataConfig={"S3OutputPath": f"s3://{self.bucket}/out"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 600})
        self.insist(lambda: sm.create_training_job(**request), "ResourceInUse")

        def ended():
            job = self.insist(lambda: sm.describe_training_job(TrainingJobName=name))
            return job if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

        job = wait_for(ended, 300, f"the end of {name}", 0.5)
        if job["TrainingJobStatus"] != "Completed":
            self.find(f"{name} is {job['TrainingJobStatus']}: {job.get('FailureReason')}")
            return
        key = job["ModelArtifacts"]["S3ModelArtifacts"].split("/", 3)[3]
        self.insist(lambda: self.client("s3").head_object(Bucket=self.bucket, Key=key))

        def lines():
            group = "/aws/sagemaker/TrainingJobs"
            streams = self.insist(lambda: logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=name + "/"))
            found = []
            for s in streams["logStreams"]:
                found += [e["message"].strip() for e in self.insist(lambda: logs.get_log_events(
                    logGroupName=group, logStreamName=s["logStreamName"], startFromHead=True))["events"]]
            return found if "finished" in found else None

        found = wait_for(lines, 60, f"the log of {name}", 0.5)
        if found.count(f"started {name}") != 1 or found.count("finished") != 1:
            self.find(f"{name} ran {found.count(f'started {name}')} times: {found}")

    def worker(self, numbers, dice):
        for number in numbers:
            try:
                self.job(number, dice)
            except Exception as e:  # a story goes on, its finding stays
                self.find(f"job {number}: {type(e).__name__}: {e}")

    # --- the end ---

    def leftovers(self):
        data = str(self.server.data)
        found = [f"process {pid} {name}" for pid, name in self.processes() if name == "sagebrush-agent"]
        found += ["mount " + line.split()[4] for line in open("/proc/self/mountinfo") if data in line.split()[4]]
        found += ["agent folder " + f for f in os.listdir(self.server.data / "agents")] if (self.server.data / "agents").exists() else []
        for folder, names, _ in os.walk("/sys/fs/cgroup"):
            found += [f"cgroup {folder}/{n}" for n in names if "sagebrush" in n and os.path.exists(f"{folder}/{n}/cgroup.procs")
                      and self.mine(f"{folder}/{n}")]
        links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
        found += ["link " + line.split(":")[1].strip() for line in links.splitlines() if ": sb" in line and line not in self.links_before]
        return found

    def mine(self, cgroup):
        return cgroup not in self.cgroups_before

    def run(self):
        self.cgroups_before = {f"{f}/{n}" for f, names, _ in os.walk("/sys/fs/cgroup") for n in names}
        self.links_before = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout.splitlines()
        self.server.start()
        os.environ.update({k: v for k, v in self.server.env.items() if k.startswith("AWS_")})
        self.bucket = "kill-bucket"
        self.client("s3").create_bucket(Bucket=self.bucket)
        self.role = self.client("iam").get_role(RoleName="SagebrushExecutionRole")["Role"]["Arn"]
        threads = [threading.Thread(target=self.worker, daemon=True, args=(
            range(i, self.options.jobs, self.options.at_once), random.Random(self.options.seed * 1000 + i)))
            for i in range(self.options.at_once)]
        background = [threading.Thread(target=t, daemon=True) for t in (self.keep_supervised, self.killer)]
        for t in threads + background:
            t.start()
        for t in threads:
            t.join()
        self.over.set()
        for t in background:
            t.join()
        if self.server.process.poll() is not None:
            self.server.start()
        left = []
        for _ in range(120):
            left = self.leftovers()
            if not left:
                break
            time.sleep(0.5)
        for one in left:
            self.find("left behind: " + one)
        print(f"seed {self.options.seed}: {self.options.jobs} jobs, kills {self.kills}, {len(self.findings)} findings", flush=True)
        if self.findings:
            os.environ["SAGEBRUSH_KEEP"] = "1"
            print("kept:", self.server.data)
        self.server.stop()
        return 1 if self.findings else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=6)
    parser.add_argument("--kills", type=float, default=1.0, help="how many times faster than the usual pace of 1.1 s")
    parser.add_argument("--seed", type=int, default=1)
    sys.exit(Story(parser.parse_args()).run())
