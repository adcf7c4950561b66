"""What the benchmarks share: a server of ours, peers in a private environment, wrk, and the way figures are printed."""
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "api"))
from conftest import Server, free_port, wait_for  # noqa: E402,F401

PEERS = ROOT / ".cache" / "peers"


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
    for folder in ("/usr/bin", "/usr/sbin"):
        if os.path.exists(f"{folder}/{program}"):
            return f"{folder}/{program}"
    sys.exit(f"{program} is needed: apt-get install --no-install-recommends {package}")


def wrk(url, script=None, seconds=5, connections=16, threads=1, arguments=()):
    """Requests per second, errors, and the latencies in ms that wrk saw."""
    command = [need("wrk", "wrk"), "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s", "--latency", url]
    if script:
        command[1:1] = ["-s", str(script)]
    out = subprocess.run([*command, "--", *map(str, arguments)], check=True, capture_output=True, text=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: (.*)", out)
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    latency = {p: float(v) * unit[u] for p, v, u in re.findall(r"(50|75|90|99)%\s+([\d.]+)(us|ms|s)", out)}
    return {"rate": rate, "bad": int(bad[1]) if bad else 0, "errors": errors[1] if errors else "", "ms": latency}


def signed(server, service, method, url, headers, body=b""):
    """The headers of a request signed as botocore does."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    env = server.env
    credentials = Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN"))
    request = AWSRequest(method, url, headers, body)
    SigV4Auth(credentials, service, env["AWS_DEFAULT_REGION"]).add_auth(request)
    return dict(request.headers)


def show(name, ours, theirs, unit, peer, target=None):
    ratio = ours / theirs if theirs else float("inf")
    goal = "" if target is None else f"   target {target}x: {'reached' if ratio >= target else 'MISSED'}"
    print(f"{name:44s} ours {ours:12,.1f}   {peer} {theirs:12,.1f} {unit}   ratio {ratio:8.2f}{goal}", flush=True)
