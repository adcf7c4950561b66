"""GPUs of a fake driver (tests/fake/nvml.c) through the whole server: who gets which, who waits, what a restart
keeps."""
import json
import re
import time
import urllib.request

import pytest

from conftest import wait_for
from gpus import Machine, jobs_of
from jobs import STEPS, transition

USD_HOUR = 1.4084  # an ml.g5.xlarge, in us-east-1

NODES = """
region = "us-east-1"
[[nodes]]
name = "gpu"
count = 4
like = "ml.g5.xlarge"
"""


@pytest.fixture
def machine():
    m = Machine(2)
    yield m
    m.stop()


@pytest.fixture
def jobs(machine):
    yield from jobs_of(machine)


def test_each_job_has_its_own(machine, jobs):
    jobs.create("one")
    jobs.create("two")
    assert sorted(jobs.sees("one") + jobs.sees("two")) == ["/dev/nvidia0", "/dev/nvidia1"]
    jobs.create("three")
    jobs.waits("three", "^Waiting for 1 ml.g5.xlarge: room for 0 now, 0 jobs are before this one")
    jobs.create("cpu", type="ml.m5.large")  # is not kept waiting by who waits for GPUs
    assert jobs.sees("cpu") == [""]
    with pytest.raises(jobs.sm.exceptions.ResourceLimitExceeded,
                       match="An instance has 8 GPUs, and this machine has 2"):
        jobs.create("many", type="ml.p4d.24xlarge")
    with pytest.raises(jobs.sm.exceptions.ResourceLimitExceeded, match="'ml.g5.xlarge for training job usage' is 2"):
        jobs.create("crowd", count=3)

    # The control plane dies: who runs keeps its own, and the next does not get it.
    machine.kill_control()
    jobs.create("four")
    jobs.waits("four", "room for 0 now, 1 job is before this one")
    assert jobs.describe("three")["SecondaryStatus"] == "Pending"
    jobs.end("four")
    free = jobs.sees("two")
    jobs.end("two")
    assert jobs.sees("three") == free
    assert jobs.describe("one")["TrainingJobStatus"] == "InProgress"
    jobs.end("one", "three", "cpu")

    jobs.create("both", count=2)
    assert jobs.sees("both", 2) == ["/dev/nvidia0", "/dev/nvidia1"]
    jobs.end("both")


def test_a_job_whose_gpu_breaks_starts_again_on_another(machine, jobs):
    jobs.create("one", RetryStrategy={"MaximumRetryAttempts": 1})
    assert jobs.sees("one") == ["/dev/nvidia0"]
    text = urllib.request.urlopen(f"http://127.0.0.1:{machine.port}/_sagebrush/metrics", timeout=10).read().decode()
    assert re.search(r'^DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-0[-0-9]*1",device="nvidia1",modelName="NVIDIA Fake '
                     r'40GB",Hostname="[^"]+",DCGM_FI_DRIVER_VERSION="550.54.15"} 50$', text, re.M), text
    machine.say("xid 0 79")
    assert jobs.sees("one", 2) == ["/dev/nvidia0", "/dev/nvidia1"]
    again = transition(jobs.describe("one"), "Restarting")
    assert "instance unhealthy: GPU 0 reported XID 79 (the GPU has fallen off the bus)" in again["StatusMessage"]
    # What the broken GPU ended is not billed.
    assert machine.cost()["one"]["waived_ms"] > 0

    jobs.create("two")
    jobs.waits("two", "^Waiting for 1 ml.g5.xlarge: room for 0 now, 0 jobs are before this one")
    listed = machine.command("gpu", "list").stdout
    assert "cordoned" in listed and "GPU 0 reported XID 79" in listed
    assert "GPU 1 was not cordoned" in machine.command("gpu", "uncordon", "1").stdout
    done = machine.command("gpu", "uncordon", "0")
    assert done.returncode == 0, done.stderr
    assert jobs.sees("two") == ["/dev/nvidia0"]
    jobs.end("one", "two")


def test_a_gpu_breaks_under_a_job_of_three_instances():
    """A node for each instance, each with a GPU: the job goes on from its checkpoints on what is healthy, and ends."""
    machine = Machine(4, fleet=NODES)
    try:
        three_instances_and_an_xid(machine, next(jobs_of(machine)))
    finally:
        machine.stop()


