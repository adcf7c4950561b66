"""A training that can be interrupted: every step is in the checkpoint, and the same seed gives the same weights however
often it was interrupted. At each of --stops it waits for the notice that its capacity is taken back, once."""
import argparse
import json
import os
import pathlib
import random
import signal
import sys

CHECKPOINTS = pathlib.Path("/opt/ml/checkpoints")


def save(state):
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    new = CHECKPOINTS / "state.json.sagemaker-ignore"
    new.write_text(json.dumps(state))
    new.rename(CHECKPOINTS / "state.json")


def step(state):
    """One step of stochastic gradient descent to the line through (x, 3x + 1)."""
    dice = random.Random(state["step"])
    for _ in range(32):
        x = dice.uniform(-1, 1)
        error = state["a"] * x + state["b"] - (3 * x + 1)
        state["a"] -= 0.1 * error * x
        state["b"] -= 0.1 * error
    state["step"] += 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int)
    parser.add_argument("--stops", default="")
    options = parser.parse_args()
    stops = {int(s) for s in str(options.stops).split("/") if s}
    saved = CHECKPOINTS / "state.json"
    state = json.loads(saved.read_text()) if saved.exists() else {"step": 0, "a": 0.0, "b": 0.0, "stopped": []}
    print("begins at step", state["step"], flush=True)

    def on_notice(*_):
        state["stopped"].append(state["step"])
        save(state)
        sys.exit(0)

    while state["step"] < options.steps:
        step(state)
        save(state)
        if state["step"] in stops - set(state["stopped"]):
            signal.signal(signal.SIGTERM, on_notice)
            print("waits at step", state["step"], flush=True)
            while True:
                signal.pause()
    pathlib.Path(os.environ["SM_MODEL_DIR"], "weights.json").write_text(json.dumps(state))
    print("ends at step", state["step"], flush=True)


if __name__ == "__main__":
    main()
