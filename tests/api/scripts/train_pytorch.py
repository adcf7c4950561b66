"""A PyTorch script as people write them for SageMaker, with its own inference functions."""
import argparse
import os

import numpy
import torch


def net():
    return torch.nn.Sequential(torch.nn.BatchNorm1d(30), torch.nn.Linear(30, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1),
                               torch.nn.Sigmoid())


def model_fn(model_dir):
    model = net()
    model.load_state_dict(torch.load(os.path.join(model_dir, "model.pt")))
    return model.eval()


def predict_fn(data, model):
    with torch.no_grad():
        return model(torch.as_tensor(data, dtype=torch.float32)).numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--note")
    args = parser.parse_args()
    print(f"rounds={args.rounds} note={args.note}", flush=True)
    torch.manual_seed(1)
    torch.set_num_threads(1)
    folder = os.environ["SM_CHANNEL_TRAIN"]
    rows = numpy.concatenate([numpy.loadtxt(os.path.join(folder, f), delimiter=",", dtype="float32")
                              for f in os.listdir(folder)])
    x, y = torch.from_numpy(rows[:, 1:]), torch.from_numpy(rows[:, :1])
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(args.rounds):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    print(f"loss={loss.item():.4f}")
    torch.save(model.state_dict(), os.path.join(os.environ["SM_MODEL_DIR"], "model.pt"))
