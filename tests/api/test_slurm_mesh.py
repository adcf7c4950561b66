"""Jobs of several instances on a Slurm cluster of three machines: two made of namespaces (slurm_cluster.Machine) with
the nodes n1 and n2, and the server's own with n3, whose boot id is made to look like another's."""
import contextlib
import errno
import hashlib
import os
import signal
import time

import pytest

import slurm_cluster
import test_processing
import test_torch
from conftest import Server, ended, holder, log_lines, model_files, needs_tun, orders_below, processed, wait_for
from test_cluster import Wire, talked
from test_slurm import SCRIPTS, describe, lines, said, statuses
from test_slurm_machines import ask, end_all, parent_of

sagemaker = pytest.importorskip("sagemaker")
from sagemaker.pytorch import PyTorch  # noqa: E402

pytestmark = needs_tun


@pytest.fixture(scope="module")
def cluster():
    why = slurm_cluster.missing()
    if why:
        pytest.skip(why)
    machines = [slurm_cluster.Machine(0), slurm_cluster.Machine(1), None]
    c = slurm_cluster.Cluster(nodes=3, machines=machines)
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
    conf, scratch = folder / "sagebrush.conf", folder / "scratch"
    conf.write_text("slurm-partition = batch\nbind = 0.0.0.0\n"
                    f"slurm-server = {cluster.machines['n1'].server}\nslurm-scratch = {scratch}\n")
    cluster.here = slurm_cluster.with_boot_id(folder / "boot_id")
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
def nothing_is_left(request, cluster, server):
    yield
    cluster.is_left(server, request.node.failed_once)
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


@contextlib.contextmanager
def stopped(pid):
    """It does nothing until the end of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def train(name, count=2, script="train_cluster.py", **options):
    """What is no option of the SDK's is a member of the request."""
    session = sagemaker.Session()
    request = {key: options.pop(key) for key in list(options) if key[0].isupper()}
    session.sagemaker_client.meta.events.register("before-parameter-build.sagemaker.CreateTrainingJob",
                                                  lambda params, **_: params.update(request))
    PyTorch(script, source_dir=str(SCRIPTS), role=sagemaker.get_execution_role(session),
            sagemaker_session=session, instance_count=count, instance_type="ml.m5.large", max_run=600,
            framework_version="2.1", py_version="py310", **options).fit(job_name=name, wait=False)


@pytest.mark.parametrize("nodes", [("n1", "n2"), ("n1", "n3")])
def test_two_instances(cluster, server, aws, unique, nodes):
    """Both on other machines, or one on the server's: it is the same. Nobody on the way reads what they
    say."""
    word = hashlib.sha256(unique.encode()).hexdigest()
    with only(cluster, *nodes), Wire(word) as wire:
        train(unique)
        done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", (done.get("FailureReason"), lines(aws, unique))
    for i in (1, 2):
        assert said(aws, unique, f"the sum is 1 at algo-{i} 10.214.0.{i}")
    assert {"algo-1.json", "algo-2.json", "common.txt"} <= model_files(aws, done).keys()
    assert wire.seen == set()


def test_two_jobs_with_the_same_addresses(cluster, server, aws, unique):
    """Each finds its own alone, and so does the check of the network before the containers start."""
    names = [f"{unique}-{i}" for i in (1, 2)]
    for name in names:
        train(name, 3, hyperparameters={"stranger": "10.214.0.4"}, InfraCheckConfig={"EnableInfraCheck": True})
    for name in names:
        done = ended(aws, name)
        assert done["TrainingJobStatus"] == "Completed", (done.get("FailureReason"), lines(aws, name))
        assert len(lines(aws, name)) == 3
        for host, text in lines(aws, name).items():
            assert any("all-reduce of 4 MiB over 3 instances: the sum is right" in line for line in text), text
            assert any("the stranger is out of reach" in line for line in text), text


