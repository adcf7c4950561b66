"""Jobs of several instances: they find each other, live and die together, and leave one model."""
import collections
import hashlib
import ipaddress
import json
import os
import pathlib
import signal
import socket
import threading
import time

import pytest

from conftest import ended, holder, log_lines, model_files, needs_tun, wait_for

sagemaker = pytest.importorskip("sagemaker")
import sagemaker.pytorch  # noqa: E402

SCRIPTS = pathlib.Path(__file__).parent / "scripts"


def estimator(session, count, hyperparameters=None, **changes):
    return sagemaker.pytorch.PyTorch(
        "train_cluster.py", source_dir=str(SCRIPTS), role=sagemaker.get_execution_role(session), instance_count=count,
        instance_type="ml.m5.large", framework_version="2.1", py_version="py310", sagemaker_session=session,
        max_run=600, hyperparameters=hyperparameters or {}, **changes)


def lines(aws, job):
    """By host."""
    return {name.split("/")[1].rsplit("-", 1)[0]: text for name, text in log_lines(aws("logs"), job).items()}


def addresses(said):
    """By host, as each told its own."""
    return {host: next(line.split()[-1] for line in text if line.startswith("the sum is")) for host,
            text in said.items()}


@pytest.mark.parametrize("isolated", [False, True], ids=["open", "isolated"])
def test_they_find_each_other(server, aws, unique, isolated):
    session = sagemaker.Session()
    changes = {"enable_network_isolation": True} if isolated else {}
    estimator(session, 3, **changes).fit(job_name=unique, wait=False)
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    said = lines(aws, unique)
    assert said.keys() == {"algo-1", "algo-2", "algo-3"}
    for host, text in said.items():
        assert any(line.startswith(f"the sum is 3 at {host} 10.213.") for line in text), text
    # What every host has in its model folder is in the one archive.
    files = model_files(aws, done)
    assert files.keys() == {"algo-1.json", "algo-2.json", "algo-3.json", "common.txt"}
    assert all(json.loads(files[f"algo-{i}.json"]) == {"sum": 3, "hosts": ["algo-1", "algo-2", "algo-3"]}
               for i in (1, 2, 3))
    wait_for(lambda: not server.agents(unique), 60, "the sweep")


class Wire:
    """What goes over this machine's interfaces, loopback and the containers' included, while it is open."""

    def __init__(self, *words):
        self.words, self.seen, self.datagrams = [w.encode() for w in words], set(), collections.Counter()
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.end = os.urandom(32)
        self.thread = threading.Thread(target=self.listen)

    def listen(self):
        while self.end not in (packet := self.socket.recv(1 << 17)):
            self.seen |= {w for w in self.words if w in packet}
            # IPv4, UDP, to the tunnel's port: by who sent it.
            if packet[12:14] == b"\x08\x00" and packet[23] == 17 and packet[36:38] == b"\x4e\xf5":
                self.datagrams[ipaddress.ip_address(packet[26:30])] += 1

    def encrypted(self, said):
        """How many datagrams the tunnels of these hosts sent: from this machine's end of each, one below its
        address."""
        ends = [ipaddress.ip_address(address) - 1 for address in addresses(said).values()]
        return sum(self.datagrams[end] for end in ends)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        # It may be far behind on a busy machine: all that came before this is looked at.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            while self.thread.is_alive():
                s.sendto(self.end, ("127.0.0.1", 9))
                self.thread.join(0.2)
        self.socket.close()


