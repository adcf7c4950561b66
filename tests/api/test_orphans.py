"""Agents that the records know nothing of: an older copy of them was put back while jobs and endpoints went on."""
import shutil
import subprocess

import boto3

from conftest import Server, wait_for

IMAGE = "sagemaker-scikit-learn:1.2-1-cpu-py3"
SLEEP = {"TrainingImage": IMAGE, "TrainingInputMode": "File", "ContainerEntrypoint": ["sleep", "1000"]}


def test_they_are_ended_and_the_known_ones_go_on(unique):
    server = Server()
    server.start()
    try:
        keys = dict(region_name="us-east-1", endpoint_url=server.env["AWS_ENDPOINT_URL"],
                    aws_access_key_id=server.env["AWS_ACCESS_KEY_ID"],
                    aws_secret_access_key=server.env["AWS_SECRET_ACCESS_KEY"])
        sm = boto3.client("sagemaker", **keys)
        role = boto3.client("iam", **keys).get_role(RoleName="SagebrushExecutionRole")["Role"]["Arn"]
        boto3.client("s3", **keys).create_bucket(Bucket=unique)

        def train(name):
            sm.create_training_job(
                TrainingJobName=name, RoleArn=role, AlgorithmSpecification=SLEEP,
                OutputDataConfig={"S3OutputPath": f"s3://{unique}/out"},
                ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
                StoppingCondition={"MaxRuntimeInSeconds": 3600})
            wait_for(lambda: sm.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training", 60, name)

        def containers():
            return {p.name for p in (server.data / "run" / "runc").glob("*")}

        train("known")
        known = containers()
        assert len(known) == 1
        stop(server)
        shutil.copytree(server.data / "store", server.data / "older")
        server.start()
        train("not-known")
        assert len(containers()) == 2
        stop(server)
        shutil.rmtree(server.data / "store")
        (server.data / "older").rename(server.data / "store")
        server.start()
        wait_for(lambda: containers() == known, 60, "the end of the container that nobody owns")
        wait_for(lambda: {p.name for p in (server.data / "agents").glob("[!.]*")} == known, 60, "the end of its folder")
        assert sm.describe_training_job(TrainingJobName="known")["SecondaryStatus"] == "Training"
        assert [j["TrainingJobName"] for j in sm.list_training_jobs()["TrainingJobSummaries"]] == ["known"]
        assert runs(server, known), "the known one still runs"
    finally:
        server.stop()


def stop(server):
    server.process.terminate()
    server.process.wait(60)


def runs(server, names):
    return subprocess.run(["runc", "--root", server.data / "run" / "runc", "state", *names], capture_output=True,
                          text=True).stdout.count('"running"') == 1
