"""Every instance of a job finds the others by name and learns what each has: the sum of all ranks, made by talking."""
import argparse
import json
import os
import pathlib
import signal
import socket
import sys
import time

PORT = 7400


def listen():
    server = socket.create_server(("0.0.0.0", PORT), backlog=64)
    server.settimeout(120)
    return server


def tell(host, text):
    for _ in range(600):
        try:
            with socket.create_connection((host, PORT), 5) as s:
                s.sendall(text.encode())
                return
        except OSError:  # not there yet
            time.sleep(0.1)
    sys.exit(f"{host} does not answer")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fails", default="")
    parser.add_argument("--stranger", default="")
    parser.add_argument("--waits", default="")
    options = parser.parse_args()
    hosts, me = sorted(json.loads(os.environ["SM_HOSTS"])), os.environ["SM_CURRENT_HOST"]
    assert socket.gethostname() == me
    server = listen()
    if me == options.fails:
        sys.exit("told to fail")
    others = [h for h in hosts if h != me]
    for host in others:
        tell(host, str(hosts.index(me)))
    total = hosts.index(me)
    for _ in others:
        peer, _ = server.accept()
        with peer:
            total += int(peer.makefile().read())
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
    if me in options.waits.split("/"):
        print("waits", flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
