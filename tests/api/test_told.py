"""What somebody is told who makes a mistake, or looks at the fleet."""
import json

import botocore.exceptions
import pytest

from conftest import server_of_fleet
from jobs import Jobs

FLEET = """
[[pools]]
name = "cpu"
accepts = ["ml.m5.*"]

[[nodes]]
name = "left"
pool = "cpu"
cores = 2
memory = "8GiB"
labels = { row = "a" }

[[nodes]]
name = "right"
pool = "cpu"
cores = 4
memory = "16GiB"
disk = "100GiB"

[[pools]]
name = "gpu"
accepts = ["box.*"]

[[nodes]]
name = "gpu"
pool = "gpu"
cores = 4
memory = "16GiB"
gpus = { kind = "A10G", count = 2 }

[[types]]
name = "box.gpu"
vcpus = 1
memory = "1GiB"
gpus = { kind = "A10G", count = 1 }
usd_hour = 0.5
"""

HOLD = "trap 'exit 0' TERM; echo holds; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from server_of_fleet(tmp_path_factory.mktemp("told"), FLEET)


@pytest.fixture
def jobs(aws, role, bucket):
    made = Jobs(aws, role, bucket)
    yield made
    made.close()


def refusal(jobs, name, type, **resources):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        jobs.create(name, HOLD, ResourceConfig={"InstanceType": type, **resources})
    return refused.value.response["Error"]["Message"]


def test_a_type_without_its_ml_is_known_again(server, jobs, unique):
    said = refusal(jobs, unique, "m5.large")
    assert said.startswith("Did you mean ml.m5.large at 'resourceConfig.instanceType'? 1 "), said


def test_nodes_say_what_they_have(server, jobs, unique):
    jobs.create(unique, HOLD, ResourceConfig={"InstanceType": "box.gpu", "InstanceCount": 2})
    jobs.says(unique, "holds", 2)
    shown = server.command("nodes", check=True).stdout
    given = "\n    2 of 4 cores, 2 of 16 GiB, 2 of 2 A10G GPUs given out\n"
    assert f"{given}    runs training job {unique}, 2 instances\n" in shown, shown
    assert "\n    0 of 2 cores, 0 of 8 GiB given out\n    labels row=a\n" in shown, shown
    listed = {n["name"]: n for n in json.loads(server.command("nodes", "--json", check=True).stdout)["nodes"]}
    assert (listed["gpu"]["gpus"], listed["gpu"]["gpu"]) == ({"used": 2, "has": 2}, "A10G"), listed
    left = listed["left"]
    assert (left["labels"], left["memory_mib"]) == ("row=a", {"used": 0, "has": 8192})


def test_what_stops_is_waited_for(server, jobs, unique):
    jobs.create(unique, "trap 'sleep 5; exit 0' TERM; echo holds; while :; do sleep 0.1; done")
    jobs.says(unique, "holds")
    jobs.sm.stop_training_job(TrainingJobName=unique)
    with pytest.raises(botocore.exceptions.ClientError, match="is in status Stopping; wait for its end"):
        jobs.sm.delete_training_job(TrainingJobName=unique)


def test_sizes_are_told_as_people_say_them(server, jobs, unique):
    said = refusal(jobs, unique, "ml.m5.4xlarge", VolumeSizeInGB=16000)
    assert "it needs 16 vCPUs, 64 GiB, 16000 GiB of disk, and the nodes have at most 4 cores, 16 GiB. Ask" in said


def test_who_is_interrupted_is_told_by_what(server, jobs, unique):
    jobs.create(unique, HOLD, EnableManagedSpotTraining=True,
                StoppingCondition={"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200})
    jobs.says(unique, "holds")
    server.command("drill", "spot", unique, check=True)
    jobs.says(unique, "holds", 2)
    assert any("its spot capacity was taken back (by a drill). " in t["StatusMessage"]
               for t in jobs.describe(unique)["SecondaryStatusTransitions"])
