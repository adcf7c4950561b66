"""A training that may be interrupted between any two instructions: every step is in the checkpoint before it is told,
and the weights are those of the steps and of what was read in them, and of nothing else."""
import argparse
import json
import os
import pathlib
import time

CHECKPOINTS = pathlib.Path("/opt/ml/checkpoints")
NUMBERS = pathlib.Path("/opt/ml/input/data/numbers")  # a FastFile channel: a file a step
KEPT = 3  # of the files that each step writes anew


def begun():
    return {"step": 0, "weight": 0}


def step(state, number):
    state["step"] += 1
    state["weight"] = (state["weight"] * 6364136223846793005 + number) % (1 << 64)


def write(path, text):
    new = path.with_name(path.name + ".sagemaker-ignore")
    new.write_text(text)
    new.rename(path)


def save(host, state):
    write(CHECKPOINTS / f"{host}-{state['step']}.txt", str(state["weight"]))
    write(CHECKPOINTS / f"{host}.json", json.dumps(state))
    (CHECKPOINTS / f"{host}-{state['step'] - KEPT}.txt").unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int)
    parser.add_argument("--pause", type=float)
    options = parser.parse_args()
    host = os.environ["SM_CURRENT_HOST"]
    saved = CHECKPOINTS / f"{host}.json"
    state = json.loads(saved.read_text()) if saved.exists() else begun()
    print("begins at", state["step"], flush=True)
    while state["step"] < options.steps:
        time.sleep(options.pause)
        step(state, int((NUMBERS / str(state["step"])).read_text()))
        save(host, state)
        print("step", state["step"], flush=True)
    model = pathlib.Path(os.environ["SM_MODEL_DIR"])
    (model / f"{host}.json").write_text(json.dumps(state))
    (model / "of").mkdir(exist_ok=True)
    (model / "of" / host).write_text("each host writes into a folder that all have")
    print("ends at", state["step"], flush=True)


if __name__ == "__main__":
    main()
