"""The programs that ./check does not run - soaks and benchmarks - at least begin."""
import pathlib
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
PROGRAMS = [p for folder in (TESTS / "torture", TESTS.parent / "bench") for p in sorted(folder.glob("*.py"))
            if "argparse.ArgumentParser(" in p.read_text()]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_it_begins(program):
    done = subprocess.run([sys.executable, program, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: "), done.stderr
