"""A container is root in /opt/ml, and may put links in place of its folders: the server follows none of them."""
import io
import tarfile

import pytest

from conftest import wait_for


@pytest.mark.parametrize("place, told", [("output", "/opt/ml/output is no folder any more"),
                                         ("output/data", "/opt/ml/output/data is no folder any more"),
                                         ("model", "/opt/ml/model is no folder any more"),
                                         ("model/inner", None)])
def test_a_link_in_place_of_a_folder(aws, unique, tmp_path, place, told):
    (tmp_path / "data").mkdir()
    for secret in ("secret", "data/secret", "failure"):
        (tmp_path / secret).write_text("not the job's")
    s3, sm = aws("s3"), aws("sagemaker")
    s3.create_bucket(Bucket=unique)
    sm.create_training_job(
        TrainingJobName=unique, RoleArn=aws("iam").get_role(RoleName="SagebrushExecutionRole")["Role"]["Arn"],
        AlgorithmSpecification={"TrainingImage": "sagemaker-scikit-learn:1.2-1-cpu-py3", "TrainingInputMode": "File",
                                "ContainerEntrypoint": ["/bin/sh", "-c"],
                                "ContainerArguments": [f"rm -rf /opt/ml/{place}; ln -s {tmp_path} /opt/ml/{place}"]},
        OutputDataConfig={"S3OutputPath": f"s3://{unique}/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600})

    def ended():
        job = sm.describe_training_job(TrainingJobName=unique)
        return job["TrainingJobStatus"] in ("Completed", "Failed") and job
    job = wait_for(ended, 120, "the end of the job", 0.2)
    reason = job.get("FailureReason", "")
    assert (told in reason if told else job["TrainingJobStatus"] == "Completed"), job
    assert "not the job's" not in reason and str(tmp_path) not in reason
    for o in s3.list_objects_v2(Bucket=unique).get("Contents", []):
        with tarfile.open(fileobj=io.BytesIO(s3.get_object(Bucket=unique, Key=o["Key"])["Body"].read())) as tar:
            assert not [m.name for m in tar.getmembers() if "secret" in m.name]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["data", "failure", "secret", "secret"]
