"""Instances that are not fit, that die and that hang: what is noticed, what goes on, and what nobody pays for."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from conftest import needs_tun, processed, server_of_fleet, wait_for
from jobs import STEPS, Jobs, over, request, transition

# A node for each instance.
FLEET = """
[[nodes]]
name = "small"
count = 4
like = "ml.t3.medium"
"""
USD_HOUR = 0.05

@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from server_of_fleet(tmp_path_factory.mktemp("fleet"), FLEET)


def nodes(server):
    return {n["name"]: n for n in json.loads(server.command("nodes", "--json").stdout)["nodes"]}


def health_events(server, *options):
    """Those that are kept."""
    done = server.command("nodes", "events", "--json", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


class Steps(Jobs):
    """Jobs on small instances, with checkpoints."""

    def create(self, name, script, count=1, environment=None, **more):
        made = request(name, self.role, self.bucket, script=script, **more,
                       CheckpointConfig={"S3Uri": f"s3://{self.bucket}/{name}/checkpoints"},
                       ResourceConfig={"InstanceType": "ml.t3.medium", "InstanceCount": count})
        self.submit(over(made, {"Environment": environment or {}}))


@pytest.fixture(autouse=True)
def every_node_is_given_back(server):
    yield
    for name, node in nodes(server).items():
        if node["state"] == "cordoned":
            server.command("nodes", "return", name, check=True)


@pytest.fixture
def jobs(aws, role, bucket):
    made = Steps(aws, role, bucket)
    yield made
    made.close()


def agents_of(server, job):
    """By host: the folder of the agent, of a job that has had one attempt."""
    return {order["host_name"]: folder for folder, order in server.agents(job)}


def processes_of(agent):
    """Of the container and, last, of the agent itself."""
    pids = set()
    for folder, _, _ in os.walk("/sys/fs/cgroup"):  # which bears it that others remove theirs meanwhile
        if folder.endswith(f"/sagebrush-{agent.name}"):
            with contextlib.suppress(FileNotFoundError):
                pids |= {int(p) for p in (pathlib.Path(folder) / "cgroup.procs").read_text().split()}
    return [*pids, int((agent / "agent.pid").read_text())]


def signal_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass  # it went with its init


def kill_node(agent):
    """All at once, as a node dies: none is left to note how another one ended, or to start it again."""
    signal_all(processes_of(agent), signal.SIGSTOP)
    signal_all(processes_of(agent), signal.SIGKILL)


def device_of(address):
    route = subprocess.run(["ip", "-o", "route", "get", address], capture_output=True, text=True).stdout
    return re.search(r"dev (sg\w+)", route).group(1)


@pytest.fixture
def told(aws, unique):
    """What EventBridge tells of health, as a log group has it."""
    group, logs, events = f"/aws/events/{unique}", aws("logs"), aws("events")
    logs.create_log_group(logGroupName=group)
    arn = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["arn"].removesuffix(":*")
    events.put_rule(Name=unique, EventPattern=json.dumps({"source": ["sagebrush.health"]}))
    events.put_targets(Rule=unique, Targets=[{"Id": "log", "Arn": arn}])

    def check(what):
        found = [json.loads(e["message"]) for e in logs.filter_log_events(logGroupName=group)["events"]]
        return [e["detail"] for e in found if e["detail-type"] == what]
    return lambda what: wait_for(lambda: check(what), 60, f"the event {what}", 0.1)


def address_of(jobs, job, host):
    return re.search(r"begins at step 0 on (\S+)", "\n".join(
        line for stream, lines in jobs.streams(job).items() if f"/{host}-" in stream for line in lines)).group(1)


def kill_node_of(server, jobs, job, host):
    """Its agent and all of its container's processes, and its network."""
    agent, device = agents_of(server, job)[host], device_of(address_of(jobs, job, host))
    node = json.loads((agent / "order.json").read_text())["node"]
    kill_node(agent)
    subprocess.run(["ip", "link", "delete", device], capture_output=True)  # the next agent may have been quicker
    return node