@pytest.mark.parametrize("isolated", [False, True], ids=["open", "isolated"])
def test_what_a_container_sees(cluster, server, aws, bucket, unique, isolated):
    """Its peers by eth0, which carries what fits into a datagram of the machines' network; the outside by eth1, or not
    at all."""
    sm = aws("sagemaker")
    aws("s3").upload_file(str(SCRIPTS / "look_at_network.py"), bucket, f"{unique}/look_at_network.py")
    code = {"S3Uri": f"s3://{bucket}/{unique}/", "LocalPath": "/opt/ml/processing/code", "S3DataType": "S3Prefix",
            "S3InputMode": "File"}
    with only(cluster, "n1", "n2"):
        sm.create_processing_job(
            ProcessingJobName=unique, RoleArn=server.role, NetworkConfig={"EnableNetworkIsolation": isolated},
            ProcessingInputs=[{"InputName": "code", "S3Input": code}],
            AppSpecification={"ImageUri": test_processing.IMAGE,
                              "ContainerEntrypoint": ["python3", "/opt/ml/processing/code/look_at_network.py"]},
            ProcessingResources={"ClusterConfig": {"InstanceCount": 2, "InstanceType": "ml.m5.large",
                                                   "VolumeSizeInGB": 1}})
        done = processed(aws, unique)
    assert done["ProcessingJobStatus"] == "Completed", done
    text = [line for found in log_lines(aws("logs"), unique, "Processing").values() for line in found]
    names = ["eth0", "lo"] if isolated else ["eth0", "eth1", "lo"]
    assert {f"eth0 {names} 10.214.0.{i} 1435" for i in (1, 2)} <= set(text), text
    assert f"heard {1 << 20}" in text
    assert (text.count(f"outside: {errno.ENETUNREACH}") == 2) == isolated, text


@pytest.mark.skipif(bool(test_torch.missing("torch")), reason="not on this machine: " + test_torch.missing("torch"))
def test_pytorch(cluster, server, aws, unique, tmp_path):
    """DistributedDataParallel over gloo, between two other machines."""
    with only(cluster, "n1", "n2"):
        test_torch.test_gradients_are_averaged(aws, unique, tmp_path, "pytorchddp")


# --- What breaks ---

def agents_of(server, cluster, job, attempt=0):
    """The folders of the agents at work on the job, by host: on their machines' disks."""
    return {order["host_name"]: folder
            for root in [server.data, *(p for hold in holds(cluster) for p in hold.glob("scratch/*"))]
            for folder, order in orders_below(root)
            if order.get("job_name") == job and folder.name.endswith(f"-{attempt}") and (folder / "agent.pid").exists()}


def tunnels_of(folders):
    """Their processes, by host; those that run."""
    return {host: pid for host, folder in folders.items() if (pid := holder(folder / "tunnel.pid"))}


def test_everything_but_the_containers_and_the_tunnels_is_killed(cluster, server, aws, unique):
    """What they talk is not interrupted, and what they leave comes together."""
    with only(cluster, "n1", "n3"):
        train(unique, hyperparameters={"talks": "on"})
        wait_for(lambda: talked(aws, unique) > 3, 120, "words over the tunnel", 0.2)
        folders = agents_of(server, cluster, unique)
        tunnels = tunnels_of(folders)
        assert len(tunnels) == 2
        control = server.pid("control")
        for pid in [control, *(holder(folder / "agent.pid") for folder in folders.values()),
                    *filter(None, (holder(folder.with_name(folder.name + ".node")) for folder in folders.values()))]:
            os.kill(pid, 9)
        wait_for(lambda: server.pid("control") not in (None, control), 60, "the control plane")
        wait_for(lambda: all(holder(folder / "agent.pid") for folder in folders.values()), 60, "the next agents")
        before = talked(aws, unique)
        wait_for(lambda: talked(aws, unique) > before + 5, 60, "more words", 0.2)
        assert tunnels == tunnels_of(folders)
        aws("sagemaker").stop_training_job(TrainingJobName=unique)
        done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Stopped", done.get("FailureReason")
    assert {"algo-1.json", "algo-2.json"} <= model_files(aws, done).keys()


