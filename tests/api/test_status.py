"""What the command line says of a server that has something, and what it sends people to."""
import json
import pathlib
import re
import subprocess

import pytest

from conftest import SAGEBRUSH, free_port, wait_for


def status(server, *more):
    return server.command("status", *more, check=True).stdout


def test_what_there_is_is_counted(server, jobs, role, unique):
    before = json.loads(status(server, "--json"))["server"]["resources"]
    jobs.sm.create_model(ModelName=unique, ExecutionRoleArn=role, PrimaryContainer={"Image": "sagemaker-xgboost:1.7-1"})
    jobs.create(unique, "false")
    assert jobs.ended(unique)["TrainingJobStatus"] == "Failed"
    found = json.loads(status(server, "--json"))
    told = found["server"]
    # A job of a test before may have ended meanwhile.
    assert told["resources"]["Model"] > before.get("Model", 0)
    assert told["resources"]["TrainingJob"]["Failed"] > before.get("TrainingJob", {}).get("Failed", 0)
    assert 0 < told["disk_free_bytes"] < told["disk_bytes"] and told["uptime_s"] >= 0 and told["work_waiting"] == 0
    text = status(server)
    assert "\nwaiting            0 jobs or instances of an endpoint; a job counts once" in text
    assert "training jobs      " in text and f"{told['resources']['TrainingJob']['Failed']} Failed" in text
    assert f"version            {told['version']}, up " in text and " GiB free of " in text
    assert all(" 0 " not in line for line in text.splitlines() if line.startswith(("training", "endpoint")))


def test_what_was_used_is_priced(server, jobs, unique):
    jobs.create(unique, "true", ResourceConfig={"InstanceCount": 2})
    job, line = jobs.completed(unique), server.cost()[unique]
    assert line["instances"] == 2 and not line["running"] and not line["spot"]
    # Each instance for itself, by the machine's clock; the job from the first to the last.
    assert line["used_ms"] <= 2 * 1000 * job["TrainingTimeInSeconds"]
    assert abs(line["usd"] - line["used_ms"] / 3600e3 * 0.115) < 1e-9, "ml.m5.large is 0.115 USD an hour in us-east-1"
    shown = server.command("cost").stdout
    assert unique in shown and "total" in shown
    assert "ml.m5.large" in server.cost("type")
    assert "--by is name, type, role, work or tag:KEY" in server.command("cost", "--by", "moon").stderr


def test_a_mistyped_image_is_answered_with_the_one_that_was_meant(jobs, unique):
    jobs.create(unique, AlgorithmSpecification={
        "TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgbost:1.7-1"})
    job = jobs.ended(unique)
    assert "did you mean sagemaker-xgboost:1.7-1?" in job["FailureReason"], job["FailureReason"]
    assert "`sagebrush images`" in job["FailureReason"] and not re.search(r"[.:;,][.:;,]", job["FailureReason"])


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_server_that_cannot_start_says_why(tmp_path):
    """At once, with the end of the log; meanwhile it is neither running nor not."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "gpus.json").write_text('{"cordoned":')

    def sagebrush(*words):
        return subprocess.run([SAGEBRUSH, *words, "--data", data], capture_output=True, text=True, timeout=60)

    up = sagebrush("up", "--daemon", "--port", str(free_port()), "--runtime", "process")
    try:
        assert up.returncode == 1 and "sagebrushd has ended 3 times in a row" in up.stderr
        assert f"{data}/gpus.json, which says what GPUs are not to be given out, is no JSON" in up.stderr
        now = sagebrush("status")
        assert now.returncode == 3
        assert "the server is starting" in now.stdout and "no server is running" not in now.stdout
    finally:
        assert sagebrush("down").returncode == 0
    assert "no server is running" in sagebrush("status").stdout
    # Nor does anybody wait for it any more.
    wait_for(lambda: not [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline") if str(data).encode() in read(p)], 60,
             "the end of all its processes")


def members_of(document):
    if isinstance(document, dict):
        for name, value in document.items():
            yield name
            # Of AWS's resources by AWS's names.
            yield from members_of(value) if name != "resources" else ()
    elif isinstance(document, list):
        for value in document:
            yield from members_of(value)


@pytest.mark.parametrize("words", ["status", "cost", "nodes", "gpu", "images", "keys list"])
def test_what_programs_read_has_names_of_one_kind(server, words):
    done = subprocess.run([SAGEBRUSH, *words.split(), "--json", "--data", server.data], check=True, capture_output=True,
                          text=True)
    told = json.loads(done.stdout)
    names = set(members_of(told))
    assert isinstance(told, dict) and names
    assert not [x for x in names if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", x)], names
