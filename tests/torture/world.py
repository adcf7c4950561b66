"""The world of a torture run: a real server that an init system keeps up, clients that insist, and what is left at the
end."""
import collections
import fcntl
import functools
import json
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import threading
import time

import boto3
import botocore.exceptions
from botocore.config import Config

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
from conftest import Server, wait_for  # noqa: E402

ANSWER_S = 240  # within which every call is answered in the end, whatever dies meanwhile
OURS = {"sagebrush": "supervisor", "sagebrushd": "sagebrushd", "sagebrush-serve": "sagebrush-serve",
        "sagebrush-agent": "agent"}


def lock_holder(path):
    """The process that holds a lock on the file, by the kernel's word; 0: nobody."""
    try:
        with open(path, "rb") as f:
            answer = fcntl.fcntl(f, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
    except OSError:
        return 0
    kind, _, _, _, pid = struct.unpack("hhqqi4x", answer)
    return 0 if kind == fcntl.F_UNLCK else pid


def read_json(path):
    try:
        return json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError):
        return {}


class Instance:
    """An agent's folder: docs/ARCHITECTURE.md, "Internal protocol 2"."""

    def __init__(self, folder):
        self.folder, self.name = folder, folder.name
        order = read_json(folder / "order.json")
        self.serves = order.get("work") == "serve"
        self.owner = order["log_group"].rsplit("/", 1)[1] if self.serves and order else order.get("job_name", "")

    def agent(self):
        return lock_holder(self.folder / "agent.pid")

    def init(self):
        """Process 1 of its container."""
        return lock_holder(self.folder / "box" / "lock")

    def report(self):
        return read_json(self.folder / "report.json")

    def ends(self):
        return (self.folder / "stop.json").exists() or not self.folder.exists()


