"""Managed spot: capacity that is taken back, three times, from a job of the SageMaker SDK; and what cannot be interrupted."""
import json
import pathlib
import sys

import pytest

from conftest import drill_spot, log_lines, model_files, wait_for

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


def logs(aws, job):
    return list(log_lines(aws("logs"), job).values())


def test_interrupted_three_times(server, aws, unique):
    sm = aws("sagemaker")
    session = sagemaker.Session()
    checkpoints = f"s3://{session.default_bucket()}/{unique}/checkpoints"
    estimator = sagemaker.sklearn.SKLearn(
        "train_spot.py", source_dir=str(SCRIPTS), role=sagemaker.get_execution_role(session), instance_count=1,
        instance_type="ml.m5.large", framework_version="1.2-1", sagemaker_session=session,
        use_spot_instances=True, max_run=3600, max_wait=7200, checkpoint_s3_uri=checkpoints,
        hyperparameters={"steps": STEPS, "stops": "/".join(map(str, STOPS))})
    estimator.fit(job_name=unique, wait=False)

    def job():
        return sm.describe_training_job(TrainingJobName=unique)

    for stop in STOPS:
        wait_for(lambda: any(f"waits at step {stop}" in line for s in logs(aws, unique) for line in s), 120,
                 f"step {stop}", 0.2)
        taken = drill_spot(server, unique)
        assert taken.returncode == 0, taken.stderr
    done = wait_for(lambda: (d := job())["TrainingJobStatus"] != "InProgress" and d, 120, "the end of the job", 0.2)

    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    statuses = [t["Status"] for t in done["SecondaryStatusTransitions"]]
    assert statuses.count("Interrupted") == 3 and statuses.count("Training") == 4
    assert statuses.count("Uploading") == 1 and statuses[-1] == "Completed"
    assert "Starting" in statuses[statuses.index("Interrupted"):]
    assert 0 < done["BillableTimeInSeconds"] <= done["TrainingTimeInSeconds"]
    # Each attempt has a log of its own, and goes on at the step where the one before was interrupted.
    assert sorted(line for s in logs(aws, unique) for line in s if "begins at" in line) == sorted(
        f"begins at step {n}" for n in (0, *STOPS))

    weights = json.loads(model_files(aws, done)["weights.json"])
    expected = uninterrupted()
    assert (weights["step"], weights["a"], weights["b"]) == (expected["step"], expected["a"], expected["b"])
    assert weights["stopped"] == list(STOPS)

    late = drill_spot(server, unique)
    assert late.returncode != 0 and "is Completed: there is nothing to interrupt" in late.stderr


def test_what_cannot_be_interrupted(server, aws, unique):
    assert "there is no training job" in drill_spot(server, unique).stderr
    role = aws("iam").get_role(RoleName="SagebrushExecutionRole")["Role"]["Arn"]
    aws("s3").create_bucket(Bucket=unique)
    request = dict(
        TrainingJobName=unique, RoleArn=role, AlgorithmSpecification={
            "TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1",
            "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": f"s3://{unique}/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        StoppingCondition={"MaxRuntimeInSeconds": 600})
    aws("sagemaker").create_training_job(**request)
    refused = drill_spot(server, unique)
    assert refused.returncode != 0 and "is no spot job" in refused.stderr


def test_without_checkpoints_it_starts_from_the_beginning_and_is_told_so(server, aws, unique):
    sm = aws("sagemaker")
    role = aws("iam").get_role(RoleName="SagebrushExecutionRole")["Role"]["Arn"]
    aws("s3").create_bucket(Bucket=unique)
    sm.create_training_job(
        TrainingJobName=unique, RoleArn=role, EnableManagedSpotTraining=True, AlgorithmSpecification={
            "TrainingImage": "pytorch-training:1.13", "TrainingInputMode": "File", "ContainerEntrypoint": [
                "python3", "-c", "import time; print('begins', flush=True); time.sleep(600)"]},
        OutputDataConfig={"S3OutputPath": f"s3://{unique}/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        StoppingCondition={"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200})
    wait_for(lambda: any("begins" in line for s in logs(aws, unique) for line in s), 120, "its first line", 0.2)
    taken = drill_spot(server, unique)
    assert taken.returncode == 0 and "then from the beginning: it has no CheckpointConfig" in taken.stdout, taken

    def told():
        transitions = sm.describe_training_job(TrainingJobName=unique)["SecondaryStatusTransitions"]
        return next((t["StatusMessage"] for t in transitions if t["Status"] == "Interrupted"), None)

    assert "it starts again from the beginning" in wait_for(told, 120, "the interruption", 0.2)
    sm.stop_training_job(TrainingJobName=unique)
