"""Jobs on a Slurm cluster as most are set up: processes followed and limited by cgroups (proctrack/cgroup, task/cgroup,
jobacct_gather/cgroup), and GPUs of a fake driver (tests/fake/nvml.c) that it grants. Debian's Slurm does that with
cgroup v1 here; version 2 needs a machine with nothing else."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import stat

import pytest

import slurm_cluster
from conftest import BUILD, Server, drill_spot, ended, model_files, processed, wait_for
from test_health import agents_of, signal_all
from test_slurm import fit, lines, said, statuses

sagemaker = pytest.importorskip("sagemaker")

GPUS = 2
LOCAL_DEVICE = 120  # a major number for experiments
HIERARCHIES = [pathlib.Path("/sys/fs/cgroup") / name for name in ("freezer", "memory", "cpuset", "cpuacct", "devices")]


def clear_groups():
    """Slurm leaves its own behind, and a test that failed those of its jobs, whose numbers are used again."""
    for hierarchy in HIERARCHIES:
        for folder, _, _ in os.walk(hierarchy, topdown=False):
            if "/slurm_n" in folder:
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


def make_gpus(folder):
    """Of a driver that only agents know of, with files that cgroups can forbid."""
    folder.mkdir()
    shutil.copy(BUILD / "tests" / "fake" / "libnvidia-ml.so.1", folder)
    (folder / "machine").write_text(f"gpus {GPUS}\n")
    for i in range(GPUS):
        os.mknod(folder / f"nvidia{i}", stat.S_IFCHR | 0o666, os.makedev(LOCAL_DEVICE, i))


@pytest.fixture(scope="module")
def cluster():
    why = slurm_cluster.missing()
    if not why and not all(h.is_dir() for h in HIERARCHIES):
        why = "Slurm's plugin for cgroup v1 needs its hierarchies"
    if why:
        pytest.skip(why)
    c = slurm_cluster.Cluster(nodes=2, cpus=64, memory_mb=262144, node_options={"n1": f"Gres=gpu:fake:{GPUS}"},
                              more=["ProctrackType=proctrack/cgroup", "TaskPlugin=task/cgroup", "GresTypes=gpu",
                                    "JobAcctGatherType=jobacct_gather/cgroup", "JobAcctGatherFrequency=1"])
    # Not ConstrainCores: the nodes have more cores than the machine.
    (c.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nConstrainRAMSpace=yes\nConstrainDevices=yes\n")
    make_gpus(c.folder / "gpus")
    (c.folder / "gres.conf").write_text(f"NodeName=n1 Name=gpu Type=fake File={c.folder}/gpus/nvidia[0-{GPUS - 1}]\n")
    clear_groups()
    try:
        yield c.start()
    finally:
        c.stop()
        clear_groups()


@pytest.fixture(scope="module")
def server(cluster, tmp_path_factory):
    conf, gpus = tmp_path_factory.mktemp("slurm") / "sagebrush.conf", cluster.folder / "gpus"
    conf.write_text("slurm-partition = batch\nslurm-spot-partition = spot\n"
                    "slurm-gpu-types = ml.g5:fake ml.p3:other\nslurm-options = --export="
                    f"LD_LIBRARY_PATH={gpus},FAKE_NVML={gpus}/machine,SAGEBRUSH_GPU_DEVICES={gpus}\n")
    s = Server(runtime="slurm", options=["--config", conf])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(cluster.conf))
        s.start()
    yield s
    s.stop()


@pytest.fixture(autouse=True)
def nothing_is_left(request, cluster, server):
    yield
    cluster.is_left(server, request.node.failed_once)


def test_the_notice_reaches_the_container(cluster, server, aws, unique):
    """proctrack/cgroup signals the children of slurmstepd, and not their children."""
    checkpoints = f"s3://{sagemaker.Session().default_bucket()}/{unique}/checkpoints"
    fit(unique, use_spot_instances=True, max_wait=7200, checkpoint_s3_uri=checkpoints,
        hyperparameters={"steps": 20, "stops": "7"})
    wait_for(lambda: said(aws, unique, "waits at step 7"), 120, "step 7", 0.2)
    cluster.run("scancel", "--signal=TERM", cluster.jobs()[0][0])
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert "Interrupted" in statuses(done)
    state = json.loads(model_files(aws, done)["weights.json"])
    assert state["step"] == 20 and state["stopped"] == [7]


def groups(pattern):
    return [str(p) for h in HIERARCHIES for p in h.glob(pattern)]


def process(aws, name, program, type="ml.m5.large"):
    aws("sagemaker").create_processing_job(
        ProcessingJobName=name, RoleArn=sagemaker.get_execution_role(sagemaker.Session()),
        AppSpecification={"ImageUri": "sagemaker-scikit-learn:1.2-1-cpu-py3",
                          "ContainerEntrypoint": ["/usr/bin/python3", "-c", f"exec({program!r})"]},
        ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": type, "VolumeSizeInGB": 1}})


def test_the_container_is_in_the_step(cluster, server, aws, unique):
    """Slurm's limits hold for it and its accounting sees it; an agent that comes after a killed one finds it."""
    process(aws, unique, "import os, time; held = os.urandom(1 << 20) * 300; o = '/opt/ml/output/'\x0a"
                         "while not os.path.exists(o + 'go'): time.sleep(0.1)\x0a"
                         "open(o + 'message', 'w').write('held')")
    job = wait_for(lambda: [i for i, _, _ in cluster.jobs()], 60, "the Slurm job")[0]
    agent = wait_for(lambda: agents_of(server, unique), 60, "the agent").popitem()[1]
    place = f"slurm_*/uid_0/job_{job}/step_0"
    wait_for(lambda: groups(f"{place}/task_0/sagebrush-{agent.name}"), 60, "the container's group", 0.2)
    assert groups(f"{place}/sagebrush-{agent.name}")  # the freezer's
    assert not groups(f"sagebrush-{agent.name}/memory.limit_in_bytes")

    def counted():
        line = cluster.run("sstat", "--noheader", "--parsable2", "--noconvert", "--format=MaxRSS", f"--jobs={job}.0",
                           check=False).strip()
        return line and int(line.split(".")[0]) > 300 << 20
    wait_for(counted, 60, "what Slurm counts", 0.5)
    first = int((agent / "agent.pid").read_text())
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: int((agent / "agent.pid").read_text() or 0) not in (0, first), 60, "the next agent")
    (agent / "ml" / "output" / "go").write_text("")
    done = processed(aws, unique)
    assert done["ProcessingJobStatus"] == "Completed" and done["ExitMessage"] == "held", done
    wait_for(lambda: not groups(f"slurm_*/uid_0/job_{job}"), 60, "the end of the Slurm job's groups")


