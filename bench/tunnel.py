#!/usr/bin/env python3
"""How fast two instances of a job talk to each other, and what EnableInterContainerTrafficEncryption costs of it.

    bench/tunnel.py [--megabytes 2000]

algo-1 sends algo-2 so many bytes over one TCP connection, then one byte there and back many times. The same job runs
without EnableInterContainerTrafficEncryption and with it.
"""
import argparse

import training
from common import Server, wait_for

SCRIPT = """
import json, os, socket, time
size, turns = %d << 20, 2000
me, chunk = os.environ["SM_CURRENT_HOST"], bytes(1 << 20)
if me == "algo-2":
    with socket.create_server(("0.0.0.0", 7400)) as server:
        s = server.accept()[0]
    left, room = size, bytearray(1 << 20)
    while left: left -= s.recv_into(room, min(left, len(room)))
    s.sendall(b"x")
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(turns): s.sendall(s.recv(1))
else:
    while True:
        try: s = socket.create_connection(("algo-2", 7400)); break
        except OSError: time.sleep(0.1)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    start = time.time()
    for _ in range(size >> 20): s.sendall(chunk)
    s.recv(1)
    rate = size / (time.time() - start) / 1e6
    start = time.time()
    for _ in range(turns): s.sendall(b"x"); s.recv(1)
    print(f"rate {rate:.1f} turn {1e6 * (time.time() - start) / turns:.1f};", flush=True)
"""


def figures(server, megabytes, encrypted):
    """MB/s, and the microseconds of a byte there and back."""
    state = training.run(server, script=SCRIPT % megabytes, resources={"InstanceCount": 2},
                         EnableInterContainerTrafficEncryption=encrypted)
    said = wait_for(lambda: [line for line in training.lines(server, state) if line.startswith("rate ")], 30,
                    "the figures")
    words = said[0].rstrip(";").split()
    return float(words[1]), float(words[3])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=2000)
    options = parser.parse_args()
    with Server() as server:
        (rate, turn), (sealed_rate, sealed_turn) = (figures(server, options.megabytes, e) for e in (False, True))
    print(f"between two instances {rate:.0f} MB/s, encrypted {sealed_rate:.0f} MB/s; a byte there and back {turn:.0f} "
          f"us, encrypted {sealed_turn:.0f} us")


if __name__ == "__main__":
    main()
