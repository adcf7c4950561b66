"""InfraCheckConfig of a job whose instances have GPUs: they add up a vector by NCCL, of a fake library
(tests/fake/nccl.c) that does so over the network of the instances, and fails as the test wants it."""
import json
import pathlib
import re

import pytest

from conftest import wait_for
from gpus import Machine, jobs_of

CHECK = {"InfraCheckConfig": {"EnableInfraCheck": True}}
LINE = "sagebrush: check of the network between the instances "


@pytest.fixture
def libraries():
    return ["libnvidia-ml.so.1", "libcuda.so.1", "libnccl.so.2"]


@pytest.fixture
def fleet():
    return None


@pytest.fixture
def machine(libraries, fleet):
    made = Machine(4, libraries, fleet)
    yield made
    made.stop()


@pytest.fixture
def jobs(machine):
    yield from jobs_of(machine)


def unhealthy(jobs, name):
    """Why the first of its instances was replaced."""
    def check():
        messages = [t["StatusMessage"] for t in jobs.describe(name)["SecondaryStatusTransitions"]]
        return [message for message in messages if "unhealthy" in message]
    return wait_for(check, 60, f"an unhealthy instance of {name}", 0.05)[0]


def test_instances_with_gpus_add_up_by_nccl(machine, jobs):
    jobs.create("one", count=2, **CHECK)
    jobs.sees("one", 2)
    for line in jobs.says("one", LINE, 2):
        assert re.search(r" passed: all-reduce of 4 MiB over 2 instances: the sum is right, .*; NCCL 2[.]21[.]5, 16 "
                         r"MiB "
                         r"over 2 GPUs of 2 instances: the sums are right, [0-9.]+ GB/s [(][0-9.]+ GB/s on the bus[)]",
                         line), line
    # Each from the network of its instance, where the other one has to reach it, and under its name: NCCL would find
    # out that they share a machine, and use its memory.
    joined = (machine.folder / "machine.joined").read_text().splitlines()
    found = sorted(re.fullmatch(r"rank (\d) of 2 is GPU (\d) of (\S+), by Socket of (10[.]\S+)", x).groups()
                   for x in joined)
    assert [x[:3] for x in found] == [("0", "0", "algo-1"), ("1", "1", "algo-2")]
    assert found[0][3] == found[1][3]
    jobs.end("one")


def fails(jobs, name, words):
    words = words.replace("(", "[(]").replace(")", "[)]")
    assert re.search("Launched instance was unhealthy, replacing it! algo-[12]: check of the network between the "
                     "instances "
                     "failed: NCCL: (algo-[12]: )?" + words, unhealthy(jobs, name)), unhealthy(jobs, name)


# What the driver's libraries do, and what is said of it.
WRONG = {
    "sum": ("set 1 wrong 1", "GPU 1 (GPU-0.*1): the sum is wrong: word 1048576 is [0-9a-f]+ and should be "),
    "error": ("fail ncclCommInitRank 3 1",
              "GPU 1 (GPU-0.*1): ncclCommInitRank: internal error - please report this issue "
                                           "to the NCCL developers (3): the test wants it"),
    "crash": ("crash ncclAllReduce 1", "GPU 1 (GPU-0.*1): the libraries ended their process by signal 6 (Aborted)"),
}


def test_a_check_that_fails_names_the_gpu_and_the_instances_are_replaced(machine, jobs):
    for name, (line, words) in WRONG.items():
        machine.now("gpus 4", line)
        jobs.create(name, count=2, **CHECK)
        fails(jobs, name, words)
        machine.now("gpus 4")
        jobs.sees(name, 2)  # the job begins on healthy ones
        jobs.end(name)


def ranks_of(machine):
    """The folders of the agents whose GPUs' processes there are."""
    lines = [p.read_bytes().split(b"\0") for p in pathlib.Path("/proc").glob("[0-9]*/cmdline") if p.exists()]
    return [line[1] for line in lines if line[0].endswith(b"sagebrush-nccl") and str(machine.data).encode() in line[1]]


def test_a_library_that_hangs(monkeypatch, libraries):
    monkeypatch.setenv("SAGEBRUSH_NCCL_SECONDS", "2")
    machine = Machine(4, libraries)
    try:
        for jobs in jobs_of(machine):
            machine.say("hang ncclAllReduce 1")
            jobs.create("one", count=2, **CHECK)
            fails(jobs, "one", "GPU [01] (GPU-0.*[01]): it was ended in .* after 2 s")
            jobs.end("one")
            wait_for(lambda: not ranks_of(machine), 60, "the end of the GPUs' processes")
    finally:
        machine.stop()


def test_a_gpu_that_forgets_is_given_to_nobody(machine, jobs):
    machine.say("set 1 forgets 1")
    jobs.create("one", count=2, **CHECK)
    assert "/dev/nvidia1" not in jobs.sees("one", 2)
    listed = machine.command("gpu", "list").stdout
    assert "cordoned" in listed and "GPU 1 (GPU-" in listed, listed
    assert "its memory did not keep what was written" in listed, listed
    jobs.end("one")


@pytest.mark.parametrize("fleet", ['[[nodes]]\nname = "gpu"\ncount = 4\nlike = "ml.g5.xlarge"'], ids=["nodes"])
def test_the_node_that_all_of_them_name_is_cordoned(machine, jobs):
    machine.say("crash ncclAllReduce 1")
    jobs.create("one", count=2, **CHECK)
    assert "/dev/nvidia1" not in jobs.sees("one", 2)
    listed = json.loads(machine.command("nodes", "--json").stdout)["nodes"]
    assert [n["name"] for n in listed if n["state"] == "cordoned"] == ["gpu-2"]
    assert "the libraries ended their process by signal 6" in listed[1]["failures"][0]["why"]
    jobs.end("one")


@pytest.mark.parametrize("libraries", [["libnvidia-ml.so.1", "libcuda.so.1"]], ids=["without"])
def test_without_the_library_it_is_tcp(jobs):
    jobs.create("one", count=2, **CHECK)
    jobs.sees("one", 2)
    for line in jobs.says("one", LINE, 2):
        assert "the sum is right" in line, line
        assert "; NCCL was not tried: libnccl.so.2: cannot open shared object file" in line, line
    jobs.end("one")
