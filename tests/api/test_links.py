"""A container is root in /opt/ml, and may put links in place of its folders: the server follows none of them."""
import io
import tarfile

import pytest



@pytest.mark.parametrize("place, told", [("output", "/opt/ml/output is no folder any more"),
                                         ("output/data", "/opt/ml/output/data is no folder any more"),
                                         ("model", "/opt/ml/model is no folder any more"),
                                         ("model/inner", None)])
def test_a_link_in_place_of_a_folder(jobs, bucket, unique, tmp_path, place, told):
    (tmp_path / "data").mkdir()
    for secret in ("secret", "data/secret", "failure"):
        (tmp_path / secret).write_text("not the job's")
    jobs.create(unique, f"rm -rf /opt/ml/{place}; ln -s {tmp_path} /opt/ml/{place}")
    job = jobs.ended(unique)
    reason = job.get("FailureReason", "")
    assert (told in reason if told else job["TrainingJobStatus"] == "Completed"), job
    assert "not the job's" not in reason and str(tmp_path) not in reason
    for o in jobs.s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        with tarfile.open(fileobj=io.BytesIO(jobs.s3.get_object(Bucket=bucket, Key=o["Key"])["Body"].read())) as tar:
            assert not [m.name for m in tar.getmembers() if "secret" in m.name]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["data", "failure", "secret", "secret"]
