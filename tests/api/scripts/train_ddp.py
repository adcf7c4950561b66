"""DistributedDataParallel over gloo: every rank has its part of the rows, and all end with the model that one process
makes of all rows. Under torchrun by the variables that it sets, under mpirun by Open MPI's; alone without either.

--fails HOST raises there after the second step, --killed HOST kills that rank. --waits STEP waits there, once, for the
notice that the instances are taken back, and saves a checkpoint then."""
import argparse
import json
import os
import pathlib
import signal
import sys

import torch
import torch.distributed

STEPS, ROWS = 5, 48
CHECKPOINT = pathlib.Path("/opt/ml/checkpoints/state.pt")


def rows():
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(ROWS, 4, generator=generator, dtype=torch.float64)
    return x, x @ torch.tensor([[1.0], [-2.0], [3.0], [0.5]], dtype=torch.float64) + 0.25


def place():
    """(rank, number of ranks) as the launcher says."""
    for rank, size in (("RANK", "WORLD_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")):
        if rank in os.environ:
            return int(os.environ[rank]), int(os.environ[size])
    return 0, 1


def wait_for_notice(rank, step, parts):
    def on_notice(*_):
        if rank == 0:
            new = CHECKPOINT.with_suffix(".sagemaker-ignore")
            torch.save({"step": step, "parts": [part.state_dict() for part in parts]}, new)
            new.rename(CHECKPOINT)
        sys.exit(0)
    signal.signal(signal.SIGTERM, on_notice)
    print("waits at step", step, flush=True)
    while True:
        signal.pause()


def train(rank, size, options):
    torch.manual_seed(1)
    model = torch.nn.Linear(4, 1, dtype=torch.float64)
    trained = torch.nn.parallel.DistributedDataParallel(model) if size > 1 else model
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.1, momentum=0.9)
    x, y = (part[rank::size] for part in rows())
    first = 0
    if CHECKPOINT.exists():
        saved = torch.load(CHECKPOINT)
        first = saved["step"]
        for part, state in zip((model, optimizer), saved["parts"]):
            part.load_state_dict(state)
        print(f"rank={rank} begins again at step {first}", flush=True)
    for step in range(first, STEPS):
        if step == options.waits and not first:
            wait_for_notice(rank, step, (model, optimizer))
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(trained(x), y)
        loss.backward()
        optimizer.step()
        here = os.environ.get("SM_CURRENT_HOST")
        if step == 1 and here == options.fails:
            raise ValueError(f"told to fail at {here}")
        if step == 1 and here == options.killed:
            os.kill(os.getpid(), signal.SIGKILL)
    print(f"rank={rank} of={size} at={here} loss={loss.item():.6f}", flush=True)
    return {name: tensor.flatten().tolist() for name, tensor in model.state_dict().items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fails", default="")
    parser.add_argument("--killed", default="")
    parser.add_argument("--waits", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rank, size = place()
    if size > 1:
        torch.distributed.init_process_group("gloo", rank=rank, world_size=size)
    weights = train(rank, size, options)
    folder = pathlib.Path(os.environ["SM_MODEL_DIR"])
    if rank == 0:
        (folder / "weights.json").write_text(json.dumps(weights))
    (folder / f"rank-{rank}.json").write_text(json.dumps({"host": os.environ.get("SM_CURRENT_HOST"),
                                                          "weights": weights}))
    if size > 1:
        torch.distributed.barrier()


if __name__ == "__main__":
    main()
