#!/usr/bin/env python3
"""The XGBoost model server beside gunicorn + Flask + xgboost: the same model, the same core, one row a request.

    bench/model_server.py [--seconds 5] [--rows 1]

The peer is what a Python inference container is made of, one worker that keeps its connections, and the model called in
place (its fastest way); it is Debian's python3-xgboost, the same library release as ours. Both servers are bound to one
core, the load generator to another. Also printed: the CPU time of each server a request, and the time from the start of
the program to its first prediction.
"""
import argparse
import http.client
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from common import BUILD, cpu_seconds, free_port, need, show
from load import wrk

TRAIN = """
import sys, numpy as np, xgboost as xgb
r = np.random.RandomState(0)
X = r.rand(20000, 28).astype(np.float32)
y = X[:, :10].sum(1) + r.randn(20000) > 5
p = {"objective": "binary:logistic", "max_depth": 6, "tree_method": "hist", "nthread": 1}
xgb.train(p, xgb.DMatrix(X, y), 500).save_model(sys.argv[1])
"""

PEER = """
import flask, numpy as np, xgboost as xgb
booster = xgb.Booster(params={"nthread": 1}, model_file="MODEL")
app = flask.Flask(__name__)

@app.route("/ping")
def ping():
    return ""

@app.route("/invocations", methods=["POST"])
def invocations():
    rows = [line.split(",") for line in flask.request.get_data(as_text=True).splitlines()]
    scores = booster.inplace_predict(np.array(rows, dtype=np.float32))
    return flask.Response(",".join(map(str, scores.tolist())), mimetype="text/csv")
"""


def ask(port, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("POST", "/invocations", body, {"content-type": "text/csv"})
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status == 200, text
    return text


def start(command, port, body, environment=None):
    """The process, and the seconds to its first prediction."""
    began = time.monotonic()
    child = subprocess.Popen(command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    while True:
        try:
            ask(port, body)
            return child, time.monotonic() - began
        except OSError:
            assert child.poll() is None, f"{command[0]} ended"
            assert time.monotonic() - began < 60
            time.sleep(0.002)


def family_seconds(pid):
    """Of a process and its children."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_seconds(pid) + sum(family_seconds(int(child)) for child in children)


def measure(child, port, script, seconds):
    before = family_seconds(child.pid)
    result = wrk(f"http://127.0.0.1:{port}/invocations", script, seconds)
    result["cpu_us"] = (family_seconds(child.pid) - before) * 1e6 / (result["rate"] * seconds)
    child.terminate()
    child.wait()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1)
    wanted = parser.parse_args()
    python = os.environ.get("PEER_PYTHON", "/usr/bin/python3")
    if subprocess.run([python, "-c", "import gunicorn, flask, xgboost"], capture_output=True).returncode:
        sys.exit("the peer is needed: apt-get install --no-install-recommends gunicorn python3-flask python3-xgboost")
    need("taskset", "util-linux")
    cores = sorted(os.sched_getaffinity(0))
    serving, loading = str(cores[0]), str(cores[-1])
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/model")
        model = folder + "/model/xgboost-model"
        subprocess.run([python, "-c", TRAIN, model], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pathlib.Path(folder, "peer.py").write_text(PEER.replace("MODEL", model))
        row = ",".join(f"{(i * 37 % 100) / 100}" for i in range(28))
        body = "\n".join([row] * wanted.rows)
        script = pathlib.Path(folder, "post.lua")
        script.write_text('wrk.method = "POST"\nwrk.headers["Content-Type"] = "text/csv"\n'
                          f'wrk.body = [[{body}]]\n')

        port = free_port()
        ours, ours_start = start(["taskset", "-c", serving, str(BUILD / "src/algo/sagebrush-xgboost"), "serve"],
                                 port, body, {"SAGEMAKER_BASE_DIR": folder, "SAGEMAKER_BIND_TO_PORT": str(port)})
        os.sched_setaffinity(0, {int(loading)})  # wrk inherits it
        mine_score = ask(port, body)
        mine = measure(ours, port, script, wanted.seconds)

        os.sched_setaffinity(0, set(cores))
        port = free_port()
        peer, peer_start = start(["taskset", "-c", serving, python, "-m", "gunicorn", "--chdir", folder, "-w", "1",
                                  "-k", "gthread", "--threads", "4", "--keep-alive", "60",
                                  "-b", f"127.0.0.1:{port}", "peer:app"], port, body)
        os.sched_setaffinity(0, {int(loading)})
        peer_score = ask(port, body)
        theirs = measure(peer, port, script, wanted.seconds)

    for a, b in zip(mine_score.split(","), peer_score.split(",")):
        assert abs(float(a) - float(b)) < 1e-6, (a, b)
    for name, result in (("ours", mine), ("gunicorn", theirs)):
        if result["bad"] or result["errors"]:
            print(f"{name}: {result['bad']} bad answers, socket errors: {result['errors']}")
    show(f"model server, {wanted.rows} row a request", mine["rate"], theirs["rate"], "req/s", "gunicorn+flask", 7)
    print(f"CPU of the server a request: ours {mine['cpu_us']:.1f} us, peer {theirs['cpu_us']:.1f} us, "
          f"ratio {theirs['cpu_us'] / mine['cpu_us']:.1f}")
    for p in ("50", "99"):
        print(f"p{p}: ours {mine['ms'][p]:.2f} ms, peer {theirs['ms'][p]:.2f} ms")
    print(f"start to first prediction: ours {ours_start * 1000:.0f} ms, peer {peer_start * 1000:.0f} ms")


if __name__ == "__main__":
    main()
