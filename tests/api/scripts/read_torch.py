"""Datasets of PyTorch on the channels of a job: "stream" is a pipe of records, read once an epoch; "table" a FastFile
mount whose rows are read in any order by the workers of a DataLoader."""
import os
import time

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

COLUMNS = 4
SIZE = COLUMNS * 4  # of a record of 32-bit floats


def row_of(data):
    return torch.frombuffer(bytearray(data), dtype=torch.float32)


class Stream(IterableDataset):
    """One FIFO an epoch; the next appears when this one is closed."""
    def __init__(self, base):
        self.base, self.epoch = base, 0

    def __iter__(self):
        path = f"{self.base}_{self.epoch}"
        while not os.path.exists(path):
            time.sleep(0.01)
        self.epoch += 1
        with open(path, "rb") as pipe:
            while data := pipe.read(SIZE):
                yield row_of(data)


class Table(Dataset):
    def __init__(self, folder):
        self.paths = sorted(os.path.join(folder, name) for name in os.listdir(folder))
        self.counts = [os.path.getsize(path) // SIZE for path in self.paths]

    def __len__(self):
        return sum(self.counts)

    def __getitem__(self, index):
        for path, count in zip(self.paths, self.counts):
            if index < count:
                with open(path, "rb") as f:
                    f.seek(index * SIZE)
                    return row_of(f.read(SIZE))
            index -= count
        raise IndexError


torch.manual_seed(2)
stream = Stream(os.environ["SM_CHANNEL_STREAM"])
for epoch in range(2):
    batches = list(DataLoader(stream, batch_size=16))
    print(f"stream epoch {epoch}: {sum(len(b) for b in batches)} rows, sum {torch.cat(batches).sum().item():.0f}",
          flush=True)
table = Table(os.environ["SM_CHANNEL_TABLE"])
batches = list(DataLoader(table, batch_size=16, shuffle=True, num_workers=2))
print(f"table: {len(table)} rows, sum {torch.cat(batches).sum().item():.0f}", flush=True)
