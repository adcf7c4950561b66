"""Splits a table in two, the way the documentation of SKLearnProcessor does."""
import argparse
import os

import pandas
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--held-out", type=float)
arguments = parser.parse_args()
rows = pandas.read_csv("/opt/ml/processing/input/rows.csv", header=None)
train, test = train_test_split(rows, test_size=arguments.held_out, random_state=1)
print(f"{len(train)} rows for training, {len(test)} held out")
for name, part in ("train", train), ("test", test):
    os.makedirs(f"/opt/ml/processing/{name}", exist_ok=True)
    part.to_csv(f"/opt/ml/processing/{name}/{name}.csv", header=False, index=False)
