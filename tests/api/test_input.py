"""Input channels as the SageMaker Python SDK asks for them: modes, manifests, shards, shuffles, file systems."""
import hashlib
import json
import os
import pathlib

import pytest

from conftest import Server, enter, impatient

sagemaker = pytest.importorskip("sagemaker")
from sagemaker.inputs import FileSystemInput, ShuffleConfig, TrainingInput  # noqa: E402
from sagemaker.pytorch import PyTorch  # noqa: E402
from sagemaker.sklearn import SKLearn  # noqa: E402

SCRIPTS = str(pathlib.Path(__file__).parent / "scripts")


@pytest.fixture
def parts(session, unique):
    """Five objects below a prefix of their own."""
    texts = {f"{i}.txt": f"line {i}\n" * (i + 1) for i in range(5)}
    for name, text in texts.items():
        session.upload_string_as_file_body(text, session.default_bucket(), f"{unique}/data/{name}")
    return f"s3://{session.default_bucket()}/{unique}", texts


def fit(session, channel, mode="File", hosts=1, **more):
    kind = dict(framework_version="1.13", py_version="py39") if hosts > 1 else dict(framework_version="1.2-1",
                                                                                    py_version="py3")
    estimator = (PyTorch if hosts > 1 else SKLearn)(
        entry_point="read_input.py", source_dir=SCRIPTS, role=sagemaker.get_execution_role(session),
        instance_count=hosts,
        instance_type="ml.m5.large", sagemaker_session=session, hyperparameters={"mode": mode}, input_mode=mode, **kind,
        **more)
    estimator.fit({"train": channel})
    return estimator


def digest(*texts):
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:12]


def epochs(out):
    return [line[line.index("epoch "):] for line in out.splitlines() if "epoch " in line and "hash" in line]


def test_pipe_mode(session, parts, capsys):
    base, texts = parts
    fit(session, TrainingInput(f"{base}/data/", content_type="text/plain"), "Pipe")
    out = capsys.readouterr().out
    assert [line.split()[-1] for line in epochs(out)] == [digest(*texts.values())] * 2
    assert '"TrainingInputMode": "Pipe"' in out


def test_a_shuffled_pipe(session, parts, capsys):
    base, texts = parts
    fit(session, TrainingInput(f"{base}/data/", shuffle_config=ShuffleConfig(11)), "Pipe")
    first, second = epochs(capsys.readouterr().out)
    size = sum(len(t) for t in texts.values())
    assert f"bytes {size} lines 15" in first and f"bytes {size} lines 15" in second
    assert first.split()[-1] != second.split()[-1]


@pytest.mark.skipif(not os.access("/dev/fuse", os.W_OK), reason="no /dev/fuse")
def test_fastfile_mode(session, parts, capsys):
    base, texts = parts
    fit(session, TrainingInput(f"{base}/data/"), "FastFile")
    out = capsys.readouterr().out
    assert epochs(out)[0].endswith(f"files {','.join(texts)} bytes {sum(len(t) for t in texts.values())} hash "
                                   f"{digest(*texts.values())}")
    assert '"TrainingInputMode": "File"' in out


def test_a_manifest_and_shards(session, parts, capsys):
    base, texts = parts
    manifest = json.dumps([{"prefix": f"{base}/data/"}, "3.txt", "1.txt"])
    bucket, _, key = base[5:].partition("/")
    session.upload_string_as_file_body(manifest, bucket, f"{key}/manifest")
    fit(session, TrainingInput(f"{base}/manifest", s3_data_type="ManifestFile", distribution="ShardedByS3Key",
                               shuffle_config=ShuffleConfig(1)))
    out = capsys.readouterr().out
    assert epochs(out)[0].endswith(f"files 1.txt,3.txt bytes {len(texts['1.txt'] + texts['3.txt'])} hash "
                                   f"{digest(texts['1.txt'], texts['3.txt'])}")
    assert '"S3DistributionType": "ShardedByS3Key"' in out


def test_two_hosts_share_a_channel(session, parts, capsys):
    base, texts = parts
    fit(session, TrainingInput(f"{base}/data/", distribution="ShardedByS3Key", shuffle_config=ShuffleConfig(5)),
        hosts=2)
    found = {line[line.index("files ") + 6:].split()[0] for line in epochs(capsys.readouterr().out)}
    assert len(found) == 2 and sorted(n for names in found for n in names.split(",")) == sorted(texts)


def test_the_built_in_xgboost_reads_a_pipe(session, unique, capsys):
    rows = "".join(f"{i % 2},{i % 2 + (i % 7) / 10},{i % 5}\n" for i in range(400))
    source = session.upload_string_as_file_body(rows, session.default_bucket(), f"{unique}/train.csv")
    estimator = sagemaker.estimator.Estimator(
        sagemaker.image_uris.retrieve("xgboost", session.boto_region_name, version="1.7-1"),
        sagemaker.get_execution_role(session), instance_count=1, instance_type="ml.m5.large", input_mode="Pipe",
        sagemaker_session=session,
        hyperparameters={"objective": "binary:logistic", "num_round": 5, "eval_metric": "auc"})
    estimator.fit({"train": TrainingInput(source, content_type="text/csv")})
    assert "400x2" in (out := capsys.readouterr().out).replace(" ", "") or "train-auc:1" in out, out


