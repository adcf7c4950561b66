"""A training that saves again and again, always as much, until it is ended."""
import pathlib
import time

folder = pathlib.Path("/opt/ml/checkpoints")
while True:
    new = folder / "last.sagemaker-ignore"
    new.write_bytes(bytes(100000))
    new.rename(folder / "last")
    time.sleep(1.3)
