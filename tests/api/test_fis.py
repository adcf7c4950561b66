"""AWS FIS: an experiment that takes spot instances of training jobs back, seen from the job, from its events and from
FIS."""
import json
import pathlib

import pytest
from botocore.exceptions import ClientError

from conftest import wait_for
from test_events import Bus

sagemaker = pytest.importorskip("sagemaker")
import sagemaker.sklearn  # noqa: E402

SCRIPTS = pathlib.Path(__file__).parent / "scripts"
ALARM = "arn:aws:cloudwatch:us-east-1:111122223333:alarm:loss"
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                                                "Principal": {"Service": "fis.amazonaws.com"}}]}


@pytest.fixture
def fis_role(aws, unique):
    role = aws("iam").create_role(RoleName=unique, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    access = {"RoleName": unique,
              "PolicyArn": "arn:aws:iam::aws:policy/service-role/AWSFaultInjectionSimulatorEC2Access"}
    aws("iam").attach_role_policy(**access)
    yield role["Arn"]
    aws("iam").detach_role_policy(**access)
    aws("iam").delete_role(RoleName=unique)


def lines(aws, job):
    try:
        events = aws("logs").filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs",
                                               logStreamNamePrefix=job + "/")["events"]
    except ClientError:
        return []  # before the first line of the first job
    return [e["message"] for e in events]


def template(fis, role, targets, seconds="PT2M", **more):
    return fis.create_experiment_template(
        description="take spot capacity back", roleArn=role, stopConditions=[{"source": "none"}],
        targets={"spots": {"resourceType": "aws:ec2:spot-instance", "selectionMode": "ALL", **targets}},
        actions={"interrupt": {"actionId": "aws:ec2:send-spot-instance-interruptions",
                               "parameters": {"durationBeforeInterruption": seconds},
                               "targets": {"SpotInstances": "spots"}}}, **more)["experimentTemplate"]


def test_an_experiment_interrupts_a_job(aws, session, unique, role, fis_role):
    sm, fis, bus = aws("sagemaker"), aws("fis"), Bus(aws, unique)
    bus.rule({"source": ["aws.ec2", "aws.fis"]})
    sagemaker.sklearn.SKLearn(
        "train_watch.py", source_dir=str(SCRIPTS), role=role, instance_count=1, instance_type="ml.m5.large",
        framework_version="1.2-1", sagemaker_session=session, use_spot_instances=True, max_run=600, max_wait=600,
        checkpoint_s3_uri=f"s3://{session.default_bucket()}/{unique}",
        tags=[{"Key": "chaos", "Value": unique}]).fit(job_name=unique, wait=False)
    wait_for(lambda: "waits" in lines(aws, unique), 60, "the job's first line", 0.1)
    made = template(fis, fis_role, {"resourceTags": {"chaos": unique}}, tags={"team": "red"})
    experiment = fis.start_experiment(experimentTemplateId=made["id"])["experiment"]

    def status():
        return fis.get_experiment(id=experiment["id"])["experiment"]["state"]["status"]

    wait_for(lambda: status() == "completed", 60, "the experiment's end", 0.1)
    job = wait_for(lambda: (d := sm.describe_training_job(TrainingJobName=unique))["TrainingJobStatus"] == "Completed"
                   and d, 60, "the job's end", 0.1)
    assert [t["Status"] for t in job["SecondaryStatusTransitions"]].count("Interrupted") == 1
    said = wait_for(lambda: "goes on" in (x := lines(aws, unique)) and x, 60, "the last line", 0.1)
    told = json.loads(next(x for x in said if x.startswith("told"))[5:])
    assert told["action"] == "terminate" and told["rebalance"]

    resolved = fis.list_experiment_resolved_targets(experimentId=experiment["id"])["resolvedTargets"]
    assert [r["targetInformation"]["resourceArn"].split("/")[-1] for r in resolved] == [told["id"]]

    def all_told():
        told = bus.told()
        states = [e["detail"]["new-state"]["status"] for e in told if e["source"] == "aws.fis"]
        return told if "completed" in states else None

    events = wait_for(all_told, 60, "the last event", 0.1)
    warned = [e for e in events if e["detail-type"] == "EC2 Spot Instance Interruption Warning"]
    advised = [e for e in events if e["detail-type"] == "EC2 Instance Rebalance Recommendation"]
    assert [e["detail"] for e in warned] == [{"instance-id": told["id"], "instance-action": "terminate"}]
    assert [e["detail"] for e in advised] == [{"instance-id": told["id"]}]
    assert advised[0]["resources"] == [resolved[0]["targetInformation"]["resourceArn"]]
    assert events.index(advised[0]) < events.index(warned[0])
    assert [e["detail"]["new-state"]["status"] for e in events if e["source"] == "aws.fis"] == [
        "initiating", "running", "completed"]
    ended = fis.get_experiment(id=experiment["id"])["experiment"]
    assert ended["actions"]["interrupt"]["state"]["status"] == "completed" and ended["endTime"] >= ended["startTime"]
    assert [e["id"] for e in fis.list_experiments(experimentTemplateId=made["id"])["experiments"]] == [experiment["id"]]
    fis.tag_resource(resourceArn=experiment["arn"], tags={"kept": "yes", "not": "this"})
    fis.untag_resource(resourceArn=experiment["arn"], tagKeys=["not"])
    assert fis.list_tags_for_resource(resourceArn=experiment["arn"])["tags"] == {"kept": "yes"}
    assert fis.list_tags_for_resource(resourceArn=made["arn"])["tags"] == {"team": "red"}
    fis.delete_experiment_template(id=made["id"])
    bus.close()