def test_a_node_dies(server, jobs, told, unique):
    jobs.create(unique, STEPS, count=3, RetryStrategy={"MaximumRetryAttempts": 1},
                InfraCheckConfig={"EnableInfraCheck": True})
    jobs.says(unique, "waits at step 10", 3)
    # What is lost with the node is what was not in S3 yet.
    jobs.saved(unique, 3)
    begun = jobs.describe(unique)
    bad = kill_node_of(server, jobs, unique, "algo-2")
    died = time.monotonic()
    jobs.says(unique, "begins at step 10", 3)
    print(f"a node died: all of its job ran again after {time.monotonic() - died:.1f} s")
    done = jobs.completed(unique)
    again = transition(done, "Restarting")
    assert "algo-2: the container was lost" in again["StatusMessage"]
    assert ".." not in again["StatusMessage"] and "Start the job again" not in again["StatusMessage"]

    # The attempt that the node ended costs nothing.
    failed_s = (again["StartTime"] - begun["TrainingStartTime"]).total_seconds()
    assert done["TrainingTimeInSeconds"] - done["BillableTimeInSeconds"] >= int(failed_s)
    cost = server.cost()[unique]
    # of three instances, none of which began and ended with the attempt
    assert cost["waived_ms"] >= 1000 * int(failed_s)
    assert cost["usd"] == pytest.approx((cost["used_ms"] - cost["waived_ms"]) / 3.6e6 * USD_HOUR, rel=1e-6)
    assert cost["instances"] == 3  # of two attempts each

    # Before each attempt the instances were looked at, and added up a vector together.
    checks = jobs.says(unique, "sagebrush: check of the network between the instances passed", 6)
    assert all("all-reduce of 4 MiB over 3 instances: the sum is right" in x for x in checks), checks
    for what in ("file system", "memory errors", "cgroups", "clock", "memory", "disk", "GPU"):
        assert len(jobs.says(unique, f"sagebrush: check of the {what} passed", 6)) == 6
    passed = told("Infrastructure Check Passed")[0]["checks"]
    assert passed.keys() == {"algo-1", "algo-2",
                             "algo-3"} and all(c["passed"] and c["evidence"] for c in passed["algo-3"])
    assert told("Instance Unhealthy")[0]["host"] == "algo-2"
    assert told("Node Cordoned")[0]["node"] == bad

    # The node is remembered for it, also by the next control plane, until its time is over or somebody returns it.
    assert nodes(server)[bad]["state"] == "cordoned" and nodes(server)[bad]["back_ms"] > 0
    server.kill_control()
    assert nodes(server)[bad]["state"] == "cordoned"
    assert [x.keys() for x in nodes(server)[bad]["failures"]] == [{"at_ms", "agent", "job", "check", "why"}]
    listed = server.command("nodes").stdout
    assert f"under {unique} (container): the container was lost" in listed, listed
    kept = [e["what"] for e in health_events(server, "--node", bad)]  # none of the second attempt
    assert kept == ["Infrastructure Check Passed", "Instance Unhealthy", "Node Cordoned"]
    assert [e["what"] for e in health_events(server)].count("Infrastructure Check Passed") == 2
    assert re.search(rf"Node Cordoned +node: {bad}  job-name: {unique}  check: container  why: the container was lost",
                     server.command("nodes", "events").stdout)
    assert server.command("nodes", "return", bad).returncode == 0
    assert nodes(server)[bad]["state"] == "in use"
    assert told("Node Returned")[0]["node"] == bad


# Each attempt of it goes on until it is stopped.
HOLDS = """
import pathlib, socket, time
me = socket.gethostname()
saved = pathlib.Path("/opt/ml/checkpoints", me)
print("begins", "again" if saved.exists() else "at step 0", "on", socket.gethostbyname(me), flush=True)
saved.write_text("10")
time.sleep(3600)
"""


