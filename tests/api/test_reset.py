"""`sagebrush reset` of a server that is down, with work of it still running: nothing of it is left."""
import pathlib
import subprocess

import boto3

from conftest import SAGEBRUSH, Server, wait_for


def of(server):
    """Processes, mounts and network names that carry the server's directory."""
    data, found = str(server.data), []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and data.encode() in (entry / "cmdline").read_bytes():
                found.append((entry / "cmdline").read_bytes())
        except OSError:
            pass
    found += [line for line in pathlib.Path("/proc/self/mounts").read_text().split("\n") if data in line]
    return found


def test_reset_ends_what_runs(unique):
    server = Server()
    server.start()
    try:
        keys = dict(region_name="us-east-1", endpoint_url=server.env["AWS_ENDPOINT_URL"],
                    aws_access_key_id=server.env["AWS_ACCESS_KEY_ID"],
                    aws_secret_access_key=server.env["AWS_SECRET_ACCESS_KEY"])
        boto3.client("s3", **keys).create_bucket(Bucket=unique)
        sm = boto3.client("sagemaker", **keys)
        sm.create_training_job(
            TrainingJobName=unique, RoleArn="arn:aws:iam::111122223333:role/SagebrushExecutionRole",
            AlgorithmSpecification={"TrainingImage": "sagemaker-scikit-learn:1.2-1-cpu-py3", "TrainingInputMode": "File",
                                    "ContainerEntrypoint": ["sleep", "1000"]},
            OutputDataConfig={"S3OutputPath": f"s3://{unique}/out"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            StoppingCondition={"MaxRuntimeInSeconds": 600})
        wait_for(lambda: sm.describe_training_job(TrainingJobName=unique)["SecondaryStatus"] == "Training", 60, "training")
        server.process.terminate()
        server.process.wait(60)
        assert any(b"sagebrush-agent" in f for f in of(server) if isinstance(f, bytes)), "the job goes on without a server"
        done = subprocess.run([SAGEBRUSH, "reset", "--yes", "--data", server.data], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "1 job or endpoint instance removed" in done.stdout
        wait_for(lambda: not of(server), 60, "the end of everything")
        assert not (server.data / "agents").exists()
        server.start()
        assert boto3.client("s3", **keys).list_buckets()["Buckets"] == []
    finally:
        server.stop()