def test_a_killed_tunnel_is_the_end_of_an_attempt(cluster, server, aws, unique):
    with only(cluster, "n1", "n2"):
        train(unique, hyperparameters={"talks": "on"}, max_retry_attempts=1)
        wait_for(lambda: talked(aws, unique) > 3, 120, "words over the tunnel", 0.2)
        os.kill(tunnels_of(agents_of(server, cluster, unique))["algo-2"], 9)
        wait_for(lambda: "Restarting" in statuses(describe(aws, unique)), 60, "the next attempt", 0.2)
        again = next(t for t in describe(aws, unique)["SecondaryStatusTransitions"] if t["Status"] == "Restarting")
        assert "carries the traffic between the instances" in again["StatusMessage"], again
        wait_for(lambda: len(tunnels_of(agents_of(server, cluster, unique, 1))) == 2, 60, "the next tunnels", 0.2)
        aws("sagemaker").stop_training_job(TrainingJobName=unique)
        assert ended(aws, unique)["TrainingJobStatus"] == "Stopped"


def test_another_machine_dies(cluster, server, aws, unique):
    """Nobody on it says a word any more; the attempt is lost and costs nothing, and the next runs elsewhere."""
    with only(cluster, "n1", "n2"):
        train(unique, hyperparameters={"talks": "on"}, max_retry_attempts=1)
        wait_for(lambda: talked(aws, unique) > 3, 120, "words over the tunnel", 0.2)
    hold = holds(cluster)[1]
    agent, = hold.glob("scratch/*/agents/*/")
    begun = describe(aws, unique)
    node = holder(agent.with_name(agent.name + ".node"))
    init, tunnel = holder(agent / "box" / "lock"), holder(agent / "tunnel.pid")
    on_it = (parent_of(node), node, holder(agent / "agent.pid"), init, tunnel)
    with cluster.dead("n2"):
        for pid in on_it:
            os.kill(pid, 9)
        wait_for(lambda: "Restarting" in statuses(describe(aws, unique)), 120, "the next attempt", 0.2)
        before = talked(aws, unique)
        aws("sagemaker").stop_training_job(TrainingJobName=unique)
        done = ended(aws, unique)
    again = next(t for t in done["SecondaryStatusTransitions"] if t["Status"] == "Restarting")
    assert "NODE_FAIL" in again["StatusMessage"], again
    failed_s = (again["StartTime"] - begun["TrainingStartTime"]).total_seconds()
    assert before and done["TrainingTimeInSeconds"] - done["BillableTimeInSeconds"] >= int(failed_s)


def test_the_ways_are_cut(cluster, server, aws, unique):
    """Without the server the instances go on. What they send each other comes again when it was lost, as on any
    network."""
    with only(cluster, "n1", "n2"):
        train(unique, hyperparameters={"talks": "on"})
        wait_for(lambda: talked(aws, unique) > 3, 120, "words over the tunnel", 0.2)
        with cluster.machines["n1"].cut(server.port), cluster.machines["n2"].cut(server.port):
            before = talked(aws, unique)
            time.sleep(float(os.environ.get("SAGEBRUSH_AWAY_S", "3")))
        wait_for(lambda: talked(aws, unique) > before + 20, 60, "what was said meanwhile", 0.2)
        words = agents_of(server, cluster, unique)["algo-2"] / "stdout"  # as it writes them
        with cluster.machines["n1"].cut_off(cluster.machines["n2"].address):
            before = words.read_bytes().count(b"talked")
            time.sleep(1)
            assert words.read_bytes().count(b"talked") <= before + 2  # what was on its way
        wait_for(lambda: words.read_bytes().count(b"talked") > before + 10, 60, "more words", 0.2)
        aws("sagemaker").stop_training_job(TrainingJobName=unique)
        assert ended(aws, unique)["TrainingJobStatus"] == "Stopped"


