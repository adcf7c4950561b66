"""A real server for the tests of this folder, and unchanged clients that find it by `sagebrush env`; jobs.py has the
jobs.

The server is the one of $SAGEBRUSH_BUILD (default: build/ of this tree). Each test session has a data directory of its
own below $TMPDIR and a free port; set SAGEBRUSH_KEEP=1 to keep the directory, with the logs, after the run.
"""
import contextlib
import io
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
import urllib.request
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SAGEBRUSH_BUILD", ROOT / "build")).resolve()
SAGEBRUSH = BUILD / "src" / "cmd" / "sagebrush"
needs_tun = pytest.mark.skipif(not os.access("/dev/net/tun", os.R_OK | os.W_OK),
                               reason="no /dev/net/tun, which encryption needs")


def free_port():
    """Below those that the kernel gives to connections: nobody gets it before the server that it is for."""
    while True:
        port = random.randrange(10000, 32000)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            return port


def wait_for(check, seconds=60.0, what="it", step=0.02):
    """Polls until check() is true and returns its value; the deadline is for a server that is broken, not for a slow
    one."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds} s")
        time.sleep(step)


class Server:
    def __init__(self, runtime="container", data=None, log=None, options=(), before=()):
        self.data = data or pathlib.Path(tempfile.mkdtemp(prefix="sagebrush-api-"))
        self.port = free_port()
        self.runtime = runtime
        self.options = list(options)
        self.before = list(before)  # a command that becomes the server
        self.process = None
        self.session = None
        self.log_path = log or self.data / "up.log"
        self.log = open(self.log_path, "ab")

    def start(self):
        self.process = subprocess.Popen(
            [*self.before, SAGEBRUSH, "up", "--data", self.data, "--port", str(self.port), "--runtime", self.runtime,
             *self.options],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            wait_for(self.healthy, 60, "the server's health")
            self.env = self.environment()
        except BaseException:
            self.stop()  # nobody has it yet who would
            raise

    def healthy(self):
        if self.process.poll() is not None:
            raise AssertionError("sagebrush up ended:\n" + self.log_path.read_text()[-4000:])
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_sagebrush/health", timeout=2) as answer:
                return json.load(answer)["status"] == "ok"
        except OSError:
            return False

    def environment(self):
        """What a shell has after `eval "$(sagebrush env)"`."""
        script = '. /dev/stdin && env -0'
        exports = subprocess.run([SAGEBRUSH, "env", "--data", self.data], check=True, capture_output=True).stdout
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SAGEMAKER_"))}
        listing = subprocess.run(["sh", "-c", script], check=True, capture_output=True, input=exports, env=clean).stdout
        return dict(pair.split("=", 1) for pair in listing.decode().split("\0") if "=" in pair)

    def account(self):
        return json.loads((self.data / "config").read_text())["account"]

    @property
    def role(self):
        """The one that every server has."""
        return f"arn:aws:iam::{self.account()}:role/SagebrushExecutionRole"

    def client(self, service, **more):
        """Of boto3, whatever this process finds in its environment."""
        import boto3

        session = boto3.session.Session(self.env["AWS_ACCESS_KEY_ID"], self.env["AWS_SECRET_ACCESS_KEY"],
                                        region_name=self.env["AWS_DEFAULT_REGION"])
        return session.client(service, endpoint_url=f"http://127.0.0.1:{self.port}", **more)

    def command(self, *words, **more):
        return subprocess.run([SAGEBRUSH, *words, "--data", self.data], capture_output=True, text=True, **more)

    def cost(self, by="name"):
        """The lines of `sagebrush cost`, by their names."""
        told = self.command("cost", "--by", by, "--json", check=True).stdout
        return {line["name"]: line for line in json.loads(told)["lines"]}

    def pid(self, name):
        """Of 'up', 'control' or 'serve'; None while it is not there."""
        try:
            return int((self.data / "run" / f"{name}.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def kill_control(self):
        """And wait for the next one."""
        before = self.pid("control")
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: self.pid("control") not in (None, before), 60, "another control plane")
        wait_for(self.healthy, 60, "its health")

    def end_instances(self):
        """What runs goes on without a server; here nothing may be left behind."""
        sm = self.client("sagemaker")

        def each(operation, list_of, end, **which):
            for page in sm.get_paginator(operation).paginate(**which):
                for x in page[list_of]:
                    with contextlib.suppress(sm.exceptions.ClientError):  # it has ended meanwhile
                        end(x)
        each("list_endpoints", "Endpoints", lambda x: sm.delete_endpoint(EndpointName=x["EndpointName"]))
        each("list_training_jobs", "TrainingJobSummaries",
             lambda x: sm.stop_training_job(TrainingJobName=x["TrainingJobName"]), StatusEquals="InProgress")
        each("list_processing_jobs", "ProcessingJobSummaries",
             lambda x: sm.stop_processing_job(ProcessingJobName=x["ProcessingJobName"]), StatusEquals="InProgress")
        each("list_training_jobs", "TrainingJobSummaries", lambda x: sm.update_training_job(
            TrainingJobName=x["TrainingJobName"], ResourceConfig={"KeepAlivePeriodInSeconds": 0}),
             WarmPoolStatusEquals="Available")
        wait_for(lambda: not list((self.data / "agents").iterdir()), 60, "the end of every instance")

    def orders(self):
        """The folders of agents, each with its order; of those that stand by there is none."""
        return orders_below(self.data)

    def agents(self, job):
        """The same of one job."""
        return [(folder, order) for folder, order in self.orders() if order.get("job_name") == job]

    def standing_by(self):
        """The folders of agents that wait for an order."""
        return [f for f in (self.data / "agents").iterdir() if (f / "warm.json").exists() and
                not (f / "order.json").exists()]

    def stop(self):
        try:
            self.end_instances()
        except Exception as e:  # the server may be what the test broke
            print("instances of", self.data, "may be left:", e)
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        self.process = None
        if not os.environ.get("SAGEBRUSH_KEEP"):
            subprocess.run([SAGEBRUSH, "reset", "--data", self.data, "--yes"], capture_output=True)
            shutil.rmtree(self.data, ignore_errors=True)


def orders_below(root):
    """As Server.orders, of any data directory. They come and go while one looks."""
    found = []
    for path in (root / "agents").glob("*/order.json"):
        with contextlib.suppress(FileNotFoundError):
            found.append((path.parent, json.loads(path.read_text())))
    return found


def holder(path):
    """The process that holds the lock on the file; None: nobody, or no file."""
    try:
        inode = path.stat().st_ino
    except FileNotFoundError:
        return None
    for line in pathlib.Path("/proc/locks").read_text().splitlines():
        words = line.split()  # "->" is second where somebody waits for one
        if words[1] == "POSIX" and words[5].endswith(f":{inode}"):
            return int(words[4])
    return None


def server_of_fleet(folder, fleet):
    """For a fixture: a server with this fleet file."""
    path = folder / "fleet.toml"
    path.write_text(fleet)
    s = Server(options=["--fleet", str(path)])
    s.start()
    yield s
    s.stop()


def when_over(describe, status, job, seconds):
    def check():
        d = describe()
        return d if d[status] not in ("InProgress", "Stopping") else None
    return wait_for(check, seconds, f"the end of {job}", 0.05)


def ended(aws, job, seconds=120):
    """The training job as it is described when it has ended."""
    sm = aws("sagemaker")
    return when_over(lambda: sm.describe_training_job(TrainingJobName=job), "TrainingJobStatus", job, seconds)


def processed(aws, job, seconds=120):
    """The same of a processing job."""
    sm = aws("sagemaker")
    return when_over(lambda: sm.describe_processing_job(ProcessingJobName=job), "ProcessingJobStatus", job, seconds)


def log_lines(logs, job, kind="Training"):
    """Of each log stream of the job."""
    group = f"/aws/sagemaker/{kind}Jobs"
    try:
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=job + "/")["logStreams"]
    except logs.exceptions.ResourceNotFoundException:
        return {}  # before the first line of the first job
    return {s["logStreamName"]: [e["message"] for e in logs.get_log_events(
        logGroupName=group, logStreamName=s["logStreamName"], startFromHead=True)["events"]] for s in streams}


def model_files(aws, done):
    """What is in the model of a job that has ended."""
    bucket, key = done["ModelArtifacts"]["S3ModelArtifacts"][5:].split("/", 1)
    tar = tarfile.open(fileobj=io.BytesIO(aws("s3").get_object(Bucket=bucket, Key=key)["Body"].read()))
    return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


def drill_spot(server, job):
    return server.command("drill", "spot", job)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    item.failed_once = getattr(item, "failed_once", False) or report.failed


@pytest.fixture(autouse=True)
def no_failure_goes_on(request):
    """What a test that failed has left running is in no other's way."""
    has_server = "server" in request.fixturenames
    server = request.getfixturevalue("server") if has_server else None
    yield
    if has_server and request.node.failed_once:
        server.end_instances()


