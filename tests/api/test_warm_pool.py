"""Managed warm pools: what the SDK's keep_alive_period_in_seconds keeps, who gets it, when it ends and what it
costs."""
import os
import pathlib
import signal

import pytest

from conftest import holder, wait_for

sagemaker = pytest.importorskip("sagemaker")
import sagemaker.sklearn  # noqa: E402

SCRIPTS = pathlib.Path(__file__).parent / "scripts"


@pytest.fixture(autouse=True)
def nothing_is_kept(server, no_failure_goes_on):
    """The next test counts who stands by."""
    yield
    sm = server.client("sagemaker")
    for job in sm.list_training_jobs(WarmPoolStatusEquals="Available")["TrainingJobSummaries"]:
        sm.update_training_job(TrainingJobName=job["TrainingJobName"], ResourceConfig={"KeepAlivePeriodInSeconds": 0})
    wait_for(lambda: not server.standing_by(), 60, "the end of what stood by")


@pytest.fixture
def fit(session):
    """Runs a job to its end."""
    def run(name, instance_type="ml.m5.large", keep=600, **more):
        estimator = sagemaker.sklearn.SKLearn(
            "train_warm.py", source_dir=str(SCRIPTS), role=sagemaker.get_execution_role(session), instance_count=1,
            instance_type=instance_type, framework_version="1.2-1", sagemaker_session=session,
            keep_alive_period_in_seconds=keep, **more)
        estimator.fit(job_name=name, logs=False)
        return estimator

    return run


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


def standing_by(server):
    """The folders of agents that wait for an order, once all their containers do."""
    def look():
        folders = server.standing_by()
        return folders if all((f / "box" / "waiting").exists() for f in folders) else None

    return wait_for(look, 60, "a container that waits")


def runs(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # before it is opened, or after
        return False


def kill(pid):
    """And waits for its end: until the kernel finds the time it holds its locks, and counts as alive."""
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not runs(pid), 60, f"the end of {pid}")


