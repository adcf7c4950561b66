"""Agents that the records know nothing of: an older copy of them was put back while jobs and endpoints went on."""
import shutil
import subprocess

from conftest import Server, wait_for
from jobs import Jobs


def test_they_are_ended_and_the_known_ones_go_on(unique):
    server = Server()
    server.start()
    try:
        jobs = Jobs(server.client, server.role, unique)
        jobs.s3.create_bucket(Bucket=unique)

        def train(name):
            jobs.create(name, "sleep 1000")
            jobs.reaches(name, "Training")

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
        assert jobs.describe("known")["SecondaryStatus"] == "Training"
        assert [j["TrainingJobName"] for j in jobs.sm.list_training_jobs()["TrainingJobSummaries"]] == ["known"]
        assert runs(server, known), "the known one still runs"
    finally:
        server.stop()


def stop(server):
    server.process.terminate()
    server.process.wait(60)


def runs(server, names):
    return subprocess.run(["runc", "--root", server.data / "run" / "runc", "state", *names], capture_output=True,
                          text=True).stdout.count('"running"') == 1
