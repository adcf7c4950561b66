"""A scikit-learn script as people write them for SageMaker."""
import argparse
import os

import joblib
import numpy
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--note")
    parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
    args = parser.parse_args()
    print(f"rounds={args.rounds} note={args.note}", flush=True)
    files = [os.path.join(args.train, name) for name in os.listdir(args.train)]
    rows = numpy.concatenate([numpy.loadtxt(f, delimiter=",") for f in files])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=args.rounds))
    model.fit(rows[:, 1:], rows[:, 0])
    joblib.dump(model, os.path.join(args.model_dir, "model.joblib"))
