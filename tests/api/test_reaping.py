"""Agents are children of the server: those that ended leave no process behind, forgotten ones no more than others."""
from pathlib import Path

from conftest import wait_for

JOBS = 6


def zombies(parent):
    """Names of the children of `parent` that ended and that nobody has asked for."""
    names = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, tail = path.read_text().rsplit(")", 1)
        except OSError:  # gone meanwhile
            continue
        state, ppid = tail.split()[:2]
        if state == "Z" and int(ppid) == parent:
            names.append(head.split("(", 1)[1])
    return names


def test_no_agent_stays_behind_its_job(server, jobs, unique):
    names = [f"{unique}-{i}" for i in range(JOBS)]
    for name in names:
        jobs.create(name, "true")
    for name in names:
        jobs.completed(name)
    wait_for(lambda: not any(server.agents(name) for name in names), 60, "the end of the jobs' folders", 0.2)
    wait_for(lambda: not zombies(server.pid("control")), 60, "the reaping of every agent", 0.2)