def nodes_of(server, job, attempt):
    return {order["host_name"]: order["node"] for folder, order in server.agents(job)
            if folder.name.endswith(f"-{attempt}")}


def test_the_healthy_instances_keep_their_places_whoever_waits(server, aws, jobs, told, unique):
    boss = unique + "-boss"
    jobs.create(unique, HOLDS, count=3, RetryStrategy={"MaximumRetryAttempts": 1})
    jobs.says(unique, "begins at step 0", 3)
    jobs.saved(unique, 3)
    before = nodes_of(server, unique, 0)
    jobs.create(boss, "print('runs')", count=2, Tags=[{"Key": "sagebrush:priority", "Value": "100"}])
    wait_for(lambda: jobs.describe(boss)["SecondaryStatus"] == "Pending", 60, "the other job to wait", 0.1)
    kill_node_of(server, jobs, unique, "algo-2")
    jobs.says(unique, "begins again", 3)
    after = nodes_of(server, unique, 1)
    assert after == before | {"algo-2": (nodes(server).keys() - before.values()).pop()}
    moved = told("Instance Replaced")[0]
    assert [moved[x] for x in ("host", "from", "to")] == ["algo-2", before["algo-2"], after["algo-2"]]
    assert jobs.describe(boss)["SecondaryStatus"] == "Pending"
    aws("sagemaker").stop_training_job(TrainingJobName=unique)
    done = jobs.completed(boss)
    assert done["TrainingStartTime"] >= jobs.ended(unique)["TrainingEndTime"]


def test_an_instance_loses_its_network(server, jobs, unique):
    jobs.create(unique, STEPS, count=2, RetryStrategy={"MaximumRetryAttempts": 1},
                environment={"SAGEBRUSH_HANG_AFTER": "60s"})
    jobs.says(unique, "waits at step 10", 2)
    jobs.saved(unique, 2)
    subprocess.run(["ip", "link", "delete", device_of(address_of(jobs, unique, "algo-1"))], check=True)
    done = jobs.completed(unique)
    again = transition(done, "Restarting")
    assert "algo-1: its network interface is gone" in again["StatusMessage"]
    assert jobs.says(unique, "sagebrush: this instance cannot go on: its network interface is gone", 1)


@needs_tun
def test_instances_that_encrypt_are_checked_through_the_tunnel(jobs, unique):
    jobs.create(unique, "print('runs')", count=2, EnableInterContainerTrafficEncryption=True,
                InfraCheckConfig={"EnableInfraCheck": True})
    jobs.completed(unique)
    assert jobs.says(unique, "sagebrush: check of the network between the instances passed", 2)
    for line in jobs.says(unique, "sagebrush: check of the clock", 2):
        assert "passed: the server's clock is" in line


def test_a_node_by_hand(server, told):
    """What is said twice is done, and told, once."""
    for said in ("gets nothing new", "is cordoned already"):
        assert f"small-4 {said}" in server.command("nodes", "cordon", "small-4", "a fan is loud").stdout
        assert nodes(server)["small-4"]["cordoned"] == "a fan is loud"
    for said in ("is in use again", "was not cordoned"):
        assert f"small-4 {said}" in server.command("nodes", "return", "small-4").stdout
    server.command("nodes", "cordon", "small-3")  # its event comes after all that were told before
    assert server.command("nodes", "return", "small-3").returncode == 0
    wait_for(lambda: [e["node"] for e in told("Node Returned")][-1] == "small-3", 60, "the last event", 0.1)
    assert [e["node"] for e in told("Node Cordoned")] == [e["node"] for e in told("Node Returned")] == ["small-4",
                                                                                                        "small-3"]
    refused = server.command("nodes", "return", "small-5")
    assert refused.returncode != 0 and "there is no node small-5" in refused.stderr


