#!/usr/bin/env python3
"""How fast two instances of a job talk to each other, and what EnableInterContainerTrafficEncryption costs of it.

    bench/tunnel.py [--megabytes 2000] [--machines]

algo-1 sends algo-2 so many bytes over one TCP connection, then one byte there and back many times. The same job runs
without EnableInterContainerTrafficEncryption and with it; --machines: once, on two machines of a Slurm cluster, which
are made of namespaces of this one, with an MTU of 1500 between them. CPU is what both tunnels have used.
"""
import argparse
import contextlib
import os
import pathlib
import threading
import time

import common
import training
from common import Server, wait_for

import slurm_cluster  # of tests/api, which common has put into the path

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


class Tunnels(threading.Thread):
    """`with Tunnels() as t`: how long the tunnels that come meanwhile use a processor, as far as that was seen."""

    def __init__(self):
        super().__init__(daemon=True)
        self.used, self.before, self.ends = {}, set(self.running()), False

    @staticmethod
    def running():
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (folder / "comm").read_text().strip() == "sagebrush-tunne":
                    yield folder

    def run(self):
        while not self.ends:
            for folder in set(self.running()) - self.before:
                with contextlib.suppress(OSError):
                    words = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                    self.used[folder] = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
            time.sleep(0.05)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ends = True
        self.join()

    def seconds(self):
        return sum(self.used.values())


def figures(server, megabytes, encrypted):
    """MB/s, the microseconds of a byte there and back, and the seconds of processor time of a GB."""
    with Tunnels() as tunnels:
        state = training.run(server, script=SCRIPT % megabytes, resources={"InstanceCount": 2},
                             EnableInterContainerTrafficEncryption=encrypted)
    said = wait_for(lambda: [line for line in training.lines(server, state) if line.startswith("rate ")], 30,
                    "the figures")
    words = said[0].rstrip(";").split()
    return float(words[1]), float(words[3]), tunnels.seconds() / (megabytes * 1.048576e-3)


@contextlib.contextmanager
def two_machines():
    """A server whose jobs run on two other machines."""
    machines = [slurm_cluster.Machine(number) for number in (0, 1)]
    cluster = slurm_cluster.Cluster(nodes=2, machines=machines)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(common.folder())
        for machine in machines:
            stack.callback(machine.stop)
            machine.start()
        stack.callback(cluster.stop)
        cluster.start()
        os.environ["SLURM_CONF"] = str(cluster.conf)
        settings = f"bind = 0.0.0.0\nslurm-server = {machines[0].server}\nslurm-scratch = {folder / 'scratch'}\n"
        server = stack.enter_context(Server(settings, runtime="slurm",
                                            before=slurm_cluster.with_boot_id(folder / "boot_id")))
        for name, machine in zip(cluster.names, machines):
            machine.share(server.data, cluster.folder / f"hold-{name}", folder / "scratch")
        cluster.start_nodes()
        yield server


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--machines", action="store_true")
    options = parser.parse_args()
    if options.machines:
        with two_machines() as server:
            rate, turn, cost = figures(server, options.megabytes, False)
        print(f"between two machines {rate:.0f} MB/s, {cost:.1f} s CPU a GB; a byte there and back {turn:.0f} us")
        return
    with Server() as server:
        (rate, turn, _), sealed = (figures(server, options.megabytes, encrypted) for encrypted in (False, True))
    print(f"between two instances {rate:.0f} MB/s, encrypted {sealed[0]:.0f} MB/s, {sealed[2]:.1f} s CPU a GB; a byte "
          f"there and back {turn:.0f} us, encrypted {sealed[1]:.0f} us")


if __name__ == "__main__":
    main()