@pytest.fixture(scope="session")
def server():
    s = Server()
    s.start()
    yield s
    s.stop()


def enter(server, monkeypatch):
    """The environment of the server and nothing else. boto3's session of it is made once: each has to read AWS's
    models."""
    import boto3
    import botocore.loaders

    for name in list(os.environ):
        if name.startswith(("AWS_", "SAGEMAKER_")):
            monkeypatch.delenv(name)
    for name, value in server.env.items():
        if name.startswith(("AWS_", "SAGEMAKER_")):
            monkeypatch.setenv(name, value)
    # This Python started before the server: what PYTHONPATH would have done at its start is done now.
    monkeypatch.setattr(botocore.loaders.Loader, "CUSTOMER_DATA_PATH", server.env["AWS_DATA_PATH"])
    server.session = server.session or boto3.session.Session()
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", server.session)
    return server.session


@pytest.fixture
def aws(server, monkeypatch):
    """boto3.client, with the environment of the server and nothing else set."""
    return enter(server, monkeypatch).client


@pytest.fixture
def unique():
    """A name that no other test has."""
    return "t-" + uuid.uuid4().hex[:12]


@pytest.fixture
def role(server):
    return server.role


@pytest.fixture
def bucket(aws, unique):
    s3 = aws("s3")
    s3.create_bucket(Bucket=unique, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    return unique


@pytest.fixture
def jobs(aws, role, bucket):
    from jobs import Jobs

    made = Jobs(aws, role, bucket)
    yield made
    made.close()


def impatient(monkeypatch):
    """The SageMaker SDK sleeps a fiftieth of the 10 seconds between two looks, and takes them for 10: of a job whose
    log it shows it asks only every 30 seconds whether it has ended."""
    import types

    import sagemaker

    skipped = 0

    def sleep(seconds):
        nonlocal skipped
        time.sleep(seconds / 50)
        skipped += seconds - seconds / 50

    clock = types.SimpleNamespace(**{**vars(time), "sleep": sleep, "time": lambda: time.time() + skipped})
    monkeypatch.setattr(sagemaker.session, "time", clock)


@pytest.fixture
def session(aws, monkeypatch):
    """The SDK as it is, but impatient."""
    import sagemaker

    impatient(monkeypatch)
    return sagemaker.Session()
