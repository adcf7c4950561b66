"""A server with a fleet file whose only node has a small disk: volumes are given out like cores and memory."""
import json

import pytest

from conftest import server_of_fleet, wait_for
from jobs import Jobs

FLEET = """
[[nodes]]
name = "n"
cores = 8
memory = "8GiB"
disk = "3GiB"

[[types]]
name = "box.one"
vcpus = 1
memory = "256MiB"
usd_hour = 0.1
"""

HOLD = "import signal; print('holds', flush=True); signal.pause()"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from server_of_fleet(tmp_path_factory.mktemp("fleet"), FLEET)


class Volumes(Jobs):
    def create(self, name, volume_gb, count=1):
        super().create(name, script=HOLD, ResourceConfig={"InstanceType": "box.one", "InstanceCount": count,
                                                          "VolumeSizeInGB": volume_gb})

    def holds(self, name):
        wait_for(lambda: "holds" in self.lines(name), 60, f"{name}'s first line", 0.1)


@pytest.fixture
def jobs(aws, role, bucket):
    made = Volumes(aws, role, bucket)
    yield made
    made.close()


def given_out(server):
    node, = json.loads(server.command("status", "--json", check=True).stdout)["server"]["nodes"]
    return node["disk_mib"]["used"]


def test_jobs_wait_for_disk_and_say_so(server, jobs, unique):
    first, second, small, more = (f"{unique}-{i}" for i in ("first", "second", "small", "more"))
    jobs.create(first, 2)
    jobs.holds(first)
    jobs.create(second, 2)
    jobs.waits(second, r"^Waiting for 1 box\.one: room for 0 now for want of disk \(2 GiB each\), 0 jobs are before "
                       r"this one; expected to start in about (60|5\d) minutes$")
    jobs.create(small, 1)  # keeps nobody waiting
    jobs.holds(small)
    assert given_out(server) == 3 << 10
    assert "n, 2 instances, 2 of 8 cores, 0 of 8 GiB, 3 of 3 GiB of disk" in server.command("status").stdout
    assert "disk 3 GiB of 3 given out" in server.command("nodes").stdout
    server.kill_control()  # it is known from the records who holds what
    jobs.create(more, 1)
    jobs.waits(more, r"room for 0 now for want of disk \(1 GiB each\), 1 job is before this one")
    assert given_out(server) == 3 << 10
    jobs.end(first)
    jobs.holds(second)
    jobs.end(second, small)
    jobs.holds(more)
    jobs.end(more)
    wait_for(lambda: given_out(server) == 0, 60, "all of the disk given back", 0.1)


def test_what_never_fits_is_refused(aws, jobs, unique):
    for volume_gb, count, words in (
            (4, 1, "it needs 1 vCPU, 256 MiB, 4 GiB of disk, and the nodes have at most 3 GiB. Ask for a smaller "
                   "VolumeSizeInGB, or add nodes with larger disks to the fleet file"),
            (2, 2, "The fleet can hold at most 1 instances of box.one at one time, and 2 were asked for")):
        with pytest.raises(jobs.sm.exceptions.ClientError) as refused:
            jobs.create(unique, volume_gb, count)
        assert refused.value.response["Error"]["Code"] == "ValidationException"
        assert words in refused.value.response["Error"]["Message"], refused.value.response


def test_processing_jobs_and_endpoints_take_their_volumes(aws, server, jobs, role, unique):
    resources = {"InstanceType": "box.one", "InstanceCount": 1, "VolumeSizeInGB": 4}
    with pytest.raises(jobs.sm.exceptions.ClientError, match="4 GiB of disk"):
        jobs.sm.create_processing_job(ProcessingJobName=unique, RoleArn=role,
                                      AppSpecification={"ImageUri": "sagemaker-scikit-learn:1.2-1-cpu-py3",
                                                        "ContainerEntrypoint": ["true"]},
                                      ProcessingResources={"ClusterConfig": resources})
    jobs.sm.create_model(ModelName=unique, ExecutionRoleArn=role,
                         PrimaryContainer={"Image": "sagemaker-scikit-learn:1.2-1-cpu-py3"})
    jobs.sm.create_endpoint_config(EndpointConfigName=unique, ProductionVariants=[
        {"VariantName": "v", "ModelName": unique, "InstanceType": "box.one", "InitialInstanceCount": 1,
         "VolumeSizeInGB": 4}])
    with pytest.raises(jobs.sm.exceptions.ClientError, match="4 GiB of disk"):
        jobs.sm.create_endpoint(EndpointName=unique, EndpointConfigName=unique)
