"""A training that can be interrupted at any moment: model, optimizer, random state, the order of the rows and the place
in it are in the checkpoint, written every few steps. It ends when it has been interrupted --interruptions times, not
before."""
import argparse
import json
import os
import pathlib
import signal

import torch

ROWS, BATCH, EVERY = 64, 8, 4


def new_state():
    torch.manual_seed(11)
    model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    return {"step": 0, "attempts": [], "order": [], "model": model, "optimizer": optimizer}


def save(state, folder):
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / "state.pt.sagemaker-ignore"
    torch.save({**state, "model": state["model"].state_dict(), "optimizer": state["optimizer"].state_dict(),
                "random": torch.get_rng_state()}, new)
    new.rename(folder / "state.pt")


def restore(folder):
    state = new_state()
    if (folder / "state.pt").exists():
        saved = torch.load(folder / "state.pt")
        for part in ("model", "optimizer"):
            state[part].load_state_dict(saved.pop(part))
        torch.set_rng_state(saved.pop("random"))
        state.update(saved)
    return state


def step(state, x, y):
    if not state["order"]:
        state["order"] = torch.randperm(ROWS).tolist()
    batch, state["order"] = state["order"][:BATCH], state["order"][BATCH:]
    state["optimizer"].zero_grad()
    loss = torch.nn.functional.mse_loss(state["model"](x[batch]), y[batch])
    loss.backward()
    state["optimizer"].step()
    state["step"] += 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int)
    parser.add_argument("--interruptions", type=int, default=0)
    parser.add_argument("--checkpoints", type=pathlib.Path, default="/opt/ml/checkpoints")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = torch.Generator().manual_seed(5)
    x = torch.randn(ROWS, 6, generator=rows)
    y = x[:, :1] * x[:, 1:2] + 0.1 * torch.randn(ROWS, 1, generator=rows)
    state = restore(options.checkpoints)
    state["attempts"].append(state["step"])
    print("begins at step", state["step"], flush=True)
    while state["step"] < options.steps:
        step(state, x, y)
        if state["step"] % EVERY == 0:
            save(state, options.checkpoints)
            print("saved step", state["step"], flush=True)
    save(state, options.checkpoints)
    while len(state["attempts"]) <= options.interruptions:
        print("saved step", state["step"], "and waits", flush=True)
        signal.pause()
    weights = {name: tensor.numpy().tobytes().hex() for name, tensor in state["model"].state_dict().items()}
    pathlib.Path(os.environ["SM_MODEL_DIR"], "weights.json").write_text(json.dumps(
        {"weights": weights, "attempts": state["attempts"]}))


if __name__ == "__main__":
    main()
