"""Jobs on a Slurm cluster whose nodes are another machine: it shares a part of the data directory with the server's,
and reaches the server by the network (slurm_cluster.Machine). The server's own boot id is made to look like
another's."""
import contextlib
import hashlib
import io
import json
import os
import pathlib
import re
import ssl
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
import uuid
import zlib

import pytest

import slurm_cluster
from conftest import BUILD, Server, drill_spot, ended, holder, model_files, processed, wait_for
from test_slurm import describe, fit, lines, said, statuses

sagemaker = pytest.importorskip("sagemaker")


@pytest.fixture(scope="module")
def cluster():
    why = slurm_cluster.missing()
    if why:
        pytest.skip(why)
    machine = slurm_cluster.Machine()
    c = slurm_cluster.Cluster(nodes=2, machine=machine)
    try:
        machine.start()
        yield c.start()
    finally:
        c.stop()
        machine.stop()


@pytest.fixture(scope="module")
def scratch(cluster):
    return cluster.folder / "scratch"


@pytest.fixture(scope="module")
def server(cluster, scratch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    conf, boot_id = folder / "sagebrush.conf", folder / "boot_id"
    conf.write_text("slurm-partition = batch\nslurm-spot-partition = spot\nbind = 0.0.0.0\n"
                    f"slurm-server = {cluster.machine.server}\nslurm-scratch = {scratch}\n")
    boot_id.write_text(f"{uuid.uuid4()}\n")
    s = Server(runtime="slurm", options=["--config", conf],
               before=["unshare", "--mount", "sh", "-c",
                       f'mount --bind {boot_id} /proc/sys/kernel/random/boot_id && '
                       'mount -t tmpfs none /sys/fs/cgroup && exec "$@"', "sh"])  # nor has it the other's cgroups
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(cluster.conf))
        s.start()
    try:
        cluster.machine.share(s.data, cluster.folder / "hold")
        cluster.start_nodes()
        yield s
    finally:
        s.stop()
        end_all(scratch)


def end_all(scratch):
    """A test that failed leaves nothing that runs, nor its cgroups."""
    for lock in [p for name in ("*.keep", "*.node", "*/agent.pid", "*/box/lock")
                 for p in scratch.glob(f"*/agents/{name}")]:
        pid = holder(lock)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
    for agent in scratch.glob("*/agents/*/"):
        for group in pathlib.Path("/sys/fs/cgroup").glob(f"*/sagebrush-{agent.name}"):
            with contextlib.suppress(OSError):
                group.rmdir()


def places(scratch):
    """What agents have on the other machine's disk."""
    return [p.name for p in scratch.glob("*/agents/*")]


def folder(scratch):
    """Of the one agent that works there."""
    [path] = [p for p in scratch.glob("*/agents/*") if p.is_dir()]
    return path


def init_of(scratch):
    """Of the container."""
    return holder(folder(scratch) / "box" / "lock")


def network_of(pid):
    return os.readlink(f"/proc/{pid}/ns/net")


def parent_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


@pytest.fixture(autouse=True)
def nothing_is_left(request, cluster, server, scratch):
    yield
    cluster.is_left(server, request.node.failed_once)
    wait_for(lambda: not places(scratch), 60, "the end of everything on the other machine's disk", 0.2)


def test_a_job(cluster, server, scratch, aws, unique):
    # What a node that was switched off has left.
    [root] = list(scratch.glob("*")) or [scratch / f"{zlib.crc32(str(server.data).encode()):08x}"]
    (root / "agents" / "left-0" / "ml").mkdir(parents=True)
    (root / "agents" / "left-0.node").touch()
    fit(unique, hyperparameters={"steps": 3, "stops": ""})
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert "Downloading" in statuses(done) and "Training" in statuses(done) and statuses(done)[-1] == "Completed"
    assert said(aws, unique, "begins at step 0") and said(aws, unique, "ends at step 3")
    assert "weights.json" in model_files(aws, done) and done["BillableTimeInSeconds"] > 0
    wait_for(lambda: cluster.of_job(done["TrainingJobArn"]) == ["COMPLETED"], 60, "the end of the Slurm job")