def three_instances_and_an_xid(machine, jobs):
    jobs.create("three", count=3, script=STEPS, RetryStrategy={"MaximumRetryAttempts": 1},
                CheckpointConfig={"S3Uri": f"s3://{jobs.bucket}/three/checkpoints"})
    jobs.says("three", "waits at step 10", 3)
    jobs.saved("three", 3)
    begun = jobs.describe("three")
    machine.say("xid 1 79")
    broke = time.monotonic()
    jobs.says("three", "begins at step 10", 3)
    print(f"a GPU reported XID 79: all of its job ran again after {time.monotonic() - broke:.1f} s")
    done = jobs.completed("three")
    again = transition(done, "Restarting")
    assert re.search(r"algo-\d: GPU 1 reported XID 79 \(the GPU has fallen off the bus\)", again["StatusMessage"])
    assert len(jobs.says("three", "ends at step 20", 3)) == 3

    # The attempt that the GPU ended costs nothing.
    failed_s = (again["StartTime"] - begun["TrainingStartTime"]).total_seconds()
    assert done["TrainingTimeInSeconds"] - done["BillableTimeInSeconds"] >= int(failed_s)
    cost = machine.cost()["three"]
    assert cost["waived_ms"] >= 1000 * int(failed_s) and cost["instances"] == 3
    assert cost["usd"] == pytest.approx((cost["used_ms"] - cost["waived_ms"]) / 3.6e6 * USD_HOUR, rel=1e-6)

    listed = json.loads(machine.command("gpu", "list", "--json").stdout)["gpus"]
    assert [g["index"] for g in listed if "cordoned" in g] == [1]
    told = [json.loads(line) for line in machine.command("nodes", "events", "--json").stdout.splitlines()]
    told = {e["what"]: e["detail"] for e in told}
    assert told["Instance Unhealthy"]["check"] == told["Node Failed"]["check"] == "GPU"
    assert told["Node Failed"]["in-use-because"] == "its GPU alone is cordoned"
    assert told["Instance Replaced"]["host"] == told["Instance Unhealthy"]["host"]


# The instance is looked at as often as the limit on doing nothing asks for.
WORKS = "import itertools, time\nfor i in itertools.count(): print('works', i, flush=True); time.sleep(0.1)"


def told_of(machine):
    told = [json.loads(line) for line in machine.command("nodes", "events", "--json").stdout.splitlines()]
    return [(e["what"], e["detail"].get("why")) for e in told]


def test_what_comes_over_a_gpu_while_it_works(machine, jobs):
    jobs.create("one", script=WORKS, RetryStrategy={"MaximumRetryAttempts": 1},
                Environment={"SAGEBRUSH_HANG_AFTER": "2s"})
    jobs.says("one", "works", 5)
    # What only slows it down is told, and passes.
    slow = "GPU 0: its hardware slows down for heat"
    machine.now("gpus 2", "set 0 throttle 64")
    jobs.says("one", f"sagebrush: warning: algo-1: {slow}")
    machine.now("gpus 2")
    jobs.says("one", "sagebrush: algo-1: what was warned of is over")
    assert told_of(machine) == [("Instance Warning", slow), ("Instance Warning Over", None)]
    assert jobs.describe("one")["SecondaryStatus"] == "Training"
    assert "cordoned" not in machine.command("gpu", "list").stdout
    # What its memory has lost is lost: it starts again on the other one.
    machine.now("gpus 2", "set 0 ecc_uncorrected 1")
    bad = "GPU 0: uncorrected ECC errors since the container started"
    wait_for(lambda: jobs.describe("one")["SecondaryStatusTransitions"][-1]["Status"] == "Training" and
             any(t["Status"] == "Restarting" for t in jobs.describe("one")["SecondaryStatusTransitions"]), 60,
             "the other GPU", 0.1)
    assert f"instance unhealthy: {bad}" in transition(jobs.describe("one"), "Restarting")["StatusMessage"]
    listed = json.loads(machine.command("gpu", "list", "--json").stdout)["gpus"]
    assert [(g["index"], g.get("cordoned")) for g in listed] == [(0, bad), (1, None)]
    assert ("Instance Unhealthy", bad) in told_of(machine)
    jobs.end("one")


def test_a_gpu_that_is_not_fit_is_found_before_the_job(machine, jobs):
    machine.say("set 0 ecc_uncorrected 2", "set 0 temperature 60")
    jobs.create("one", InfraCheckConfig={"EnableInfraCheck": True})
    assert jobs.sees("one") == ["/dev/nvidia1"]  # what has seen the other never ran
    transitions = jobs.describe("one")["SecondaryStatusTransitions"]
    again = next(t for t in transitions if "unhealthy" in t["StatusMessage"])
    assert again["Status"] == "Starting"
    assert again["StatusMessage"] == ("Launched instance was unhealthy, replacing it! check of the GPU failed: GPU 0: "
                                      "2 uncorrected ECC errors")
    assert "cordoned" in machine.command("gpu", "list").stdout
    jobs.end("one")


def test_groups_with_and_without(machine, jobs):
    with pytest.raises(jobs.sm.exceptions.ResourceLimitExceeded, match="'ml.g4dn.xlarge for training job usage' is 1"):
        jobs.create("crowd", groups={"ml.g5.xlarge": 1, "ml.g4dn.xlarge": 2})
    jobs.create("mixed", groups={"ml.m5.large": 1, "ml.g5.xlarge": 1})
    seen = jobs.sees("mixed", 2)
    assert seen[0] == "" and seen[1] in ("/dev/nvidia0", "/dev/nvidia1")
    jobs.create("other")  # the other GPU is free
    assert jobs.sees("other") == [{"/dev/nvidia0": "/dev/nvidia1", "/dev/nvidia1": "/dev/nvidia0"}[seen[1]]]
    jobs.end("mixed", "other")