# --- Who may say where a tunnel is ---

def tokens(server, job):
    """The Authorization of each instance's tunnel, as the server's own machine would show it, by host."""
    return {o["host_name"]: (o["name"], f"Bearer {o['name']}:server:{o['remote']['token']}")
            for _, o in server.agents(job)}


def test_an_agent_has_one_tunnel(cluster, server, aws, unique):
    """Somebody has worked under the name before, as a slurmctld that forgot makes it be: the attempt is over before
    anything is sealed, and the next one has other keys."""
    path = "/_sagebrush/node/v1/peers"
    with only(cluster):
        train(unique, max_retry_attempts=1)
        wait_for(lambda: len(tokens(server, unique)) == 2, 60, "the orders", 0.2)
        (name, ours), (other, _) = (tokens(server, unique)[host] for host in ("algo-1", "algo-2"))
        told = {"tunnel": "somebody", "endpoint": "198.51.100.1:4000"}
        # Nobody else speaks for it, and nothing but a place is taken.
        assert ask(server, path, ours.replace(name, other), told) == 403
        assert ask(server, path, ours[:-1], told) == 403
        assert ask(server, path, "", told) == 403
        for endpoint in ("127.0.0.1:22", "0.0.0.0:1", "224.0.0.1:7", "[::1]:7", "somewhere:7", "198.51.100.1", 7, None):
            assert ask(server, path, ours, {**told, "endpoint": endpoint}) == 400, endpoint
        assert ask(server, path, ours, told) == ask(server, path, ours, told) == 200
        assert ask(server, path, ours, {**told, "tunnel": "another"}) == 409
        assert ask(server, path, ours, {**told, "endpoint": "198.51.100.1:4001"}) == 409
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", (done.get("FailureReason"), lines(aws, unique))
    again = next(t for t in done["SecondaryStatusTransitions"] if t["Status"] == "Restarting")
    assert "another agent has worked as this instance" in again["StatusMessage"], again


@pytest.mark.parametrize("ends", [0, 1])
def test_the_leaders_port_is_taken(cluster, server, aws, unique, ends):
    """By its container, while its agent is away. The other's agent tells it nothing, and calls until the right one is
    there again; or does not wait for it any more, when it has failed."""
    with only(cluster, "n1", "n2"):
        train(unique, script="train_handover.py", hyperparameters={"ends": ends})
        wait_for(lambda: said(aws, unique, "tries"), 120, "the first instance", 0.2)
        folders = agents_of(server, cluster, unique)
        leader = holder(folders["algo-1"] / "agent.pid")
        with stopped(parent_of(leader)):  # which starts the next one at once
            os.kill(leader, 9)
            wait_for(lambda: b"has the port" in (folders["algo-1"] / "stdout").read_bytes(), 60, "the port's new owner")
        wait_for(lambda: said(aws, unique, "call 0"), 120, "the second instance's agent", 0.2)
        caller = holder(folders["algo-2"] / "agent.pid")
        os.kill(caller, 9)
        wait_for(lambda: holder(folders["algo-2"] / "agent.pid") not in (None, caller), 60, "the one after it")
        (folders["algo-1"] / "ml" / "output" / "enough").touch()
        done = ended(aws, unique)
    calls = [line for text in lines(aws, unique).values() for line in text if line.startswith("call ")]
    assert len(calls) >= 4 and all(c.endswith("of 10.214.0.2 and then b''") for c in calls), calls
    if ends:
        assert done["TrainingJobStatus"] == "Failed" and done["FailureReason"].startswith("AlgorithmError"), done
        return
    assert done["TrainingJobStatus"] == "Completed", (done.get("FailureReason"), lines(aws, unique))
    assert {"algo-1.json", "algo-2.json"} <= model_files(aws, done).keys()