def test_an_interrupted_job(cluster, server, scratch, aws, unique):
    checkpoints = f"s3://{sagemaker.Session().default_bucket()}/{unique}/checkpoints"
    fit(unique, use_spot_instances=True, max_wait=7200, checkpoint_s3_uri=checkpoints,
        hyperparameters={"steps": 20, "stops": "7"})
    wait_for(lambda: said(aws, unique, "waits at step 7"), 120, "step 7", 0.2)
    # On the server's machine there is its order, and no container.
    [agent] = (server.data / "agents").iterdir()
    assert not (agent / "ml").exists() and not (agent / "box").exists() and not (agent / "agent.pid").exists()
    assert (folder(scratch) / "ml").exists()
    drill = drill_spot(server, unique)
    assert drill.returncode == 0, drill.stderr
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert "Interrupted" in statuses(done) and statuses(done).count("Training") == 2
    assert said(aws, unique, "begins at step 0") and said(aws, unique, "begins at step 7")
    assert json.loads(model_files(aws, done)["weights.json"])["step"] == 20


def test_slurm_takes_a_job_back(cluster, server, scratch, aws, unique):
    checkpoints = f"s3://{sagemaker.Session().default_bucket()}/{unique}/checkpoints"
    fit(unique, use_spot_instances=True, max_wait=7200, checkpoint_s3_uri=checkpoints,
        hyperparameters={"steps": 20, "stops": "7"})
    wait_for(lambda: said(aws, unique, "waits at step 7"), 120, "step 7", 0.2)
    cluster.run("scancel", "--signal=TERM", cluster.jobs()[0][0])
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed" and "Interrupted" in statuses(done), done.get("FailureReason")
    assert said(aws, unique, "begins at step 7")


def test_a_stopped_job(cluster, server, scratch, aws, unique):
    fit(unique, hyperparameters={"steps": 20, "stops": "5"})
    wait_for(lambda: said(aws, unique, "waits at step 5"), 120, "step 5", 0.2)
    aws("sagemaker").stop_training_job(TrainingJobName=unique)
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Stopped"


def test_the_server_and_the_agent_are_killed(cluster, server, scratch, aws, unique):
    """Both are started again; the container never notices."""
    checkpoints = f"s3://{sagemaker.Session().default_bucket()}/{unique}/checkpoints"
    fit(unique, use_spot_instances=True, max_wait=7200, checkpoint_s3_uri=checkpoints,
        hyperparameters={"steps": 20, "stops": "7"})
    wait_for(lambda: said(aws, unique, "waits at step 7"), 120, "step 7", 0.2)
    init, control = init_of(scratch), server.pid("control")
    agent = int((folder(scratch) / "agent.pid").read_text())
    os.kill(control, 9)
    os.kill(agent, 9)
    wait_for(lambda: server.pid("control") not in (None, control), 60, "the control plane")
    wait_for(lambda: int((folder(scratch) / "agent.pid").read_text() or agent) != agent, 60, "the next agent")
    assert init and init_of(scratch) == init
    wait_for(lambda: drill_spot(server, unique).returncode == 0, 60, "the drill", 0.5)
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    text = [line for lines_ in lines(aws, unique).values() for line in lines_ if "begins at" in line]
    assert sorted(text) == ["begins at step 0", "begins at step 7"]


def failing(cluster):
    """The node of the one job that runs is down, as far as Slurm knows."""
    node = cluster.run("squeue", "--noheader", "--states=RUNNING", "--format=%N").strip()
    return cluster.dead(node)


def test_the_server_is_out_of_reach(cluster, server, scratch, aws, unique):
    """The job goes on, and what it had to say comes when there is somebody to hear it."""
    bucket = sagemaker.Session().default_bucket()
    fit(unique, checkpoint_s3_uri=f"s3://{bucket}/{unique}/checkpoints", hyperparameters={"steps": 20, "stops": "7"})
    wait_for(lambda: said(aws, unique, "waits at step 7"), 120, "step 7", 0.2)
    init = init_of(scratch)
    with cluster.machine.cut(server.port):
        # From 30 s on the agent's connections are closed as well: too long for each run of this test.
        time.sleep(float(os.environ.get("SAGEBRUSH_AWAY_S", "3")))
        assert init_of(scratch) == init
        os.kill(init, 15)  # the script saves, and ends
        wait_for(lambda: init_of(scratch) is None, 60, "the end of the container")
        assert describe(aws, unique)["TrainingJobStatus"] == "InProgress"
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    state = aws("s3").get_object(Bucket=bucket, Key=f"{unique}/checkpoints/state.json")["Body"].read()
    assert json.loads(state)["stopped"] == [7]


