"""Every instance of a job finds the others by name and learns what each has: the sum of all ranks, made by talking."""
import argparse
import hashlib
import json
import os
import pathlib
import signal
import socket
import sys
import time

PORT = 7400
TALK_PORT = 7401


def plaintext():
    """What nobody but the instances of this job may read; it does not stand in the request that made the job."""
    return hashlib.sha256(os.environ["TRAINING_JOB_NAME"].encode()).hexdigest()


def listen():
    server = socket.create_server(("0.0.0.0", PORT), backlog=64)
    server.settimeout(120)
    return server


def connect(host, port):
    for _ in range(600):
        try:
            return socket.create_connection((host, port), 5)
        except OSError:  # not there yet
            time.sleep(0.1)
    sys.exit(f"{host} does not answer")


def tell(host, text):
    with connect(host, PORT) as s:
        s.sendall(text.encode())


def talk(host):
    """Without an end: a word there and back, again and again, over one connection."""
    if host:
        s = connect(host, TALK_PORT)
    else:
        with socket.create_server(("0.0.0.0", TALK_PORT)) as server:
            s = server.accept()[0]
    s.settimeout(30)
    for n in range(10**6):
        try:
            if host or n:
                s.sendall(b"x")
            word = s.recv(1)
        except ConnectionError:
            word = b""
        if not word:  # the other one was told to end before us
            signal.pause()
        assert word == b"x"
        print("talked", n, flush=True)
        time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fails", default="")
    parser.add_argument("--stranger", default="")
    parser.add_argument("--waits", default="")
    parser.add_argument("--talks", default="")
    options = parser.parse_args()
    hosts, me = sorted(json.loads(os.environ["SM_HOSTS"])), os.environ["SM_CURRENT_HOST"]
    assert socket.gethostname() == me
    server = listen()
    if me == options.fails:
        sys.exit("told to fail")
    others = [h for h in hosts if h != me]
    for host in others:
        tell(host, f"{hosts.index(me)} {plaintext()}")
    total = hosts.index(me)
    for _ in others:
        peer, address = server.accept()
        with peer:
            number, text = peer.makefile().read().split()
        assert text == plaintext()
        assert address[0] == socket.gethostbyname(hosts[int(number)]), f"algo-{number} speaks as {address[0]}"
        total += int(number)
    print("the sum is", total, "at", me, socket.gethostbyname(me), flush=True)
    if options.stranger:
        try:
            socket.create_connection((options.stranger, PORT), 2).close()
            sys.exit("reached a stranger")
        except OSError as e:
            print("the stranger is out of reach:", e, flush=True)
    model = pathlib.Path(os.environ["SM_MODEL_DIR"])
    (model / f"{me}.json").write_text(json.dumps({"sum": total, "hosts": hosts}))
    (model / "common.txt").write_text("of all hosts")
    if options.talks:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        talk("" if me == "algo-1" else "algo-1")
    if me in options.waits.split("/"):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        print("waits", flush=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
