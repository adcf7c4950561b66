"""Backup and restore of a server in use, and access keys from the command line."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading

import boto3
import botocore.exceptions
import pytest

from conftest import SAGEBRUSH, Server


def client(server, name, **keys):
    environment = {**server.env, **keys}
    return boto3.client(name, region_name="us-east-1", endpoint_url=environment["AWS_ENDPOINT_URL"],
                        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
                        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"])


@pytest.fixture(scope="module")
def quiet():
    """A server of its own that runs nothing."""
    s = Server(runtime="sim")
    s.start()
    yield s
    s.stop()


def test_everything_answered_before_is_in_the_backup(quiet, unique):
    s3, body = client(quiet, "s3"), os.urandom(100000)
    s3.create_bucket(Bucket=unique)
    for i in range(20):
        s3.put_object(Bucket=unique, Key=f"before/{i}", Body=body)
    client(quiet, "iam").create_user(UserName=unique)
    over, place = threading.Event(), pathlib.Path(tempfile.mkdtemp(prefix="sagebrush-backup-"))

    def go_on_writing():
        i = 0
        while not over.is_set():
            s3.put_object(Bucket=unique, Key=f"during/{i % 7}", Body=body[:i % 5000])
            i += 1

    writer = threading.Thread(target=go_on_writing)
    writer.start()
    try:
        quiet.command("backup", place / "one", check=True)
    finally:
        over.set()
        writer.join()
    restored = Server(runtime="sim", data=place / "data", log=place / "up.log")
    try:
        said = restored.command("restore", place / "one", check=True).stdout
        assert "is restored" in said
        restored.start()
        s3 = client(restored, "s3")
        keys = [o["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=unique)
                for o in page["Contents"]]
        assert {f"before/{i}" for i in range(20)} <= set(keys)
        for key in keys:
            assert body.startswith(s3.get_object(Bucket=unique, Key=key)["Body"].read())
        assert unique in [u["UserName"] for u in client(restored, "iam").list_users()["Users"]]
        # The restored one has the keys of the first, and is a server like any other.
        assert client(restored, "sts").get_caller_identity()["Account"] == restored.env.get("ACCOUNT", "111122223333")
    finally:
        restored.stop()
        shutil.rmtree(place, ignore_errors=True)


def test_what_is_no_backup_is_not_restored(quiet, tmp_path):
    assert "is there already" in quiet.command("backup", tmp_path).stderr
    (tmp_path / "half").mkdir()
    failed = subprocess.run([SAGEBRUSH, "restore", tmp_path / "half", "--data", tmp_path / "new"], capture_output=True,
                            text=True)
    assert failed.returncode == 1 and "no (finished) backup" in failed.stderr
    assert not (tmp_path / "new").exists()


def test_keys_from_the_command_line(quiet, unique):
    made = dict(line.split("=", 1)
                for line in quiet.command("keys", "create", "--user", unique, check=True).stdout.split("\n")
                if "=" in line)
    assert client(quiet, "sts", **made).get_caller_identity()["Arn"].endswith(f":user/{unique}")
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        client(quiet, "sagemaker", **made).list_models()
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    assert made["AWS_ACCESS_KEY_ID"] in quiet.command("keys", "list", check=True).stdout

    quiet.command("keys", "import", "AKIABROUGHTALONG0001", input="a-secret-of-our-own-choice\n", check=True)
    brought = {"AWS_ACCESS_KEY_ID": "AKIABROUGHTALONG0001", "AWS_SECRET_ACCESS_KEY": "a-secret-of-our-own-choice"}
    assert client(quiet, "sagemaker", **brought).list_models()["Models"] == []

    for key in (made, brought):
        quiet.command("keys", "revoke", key["AWS_ACCESS_KEY_ID"], check=True)
        with pytest.raises(botocore.exceptions.ClientError):
            client(quiet, "sts", **key).get_caller_identity()
    assert quiet.command("keys", "revoke", "AKIANOBODYSKEY000001").returncode == 1
