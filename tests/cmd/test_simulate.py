"""sagebrush simulate: files in, a report out, the same for the same seed."""
import subprocess
import xml.dom.minidom

import pytest
from conftest import SAGEBRUSH


def simulate(folder, *words, code=0):
    done = subprocess.run([SAGEBRUSH, 'simulate', *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope='module')
def example(tmp_path_factory):
    folder = tmp_path_factory.mktemp('example')
    simulate(folder, '--example', 'e', '--nodes', '20', '--jobs', '500', '--days', '3')
    return folder / 'e'


def test_an_example_runs_and_is_the_same_again(example):
    text = simulate(example, 'fleet.toml', 'workload.csv', '--svg', 'r.svg')
    assert 'Workload   500 jobs' in text and 'Waiting until the first start' in text and 'saved by spot' in text
    assert simulate(example, 'fleet.toml', 'workload.csv') == text
    assert simulate(example, 'fleet.toml', 'workload.csv', '--seed', '9') != text
    assert 'still ' in simulate(example, 'fleet.toml', 'workload.csv', '--days', '1')
    assert len(xml.dom.minidom.parse(str(example / 'r.svg')).getElementsByTagName('polyline')) == 5


def test_an_example_overwrites_nothing(example):
    assert 'already' in simulate(example, '--example', '.', code=1)


def test_what_is_wrong_is_told_with_its_line(example):
    (example / 'bad.toml').write_text('[[nodes]]\nname = "a"\ncores = 4\nmemory = 16\n')
    (example / 'bad.csv').write_text('submit,type,run\n0,ml.m5.large,soon\n')
    (example / 'unknown.csv').write_text('submit,type,run\n# one\n0,ml.m5.huge,60\n')
    assert 'bad.toml:4: memory of nodes is a size with its unit' in simulate(example, 'bad.toml', 'workload.csv',
                                                                             code=2)
    assert 'bad.csv:2: soon is no time' in simulate(example, 'fleet.toml', 'bad.csv', code=2)
    assert 'line 3 of the workload asks for ml.m5.huge, which' in simulate(example, 'fleet.toml', 'unknown.csv', code=2)
    (example / 'prices.toml').write_text('[[types]]\nname = "ml.m5.large"\nusd_hour = 1\n')
    assert 'prices.toml: a simulation needs nodes; add [[nodes]]' in simulate(example, 'prices.toml', 'workload.csv',
                                                                              code=2)
    assert 'nowhere.toml' in simulate(example, 'nowhere.toml', 'workload.csv', code=1)
    assert '--example DIR' in simulate(example, 'fleet.toml', code=2)
