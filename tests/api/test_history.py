"""The program of simulate.md that makes a workload of what was trained: it runs as it stands there."""
import csv
import pathlib
import subprocess
import sys

import pytest

from jobs import Jobs

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/manual/simulate.md"
FLEET = '[[nodes]]\nname = "n"\ncores = 8\nmemory = "32GiB"\n'


@pytest.fixture
def jobs(aws, role, bucket):
    made = Jobs(aws, role, bucket)
    yield made
    made.close()


def program():
    lines = PAGE.read_text().split("    # history.py\n", 1)[1].splitlines()
    end = next(i for i, line in enumerate(lines) if line and not line.startswith("    "))
    return "\n".join(line[4:] for line in lines[:end])


def test_it_becomes_a_workload(server, jobs, unique, tmp_path):
    firm, spot = f"{unique}-firm", f"{unique}-spot"
    jobs.create(firm, "true")
    jobs.create(spot, "true", EnableManagedSpotTraining=True, ResourceConfig={"InstanceCount": 2},
                StoppingCondition={"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200})
    took = [jobs.completed(name)["TrainingTimeInSeconds"] for name in (firm, spot)]
    workload = tmp_path / "history.csv"
    workload.write_text(subprocess.run([sys.executable, "-c", program()], env=server.env, check=True,
                                       capture_output=True, text=True).stdout)
    rows = list(csv.DictReader(workload.open()))[-2:]  # others may have trained before
    assert [(r["type"], r["count"], r["volume"], r["run"], r["max_run"], r["spot"], r["max_wait"]) for r in rows] == [
        ("ml.m5.large", "1", "1", str(took[0]), "3600", "0", ""),
        ("ml.m5.large", "2", "1", str(took[1]), "600", "1", "1200")]
    (tmp_path / "fleet.toml").write_text(FLEET)
    report = server.command("simulate", str(tmp_path / "fleet.toml"), str(workload), check=True).stdout
    assert f"Workload   {len(list(csv.DictReader(workload.open())))} jobs" in report and "  spot    " in report, report
