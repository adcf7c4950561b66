"""A Slurm of one's own on this machine: munged, slurmctld and some slurmd, in a folder and on free ports.

Nothing of the machine's own Slurm is read or touched: $SLURM_CONF names the configuration, munge has a key and a socket
of its own, and what was started is ended by its pid. As root; Debian's packages slurmctld, slurmd, slurm-client, munge.
"""
import contextlib
import ctypes
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid

PROGRAMS = ["/usr/sbin/munged", "/usr/sbin/slurmctld", "/usr/sbin/slurmd", "/usr/bin/sbatch", "/usr/bin/squeue"]


def missing():
    """Why there can be no cluster here; None when there can."""
    if os.geteuid() != 0:
        return "a Slurm cluster of the test's own needs root"
    lacks = [p for p in PROGRAMS if not os.access(p, os.X_OK)]
    return f"not installed: {', '.join(lacks)} (tools/setup run build test)" if lacks else None


def end_with_parent():
    """In the child: a test run that is killed leaves no daemons behind."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def free_ports(count):
    """Below those that the kernel gives to whoever connects: who takes them does so some time later."""
    found = set()
    while len(found) < count:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("", random.randrange(10000, 32000)))
            found.add(s.getsockname()[1])
    return list(found)


def with_boot_id(path):
    """A command that becomes another, to which this machine has the boot id of that file: a new one."""
    path.write_text(f"{uuid.uuid4()}\n")
    return ["unshare", "--mount", "sh", "-c", f'mount --bind {path} /proc/sys/kernel/random/boot_id && exec "$@"', "sh"]


class Machine:
    """Another machine, made of namespaces of this one: a network of its own, to which one pair of interfaces leads, and
    an own view of the files in which of the server's machine only the shared folders are seen. There may be two, which
    reach each other by way of the server's."""

    def __init__(self, number=0):
        self.name = f"sbm{os.getpid()}{'ab'[number]}"
        place = os.getpid() % 16384
        self.server, self.address = (f"198.{18 + place // 8192}.{place // 32 % 256}.{place % 32 * 8 + number * 4 + i}"
                                     for i in (1, 2))
        self.script = None

    def start(self):
        inside = f"{self.name}i"
        for command in (f"ip netns add {self.name}", f"ip link add {self.name} type veth peer name {inside}",
                        f"ip link set {inside} netns {self.name}", f"ip addr add {self.server}/30 dev {self.name}",
                        f"ip link set {self.name} up", f"ip -n {self.name} addr add {self.address}/30 dev {inside}",
                        f"ip -n {self.name} link set {inside} up", f"ip -n {self.name} link set lo up",
                        f"ip -n {self.name} route add default via {self.server}"):
            subprocess.run(command.split(), check=True, capture_output=True)
        pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")

    def share(self, data, hold, scratch=None):
        """Of the server's data directory its agents and images are there, and nothing else; nor its sockets. Its own
        disk is hold/scratch, at the place 'scratch'; none: the one that all see there."""
        disk = f"mkdir -p {hold}/scratch {scratch}\nmount --bind {hold}/scratch {scratch}\n" if scratch else ""
        self.script = f"""set -e
{disk}\
mkdir -p {hold}/agents {hold}/images
mount --bind {data}/agents {hold}/agents
mount --bind {data}/images {hold}/images
mount -t tmpfs none {data}
mkdir {data}/agents {data}/images
mount --move {hold}/agents {data}/agents
mount --move {hold}/images {data}/images
mount -t tmpfs none /run/sagebrush
exec "$@"
"""

    def inside(self, command):
        return ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "--mount", "sh", "-c", self.script, "sh",
                *command]

    def cut(self, port):
        """From here nothing reaches that port any more; Slurm's are open."""
        return self.dropping(f"tcp dport {port}")

    def cut_off(self, address):
        """From here no tunnel reaches one at that address any more."""
        return self.dropping(f"ip daddr {address} udp dport 1-65535")

    @contextlib.contextmanager
    def dropping(self, what):
        nft = ["nsenter", f"--net=/run/netns/{self.name}", "/usr/sbin/nft", "-f", "-"]
        rule = f"table inet cut {{\n chain out {{\n type filter hook output priority 0;\n {what} drop\n }}\n}}\n"
        subprocess.run(nft, check=True, text=True, input=rule)
        try:
            yield
        finally:
            subprocess.run(nft, check=True, text=True, input="delete table inet cut\n")

    def stop(self):
        for command in (f"ip netns del {self.name}", f"ip link del {self.name}"):
            subprocess.run(command.split(), check=False, capture_output=True)


