"""Managed warm pools: what the SDK's keep_alive_period_in_seconds keeps, who gets it, when it ends and what it costs."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

from conftest import SAGEBRUSH, wait_for

sagemaker = pytest.importorskip("sagemaker")
import sagemaker.sklearn  # noqa: E402

SCRIPTS = pathlib.Path(__file__).parent / "scripts"


@pytest.fixture
def fit(session, aws):
    """Runs a job to its end; what it kept ends with the test."""
    names = []

    def run(name, instance_type="ml.m5.large", keep=600, **more):
        estimator = sagemaker.sklearn.SKLearn(
            "train_warm.py", source_dir=str(SCRIPTS), role=sagemaker.get_execution_role(session), instance_count=1,
            instance_type=instance_type, framework_version="1.2-1", sagemaker_session=session,
            keep_alive_period_in_seconds=keep, **more)
        estimator.fit(job_name=name, logs=False)
        names.append(name)
        return estimator

    yield run
    sm = aws("sagemaker")
    for name in names:
        if sm.describe_training_job(TrainingJobName=name).get("WarmPoolStatus", {}).get("Status") == "Available":
            session.update_training_job(name, resource_config={"KeepAlivePeriodInSeconds": 0})


@pytest.fixture
def pool(aws):
    """A job's WarmPoolStatus, once it is what is waited for."""
    sm = aws("sagemaker")

    def wait(name, status):
        def look():
            seen = sm.describe_training_job(TrainingJobName=name).get("WarmPoolStatus", {})
            return seen if seen.get("Status") == status else None

        return wait_for(look, 60, f"{status} of {name}")

    return wait


def cost(server, by):
    out = subprocess.run([SAGEBRUSH, "cost", "--data", server.data, "--by", by, "--json"], check=True,
                         capture_output=True, text=True).stdout
    return {line["name"]: line for line in json.loads(out)["lines"]}


def test_the_second_job_takes_what_the_first_has_kept(server, session, aws, unique, fit, pool):
    sm = aws("sagemaker")
    first = fit(unique + "-1").latest_training_job.describe()
    assert first["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 600
    assert pool(unique + "-1", "Available").keys() >= {"Status", "ResourceRetainedBillableTimeInSeconds"}
    with pytest.raises(sm.exceptions.ResourceInUse, match="warm pool"):
        sm.delete_training_job(TrainingJobName=unique + "-1")

    # Another instance type starts cold, and what is kept stays.
    fit(unique + "-other", instance_type="ml.m5.xlarge", keep=None)
    assert "WarmPoolStatus" not in sm.describe_training_job(TrainingJobName=unique + "-other")
    assert pool(unique + "-1", "Available")

    fit(unique + "-2", hyperparameters={"rounds": 2})
    reused = pool(unique + "-1", "Reused")
    assert reused["ReusedByJob"] == unique + "-2" and reused["ResourceRetainedBillableTimeInSeconds"] >= 1
    assert pool(unique + "-2", "Available")
    listed = sm.list_training_jobs(WarmPoolStatusEquals="Reused", NameContains=unique)["TrainingJobSummaries"]
    assert [job["TrainingJobName"] for job in listed] == [unique + "-1"]

    session.update_training_job(unique + "-2", resource_config={"KeepAlivePeriodInSeconds": 0})
    ended = pool(unique + "-2", "Terminated")
    seconds = reused["ResourceRetainedBillableTimeInSeconds"] + ended["ResourceRetainedBillableTimeInSeconds"]
    line = cost(server, "work")["warm pool"]
    assert line["usd"] > 0 and not line["running"]
    assert seconds - 2 <= line["used_ms"] / 1000 <= seconds + 0.001
    with pytest.raises(sm.exceptions.ClientError, match="its warm pool is Terminated"):
        session.update_training_job(unique + "-2", resource_config={"KeepAlivePeriodInSeconds": 60})


def test_a_pool_ends_when_its_period_does(server, fit, unique, pool):
    fit(unique, keep=1)
    assert pool(unique, "Terminated")["ResourceRetainedBillableTimeInSeconds"] == 1


def test_a_control_plane_that_is_killed_forgets_no_pool(server, aws, unique, fit, pool):
    fit(unique + "-1")
    assert pool(unique + "-1", "Available")
    before = server.pid("control")
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: server.pid("control") not in (None, before), 30, "another sagebrushd")
    fit(unique + "-2", keep=None)
    assert pool(unique + "-1", "Reused")["ReusedByJob"] == unique + "-2"
    assert pool(unique + "-2", "Terminated")
