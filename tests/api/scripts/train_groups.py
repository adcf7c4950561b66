"""Tells what an instance of a heterogeneous cluster is told: its group, the others', and which channels it has."""
import json
import os
import pathlib


def variable(name):
    value = os.environ["SM_" + name]
    try:
        return json.loads(value)
    except ValueError:
        return value


told = {name.lower(): variable(name) for name in (
    "CURRENT_HOST", "CURRENT_INSTANCE_TYPE", "CURRENT_INSTANCE_GROUP", "CURRENT_INSTANCE_GROUP_HOSTS",
    "INSTANCE_GROUPS",
    "INSTANCE_GROUPS_DICT", "DISTRIBUTION_INSTANCE_GROUPS", "HOSTS", "CHANNELS", "IS_HETERO")}
told["files"] = {c: sorted(p.name for p in pathlib.Path("/opt/ml/input/data", c).iterdir()) for c in told["channels"]}
told["config"] = json.loads(pathlib.Path("/opt/ml/input/config/resourceconfig.json").read_text())
print("told", json.dumps(told), flush=True)
