"""Heterogeneous clusters: InstanceGroups of the SDK, channels of some groups only, each instance paid by its own
type."""
import json
import pathlib

import pytest
from botocore.exceptions import ClientError

from conftest import wait_for
from jobs import request

sagemaker = pytest.importorskip("sagemaker")
import sagemaker.pytorch  # noqa: E402
from sagemaker.inputs import TrainingInput  # noqa: E402
from sagemaker.instance_group import InstanceGroup  # noqa: E402

SCRIPTS = pathlib.Path(__file__).parent / "scripts"


def told(aws, job):
    """By host, what its script printed."""
    client = aws("logs")
    found = {}
    for page in client.get_paginator("filter_log_events").paginate(logGroupName="/aws/sagemaker/TrainingJobs",
                                                                  logStreamNamePrefix=job + "/"):
        for event in page["events"]:
            if event["message"].startswith("told "):
                told = json.loads(event["message"][5:])
                found[told["current_host"]] = told
    return found


def test_groups(server, aws, session, unique):
    bucket, s3 = session.default_bucket(), aws("s3")
    for i in range(4):
        s3.put_object(Bucket=bucket, Key=f"{unique}/in/{i}", Body=b"x")
    data = f"s3://{bucket}/{unique}/in/"
    estimator = sagemaker.pytorch.PyTorch(
        "train_groups.py", source_dir=str(SCRIPTS), role=sagemaker.get_execution_role(session), framework_version="2.1",
        py_version="py310", sagemaker_session=session, max_run=600,
        instance_groups=[InstanceGroup("feeders", "ml.c5.xlarge", 2), InstanceGroup("trainer", "ml.m5.large", 1)])
    estimator.fit({"all": TrainingInput(data), "split": TrainingInput(data, distribution="ShardedByS3Key"),
                   "fed": TrainingInput(data, distribution="ShardedByS3Key", instance_groups=["feeders"]),
                   "own": TrainingInput(data, instance_groups=["trainer"])}, job_name=unique, wait=False)
    sm = aws("sagemaker")
    done = wait_for(lambda: (d := sm.describe_training_job(TrainingJobName=unique))["TrainingJobStatus"] != "InProgress"
                    and d, 120, "the end of the job", 0.2)
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert [g["InstanceGroupName"] for g in done["ResourceConfig"]["InstanceGroups"]] == ["feeders", "trainer"]
    assert "InstanceType" not in done["ResourceConfig"]

    hosts = wait_for(lambda: len(t := told(aws, unique)) == 3 and t, 60, "what each was told", 0.2)
    assert sorted(hosts) == ["algo-1", "algo-2", "algo-3"]
    for host, t in hosts.items():
        feeds = host != "algo-3"
        assert t["current_instance_group"] == t["config"]["current_group_name"] == ("feeders" if feeds else "trainer")
        assert t["current_instance_type"] == ("ml.c5.xlarge" if feeds else "ml.m5.large")
        assert t["current_instance_group_hosts"] == (["algo-1", "algo-2"] if feeds else ["algo-3"])
        assert t["hosts"] == ["algo-1", "algo-2", "algo-3"] and t["is_hetero"]
        assert t["instance_groups"] == ["feeders", "trainer"]
        assert t["instance_groups_dict"]["trainer"] == {
            "instance_group_name": "trainer", "instance_type": "ml.m5.large", "hosts": ["algo-3"]}
        assert t["channels"] == (["all", "fed", "split"] if feeds else ["all", "own", "split"])
        assert t["files"]["all"] == ["0", "1", "2", "3"]
    files = {h: t["files"] for h, t in hosts.items()}
    assert sorted(files["algo-1"]["fed"] + files["algo-2"]["fed"]) == ["0", "1", "2", "3"]
    assert len(files["algo-1"]["fed"]) == 2 and files["algo-3"]["own"] == ["0", "1", "2", "3"]
    assert sorted(f for t in files.values() for f in t["split"]) == ["0", "1", "2", "3"]

    line = server.cost("type")["ml.c5.xlarge"]
    assert line["instances"] >= 2 and line["usd"] > 0, line


GROUP = {"InstanceGroupName": "a", "InstanceType": "ml.m5.large", "InstanceCount": 1}


@pytest.mark.parametrize("resources, more, words", [
    ({"InstanceGroups": [GROUP], "InstanceType": "ml.m5.large"}, {}, "not both"),
    ({"InstanceGroups": [GROUP], "InstanceCount": 1}, {}, "not both"),
    ({}, {}, "InstanceType and InstanceCount, or InstanceGroups"),
    ({"InstanceGroups": [GROUP, GROUP]}, {}, "must be unique: a"),
    ({"InstanceGroups": [{**GROUP, "InstanceCount": 0}]}, {}, "must have an instance"),
    ({"InstanceGroups": [GROUP], "KeepAlivePeriodInSeconds": 60}, {}, "heterogeneous"),
    ({"InstanceGroups": [GROUP]}, {"InputDataConfig": [{"ChannelName": "c", "DataSource": {"S3DataSource": {
        "S3DataType": "S3Prefix", "S3Uri": "s3://b/p", "InstanceGroupNames": ["b"]}}}]}, "no instance group b"),
    ({"InstanceType": "ml.m5.large", "InstanceCount": 1}, {"InputDataConfig": [{"ChannelName": "c", "DataSource": {
        "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/p", "InstanceGroupNames": ["a"]}}}]},
     "no instance group a"),
])
def test_what_is_refused(aws, role, bucket, unique, resources, more, words):
    with pytest.raises(ClientError, match=words):
        aws("sagemaker").create_training_job(**{**request(unique, role, bucket, "true", **more),
                                                "ResourceConfig": {"VolumeSizeInGB": 1, **resources}})