def test_what_there_is(aws):
    fis = aws("fis")
    assert {a["id"] for a in fis.list_actions()["actions"]} == {"aws:ec2:send-spot-instance-interruptions",
                                                                "aws:fis:wait"}
    action = fis.get_action(id="aws:ec2:send-spot-instance-interruptions")["action"]
    assert action["targets"]["SpotInstances"]["resourceType"] == "aws:ec2:spot-instance"
    assert action["parameters"]["durationBeforeInterruption"]["required"]
    assert fis.list_target_resource_types()["targetResourceTypes"][0]["resourceType"] == "aws:ec2:spot-instance"
    with pytest.raises(fis.exceptions.ResourceNotFoundException):
        fis.get_action(id="aws:ec2:stop-instances")


def test_what_is_refused(aws, fis_role, role, unique):
    fis = aws("fis")
    spots = {"resourceTags": {"chaos": unique}}
    with pytest.raises(fis.exceptions.ValidationException, match="PT2M to PT15M"):
        template(fis, fis_role, spots, "PT1M")
    with pytest.raises(fis.exceptions.ValidationException, match="cannot be assumed by fis.amazonaws.com"):
        template(fis, role, spots)
    with pytest.raises(fis.exceptions.ValidationException, match="CloudWatch alarms are not"):
        fis.create_experiment_template(
            description="d", roleArn=fis_role, stopConditions=[{"source": "aws:cloudwatch:alarm", "value": ALARM}],
            actions={"w": {"actionId": "aws:fis:wait", "parameters": {"duration": "PT1M"}}})
    made = template(fis, fis_role, spots)
    experiment = fis.start_experiment(experimentTemplateId=made["id"])["experiment"]
    def failure():
        state = fis.get_experiment(id=experiment["id"])["experiment"]["state"]
        return state["status"] == "failed" and state

    failed = wait_for(failure, 60, "the failure")
    assert "Target resolution returned empty set" in failed["reason"]
    with pytest.raises(fis.exceptions.ValidationException, match="there is nothing to stop"):
        fis.stop_experiment(id=experiment["id"])
    with pytest.raises(fis.exceptions.ResourceNotFoundException):
        fis.get_experiment_template(id="EXTnone")
