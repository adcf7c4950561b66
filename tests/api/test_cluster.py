"""Jobs of several instances: they find each other, live and die together, and leave one model."""
import io
import json
import pathlib
import tarfile

import pytest

from conftest import wait_for

sagemaker = pytest.importorskip("sagemaker")
import sagemaker.pytorch  # noqa: E402

SCRIPTS = pathlib.Path(__file__).parent / "scripts"


def estimator(session, count, hyperparameters=None, **changes):
    return sagemaker.pytorch.PyTorch(
        "train_cluster.py", source_dir=str(SCRIPTS), role=sagemaker.get_execution_role(session), instance_count=count,
        instance_type="ml.m5.large", framework_version="2.1", py_version="py310", sagemaker_session=session, max_run=600,
        hyperparameters=hyperparameters or {}, **changes)


def ended(aws, job):
    sm = aws("sagemaker")

    def check():
        d = sm.describe_training_job(TrainingJobName=job)
        return d if d["TrainingJobStatus"] not in ("InProgress", "Stopping") else None
    return wait_for(check, 120, f"the end of {job}", 0.2)


def lines(aws, job):
    client = aws("logs")
    group = "/aws/sagemaker/TrainingJobs"
    try:
        streams = client.describe_log_streams(logGroupName=group, logStreamNamePrefix=job + "/")["logStreams"]
    except client.exceptions.ResourceNotFoundException:
        return {}
    return {s["logStreamName"].split("/")[1].rsplit("-", 1)[0]: [
        e["message"] for e in client.get_log_events(logGroupName=group, logStreamName=s["logStreamName"],
                                                    startFromHead=True)["events"]] for s in streams}


def model(aws, done):
    bucket, key = done["ModelArtifacts"]["S3ModelArtifacts"][5:].split("/", 1)
    tar = tarfile.open(fileobj=io.BytesIO(aws("s3").get_object(Bucket=bucket, Key=key)["Body"].read()))
    return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


@pytest.mark.parametrize("isolated", [False, True], ids=["open", "isolated"])
def test_they_find_each_other(server, aws, unique, isolated):
    session = sagemaker.Session()
    changes = {"enable_network_isolation": True} if isolated else {}
    estimator(session, 3, **changes).fit(job_name=unique, wait=False)
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    said = lines(aws, unique)
    assert said.keys() == {"algo-1", "algo-2", "algo-3"}
    for host, text in said.items():
        assert any(line.startswith(f"the sum is 3 at {host} 10.213.") for line in text), text
    # What every host has in its model folder is in the one archive.
    files = model(aws, done)
    assert files.keys() == {"algo-1.json", "algo-2.json", "algo-3.json", "common.txt"}
    assert all(json.loads(files[f"algo-{i}.json"]) == {"sum": 3, "hosts": ["algo-1", "algo-2", "algo-3"]} for i in (1, 2, 3))
    assert not list((server.data / "agents").glob("*")) or wait_for(
        lambda: not list((server.data / "agents").glob("*")), 30, "the sweep")


def test_one_fails_all_end(aws, unique):
    session = sagemaker.Session()
    estimator(session, 2, {"fails": "algo-2"}).fit(job_name=unique, wait=False)
    done = ended(aws, unique)
    assert done["TrainingJobStatus"] == "Failed"
    assert "told to fail" in done["FailureReason"]


def test_strangers_do_not_talk(aws, unique):
    session = sagemaker.Session()
    estimator(session, 2, {"waits": "algo-1/algo-2"}).fit(job_name=unique, wait=False)
    address = wait_for(lambda: [line.split()[-1] for line in lines(aws, unique).get("algo-1", [])
                                if line.startswith("the sum is")], 120, "the first job's address", 0.2)[0]
    other = unique + "-b"
    estimator(session, 2, {"stranger": address}).fit(job_name=other, wait=False)
    done = ended(aws, other)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert any("out of reach" in line for line in lines(aws, other)["algo-2"])
    aws("sagemaker").stop_training_job(TrainingJobName=unique)
    assert ended(aws, unique)["TrainingJobStatus"] == "Stopped"


def test_more_than_there_is_room_for(aws, unique):
    session = sagemaker.Session()
    with pytest.raises(Exception) as e:
        estimator(session, 1000).fit(job_name=unique, wait=False)
    assert "ResourceLimitExceeded" in str(e.value) and "request delta of 1000 Instances" in str(e.value)
