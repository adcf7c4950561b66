"""A disk that is full."""
import os
import resource
import subprocess

import pytest

from conftest import needs_containers

pytestmark = needs_containers


@pytest.fixture
def small(world, request):
    room = getattr(request, 'param', 'size=12m')
    subprocess.run(['mount', '-t', 'tmpfs', '-o', room, 'sgb-test', world.data], check=True)
    os.makedirs(f'{world.data}/images')
    yield world
    for i in world.instances:
        for agent in i.agents:
            if agent.poll() is None:
                agent.kill()
                agent.wait()
    subprocess.run(['umount', '-l', world.data], check=True)


@pytest.mark.parametrize('kills', [0, 3])
def test_a_job_that_fills_the_disk_ends(small, kills):
    job = small.train('''
f = open("/opt/ml/model/big", "wb", buffering=0)
try:
    while True: f.write(bytes(1 << 16))
except OSError:
    try:
        while True: f.write(b"1")
    except OSError: pass
    raise SystemExit(4)
''').start()
    for _ in range(kills):
        try:
            job.agents[-1].wait(0.25)
        except subprocess.TimeoutExpired:
            job.kill()
            job.start()
    r = job.ended()
    assert r['outcome'] == 'Failed' and r['exit_code'] == 4, r
    assert job.leftovers() == []


def test_input_that_does_not_fit(small):
    small.server.objects['in/d/x'] = bytes(20 << 20)
    job = small.train('print(1)', channels=[{'name': 'train', 's3_uri': 's3://in/d/'}]).start()
    r = job.ended()
    assert r['outcome'] == 'Failed' and 'disk has room for' in r['failure_reason'], r


@pytest.mark.parametrize('small', ['size=200m,nr_inodes=20000'], indirect=True)
def test_a_job_that_makes_files_without_end_ends(small):
    """They take no byte of its volume, and nobody else could make one."""
    job = small.train('''
import itertools, time
try:
    for i in itertools.count(): open(f"/opt/ml/model/{i}", "w").close()
except OSError:
    time.sleep(600)
''').start()
    r = job.ended()
    assert r['outcome'] == 'Failed' and 'has room for no more files: the instance holds' in r['failure_reason'], r
    assert job.leftovers() == []


@pytest.mark.parametrize('small', ['size=200m'], indirect=True)
def test_who_only_writes_its_log_does_not_fill_the_disk(small):
    """Another one did; the log may grow by a little all the time."""
    with open(f'{small.data}/another', 'wb') as f:
        f.write(bytes(193 << 20))
    job = small.train('''
import time
log = open("/opt/ml/model/log", "w", buffering=1)
for i in range(30): log.write("x" * 20000); time.sleep(0.1)
''').start()
    r = job.ended()
    assert r['outcome'] == 'Completed', r


def test_folders_within_folders_without_end_are_removed(world):
    job = world.train('''
import os
os.chdir("/tmp")
for _ in range(5000): os.mkdir("d"); os.chdir("d")
''').start()
    resource.prlimit(job.agents[-1].pid, resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    r = job.ended()  # when that was seen in time, for its depth
    assert r['outcome'] == 'Completed' or 'folders more than 256 deep' in r['failure_reason'], r
    assert job.leftovers() == []