def test_a_processing_job_whose_node_dies_fails_and_says_why(server, aws, jobs, unique):
    sm = jobs.sm
    sm.create_processing_job(
        ProcessingJobName=unique, RoleArn=jobs.role, AppSpecification={
            "ImageUri": "sagemaker-base-python",
            "ContainerEntrypoint": ["python3", "-c", "import time; print('begins', flush=True); time.sleep(3600)"]},
        ProcessingResources={"ClusterConfig": {"InstanceType": "ml.t3.medium", "InstanceCount": 2,
                                               "VolumeSizeInGB": 1}})
    jobs.says(unique, "begins", 2, "Processing")
    kill_node(agents_of(server, unique)["algo-1"])
    done = processed(aws, unique, 180)
    assert done["ProcessingJobStatus"] == "Failed", done
    assert done["FailureReason"].startswith("InternalServerError: instance unhealthy: algo-1: the container was lost")
    cost = server.cost()[unique]
    assert cost["usd"] == 0 and cost["waived_ms"] == cost["used_ms"]


def test_a_job_that_hangs_starts_again(jobs, told, unique):
    jobs.create(unique, STEPS, environment={"SAGEBRUSH_HANG_AFTER": "2s"}, RetryStrategy={"MaximumRetryAttempts": 1})
    done = jobs.completed(unique)
    again = transition(done, "Restarting")
    assert "the job hung" in again["StatusMessage"] and "algo-1: no line of its log after" in again["StatusMessage"]
    assert "no line of its log after" in told("Job Hung")[0]["why"]
    # A program that waits for itself is the user's: its time is billed.
    assert done["BillableTimeInSeconds"] == done["TrainingTimeInSeconds"]


def test_a_job_that_hangs_without_a_retry_fails(server, jobs, unique):
    jobs.create(unique, "import time; print('begins', flush=True); time.sleep(3600)",
                environment={"SAGEBRUSH_HANG_AFTER": "2"})
    done = jobs.ended(unique)
    assert done["TrainingJobStatus"] == "Failed"
    assert done["FailureReason"].startswith("InternalServerError: the job hung: for "), done["FailureReason"]
    # Nobody had asked to be told.
    assert jobs.says(unique, "sagebrush: The job has done nothing since ", 1)
    assert "The job has done nothing since " in transition(done, "Training")["StatusMessage"]
    assert "Job Hung" in [e["what"] for e in health_events(server) if e["detail"].get("job-name") == unique]


def test_a_job_that_works_in_silence_does_not_hang(jobs, unique):
    jobs.create(unique, "import time\nend = time.time() + 6\nwhile time.time() < end: pass",
                environment={"SAGEBRUSH_HANG_AFTER": "2s"})
    jobs.completed(unique)


def test_ranks_that_spin_hang(server, jobs, unique):
    """They use all of their cores, waiting for what never comes."""
    jobs.create(unique, "print('begins', flush=True)\nwhile True: pass", count=2,
                environment={"SAGEBRUSH_SILENT_AFTER": "2s"})
    done = jobs.ended(unique)
    assert done["TrainingJobStatus"] == "Failed"
    assert re.search(r"^InternalServerError: the job hung: for \d+ s it wrote no line \(algo-1: no line of its log "
                     r"after \d+ bytes, though it works; algo-2: ", done["FailureReason"]), done["FailureReason"]
    assert "Job Hung" in [e["what"] for e in health_events(server) if e["detail"].get("job-name") == unique]


def test_one_instance_that_waits_for_the_other_does_not_hang(jobs, unique):
    jobs.create(unique, "import socket, time\nend = time.time() + 6\n"
                        "while time.time() < end: time.sleep(6 if socket.gethostname() == 'algo-2' else 0)",
                count=2, environment={"SAGEBRUSH_HANG_AFTER": "2s"})
    jobs.completed(unique)


def test_a_duration_that_is_none(jobs, unique):
    with pytest.raises(Exception, match="SAGEBRUSH_HANG_AFTER is .*soon.*; it has to be a duration"):
        jobs.create(unique, "pass", environment={"SAGEBRUSH_HANG_AFTER": "soon"})
