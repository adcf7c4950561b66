"""bench/run ends before the first figure when there is nothing to measure with."""
import shutil
import subprocess
import sys

from conftest import ROOT


def test_a_tree_that_is_not_set_up_is_told_so(tmp_path):
    (tmp_path / 'bench').mkdir()
    shutil.copy(ROOT / 'bench/run', tmp_path / 'bench/run')

    def run():
        done = subprocess.run([sys.executable, tmp_path / 'bench/run', 's3'], capture_output=True, text=True)
        assert done.returncode == 1 and '-- s3' not in done.stdout
        return done.stderr

    assert '.venv, which is not there: run tools/setup' in run()
    subprocess.run(['/usr/bin/python3', '-m', 'venv', '--without-pip', tmp_path / '.venv'], check=True)
    assert ".venv lacks packages (ModuleNotFoundError: No module named 'boto3'): run tools/setup" in run()
