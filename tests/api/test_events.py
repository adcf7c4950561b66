"""EventBridge: rules that see what jobs, models and endpoint configs become, and events of one's own, read from a log
group."""
import itertools
import json
import os
import signal
import threading

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from conftest import Server, enter, wait_for

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"


class Bus:
    """A rule of one's own, whose events go to a log group of its own."""

    def __init__(self, aws, name):
        self.events, self.logs, self.name = aws("events"), aws("logs"), name
        self.group = f"/aws/events/{name}"
        self.logs.create_log_group(logGroupName=self.group)
        self.logs.put_resource_policy(policyName="events", policyDocument=json.dumps({  # as AWS wants it first
            "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
                                                    "Action": "logs:PutLogEvents", "Resource": "*"}]}))
        self.arn = self.logs.describe_log_groups(logGroupNamePrefix=self.group)["logGroups"][0]["arn"]

    def rule(self, pattern, **target):
        self.events.put_rule(Name=self.name, EventPattern=json.dumps(pattern))
        answer = self.events.put_targets(Rule=self.name, Targets=[{"Id": "log", "Arn": self.arn, **target}])
        assert answer["FailedEntryCount"] == 0

    def messages(self):
        pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=self.group)
        return [e["message"] for page in pages for e in page["events"]]

    def told(self):
        return [json.loads(m) for m in self.messages()]

    def close(self):
        self.events.remove_targets(Rule=self.name, Ids=["log"])
        self.events.delete_rule(Name=self.name)


@pytest.fixture
def bus(aws, unique):
    b = Bus(aws, unique)
    yield b
    b.close()


def test_events_of_ones_own(bus, unique):
    bus.rule({"source": [unique], "detail": {"score": [{"numeric": [">", 0.5]}]}},
             InputTransformer={"InputPathsMap": {"who": "$.detail.who"}, "InputTemplate": '"<who> did well"'})
    entries = [{"Source": unique, "DetailType": "Score", "Detail": json.dumps({"who": who, "score": score})}
               for who, score in (("ann", 0.9), ("bob", 0.1), ("cat", 0.7))]
    put = bus.events.put_events(Entries=entries)
    assert put["FailedEntryCount"] == 0 and len({e["EventId"] for e in put["Entries"]}) == 3
    assert wait_for(lambda: len(m := bus.messages()) == 2 and m, 60, "both events") == ['"ann did well"',
                                                                                        '"cat did well"']


def test_a_job_tells_each_of_its_states(bus, jobs, unique):
    bus.rule({"source": ["aws.sagemaker"], "detail-type": ["SageMaker Training Job State Change"],
              "detail": {"TrainingJobName": [unique]}})
    jobs.create(unique, AlgorithmSpecification={"TrainingImage": IMAGE}, Tags=[{"Key": "team", "Value": "red"}])
    job = jobs.ended(unique)
    assert job["TrainingJobStatus"] == "Failed"
    transitions = [t["Status"] for t in job["SecondaryStatusTransitions"]]
    told = wait_for(lambda: len(t := bus.told()) >= len(transitions) and t, 60, "an event of each state")

    assert [e["detail"]["SecondaryStatus"] for e in told] == transitions
    assert [e["detail"]["TrainingJobStatus"] for e in told] == ["InProgress"] * (len(told) - 1) + ["Failed"]
    assert len({e["id"] for e in told}) == len(told)
    last = told[-1]
    assert last["source"] == "aws.sagemaker" and last["resources"] == [job["TrainingJobArn"]]
    detail = last["detail"]
    assert detail["FailureReason"] == job["FailureReason"] and detail["Tags"] == {"team": "red"}
    assert detail["CreationTime"] == str(round(job["CreationTime"].timestamp() * 1000))
    assert detail["ResourceConfig"]["InstanceType"] == "ml.m5.large" and "ResponseMetadata" not in detail
    assert all("FailureReason" not in e["detail"] for e in told[:-1])


