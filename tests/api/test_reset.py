"""`sagebrush reset` of a server that is down, with work of it still running: nothing of it is left."""
import pathlib

from conftest import Server, wait_for
from jobs import Jobs


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
        jobs = Jobs(server.client, server.role, unique)
        jobs.s3.create_bucket(Bucket=unique)
        jobs.create(unique, "sleep 1000")
        jobs.reaches(unique, "Training")
        server.process.terminate()
        server.process.wait(60)
        assert any(b"sagebrush-agent" in f for f in of(server)
                   if isinstance(f, bytes)), "the job goes on without a server"
        run = (server.data / "run").resolve(strict=True)
        done = server.command("reset", "--yes")
        assert done.returncode == 0, done.stderr
        assert "1 job or endpoint instance removed" in done.stdout
        wait_for(lambda: not of(server), 60, "the end of everything")
        assert not (server.data / "agents").exists()
        assert not run.exists(), "sockets, networks, what the data plane counted"
        server.start()
        assert server.client("s3").list_buckets()["Buckets"] == []
    finally:
        server.stop()