def test_the_second_job_takes_what_the_first_has_kept(server, session, aws, unique, fit, pool, jobs):
    sm = aws("sagemaker")
    before_ms = server.cost("work").get("warm pool", {}).get("used_ms", 0)  # of other tests' pools
    first = fit(unique + "-1", environment={"SECRET": unique + "-1"}).latest_training_job.describe()
    assert first["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 600
    assert pool(unique + "-1", "Available").keys() >= {"Status", "ResourceRetainedBillableTimeInSeconds"}
    with pytest.raises(sm.exceptions.ResourceInUse, match="warm pool"):
        sm.delete_training_job(TrainingJobName=unique + "-1")

    # Another instance type starts cold, and what is kept stays.
    fit(unique + "-other", instance_type="ml.m5.xlarge", keep=None)
    assert "WarmPoolStatus" not in sm.describe_training_job(TrainingJobName=unique + "-other")
    assert pool(unique + "-1", "Available")

    standing_by(server)
    fit(unique + "-2", hyperparameters={"rounds": 2}, environment={"SECRET": unique + "-2"})
    # Of the job before there is what it put into the cache, and nothing else.
    assert {"left behind: []", "in the cache: [] with {}"} <= {*jobs.lines(unique + "-1")}
    assert {"left behind: []",
            f"in the cache: ['mark-{unique}-1'] with " '{"rounds":2}'} <= {*jobs.lines(unique + "-2")}
    for name in unique + "-1", unique + "-2":
        assert f"told to its processes: ['SECRET={name}']" in jobs.lines(name)
    reused = pool(unique + "-1", "Reused")
    assert reused["ReusedByJob"] == unique + "-2" and reused["ResourceRetainedBillableTimeInSeconds"] >= 1
    assert pool(unique + "-2", "Available")
    listed = sm.list_training_jobs(WarmPoolStatusEquals="Reused", NameContains=unique)["TrainingJobSummaries"]
    assert [job["TrainingJobName"] for job in listed] == [unique + "-1"]

    session.update_training_job(unique + "-2", resource_config={"KeepAlivePeriodInSeconds": 0})
    ended = pool(unique + "-2", "Terminated")
    seconds = reused["ResourceRetainedBillableTimeInSeconds"] + ended["ResourceRetainedBillableTimeInSeconds"]
    line = server.cost("work")["warm pool"]
    assert line["usd"] > 0 and not line["running"]
    assert seconds - 2 <= (line["used_ms"] - before_ms) / 1000 <= seconds + 0.001
    with pytest.raises(sm.exceptions.ClientError, match="its warm pool is Terminated"):
        session.update_training_job(unique + "-2", resource_config={"KeepAlivePeriodInSeconds": 60})


@pytest.fixture
def shell(jobs):
    """Starts a job of a line for the shell; what it returns waits for its end."""
    def start(name, line, keep=0, image="sagemaker-base-python", instances=1, **more):
        kept = {"KeepAlivePeriodInSeconds": keep} if keep else {}
        jobs.create(name, line, AlgorithmSpecification={"TrainingImage": image},
                    ResourceConfig={"InstanceCount": instances, **kept}, **more)
        return lambda: jobs.completed(name)

    return start


@pytest.mark.parametrize("killed", ["nobody", "agent", "container", "both"])
def test_what_stands_by_may_die(server, jobs, unique, shell, pool, killed):
    shell(unique + "-1", "echo first", keep=600)()
    pool(unique + "-1", "Available")
    folder, = standing_by(server)
    waiting = wait_for(lambda: holder(folder / "box" / "waiting"), 60, "an init that waits")
    if killed in ("agent", "both"):
        kill(holder(folder / "agent.pid"))
    if killed in ("container", "both"):
        kill(waiting)
    ended = shell(unique + "-2", 'echo "$TRAINING_JOB_NAME $WHICH"; while [ ! -e /tmp/go ]; do sleep 0.05; done',
                  Environment={"WHICH": "second"})
    wait_for(lambda: (folder / "box" / "started").exists() or None, 60, "the second job's container")
    assert (folder / "box" / "command").exists() == (killed in ("nobody", "agent"))
    wait_for(lambda: (folder / "root" / "tmp").exists() or None, 60, "its root")
    (folder / "root" / "tmp" / "go").touch()
    ended()
    assert jobs.lines(unique + "-2") == [f"{unique}-2 second"]
    assert pool(unique + "-1", "Reused")["ReusedByJob"] == unique + "-2"
    wait_for(lambda: not folder.exists(), 60, "the end of its folder")


def test_another_image_starts_a_container_of_its_own(server, jobs, unique, shell, pool):
    shell(unique + "-1", "echo first", keep=600)()
    pool(unique + "-1", "Available")
    standing_by(server)
    # The pool is taken all the same: by AWS's rules the image need not be the same.
    shell(unique + "-2", 'echo "$SAGEBRUSH_IMAGE"', image="sagemaker-scikit-learn:1.2-1-cpu-py3")()
    assert jobs.lines(unique + "-2") == ["sagemaker-scikit-learn:1.2-1-cpu-py3"]
    assert pool(unique + "-1", "Reused")


MEET = """
import os, socket, threading, time
me = os.environ["HOSTNAME"]
server = socket.create_server(("0.0.0.0", 7000))
threading.Thread(target=lambda: server.accept()[0].sendall(me.encode()), daemon=True).start()
for _ in range(600):
    try:
        other = "algo-1" if me == "algo-2" else "algo-2"
        print(me, "meets", socket.create_connection((other, 7000), 1).recv(9).decode())
        break
    except OSError:
        time.sleep(0.1)
time.sleep(1)
"""


def test_instances_that_are_kept_meet_again(server, jobs, unique, shell, pool):
    for name, keep in ((unique + "-1", 600), (unique + "-2", 0)):
        shell(name, 'exec python3 -c "$CODE"', keep=keep, instances=2, Environment={"CODE": MEET})()
        assert sorted(jobs.lines(name)) == ["algo-1 meets algo-2", "algo-2 meets algo-1"]
        if keep:
            pool(name, "Available")
            wait_for(lambda: len(standing_by(server)) == 2, 60, "both containers that wait")
    assert pool(unique + "-1", "Reused")["ReusedByJob"] == unique + "-2"


def test_a_job_that_needs_more_than_is_there_gets_it(server, aws, unique, shell, pool, bucket, jobs):
    aws("s3").put_object(Bucket=bucket, Key="in/x", Body=b"read from s3")
    shell(unique + "-1", "true", keep=600)()
    pool(unique + "-1", "Available")
    standing_by(server)
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/in/"}}
    shell(unique + "-2", "cat /opt/ml/input/data/fast/x", InputDataConfig=[
        {"ChannelName": "fast", "DataSource": source, "InputMode": "FastFile"}])()
    assert jobs.lines(unique + "-2") == ["read from s3"]
    assert pool(unique + "-1", "Reused")


def test_nothing_stands_by_after_the_end(server, session, aws, unique, shell, pool):
    shell(unique, "true", keep=600)()
    pool(unique, "Available")
    folder, = standing_by(server)
    waiting = holder(folder / "box" / "waiting")
    session.update_training_job(unique, resource_config={"KeepAlivePeriodInSeconds": 0})
    pool(unique, "Terminated")
    wait_for(lambda: not folder.exists(), 60, "the end of what stood by")
    assert not runs(waiting)


def test_a_pool_ends_when_its_period_does(server, fit, unique, pool):
    fit(unique, keep=1)
    assert pool(unique, "Terminated")["ResourceRetainedBillableTimeInSeconds"] == 1


def test_a_control_plane_that_is_killed_forgets_no_pool(server, aws, unique, fit, pool):
    fit(unique + "-1")
    assert pool(unique + "-1", "Available")
    server.kill_control()
    fit(unique + "-2", keep=None)
    assert pool(unique + "-1", "Reused")["ReusedByJob"] == unique + "-2"
    assert pool(unique + "-2", "Terminated")