@pytest.mark.parametrize("isolated", [False, True], ids=["open", "isolated"])
@pytest.mark.parametrize("encrypted", [False, pytest.param(True, marks=needs_tun)], ids=["clear", "encrypted"])
def test_nobody_reads_along(server, aws, unique, encrypted, isolated):
    session = sagemaker.Session()
    word = hashlib.sha256(unique.encode()).hexdigest()
    with Wire(word) as wire:
        estimator(session, 3, enable_network_isolation=isolated, encrypt_inter_container_traffic=encrypted).fit(
            job_name=unique, wait=False)
        done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert done["EnableInterContainerTrafficEncryption"] == encrypted
    said = lines(aws, unique)
    for host, text in said.items():
        assert any(line.startswith(f"the sum is 3 at {host} 10.213.") for line in text), text
    assert (wire.seen == set()) == encrypted
    sent = wire.encrypted(said)
    assert sent > 20 if encrypted else sent == 0


@needs_tun
def test_the_check_of_the_network_goes_through_the_tunnel(aws, unique):
    """Before the containers start, and so before anything of theirs could have opened it."""
    session = sagemaker.Session()
    made = estimator(session, 2, encrypt_inter_container_traffic=True)
    made.sagemaker_session.sagemaker_client.meta.events.register(
        "before-parameter-build.sagemaker.CreateTrainingJob",
        lambda params, **_: params.update(InfraCheckConfig={"EnableInfraCheck": True}))
    made.fit(job_name=unique, wait=False)
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    for text in lines(aws, unique).values():
        assert any("check of the network between the instances passed" in line for line in text), text


@needs_tun
@pytest.mark.parametrize("isolated", [False, True], ids=["open", "isolated"])
def test_instances_that_stand_by_get_a_tunnel_of_their_next_job(server, aws, unique, isolated):
    sm, session = aws("sagemaker"), sagemaker.Session()
    names = [unique + "-1", unique + "-2"]
    word = hashlib.sha256(names[1].encode()).hexdigest()
    with Wire(word) as wire:
        for name in names:
            estimator(session, 2, encrypt_inter_container_traffic=True, enable_network_isolation=isolated,
                      keep_alive_period_in_seconds=600).fit(job_name=name, wait=False)
            done = ended(aws, name)
            assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert sm.describe_training_job(TrainingJobName=names[0])["WarmPoolStatus"]["Status"] == "Reused"
    sm.update_training_job(TrainingJobName=names[1], ResourceConfig={"KeepAlivePeriodInSeconds": 0})
    wait_for(lambda: not server.standing_by(), 60, "the end of what stood by")
    assert wire.seen == set() and wire.encrypted(lines(aws, names[1])) > 20


def folders(server, job, attempt=0):
    """Of the agents of an attempt, by host."""
    return {order["host_name"]: folder for folder, order in server.agents(job) if folder.name.endswith(f"-{attempt}")}


def secrets_of(server, job, attempt):
    """By which its tunnels seal what they send."""
    return {order["tunnel"]["secret"] for folder, order in server.agents(job) if folder.name.endswith(f"-{attempt}")}


def talked(aws, job):
    return max([int(line.split()[1]) for line in lines(aws, job).get("algo-2", []) if line.startswith("talked")] or [0])


