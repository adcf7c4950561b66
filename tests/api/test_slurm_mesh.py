"""Jobs of several instances on a Slurm cluster of three machines: two made of namespaces (slurm_cluster.Machine) with the
nodes n1 and n2, and the server's own with n3 and n4, whose boot id is made to look like another's."""
import contextlib
import pathlib
import uuid

import pytest

import slurm_cluster
from conftest import Server, ended, model_files, needs_tun, wait_for
from test_slurm import fit, lines, said, statuses
from test_slurm_machines import end_all

sagemaker = pytest.importorskip("sagemaker")
import sagemaker.pytorch  # noqa: E402

pytestmark = needs_tun


@pytest.fixture(scope="module")
def cluster():
    why = slurm_cluster.missing()
    if why:
        pytest.skip(why)
    machines = [slurm_cluster.Machine(0), slurm_cluster.Machine(1), None, None]
    c = slurm_cluster.Cluster(nodes=4, machines=machines)
    try:
        for machine in machines[:2]:
            machine.start()
        yield c.start()
    finally:
        c.stop()
        for machine in machines[:2]:
            machine.stop()


def holds(cluster):
    """What is mounted on each of the other machines, as this one sees it."""
    return [cluster.folder / "hold-n1", cluster.folder / "hold-n2"]


@pytest.fixture(scope="module")
def server(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    conf, boot_id, scratch = folder / "sagebrush.conf", folder / "boot_id", folder / "scratch"
    conf.write_text("slurm-partition = batch\nbind = 0.0.0.0\n"
                    f"slurm-server = {cluster.machines['n1'].server}\nslurm-scratch = {scratch}\n")
    boot_id.write_text(f"{uuid.uuid4()}\n")
    cluster.here = ["unshare", "--mount", "sh", "-c",
                    f'mount --bind {boot_id} /proc/sys/kernel/random/boot_id && exec "$@"', "sh"]
    s = Server(runtime="slurm", options=["--config", conf], before=cluster.here)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(cluster.conf))
        s.start()
    try:
        for name, hold in zip(("n1", "n2"), holds(cluster)):
            cluster.machines[name].share(s.data, hold, scratch)
        cluster.start_nodes()
        yield s
    finally:
        s.stop()
        for hold in holds(cluster):
            end_all(hold / "scratch")


@pytest.fixture(autouse=True)
def nothing_is_left(cluster, server):
    yield
    wait_for(lambda: not [p for hold in holds(cluster) for p in hold.glob("scratch/*/agents/*")], 60,
             "the end of everything on the other machines' disks", 0.2)


@contextlib.contextmanager
def only(cluster, *names):
    """Slurm gives no other nodes."""
    others = ",".join(n for n in cluster.names if n not in names)
    cluster.run("scontrol", "update", f"nodename={others}", "state=drain", "reason=test")
    try:
        yield
    finally:
        cluster.run("scontrol", "update", f"nodename={others}", "state=resume")


def cluster_job(name, count=2, **options):
    fit(name, "train_cluster.py", sagemaker.pytorch.PyTorch, instance_count=count, **options)


@pytest.mark.parametrize("nodes", [("n3", "n4")])
def test_two_instances(cluster, server, aws, unique, nodes):
    with only(cluster, *nodes):
        cluster_job(unique)
        done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", (done.get("FailureReason"), lines(aws, unique))
    for i in (1, 2):
        assert said(aws, unique, f"the sum is 1 at algo-{i} 10.214.0.{i}")
    assert {"algo-1.json", "algo-2.json", "common.txt"} <= model_files(aws, done).keys()