def test_slurm_begins_it_on_the_servers_machine_too(cluster, server, scratch, aws, unique):
    """As a slurmctld does that has forgotten the job: the second one waits until it is over."""
    fit(unique, hyperparameters={"steps": 20, "stops": "5"})
    wait_for(lambda: said(aws, unique, "waits at step 5"), 120, "step 5", 0.2)
    [agent] = (server.data / "agents").iterdir()
    init = init_of(scratch)
    second = subprocess.Popen(["nsenter", f"--target={server.pid('control')}", "--mount", BUILD / "libexec" /
                               "sagebrush-node", agent], stderr=subprocess.PIPE, text=True)
    try:
        said_first = second.stderr.readline()
        assert "another place works as" in said_first, said_first
        assert second.poll() is None and holder(agent / "agent.pid") is None and not (agent / "box").exists()
        os.kill(init, 15)  # the script saves, and ends
        done = ended(aws, unique)
        assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
        assert second.wait(60) == 0
    finally:
        second.kill()
        second.communicate()
    assert len([line for all_ in lines(aws, unique).values() for line in all_ if "begins at" in line]) == 1


def test_everything_is_killed(cluster, server, scratch, aws, unique):
    """No chance to clear anything: who was left behind for that does."""
    fit(unique, hyperparameters={"steps": 20, "stops": "5"})
    wait_for(lambda: said(aws, unique, "waits at step 5"), 120, "step 5", 0.2)
    init, agent = init_of(scratch), folder(scratch)
    node = holder(agent.with_name(agent.name + ".node"))
    assert init and node and network_of(node) != network_of(server.pid("control"))
    with failing(cluster):
        for pid in (parent_of(node), node, holder(agent / "agent.pid")):
            os.kill(pid, 9)
        done = ended(aws, unique)
        assert done["TrainingJobStatus"] == "Failed" and "NODE_FAIL" in done["FailureReason"], done
        wait_for(lambda: not pathlib.Path(f"/proc/{init}").exists(), 60, "the end of the container", 0.2)
    keeper = agent.parent.parent / "keeper.log"
    wait_for(lambda: f"node.cleared name={agent.name}" in keeper.read_text(), 60, "the keeper", 0.2)


def test_slurm_has_lost_a_node_that_works_on(cluster, server, scratch, aws, unique):
    """Nobody there is told; the server says so, and what still runs there is ended."""
    checkpoints = f"s3://{sagemaker.Session().default_bucket()}/{unique}/checkpoints"
    fit(unique, max_retry_attempts=2, checkpoint_s3_uri=checkpoints, hyperparameters={"steps": 20, "stops": "5"})
    wait_for(lambda: said(aws, unique, "waits at step 5"), 120, "step 5", 0.2)
    init = init_of(scratch)
    assert init
    with failing(cluster):
        done = ended(aws, unique)
        assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
        wait_for(lambda: not pathlib.Path(f"/proc/{init}").exists(), 60, "the end of the container", 0.2)
    assert "Restarting" in statuses(done) and said(aws, unique, "begins at step 5")


def image_of(program, path):
    """An OCI archive with one program of this machine and its libraries."""
    def add(tar, name, data):
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), 0o755
        tar.addfile(info, io.BytesIO(data))

    def blob(data):
        blobs[hashlib.sha256(data).hexdigest()] = data
        return {"digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data)}

    blobs, layer = {}, io.BytesIO()
    libraries = re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", program], capture_output=True, text=True).stdout)
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for file in [program, *libraries]:
            add(tar, file.lstrip("/"), pathlib.Path(file).read_bytes())
    oci = "application/vnd.oci.image."
    layers = [{"mediaType": oci + "layer.v1.tar", **blob(layer.getvalue())}]
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {
        "type": "layers", "diff_ids": [layers[0]["digest"]]}}).encode()
    manifest = json.dumps({"schemaVersion": 2, "mediaType": oci + "manifest.v1+json", "layers": layers,
                           "config": {"mediaType": oci + "config.v1+json", **blob(config)}}).encode()
    index = {"schemaVersion": 2, "manifests": [{"mediaType": oci + "manifest.v1+json", **blob(manifest)}]}
    with tarfile.open(path, "w") as tar:
        add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        add(tar, "index.json", json.dumps(index).encode())
        for name, data in blobs.items():
            add(tar, f"blobs/sha256/{name}", data)