class World:
    def __init__(self, seed, server=None):
        self.seed = seed
        self.server = server or Server()
        self.over = threading.Event()
        self.findings = []
        self.seen = {}                           # name of an agent -> its Instance, also of those that are gone
        self.wounds = {}                         # owner -> when process 1 of a container of it was killed
        self.unanswered = collections.Counter()  # what calls failed with before they were answered

    def dice(self, *of):
        return random.Random(f"{self.seed}/{of}")

    def find(self, text):
        self.findings.append(text)
        print("FOUND:", text, flush=True)

    def wounded(self, owner, within_s=float("inf")):
        return time.monotonic() - self.wounds.get(owner, -float("inf")) <= within_s

    # --- the machine ---

    def start(self):
        self.server.start()
        os.environ.update({k: v for k, v in self.server.env.items() if k.startswith("AWS_")})
        for service in ("sagemaker", "sagemaker-runtime", "s3", "logs", "iam"):
            self.client(service)
        self.bucket = f"torture-{self.seed}"
        self.client("s3").create_bucket(Bucket=self.bucket)
        self.role = self.client("iam").get_role(RoleName="SagebrushExecutionRole")["Role"]["Arn"]
        self.background = [threading.Thread(target=t, daemon=True) for t in (self.keep_supervised, self.keep_watch)]
        for t in self.background:
            t.start()

    def keep_supervised(self):
        """What an init system does: starts `sagebrush up` again when it is gone."""
        while not self.over.is_set():
            if self.server.process.poll() is not None:
                self.server.process = subprocess.Popen(self.server.process.args, stdin=subprocess.DEVNULL,
                                                       stdout=self.server.log, stderr=self.server.log)
            time.sleep(0.2)

    def keep_watch(self):
        while not self.over.is_set():
            self.instances()
            time.sleep(0.1)

    def instances(self):
        """Those that are there."""
        there = []
        for folder in (self.server.data / "agents").glob("[!.]*"):
            known = self.seen.get(folder.name)
            if not known or not known.owner:
                known = self.seen[folder.name] = Instance(folder)
            there.append(known)
        return there

    def processes(self):
        """(pid, role, last word of the command) of the programs of ours that run on this data directory."""
        data = str(self.server.data).encode()
        for entry in os.listdir("/proc"):
            try:
                words = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")[:-1] if entry.isdigit() else []
            except OSError:
                continue
            name = os.path.basename(words[0]).decode() if words else ""
            if name in OURS and any(data in w for w in words):
                yield int(entry), OURS[name], words[-1].decode()

    # --- clients ---

    @functools.cache
    def client(self, service):
        return boto3.client(service,
                            config=Config(retries={"total_max_attempts": 1}, read_timeout=70, connect_timeout=10,
                                                   max_pool_connections=64))

    def insist(self, service, operation, late=None, **request):
        """Calls until it is answered. An error that matches 'late' is what a second call of it says when the first one
        was carried out and only its answer was lost: None then."""
        deadline, lost = time.monotonic() + ANSWER_S, False
        while True:
            try:
                return getattr(self.client(service), operation)(**request)
            except botocore.exceptions.ClientError as e:
                status, error = e.response["ResponseMetadata"]["HTTPStatusCode"], e.response["Error"]
                if status < 500:
                    if lost and late and re.search(late, error.get("Message", "")):
                        return None
                    raise
                if status != 503:
                    self.find(f"{operation} {request} was answered {status} {error}")
                self.unanswered[f"{status} {error['Code']}"] += 1
            except (botocore.exceptions.BotoCoreError, OSError) as e:
                self.unanswered[type(e).__name__] += 1
            lost = True
            if time.monotonic() > deadline:
                raise AssertionError(f"{operation} has no answer for {ANSWER_S} s")
            time.sleep(0.3)

    def wait_gone(self, name, status, absent, within_s):
        """It was deleted: status() tells "Deleting", and then fails with a message that has 'absent' in it."""
        def gone():
            try:
                return status() != "Deleting" and self.find(f"{name} was deleted and is there")
            except botocore.exceptions.ClientError as e:
                return absent in e.response["Error"]["Message"]
        wait_for(gone, within_s, f"the deletion of {name}", 0.3)

    # --- the end ---

    def end(self, look_again):
        """Nobody is killed any more: one last look at everything, and at what was left behind; the exit status."""
        self.over.set()
        for t in self.background:
            t.join()
        if self.server.process.poll() is not None:
            self.server.start()
        wait_for(self.server.healthy, 120, "the server's health")
        look_again()
        try:
            wait_for(lambda: not self.left(), 120, "the end of everything", 0.5)
        except AssertionError:
            for one in self.left():
                self.find("left behind: " + one)
        if self.findings:
            os.environ["SAGEBRUSH_KEEP"] = "1"
            print("kept:", self.server.data)
        self.server.stop()
        return 1 if self.findings else 0

    def left(self):
        data, run = str(self.server.data), os.path.realpath(self.server.data / "run")
        found = [f"process {pid} {last}" for pid, role, last in self.processes() if role == "agent"]
        found += ["mount " + line.split()[4] for line in open("/proc/self/mountinfo") if data + "/" in line.split()[4]]
        found += [f"{kind} {path.name}" for kind, folder in (
            ("agent folder", f"{data}/agents"), ("container", f"{run}/runc"), ("network namespace", f"{run}/netns"))
            for path in pathlib.Path(folder).glob("*")]
        for folder, names, _ in os.walk("/sys/fs/cgroup"):
            found += [f"cgroup {folder}/{n}" for n in names if n.startswith("sagebrush-") and n[10:] in self.seen]
        networks = list(pathlib.Path("/run/sagebrush/net").glob("[0-9]*"))
        links = {n.name: os.readlink(n) for n in networks if n.is_symlink()}
        found += [f"network {n} of {to}" for n, to in links.items() if to.startswith(run + "/")]
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
        if not links and "ip sagebrush" in tables:
            found += ["nft table, and no network needs it"]
        return found
