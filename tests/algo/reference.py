"""reference.py - what the xgboost Python package (Debian's, of the release whose library we use) makes of the same
data.

Run by /usr/bin/python3, which has xgboost and scikit-learn; speaks JSON: the command on standard input, the answer on
standard output. The private environment of the tests has no xgboost on purpose: the peer is the one that users have."""
import json
import sys

import numpy as np
import sklearn.datasets
import sklearn.metrics
import xgboost as xgb


def dataset(name, folder):
    """Writes <folder>/train.csv and <folder>/validation.csv, label first, with a few values missing."""
    X, y = getattr(sklearn.datasets, "load_" + name)(return_X_y=True)
    order = np.random.RandomState(1).permutation(len(y))
    X, y = X[order].astype(np.float32).astype(float), y[order]
    X[np.random.RandomState(2).rand(*X.shape) < 0.03] = np.nan
    cut = len(y) * 7 // 10
    for part, rows in (("train", slice(0, cut)), ("validation", slice(cut, None))):
        with open(f"{folder}/{part}.csv", "w") as f:
            for label, row in zip(y[rows], X[rows]):
                f.write(",".join([repr(float(label))] + ["" if np.isnan(v) else repr(float(v)) for v in row]) + "\n")
    return {"rows": len(y), "features": X.shape[1]}


def load(path):
    table = np.genfromtxt(path, delimiter=",", dtype=np.float64)
    return xgb.DMatrix(table[:, 1:].astype(np.float32), table[:, 0])


def parameters(given):
    p = {k: v for k, v in given.items() if k != "num_round"}
    p["nthread"] = 1
    if "eval_metric" in p:
        p["eval_metric"] = p["eval_metric"].split(",")
    return p


def train(folder, hyperparameters, save=None):
    sets = {n: load(f"{folder}/{n}.csv") for n in ("train", "validation")}
    seen = {}
    booster = xgb.train(parameters(hyperparameters), sets["train"], int(hyperparameters["num_round"]),
                        evals=[(sets["train"], "train"), (sets["validation"], "validation")], evals_result=seen,
                        verbose_eval=False)
    if save:
        booster.save_model(save)
    margin = booster.predict(sets["validation"], output_margin=True)
    labels = sets["validation"].get_label()
    m = sklearn.metrics
    ours = {"mse": lambda: m.mean_squared_error(labels, margin), "r2": lambda: m.r2_score(labels, margin)}
    if hyperparameters["objective"].split(":")[0] in ("binary", "multi"):
        classes = margin.argmax(axis=1) if margin.ndim > 1 else (margin > 0).astype(int)
        ours = {
            "accuracy": lambda: m.accuracy_score(labels, classes),
            "balanced_accuracy": lambda: m.balanced_accuracy_score(labels, classes),
            "f1": lambda: m.f1_score(labels, classes, average="macro"),
            "f1_binary": lambda: m.f1_score(labels, classes),
            "precision": lambda: m.precision_score(labels, classes),
            "precision_macro": lambda: m.precision_score(labels, classes, average="macro"),
            "precision_micro": lambda: m.precision_score(labels, classes, average="micro"),
            "recall": lambda: m.recall_score(labels, classes),
            "recall_macro": lambda: m.recall_score(labels, classes, average="macro"),
            "recall_micro": lambda: m.recall_score(labels, classes, average="micro"),
        }
        if margin.ndim > 1:
            ours = {k: v for k, v in ours.items() if k not in ("f1_binary", "precision", "recall")}
    return {"metrics": {s: {k: v[-1] for k, v in seen[s].items()} for s in seen},
            "ours": {k: float(v()) for k, v in ours.items()},
            "predictions": booster.predict(sets["validation"]).tolist()}


def predict(model, csv):
    booster = xgb.Booster(model_file=model)
    return {"predictions": booster.predict(load(csv)).tolist(), "rounds": booster.num_boosted_rounds() if
            "gblinear" not in booster.save_config() else 0, "features": booster.num_features()}


def recordio(csv, out, sparse):
    """The CSV as recordio-protobuf, written by hand, as another encoder than the one under test."""
    import struct

    def field(number, data):
        size, head = len(data), bytes([number << 3 | 2])
        while size > 127:
            head += bytes([size & 127 | 128])
            size >>= 7
        return head + bytes([size]) + data

    def varint(v):
        out = b""
        while v > 127:
            out += bytes([v & 127 | 128])
            v >>= 7
        return out + bytes([v])

    with open(out, "wb") as f:
        for line in open(csv):
            values = [float(v) if v.strip() else float("nan") for v in line.split(",")]
            label, row = values[0], values[1:]
            if sparse:
                keys = [i for i, v in enumerate(row) if v == v]
                tensor = field(1, struct.pack(f"<{len(keys)}f", *[row[i] for i in keys]))
                tensor += field(2, b"".join(varint(k) for k in keys)) + field(3, varint(len(row)))
            else:
                tensor = field(1, struct.pack(f"<{len(row)}f", *row))
            record = field(1, field(1, b"values") + field(2, field(2, tensor)))
            record += field(2, field(1, b"values") + field(2, field(2, field(1, struct.pack("<f", label)))))
            f.write(struct.pack("<II", 0xced7230a, len(record)) + record + b"\0" * (-len(record) % 4))
    return {}


command = json.load(sys.stdin)
answer = globals()[command.pop("do")](**command)
json.dump(answer, sys.stdout)