def test_an_image_of_ones_own(cluster, server, scratch, aws, unique):
    """It is read where the server has it, and unpacked on the node's own disk."""
    image_of("/bin/sh", server.data / "images" / "archives" / "sh.tar")
    sm = aws("sagemaker")
    sm.create_processing_job(
        ProcessingJobName=unique, RoleArn=sagemaker.get_execution_role(sagemaker.Session()),
        AppSpecification={"ImageUri": "oci-archive:sh.tar", "ContainerEntrypoint": [
            "/bin/sh", "-c", "echo of a layer; echo of a layer > /opt/ml/output/message; exec >/opt/ml/x"]},
        ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}})
    done = processed(aws, unique)
    assert done["ProcessingJobStatus"] == "Completed", done
    assert done["ExitMessage"].strip() == "of a layer"
    assert list(scratch.glob("*/images/layers/*")) and not (server.data / "images" / "layers").exists()


def ask(server, path, bearer, body):
    """The answer's status on the public port."""
    trust = ssl.create_default_context(cafile=server.data / "client" / "ca.pem")
    request = urllib.request.Request(f"https://localhost:{server.port}{path}", json.dumps(body).encode(),
                                     {"Authorization": bearer})
    try:
        with urllib.request.urlopen(request, context=trust, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as e:
        return e.code


def test_what_a_token_is_good_for(cluster, server, scratch, aws, unique):
    fit(unique, hyperparameters={"steps": 20, "stops": "5"})
    wait_for(lambda: said(aws, unique, "waits at step 5"), 120, "step 5", 0.2)
    [agent] = (server.data / "agents").iterdir()
    order = json.loads((agent / "order.json").read_text())
    place, token = (folder(scratch) / "instance").read_text(), order["remote"]["token"]
    ours = f"Bearer {order['name']}:{place}:{token}"
    logs = {"account": order["account"], "region": order["region"], "group": order["log_group"],
            "stream": order["log_stream"], "events": []}
    v1 = "/_sagebrush/node/v1"
    assert ask(server, f"{v1}/logs", ours, logs) == 200
    assert ask(server, f"{v1}/logs", ours, {**logs, "stream": "another/algo-1"}) == 403
    assert ask(server, f"{v1}/metrics", ours, {**logs, "namespace": "/aws/sagemaker/TrainingJobs", "id": order["name"],
                                               "data": [{"dimensions": {"TrainingJobName": "another"}}]}) == 403
    assert ask(server, f"{v1}/poke?name=x&uid=another", ours, {}) == 403
    for wrong in ("", f"Bearer {order['name']}:{place}:{'x' * len(token)}", f"Bearer ../agents:{place}:{token}"):
        assert ask(server, f"{v1}/work", wrong, {}) == 403, wrong
    # The name is lent: a second place waits, whatever Slurm believes.
    assert ask(server, f"{v1}/work", f"Bearer {order['name']}:elsewhere:{token}", {}) == 409
    assert ask(server, "/_sagebrush/admin/v1/status", ours, {}) == 404
    # Not in any command line, nor readable by others.
    assert token not in subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout
    assert token not in cluster.run("scontrol", "write", "batch_script", cluster.jobs()[0][0], "-")
    for file in (agent / "order.json", folder(scratch) / "order.json"):
        assert file.stat().st_mode & 0o77 == 0 and file.parent.stat().st_mode & 0o77 == 0
    aws("sagemaker").stop_training_job(TrainingJobName=unique)
    assert ended(aws, unique)["TrainingJobStatus"] == "Stopped"
    assert ask(server, f"{v1}/logs", ours, logs) in (403, 404)
