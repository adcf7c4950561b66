"""Jobs on a Slurm cluster as most are set up: processes followed and limited by cgroups (proctrack/cgroup, task/cgroup,
jobacct_gather/cgroup). Debian's Slurm does that with cgroup v1 here; version 2 needs a machine with nothing else."""
import json
import pathlib

import pytest

import slurm_cluster
from conftest import Server, ended, model_files, wait_for
from test_slurm import fit, said, statuses

sagemaker = pytest.importorskip("sagemaker")

HIERARCHIES = [pathlib.Path("/sys/fs/cgroup") / name for name in ("freezer", "memory", "cpuset", "cpuacct", "devices")]


@pytest.fixture(scope="module")
def cluster():
    why = slurm_cluster.missing()
    if not why and not all(h.is_dir() for h in HIERARCHIES):
        why = "Slurm's plugin for cgroup v1 needs its hierarchies"
    if why:
        pytest.skip(why)
    c = slurm_cluster.Cluster(nodes=2, more=["ProctrackType=proctrack/cgroup", "TaskPlugin=task/cgroup",
                                             "JobAcctGatherType=jobacct_gather/cgroup", "JobAcctGatherFrequency=1"])
    (c.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nConstrainCores=yes\nConstrainRAMSpace=yes\n")
    try:
        yield c.start()
    finally:
        c.stop()


@pytest.fixture(scope="module")
def server(cluster, tmp_path_factory):
    conf = tmp_path_factory.mktemp("slurm") / "sagebrush.conf"
    conf.write_text("slurm-partition = batch\nslurm-spot-partition = spot\n")
    s = Server(runtime="slurm", options=["--config", conf])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(cluster.conf))
        s.start()
    yield s
    s.stop()


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
