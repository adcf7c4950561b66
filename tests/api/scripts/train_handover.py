"""The second instance ends at once and has a model to give. The first takes the port at which its agent hears of that,
as soon as the agent is away, insults whoever calls there, and ends as it is told."""
import argparse
import json
import os
import pathlib
import socket
import sys
import time

HANDOVER_PORT = 7338
PORT = 7400
CALLS = 4


def take_port():
    """In place of the agent, which has it unless it was killed."""
    print("tries", flush=True)
    for _ in range(6000):
        try:
            port = socket.create_server((socket.gethostbyname("algo-1"), HANDOVER_PORT), backlog=64)
            print("has the port", flush=True)
            return port
        except OSError:
            time.sleep(0.02)
    sys.exit("the port is never free")


def lead():
    with take_port() as port, socket.create_server(("0.0.0.0", PORT)):  # by which the other knows
        for n in range(CALLS):
            agent, address = port.accept()
            with agent:
                agent.settimeout(30)
                heard = b""
                while len(heard) < 42:
                    heard += agent.recv(42 - len(heard)) or sys.exit("an agent that does not speak")
                agent.sendall(heard + heard[:22])
                rest = agent.recv(1)  # it has heard enough
                print("call", n, "of", address[0], "and then", rest, flush=True)


def follow():
    for _ in range(6000):
        try:
            socket.create_connection(("algo-1", PORT), 5).close()
            return
        except OSError:
            time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ends", type=int, default=0)
    options = parser.parse_args()
    me = os.environ["SM_CURRENT_HOST"]
    (pathlib.Path(os.environ["SM_MODEL_DIR"]) / f"{me}.json").write_text(json.dumps(me))
    (pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"]) / f"{me}.txt").write_text(me)
    if me == "algo-1":
        lead()
        sys.exit(options.ends)
    follow()


if __name__ == "__main__":
    main()
