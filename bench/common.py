"""What the benchmarks share: a server of ours, peers in a private environment, and the way figures are printed."""
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "api"))
import conftest  # noqa: E402
from conftest import BUILD, SAGEBRUSH, free_port, wait_for  # noqa: E402,F401

PEERS = ROOT / ".cache" / "peers"


class Server(conftest.Server):
    """`with Server() as server:` is a server as long as that lasts. AWS clients of this process find it; it has the
    bucket 'bench'."""

    def __init__(self, settings="", options=(), **more):
        super().__init__(options=options, **more)
        conf = self.data / "bench.conf"
        conf.write_text(settings)
        self.options += ["--config", conf]
        self.url = f"http://127.0.0.1:{self.port}"
        self.clients = {}

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        os.environ.update({k: v for k, v in self.env.items() if k.startswith("AWS_")})
        self.client("s3").create_bucket(Bucket="bench")
        return self

    def __exit__(self, *raised):
        self.stop()

    def client(self, service):
        if service not in self.clients:
            self.clients[service] = super().client(service)
        return self.clients[service]


def folder():
    """`with folder() as path:`; containers can be made of what is in it."""
    return OpenFolder(prefix="sagebrush-bench-", ignore_cleanup_errors=True)


class OpenFolder(tempfile.TemporaryDirectory):
    def __enter__(self):
        path = pathlib.Path(super().__enter__())
        path.chmod(0o755)
        return path


def peer_environment(*requirements):
    """A virtual environment with the peers that come from PyPI; made once."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        subprocess.run(["/usr/bin/python3", "-m", "venv", PEERS], check=True)
    stamp = PEERS / ("-".join(re.sub(r"\W", "", r) for r in requirements) + ".done")
    if not stamp.exists():
        subprocess.run([python, "-m", "pip", "install", "-q", *requirements], check=True)
        stamp.touch()
    return PEERS / "bin"


def need(program, package):
    for place in ("/usr/bin", "/usr/sbin"):
        if os.path.exists(f"{place}/{program}"):
            return f"{place}/{program}"
    sys.exit(f"{program} is needed: apt-get install --no-install-recommends {package}")


def reachable(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def cpu_seconds(pid):
    """That a process has used, which on a busy machine says more than the wall clock."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def spread(values):
    return f"p50 {percentile(values, 50):7.1f} p90 {percentile(values, 90):7.1f} ms"


def goal(ratio, target):
    """What is printed behind a ratio that should be 'target' or more; None: nothing."""
    return "" if target is None else f"   target {target}x: {'reached' if ratio >= target else 'MISSED'}"


def show(name, ours, theirs, unit, peer, target=None):
    """Rates: more is better."""
    ratio = ours / theirs if theirs else float("inf")
    print(f"{name:44s} ours {ours:12,.1f}   {peer} {theirs:12,.1f} {unit}   ratio {ratio:8.2f}{goal(ratio, target)}",
          flush=True)


def show_latency(name, ours, theirs, peer, target=None):
    """Lists of milliseconds: less is better."""
    ratio = percentile(theirs, 50) / percentile(ours, 50)
    print(f"{name:44s} ours {spread(ours)}   {peer} {spread(theirs)}   ratio {ratio:5.2f}{goal(ratio, target)}",
          flush=True)
