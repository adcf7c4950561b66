"""What interruptions cost a spot job: the warning without CheckpointConfig, and the interval that is advised with
it."""
import pathlib
import re

import pytest

from conftest import wait_for

sagemaker = pytest.importorskip("sagemaker")
import sagemaker.sklearn  # noqa: E402

SCRIPTS = pathlib.Path(__file__).parent / "scripts"


def start(name, **options):
    session = sagemaker.Session()
    estimator = sagemaker.sklearn.SKLearn(
        "train_saves.py", source_dir=str(SCRIPTS), role=sagemaker.get_execution_role(session), instance_count=1,
        instance_type="ml.m5.large", framework_version="1.2-1", sagemaker_session=session,
        **{"max_run": 3600, **options})
    estimator.fit(job_name=name, wait=False)
    return session


def messages(aws, name):
    job = aws("sagemaker").describe_training_job(TrainingJobName=name)
    assert job["TrainingJobStatus"] in ("InProgress", "Stopping", "Stopped"), job.get("FailureReason")
    return {t["Status"]: t["StatusMessage"] for t in reversed(job["SecondaryStatusTransitions"])}  # the first of each


def test_without_checkpoints(server, aws, unique):
    start(unique, use_spot_instances=True, max_wait=7200)
    said = messages(aws, unique)["Starting"]
    aws("sagemaker").stop_training_job(TrainingJobName=unique)
    assert re.search(r"Warning: a spot job without CheckpointConfig begins anew after each interruption\. Its "
                     r"instance is interrupted about once in \d+ days: if the job needs its MaxRuntimeInSeconds of "
                     r"3600, \d+\.\d s of work are expected to be lost", said), said


def test_no_warning_where_nothing_is_lost(server, aws, unique):
    start(unique, use_spot_instances=True, max_run=300, max_wait=7200)
    said = messages(aws, unique)["Starting"]
    aws("sagemaker").stop_training_job(TrainingJobName=unique)
    assert said == "Starting the training job"


def test_no_warning_on_demand(server, aws, unique):
    start(unique)
    said = messages(aws, unique)["Starting"]
    aws("sagemaker").stop_training_job(TrainingJobName=unique)
    assert said == "Starting the training job"


def test_the_interval_is_shown(server, aws, unique):
    session = start(unique, use_spot_instances=True, max_wait=7200,
                    checkpoint_s3_uri=f"s3://{sagemaker.Session().default_bucket()}/{unique}")
    said = wait_for(lambda: (m := messages(aws, unique).get("Training", "")) and "lose the least" in m and m, 120,
                    "the advice", 0.5)
    assert said.startswith("Training image download completed. Training in progress. "
                           "A checkpoint (100.0 KB) takes "), said
    assert re.search(r"comes every \d[^:]+\. The job's spot instances are interrupted about once in \d+ days: one "
                     r"every [^:]+ would lose the least \(Young 1974, Daly 2006\)\.", said), said
    aws("sagemaker").stop_training_job(TrainingJobName=unique)
    session.wait_for_job(unique, poll=1)
    logs, group = aws("logs"), "/aws/sagemaker/TrainingJobs"
    stream = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=unique)["logStreams"][0]["logStreamName"]
    lines = [e["message"] for e in logs.get_log_events(logGroupName=group, logStreamName=stream)["events"]]
    assert sum("sagebrush: A checkpoint (100.0 KB) takes " in line for line in lines) == 1, lines