@needs_tun
def test_a_tunnel_outlives_its_agent_and_not_its_keys(server, aws, unique):
    session = sagemaker.Session()
    estimator(session, 2, {"talks": "on"}, encrypt_inter_container_traffic=True, max_retry_attempts=1).fit(
        job_name=unique, wait=False)
    wait_for(lambda: talked(aws, unique) > 3, 120, "words over the tunnel", 0.2)
    first, secrets = folders(server, unique), secrets_of(server, unique, 0)
    assert len(first) == 2 and len(secrets) == 1
    for folder in first.values():
        assert (folder / "order.json").stat().st_mode & 0o077 == 0
        assert not any(secret in log.read_text() for secret in secrets for log in folder.glob("*.log"))
    tunnels = {host: holder(folder / "tunnel.pid") for host, folder in first.items()}
    agents = {host: holder(folder / "agent.pid") for host, folder in first.items()}
    assert all(tunnels.values()) and all(agents.values())
    # Another agent takes over; what the tunnel carries does not stop.
    for pid in agents.values():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: all(holder(folder / "agent.pid") not in (None, agents[host]) for host, folder in first.items()),
             60, "the next agents")
    before = talked(aws, unique)
    wait_for(lambda: talked(aws, unique) > before + 20, 60, "more words over the tunnel", 0.2)
    assert tunnels == {host: holder(folder / "tunnel.pid") for host, folder in first.items()}
    # Without it the attempt is over, and the next has another secret.
    os.kill(tunnels["algo-2"], signal.SIGKILL)
    again = wait_for(lambda: secrets_of(server, unique, 1), 60, "the second attempt", 0.2)
    assert not again & secrets
    described = aws("sagemaker").describe_training_job(TrainingJobName=unique)
    assert any("carries the traffic" in t["StatusMessage"] for t in described["SecondaryStatusTransitions"]
               if t["Status"] == "Restarting"), described
    aws("sagemaker").stop_training_job(TrainingJobName=unique)
    assert ended(aws, unique)["TrainingJobStatus"] == "Stopped"
    wait_for(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in tunnels.values()), 60,
             "the tunnels' ends")


def test_one_fails_all_end(aws, unique):
    session = sagemaker.Session()
    estimator(session, 2, {"fails": "algo-2"}).fit(job_name=unique, wait=False)
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Failed"
    assert "told to fail" in done["FailureReason"]


# The second has handed all of it to the kernel, and ends, before the first reads a byte of it.
LAST_WORDS = """
import os, pathlib, socket, time
SIZE, done = 300000, pathlib.Path("/opt/ml/output/read-now")
if os.uname().nodename == "algo-1":
    with socket.create_server(("", 7000)) as server:
        c = server.accept()[0]
        print("has a caller", flush=True)
        while not done.exists(): time.sleep(0.05)
        print("heard", len(c.makefile("rb").read()))
else:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * SIZE)
    for _ in range(600):
        try: s.connect(("algo-1", 7000)); break
        except OSError: time.sleep(0.05)
    s.sendall(bytes(SIZE))
"""


@pytest.mark.parametrize("encrypted", [False, pytest.param(True, marks=needs_tun)], ids=["clear", "encrypted"])
def test_what_was_sent_arrives_though_its_sender_has_ended(server, jobs, unique, encrypted):
    jobs.create(unique, script=LAST_WORDS, ResourceConfig={"InstanceCount": 2},
                EnableInterContainerTrafficEncryption=encrypted)
    jobs.says(unique, "has a caller")
    folder = folders(server, unique)
    wait_for(lambda: "_saved" in (folder["algo-2"] / "report.json").read_text(), 60, "the sender's end")
    time.sleep(1)  # its network would go now
    (folder["algo-1"] / "ml" / "output" / "read-now").touch()
    jobs.completed(unique)
    assert jobs.says(unique, "heard") == ["heard 300000"]


def test_strangers_do_not_talk(aws, unique):
    session = sagemaker.Session()
    estimator(session, 2, {"waits": "algo-1/algo-2"}).fit(job_name=unique, wait=False)
    address = wait_for(lambda: [line.split()[-1] for line in lines(aws, unique).get("algo-1", [])
                                if line.startswith("the sum is")], 120, "the first job's address", 0.2)[0]
    other = unique + "-b"
    estimator(session, 2, {"stranger": address}).fit(job_name=other, wait=False)
    done = ended(aws, other)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert any("out of reach" in line for line in lines(aws, other)["algo-2"])
    aws("sagemaker").stop_training_job(TrainingJobName=unique)
    assert ended(aws, unique)["TrainingJobStatus"] == "Stopped"


def test_more_than_there_is_room_for(aws, unique):
    session = sagemaker.Session()
    with pytest.raises(Exception) as e:
        estimator(session, 1000).fit(job_name=unique, wait=False)
    assert "ResourceLimitExceeded" in str(e.value) and "request delta of 1000 Instances" in str(e.value)