def test_models_and_configs_come_and_go(aws, bus, unique):
    sm, role = aws("sagemaker"), aws("iam").get_role(RoleName="SagebrushExecutionRole")["Role"]["Arn"]
    bus.rule({"detail-type": [{"wildcard": "SageMaker * State Change"}], "resources": [{"suffix": f"/{unique}"}]},
             InputPath="$.detail-type")
    sm.create_model(ModelName=unique, ExecutionRoleArn=role, PrimaryContainer={"Image": IMAGE})
    sm.create_endpoint_config(EndpointConfigName=unique, ProductionVariants=[
        {"VariantName": "all", "ModelName": unique, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
    sm.delete_endpoint_config(EndpointConfigName=unique)
    sm.delete_model(ModelName=unique)
    model, config = '"SageMaker Model State Change"', '"SageMaker Endpoint Config State Change"'
    assert wait_for(lambda: len(m := bus.messages()) == 4 and m, 60, "four events") == [model, config, config, model]


def test_what_is_refused(bus, unique):
    with pytest.raises(bus.events.exceptions.InvalidEventPatternException):
        bus.events.put_rule(Name=unique, EventPattern='{"source": "aws.ec2"}')
    with pytest.raises(ClientError, match="ScheduleExpression is not here"):
        bus.events.put_rule(Name=unique, ScheduleExpression="rate(5 minutes)")
    bus.rule({"source": [unique]})
    with pytest.raises(ClientError, match="CloudWatch Logs log groups"):
        bus.events.put_targets(Rule=unique, Targets=[
            {"Id": "f", "Arn": "arn:aws:lambda:us-east-1:111122223333:function:f"}])
    pattern = json.dumps({"source": [{"anything-but": {"prefix": "aws."}}]})
    event = {"id": "1", "account": "1", "source": "aws.ec2", "time": "2026-01-01T00:00:00Z", "region": "r",
             "resources": [], "detail-type": "T", "detail": {}}
    assert bus.events.test_event_pattern(EventPattern=pattern, Event=json.dumps(event))["Result"] is False
    assert bus.events.describe_event_bus()["Name"] == "default"


def test_what_was_answered_is_told_once(tmp_path, monkeypatch, unique):
    """The control plane is killed again and again while events come in."""
    from botocore.config import Config

    server = Server(runtime="sim")
    server.start()
    try:
        aws = enter(server, monkeypatch).client
        bus = Bus(aws, unique)
        bus.rule({"source": [unique]}, InputPath="$.id")
        events = aws("events", config=Config(retries={"total_max_attempts": 1}))
        answered = []
        for turn in range(4):
            killed = server.pid("control")
            for i in itertools.count():
                if i == 5:  # from now on in the middle of something
                    threading.Timer(0.003 * turn, os.kill, (killed, signal.SIGKILL)).start()
                if server.pid("control") != killed:
                    break
                try:
                    put = events.put_events(Entries=[{"Source": unique, "DetailType": "T", "Detail": "{}"}] * 3)
                except (ClientError, HTTPClientError):
                    continue  # nobody can tell
                answered += [e["EventId"] for e in put["Entries"]]
            wait_for(lambda: server.pid("control") not in (None, killed), 60, "the next control plane")
        told = wait_for(lambda: set(answered) <= set(t := [json.loads(m) for m in bus.messages()]) and t, 60,
                        "every event")
        assert len(told) == len(set(told))
        order = {e: i for i, e in enumerate(told)}
        assert [order[e] for e in answered] == sorted(order[e] for e in answered)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def quick():
    """Where endpoints are healthy and jobs complete at once."""
    s = Server(runtime="sim")
    s.start()
    yield s
    s.stop()


def test_endpoints_and_processing_jobs(quick, monkeypatch, unique):
    aws = enter(quick, monkeypatch).client
    sm, role = aws("sagemaker"), aws("iam").get_role(RoleName="SagebrushExecutionRole")["Role"]["Arn"]
    bus = Bus(aws, unique)
    bus.rule({"detail-type": ["SageMaker Endpoint State Change", "SageMaker Processing Job State Change"]})
    sm.create_model(ModelName=unique, ExecutionRoleArn=role, PrimaryContainer={"Image": IMAGE})
    sm.create_endpoint_config(EndpointConfigName=unique, ProductionVariants=[
        {"VariantName": "all", "ModelName": unique, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
    sm.create_endpoint(EndpointName=unique, EndpointConfigName=unique, Tags=[{"Key": "team", "Value": "red"}])
    wait_for(lambda: sm.describe_endpoint(EndpointName=unique)["EndpointStatus"] == "InService", 60, "the endpoint")
    sm.create_processing_job(
        ProcessingJobName=unique, RoleArn=role, AppSpecification={"ImageUri": "sagemaker-base-python",
                                                                  "ContainerEntrypoint": ["true"]},
        ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}})
    wait_for(lambda: sm.describe_processing_job(ProcessingJobName=unique)["ProcessingJobStatus"] == "Completed", 60,
             "the job")
    sm.delete_processing_job(ProcessingJobName=unique)
    sm.delete_endpoint(EndpointName=unique)
    told = wait_for(lambda: len(t := bus.told()) >= 6 and t, 60, "six events")
    endpoint = [e["detail"] for e in told if "Endpoint" in e["detail-type"]]
    job = [e["detail"] for e in told if "Processing" in e["detail-type"]]
    assert [d["EndpointStatus"] for d in endpoint] == ["CREATING", "IN_SERVICE", "DELETING", "DELETED"]
    assert all(d["Tags"] == {"team": "red"} and isinstance(d["CreationTime"], int) for d in endpoint)
    assert [d["ProcessingJobStatus"] for d in job] == ["InProgress", "Completed"]
    bus.close()
