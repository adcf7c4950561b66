"""What the manual has somebody type: its fleet files and its workload are taken as they stand there; and the two
scripts of the README when they are only asked what they do."""
import pathlib
import subprocess

import pytest
from conftest import SAGEBRUSH

MANUAL = pathlib.Path(__file__).resolve().parents[2] / "docs/manual"


def block(page, heading, first):
    """The indented lines below that heading that begin with that one, up to the next text."""
    lines = (MANUAL / page).read_text().split(f"{heading}\n", 1)[1].splitlines()
    lines = lines[lines.index(f"    {first}"):]
    end = next(i for i, line in enumerate(lines) if line and not line.startswith("    "))
    return "\n".join(line[4:] for line in lines[:end]) + "\n"


def simulate(folder, fleet, workload):
    (folder / "fleet.toml").write_text(fleet)
    (folder / "day.csv").write_text(workload)
    done = subprocess.run([SAGEBRUSH, "simulate", "fleet.toml", "day.csv"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_if(tmp_path):
    """The question of simulate.md, to the fleet file of fleet.md: all of it runs, and another box ends the waiting."""
    three = block("fleet.md", "### Three boxes, three teams", 'region = "us-east-1"')
    day = block("simulate.md", "## A question to it", "submit,owner,type,count,run,max_run,spot")
    four = "\n".join("count = 2" if line.startswith("count = 1 ") else line for line in three.splitlines())
    before, after = (simulate(tmp_path, fleet, day) for fleet in (three, four))
    assert "3 nodes, 128 cores, 4 GPUs" in before and "4 nodes, 192 cores, 8 GPUs" in after
    assert all("completed                                  6  100.0 %" in report for report in (before, after))
    most = [next(line for line in report.splitlines() if line.startswith("  all ")).split()[-1]
            for report in (before, after)]
    assert most[0].endswith("h") and not most[1].endswith("h"), most


@pytest.mark.parametrize("script, does", [("demo", "the main job"), ("check", "runs every fast test suite")])
def test_a_script_that_is_asked_says_what_it_does_and_does_nothing(script, does, tmp_path):
    for words, code in ((["--help"], 0), (["twice"], 2)):
        done = subprocess.run([MANUAL.parents[1] / script, *words], cwd=tmp_path, capture_output=True, text=True,
                              env={"PATH": "/usr/bin:/bin", "SAGEBRUSH_DATA": str(tmp_path)}, timeout=60)
        assert done.returncode == code and done.stdout.startswith(f"{script} - ") and does in done.stdout, done
        assert "building" not in done.stdout and not list(tmp_path.iterdir())
