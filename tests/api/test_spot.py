"""Managed spot: capacity that is taken back, three times, from a job of the SageMaker SDK; and what cannot be
interrupted."""
import json
import pathlib
import sys

import pytest

from conftest import drill_spot, model_files
from jobs import transition

sagemaker = pytest.importorskip("sagemaker")
import sagemaker.sklearn  # noqa: E402

SCRIPTS = pathlib.Path(__file__).parent / "scripts"
STEPS, STOPS = 40, (7, 20, 33)


def uninterrupted():
    sys.path.insert(0, str(SCRIPTS))
    try:
        import train_spot
    finally:
        sys.path.pop(0)
    state = {"step": 0, "a": 0.0, "b": 0.0}
    while state["step"] < STEPS:
        train_spot.step(state)
    return state


def test_interrupted_three_times(server, aws, jobs, unique):
    session = sagemaker.Session()
    checkpoints = f"s3://{session.default_bucket()}/{unique}/checkpoints"
    estimator = sagemaker.sklearn.SKLearn(
        "train_spot.py", source_dir=str(SCRIPTS), role=sagemaker.get_execution_role(session), instance_count=1,
        instance_type="ml.m5.large", framework_version="1.2-1", sagemaker_session=session,
        use_spot_instances=True, max_run=3600, max_wait=7200, checkpoint_s3_uri=checkpoints,
        hyperparameters={"steps": STEPS, "stops": "/".join(map(str, STOPS))})
    estimator.fit(job_name=unique, wait=False)

    for stop in STOPS:
        jobs.says(unique, f"waits at step {stop}")
        taken = drill_spot(server, unique)
        assert taken.returncode == 0, taken.stderr
    done = jobs.completed(unique)
    statuses = [t["Status"] for t in done["SecondaryStatusTransitions"]]
    assert statuses.count("Interrupted") == 3 and statuses.count("Training") == 4
    assert statuses.count("Uploading") == 1 and statuses[-1] == "Completed"
    assert "Starting" in statuses[statuses.index("Interrupted"):]
    assert 0 < done["BillableTimeInSeconds"] <= done["TrainingTimeInSeconds"]
    # Each attempt has a log of its own, and goes on at the step where the one before was interrupted.
    begun = [line for line in jobs.lines(unique) if "begins at" in line]
    assert sorted(begun) == sorted(f"begins at step {n}" for n in (0, *STOPS))
    assert len(jobs.streams(unique)) == 4

    weights = json.loads(model_files(aws, done)["weights.json"])
    expected = uninterrupted()
    assert (weights["step"], weights["a"], weights["b"]) == (expected["step"], expected["a"], expected["b"])
    assert weights["stopped"] == list(STOPS)

    late = drill_spot(server, unique)
    assert late.returncode != 0 and "is Completed: there is nothing to interrupt" in late.stderr


def test_what_cannot_be_interrupted(server, jobs, unique):
    assert "there is no training job" in drill_spot(server, unique).stderr
    jobs.create(unique, "sleep 600")
    refused = drill_spot(server, unique)
    assert refused.returncode != 0 and "is no spot job" in refused.stderr
    jobs.end(unique)


def test_without_checkpoints_it_starts_from_the_beginning_and_is_told_so(server, jobs, unique):
    jobs.create(unique, script="import time; print('begins', flush=True); time.sleep(600)",
                EnableManagedSpotTraining=True, StoppingCondition={"MaxWaitTimeInSeconds": 7200})
    jobs.says(unique, "begins")
    taken = drill_spot(server, unique)
    assert taken.returncode == 0 and "then from the beginning: it has no CheckpointConfig" in taken.stdout, taken
    jobs.says(unique, "begins", 2)
    assert "it starts again from the beginning" in transition(jobs.describe(unique), "Interrupted")["StatusMessage"]
    jobs.end(unique)