def test_an_augmented_manifest(session, parts, capsys):
    base, texts = parts
    bucket, _, key = base[5:].partition("/")
    lines = "".join(json.dumps({"source-ref": f"{base}/data/{name}", "label": i}) + "\n" for i,
                    name in enumerate(texts))
    session.upload_string_as_file_body(lines, bucket, f"{key}/lines")
    fit(session, TrainingInput(f"{base}/lines", s3_data_type="AugmentedManifestFile",
                               attribute_names=["source-ref", "label"]), "Pipe")
    expected = digest(*(x for i, text in enumerate(texts.values()) for x in (text, str(i))))
    assert [line.split()[-1] for line in epochs(capsys.readouterr().out)] == [expected] * 2


@pytest.mark.parametrize("channel, words", [
    ({"InputMode": "FastFile", "S3DataType": "ManifestFile"}, "FastFile mode reads S3DataType S3Prefix only"),
    ({"InputMode": "File", "S3DataType": "AugmentedManifestFile", "AttributeNames": ["a"]},
     "is read in Pipe mode only"),
    ({"InputMode": "Pipe", "S3DataType": "AugmentedManifestFile"}, "needs AttributeNames"),
    ({"InputMode": "File", "S3DataType": "S3Prefix", "AttributeNames": ["a"]},
     "of S3DataType AugmentedManifestFile only"),
    ({"InputMode": "Pipe", "FileSystem": "fs-0123abcd"}, "in File mode only"),
    ({"InputMode": "File", "FileSystem": "fs-0123abcd"},
     "no folder of this server stands for the file system fs-0123abcd"),
])
def test_what_cannot_be_read(session, unique, channel, words):
    client = session.sagemaker_client
    if "FileSystem" in channel:
        source = {"FileSystemDataSource": {"FileSystemId": channel["FileSystem"], "FileSystemAccessMode": "ro",
                                           "FileSystemType": "EFS", "DirectoryPath": "/"}}
    else:
        source = {"S3DataSource": {"S3Uri": "s3://b/k", **{k: v for k, v in channel.items() if k != "InputMode"}}}
    with pytest.raises(client.exceptions.ClientError) as e:
        client.create_training_job(
            TrainingJobName=unique, RoleArn=sagemaker.get_execution_role(session),
            AlgorithmSpecification={"TrainingImage": "sagemaker-scikit-learn:1.2-1-cpu-py3",
                                    "TrainingInputMode": "File"},
            InputDataConfig=[{"ChannelName": "train", "InputMode": channel["InputMode"], "DataSource": source}],
            OutputDataConfig={"S3OutputPath": "s3://b/out"}, StoppingCondition={"MaxRuntimeInSeconds": 60},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1})
    assert "Channel train: " in str(e.value) and words in str(e.value)


VPC = {"subnets": ["subnet-1", "subnet-2"], "security_group_ids": ["sg-1"]}


def test_a_file_system(tmp_path, monkeypatch, capsys):
    """With the subnets and the security groups that AWS demands for it."""
    (tmp_path / "shared" / "in").mkdir(parents=True)
    (tmp_path / "shared" / "in" / "a.txt").write_text("here")
    (tmp_path / "settings").write_text(f"file-systems = fs-0123abcd:{tmp_path}/shared\n"
                                       "vpc = subnet-1, subnet-2, sg-1\n")
    server = Server(options=("--config", tmp_path / "settings"))
    try:
        server.start()
        impatient(monkeypatch)
        session, channel = sagemaker.Session(enter(server, monkeypatch)), FileSystemInput("fs-0123abcd", "EFS", "/in")
        job = fit(session, channel, **VPC).latest_training_job
        assert epochs(capsys.readouterr().out)[0] == f"epoch 0 files a.txt bytes 4 hash {digest('here')}"
        assert job.describe()["VpcConfig"] == {"Subnets": VPC["subnets"], "SecurityGroupIds": VPC["security_group_ids"]}
        vpc, sm, role = job.describe()["VpcConfig"], session.sagemaker_client, sagemaker.get_execution_role(session)
        sm.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": "i"}, VpcConfig=vpc)
        assert sm.describe_model(ModelName="m")["VpcConfig"] == vpc
        sm.create_processing_job(
            ProcessingJobName="p", RoleArn=role, AppSpecification={"ImageUri": "i"}, NetworkConfig={"VpcConfig": vpc},
            ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large",
                                                   "VolumeSizeInGB": 1}})
        assert sm.describe_processing_job(ProcessingJobName="p")["NetworkConfig"] == {"VpcConfig": vpc}
        with pytest.raises(Exception, match="The security group 'sg-2' does not exist"):
            fit(session, channel, subnets=["subnet-1"], security_group_ids=["sg-1", "sg-2"])
        with pytest.raises(Exception, match="The subnet ID 'subnet' does not exist"):
            fit(session, channel, subnets=["subnet"], security_group_ids=["sg-1"])
    finally:
        server.stop()
