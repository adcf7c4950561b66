"""The second instance ends at once and has a model to give. The first takes the port at which its agent hears of that,
as soon as the agent is away, insults whoever calls there until it has had enough, and ends as it is told."""
import argparse
import json
import os
import pathlib
import socket
import sys
import time

HANDOVER_PORT = 7338
PORT = 7400
CALLS = 4  # at least
ENOUGH = pathlib.Path("/opt/ml/output/enough")


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


def insult(agent):
    """What the agent says to it."""
    agent.settimeout(30)
    heard = b""
    while len(heard) < 42:
        said = agent.recv(42 - len(heard))
        if not said:
            raise ConnectionError("it does not speak")
        heard += said
    agent.sendall(heard + heard[:22])
    return agent.recv(1)


def lead():
    with take_port() as port, socket.create_server(("0.0.0.0", PORT)):  # by which the other knows
        calls = 0
        while calls < CALLS or not ENOUGH.exists():
            agent, address = port.accept()
            with agent:
                try:
                    print("call", calls, "of", address[0], "and then", insult(agent), flush=True)
                    calls += 1
                except ConnectionError as e:  # it was killed
                    print("cut:", e, flush=True)


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