def test_slurm_kills_everything_it_knows(cluster, server, aws, unique):
    """Not the container: the agent of the next Slurm job finds it, and in the end removes the groups of the first."""
    checkpoints = f"s3://{sagemaker.Session().default_bucket()}/{unique}/checkpoints"
    fit(unique, use_spot_instances=True, max_wait=7200, checkpoint_s3_uri=checkpoints,
        hyperparameters={"steps": 20, "stops": "7"})
    wait_for(lambda: said(aws, unique, "waits at step 7"), 120, "step 7", 0.2)
    first = cluster.jobs()[0][0]
    for procs in HIERARCHIES[0].glob(f"slurm_*/uid_0/job_{first}/step_*/cgroup.procs"):
        signal_all([int(pid) for pid in procs.read_text().split()], signal.SIGKILL)
    second = wait_for(lambda: next((i for i, _, state in cluster.jobs() if i != first and state == "RUNNING"), None),
                      60, "the next Slurm job")
    wait_for(lambda: groups(f"slurm_*/uid_0/job_{second}/step_0"), 60, "its agent")
    assert groups(f"slurm_*/uid_0/job_{first}/step_0/task_0/sagebrush-*")
    drill = drill_spot(server, unique)
    assert drill.returncode == 0, drill.stderr
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    text = [line for lines_ in lines(aws, unique).values() for line in lines_ if "begins at" in line]
    assert sorted(text) == ["begins at step 0", "begins at step 7"]
    wait_for(lambda: not groups(f"slurm_*/uid_0/job_{first}"), 60, "the end of its groups")


def test_gpus_are_those_of_the_step(cluster, server, aws, unique):
    """ConstrainDevices: the driver tells an agent of its own alone, while Slurm counts those of the node."""
    jobs = [f"{unique}-{i}" for i in range(2)]
    for job in jobs:
        process(aws, job, "import glob, os, time; o = '/opt/ml/output/'\x0a"
                          "while not os.path.exists(o + 'go'): time.sleep(0.1)\x0a"
                          "open(o + 'message', 'w').write(' '.join(glob.glob('/dev/nvidia[0-9]*')))",
                "ml.g5.xlarge")
    agents = [wait_for(lambda: agents_of(server, job), 60, "the agent").popitem()[1] for job in jobs]
    # Both run at once.
    wait_for(lambda: all(groups(f"slurm_*/uid_0/job_*/step_0/task_0/sagebrush-{a.name}") for a in agents), 60,
             "the containers", 0.2)
    asked = cluster.run("squeue", "--noheader", "--states=RUNNING", "--format=%b").split()
    assert asked == ["gres:gpu:fake:1"] * 2
    for agent in agents:
        (agent / "ml" / "output" / "go").write_text("")
    done = [processed(aws, job) for job in jobs]
    assert sorted(d.get("ExitMessage", d.get("FailureReason")) for d in done) == ["/dev/nvidia0", "/dev/nvidia1"]


@pytest.mark.parametrize("type", ["ml.g5.12xlarge", "ml.p3.2xlarge"])  # 4 of 2; one, of another kind
def test_nodes_without_such_gpus(cluster, server, aws, unique, type):
    process(aws, unique, "0", type)
    done = processed(aws, unique)
    assert "Slurm does not take the job" in done["FailureReason"], done
    assert "Requested node configuration is not available" in done["FailureReason"], done
