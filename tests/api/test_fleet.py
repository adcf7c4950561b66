"""A server with a fleet file: two small nodes, jobs of several instances, quotas, priorities, and spot that makes
way."""
import json
import math
import subprocess

import pytest

from conftest import SAGEBRUSH, server_of_fleet, wait_for
from jobs import Jobs, request

FLEET = """
[[nodes]]
name = "small"
count = 2
cores = 1
memory = "1GiB"

[[types]]
name = "box.one"
vcpus = 1
memory = "512MiB"
usd_hour = 0.1

[[types]]
name = "box.half"
vcpus = 1
memory = "256MiB"
usd_hour = 0.05
spot_usd_hour = 0.02

[[quotas]]
type = "ml.t3.medium"
limit = 1

[spot]
notice = "30s"
"""

HOLD = "import signal; print('holds', flush=True); signal.pause()"

# The first attempt saves, and ends after its notice when it may; the next goes on from there, and ends.
SAVES = """
import os, pathlib, signal, time
saved, go = pathlib.Path("/opt/ml/checkpoints/saved"), pathlib.Path("/opt/ml/output/go")
def leave(*_):
    while not go.exists(): time.sleep(0.05)
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
if saved.exists():
    print("goes on", flush=True)
else:
    saved.with_suffix(".sagemaker-ignore").write_text("7")
    saved.with_suffix(".sagemaker-ignore").rename(saved)
    print("holds", flush=True)
    while True: signal.pause()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from server_of_fleet(tmp_path_factory.mktemp("fleet"), FLEET)


class Fleet(Jobs):
    def create(self, name, type="box.one", count=1, script=HOLD, spot=False, tags=(), runtime_s=3600):
        more = dict(EnableManagedSpotTraining=True,
                    CheckpointConfig={"S3Uri": f"s3://{self.bucket}/{name}"}) if spot else {}
        super().create(name, script=script, ResourceConfig={"InstanceType": type, "InstanceCount": count},
                       StoppingCondition={"MaxRuntimeInSeconds": runtime_s,
                                          **({"MaxWaitTimeInSeconds": 7200} if spot else {})},
                       Tags=[{"Key": k, "Value": v} for k, v in tags], **more)

    def holds(self, name, instances=1):
        wait_for(lambda: self.lines(name).count("holds") == instances, 60, f"{name}'s first line", 0.1)


@pytest.fixture
def jobs(aws, role, bucket):
    made = Fleet(aws, role, bucket)
    yield made
    made.close()


def nodes(server):
    return {n["name"]: n for n in json.loads(server.command("status", "--json", check=True).stdout)["server"]["nodes"]}


def test_a_job_of_two_waits_for_both_and_says_why(server, jobs, unique):
    one, two, three = (f"{unique}-{i}" for i in (1, 2, 3))
    jobs.create(one)
    jobs.holds(one)
    assert sum(n["cores"]["used"] for n in nodes(server).values()) == 1
    jobs.create(two, count=2)
    jobs.waits(two, r"^Waiting for 2 box\.one: room for 1 now, 0 jobs are before this one; expected to start in about "
                    r"(60|5\d) minutes$")
    jobs.create(three, runtime_s=7200)  # would keep the second one waiting for longer
    jobs.waits(three, "room for 0 now, 1 job is before this one")  # the free node is held for the second
    jobs.end(one)
    jobs.holds(two, 2)
    assert {n["instances"] for n in nodes(server).values()} == {1}
    shown = server.command("status").stdout
    assert "small-1, 1 instance, 1 of 1 cores" in shown, shown
    assert "instances          2 running" in shown and "waiting            1 job or instance" in shown, shown
    assert f"\n                   training job {three}: Waiting for 1 box.one: room for 0 now" in shown, shown
    jobs.end(two)
    jobs.holds(three)
    jobs.end(three)


def test_limits_are_the_types(server, jobs, unique):
    jobs.create(unique)
    jobs.holds(unique)
    (_, order), = server.agents(unique)
    assert order["node"] in ("small-1", "small-2")
    assert (order["limits"]["cpus"], order["limits"]["memory_bytes"]) == (1, 512 << 20)
    jobs.end(unique)


def test_groups_get_what_their_types_need(server, jobs, unique):
    """algo-1 is of the first group, and all of them start together."""
    jobs.submit({**request(unique, jobs.role, jobs.bucket, script=HOLD), "ResourceConfig": {
        "VolumeSizeInGB": 1, "InstanceGroups": [
            {"InstanceGroupName": "a", "InstanceType": "box.half", "InstanceCount": 1},
            {"InstanceGroupName": "b", "InstanceType": "box.one", "InstanceCount": 1}]}})
    jobs.holds(unique, 2)
    mine = {order["host_name"]: order for _, order in server.agents(unique)}
    assert {h: (o["instance_type"], o["group"], o["limits"]["memory_bytes"]) for h, o in mine.items()} == {
        "algo-1": ("box.half", "a", 256 << 20), "algo-2": ("box.one", "b", 512 << 20)}
    jobs.end(unique)


def test_own_types_cost_what_the_file_says(server, jobs, unique):
    """On demand and spot, in `sagebrush cost` and in what Describe calls billable. Its tags stay on the bill of a job
    that is deleted."""
    firm, spot = f"{unique}-firm", f"{unique}-spot"
    script = "import time; time.sleep(2)"
    jobs.create(firm, type="box.half", script=script, tags=[("team", unique)])
    jobs.create(spot, type="box.half", script=script, spot=True)
    ends = {name: jobs.completed(name) for name in (firm, spot)}
    lines = server.cost()
    jobs.sm.delete_training_job(TrainingJobName=firm)
    jobs.names.remove(firm)
    of_teams = server.cost("tag:team")
    assert of_teams[unique]["usd"] == lines[firm]["usd"] and of_teams[None]["usd"] >= lines[spot]["usd"]
    for name, usd_hour in ((firm, 0.05), (spot, 0.02)):
        assert lines[name]["usd"] == pytest.approx(lines[name]["used_ms"] / 3.6e6 * usd_hour, rel=1e-6), lines
    assert ends[firm]["BillableTimeInSeconds"] == ends[firm]["TrainingTimeInSeconds"]
    assert ends[spot]["BillableTimeInSeconds"] == math.ceil(0.4 * ends[spot]["TrainingTimeInSeconds"])


def test_what_is_refused(jobs, unique):
    quota = ("The account-level service limit 'ml.t3.medium for training job usage' is 1 Instances, with current "
             "utilization of 0 Instances and a request delta of 2 Instances. Please use AWS Service Quotas to request "
             "an increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an "
             "increase for this quota.")
    with pytest.raises(jobs.sm.exceptions.ResourceLimitExceeded) as refused:
        jobs.create(unique, type="ml.t3.medium", count=2)
    assert refused.value.response["Error"]["Message"] == quota
    for changes, words in (
            ({"type": "ml.nowhere.big"}, "Member must satisfy enum value set"),
            ({"type": "box.on"}, "Did you mean box.one at 'resourceConfig.instanceType'"),
            ({"type": "ml.p4d.24xlarge"},
             "GPUs of the kind A100, and no node has GPUs. Ask for another type, such as box.one, box.half"),
            ({"count": 3}, "The fleet can hold at most 2 instances of box.one at one time, and 3 were asked for"),
            ({"tags": [("sagebrush:labels", "zone=b row=a")]}, "with the labels row=a,zone=b"),
            ({"tags": [("sagebrush:labels", "b")]}, '"b", which is not KEY=VALUE'),
            ({"tags": [("sagebrush:prioritty", "5")]}, "did you mean sagebrush:priority"),
            ({"tags": [("sagebrush:priority", "high")]}, "must be a whole number from -1000 to 1000")):
        with pytest.raises(jobs.sm.exceptions.ClientError, match=words) as refused:
            jobs.create(unique, **changes)
        assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert not jobs.sm.list_training_jobs(NameContains=unique)["TrainingJobSummaries"]


def test_priority_goes_first(jobs, unique):
    holder, late, urgent = (f"{unique}-{i}" for i in ("a", "b", "c"))
    jobs.create(holder, count=2)
    jobs.holds(holder, 2)
    jobs.create(late, count=2)
    jobs.waits(late, "0 jobs are before this one")
    jobs.create(urgent, count=2, tags=[("sagebrush:priority", "10")])
    jobs.waits(urgent, "0 jobs are before this one")
    jobs.waits(late, "1 job is before this one")
    jobs.end(holder)
    jobs.holds(urgent, 2)
    assert jobs.describe(late)["SecondaryStatus"] == "Pending"
    jobs.end(urgent, late)


def test_spot_makes_way_and_goes_on(server, jobs, unique):
    spot, firm = f"{unique}-spot", f"{unique}-firm"
    jobs.create(spot, count=2, spot=True, script=SAVES)
    jobs.holds(spot, 2)
    # The control plane is killed before it is asked, while the notice runs, and while the spot job waits.
    server.kill_control()
    jobs.create(firm)
    jobs.waits(firm, "spot instances are leaving for this job")
    server.kill_control()
    for folder, _ in server.agents(spot):
        (folder / "ml" / "output" / "go").touch()
    jobs.holds(firm)

    def told():
        last = jobs.describe(spot)["SecondaryStatusTransitions"][-1]
        return last["Status"] == "Interrupted" and last["StatusMessage"]

    wait_for(lambda: "Waiting for 2 box.one (spot): room for 1 now" in (told() or ""), 60, "the spot job waits")
    assert "its spot capacity was taken back (work on demand needs its place)" in told()
    server.kill_control()
    jobs.end(firm)
    d = jobs.completed(spot)
    assert jobs.lines(spot).count("goes on") == 2
    assert [t["Status"] for t in d["SecondaryStatusTransitions"]].count("Interrupted") == 1
    wait_for(lambda: all(n["instances"] == 0 for n in nodes(server).values()), 60, "empty nodes")


def test_a_wrong_file_is_refused_with_its_line(tmp_path):
    path = tmp_path / "fleet.toml"
    path.write_text('[[nodes]]\nname = "n"\ncores = 1\nmemory = "1GiB"\ncolour = "red"\n')
    done = subprocess.run([SAGEBRUSH, "up", "--data", tmp_path / "data", "--runtime", "sim", "--fleet", path],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "fleet.toml:5" in done.stderr or "line 5" in done.stderr, done.stderr