class Cluster:
    def __init__(self, nodes=3, cpus=8, memory_mb=32768, more=(), machine=None, machines=(), node_options={}):
        self.machine = machine  # on which the nodes are, all of them; None: this one
        machines = list(machines) or [machine] * nodes  # or that of each
        controller = next((m.server for m in machines if m), "127.0.0.1")
        self.here = []  # a command that becomes the slurmd of a node on this machine
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sagebrush-slurm-"))
        self.names = [f"n{i + 1}" for i in range(nodes)]
        self.machines = dict(zip(self.names, machines))
        self.conf = self.folder / "slurm.conf"
        self.processes = {}
        ports = free_ports(nodes + 1)
        host = socket.gethostname().split(".")[0]
        (self.folder / "munge").mkdir(mode=0o755)
        (self.folder / "state").mkdir()
        (self.folder / "key").write_bytes(os.urandom(128))
        (self.folder / "key").chmod(0o400)
        self.folder.chmod(0o755)
        lines = [
            "ClusterName=sagebrush", f"SlurmctldHost={host}({controller})", f"SlurmctldPort={ports[0]}",
            "SlurmUser=root", "SlurmdUser=root", "AuthType=auth/munge",
            f"AuthInfo=socket={self.folder}/munge/socket,cred_expire=5",
            f"StateSaveLocation={self.folder}/state", f"SlurmdSpoolDir={self.folder}/spool.%n",
            f"SlurmctldPidFile={self.folder}/slurmctld.pid", f"SlurmdPidFile={self.folder}/slurmd.%n.pid",
            f"SlurmctldLogFile={self.folder}/slurmctld.log", f"SlurmdLogFile={self.folder}/slurmd.%n.log",
            "ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none", "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core_Memory", "SlurmdParameters=config_overrides", "MpiDefault=none",
            "PreemptType=preempt/partition_prio", "PreemptMode=REQUEUE", "SlurmdTimeout=120", "KillWait=30",
            "SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,preempt_send_user_signal",
            "AccountingStorageType=accounting_storage/none", "JobCompType=jobcomp/none", "ReturnToService=2",
            "EnforcePartLimits=ALL", *more,
        ]
        for name, port in zip(self.names, ports[1:]):
            address = self.machines[name].address if self.machines[name] else controller
            lines.append(f"NodeName={name} NodeHostname={host} NodeAddr={address} Port={port} CPUs={cpus} "
                         f"RealMemory={memory_mb} State=UNKNOWN {node_options.get(name, '')}")
        all_nodes = ",".join(self.names)
        lines += [f"PartitionName=batch Nodes={all_nodes} Default=YES MaxTime=INFINITE PriorityTier=1 PreemptMode=OFF",
                  f"PartitionName=spot Nodes={all_nodes} MaxTime=INFINITE PriorityTier=1 GraceTime=20",
                  f"PartitionName=urgent Nodes={all_nodes} MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF"]
        self.conf.write_text("\n".join(lines) + "\n")
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        self.env = dict(os.environ, SLURM_CONF=str(self.conf))

    def spawn(self, name, command):
        log = open(self.folder / f"{name}.out", "ab")
        self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                                                start_new_session=True, preexec_fn=end_with_parent)
        log.close()

    def start(self):
        f = self.folder
        self.spawn("munged", ["/usr/sbin/munged", "--foreground", "--force", f"--key-file={f}/key",
                              f"--socket={f}/munge/socket", f"--pid-file={f}/munge/pid", f"--log-file={f}/munge/log",
                              f"--seed-file={f}/munge/seed"])
        self.wait_for(lambda: (f / "munge" / "socket").exists(), "munged")
        self.start_controller()
        if not any(self.machines.values()):
            self.start_nodes()
        return self

    def start_nodes(self):
        for name in self.names:
            self.start_node(name)
        self.wait_for(lambda: self.node_states() == ["idle"] * len(self.names), "the nodes")

    def start_controller(self):
        self.spawn("slurmctld", ["/usr/sbin/slurmctld", "-D", "-f", str(self.conf)])
        self.wait_for(lambda: self.answers(), "slurmctld")

    def start_node(self, name):
        command = ["/usr/sbin/slurmd", "-D", "-N", name, "-f", str(self.conf)]
        machine = self.machines[name]
        self.spawn(name, machine.inside(command) if machine else [*self.here, *command])

    def kill(self, name):
        """As a power failure would: no chance to save anything."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    @contextlib.contextmanager
    def dead(self, node):
        """As by a power failure, of which slurmctld has been told; it is there again after the block."""
        self.kill(node)
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        try:
            yield
        finally:
            self.start_node(node)
            self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)  # or slurmd was first
            self.wait_for(lambda: self.node_state(node) in ("idle", "mixed", "allocated", "completing"), node)

    @contextlib.contextmanager
    def taken(self):
        """All nodes, by somebody with a higher priority."""
        job = self.run("sbatch", "--parsable", "--partition=urgent", f"--nodes={len(self.names)}", "--exclusive",
                       "--output=/dev/null", "--wrap=sleep 600").strip()
        try:
            yield
        finally:
            self.run("scancel", job)

    def forget_everything(self):
        """What slurmctld has saved is gone."""
        shutil.rmtree(self.folder / "state")
        (self.folder / "state").mkdir()

    def run(self, *command, check=True):
        return subprocess.run(command, check=check, capture_output=True, text=True, env=self.env, timeout=60).stdout

    def answers(self):
        return "UP" in self.run("scontrol", "ping", check=False)

    def node_states(self):
        return sorted(self.run("sinfo", "--noheader", "--Node", "--partition=batch", "--format=%T",
                               check=False).split())

    def node_state(self, name):
        return self.run("sinfo", "--noheader", f"--nodes={name}", "--partition=batch", "--format=%T",
                        check=False).strip()

    def jobs(self):
        """Those that Slurm knows and that have not ended: (id, name, state)."""
        return [tuple(line.split("|")) for line in
                self.run("squeue", "--noheader", "--format=%i|%j|%T").splitlines()]

    def of_job(self, comment):
        """The states of the Slurm jobs of that comment, Slurm's memory of some minutes included."""
        lines = self.run("squeue", "--noheader", "--states=all", "--format=%T|%k").splitlines()
        return [state for state, _, of in (line.partition("|") for line in lines) if of == comment]

    def nodes_of_job(self, comment):
        """A list for each of the Slurm jobs of that comment that began, the first one first."""
        lines = self.run("squeue", "--noheader", "--states=all", "--sort=i", "--format=%N|%k").splitlines()
        lists = [nodes for nodes, _, of in (line.partition("|") for line in lines) if of == comment]
        return [self.run("scontrol", "show", "hostnames", nodes).split() for nodes in lists if nodes]

    def wait_for(self, check, what, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            value = check()
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come within {seconds} s; see {self.folder}")
            time.sleep(0.05)

    def is_left(self, server, failed):
        """By a test, with nothing of it: neither a Slurm job nor an agent of the server's. A test that failed may have
        left some."""
        if failed:
            server.end_instances()
            self.cancel_all()
            for name in self.names:
                self.run("scontrol", "update", f"nodename={name}", "state=resume", check=False)  # most are not out
        self.wait_for(lambda: not self.jobs() and not list((server.data / "agents").iterdir()), "the end of all jobs")

    def cancel_all(self):
        self.run("scancel", "--full", "--signal=KILL", "--user=root", check=False)
        self.run("scancel", "--user=root", check=False)

    def stop(self):
        with contextlib.suppress(Exception):
            self.cancel_all()
            self.wait_for(lambda: not self.jobs(), "the end of all jobs", 40)
        for name in [*self.names, "slurmctld", "munged"]:
            process = self.processes.pop(name, None)
            if process and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        if not os.environ.get("SAGEBRUSH_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)
