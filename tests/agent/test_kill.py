"""Agents killed at random moments: the work is done once, ends once, and leaves nothing."""
import os
import random
import subprocess
import time

import pytest

from conftest import needs_containers
from test_serve import serve, get

pytestmark = needs_containers

ROUNDS = int(os.environ.get('SAGEBRUSH_KILLS', '12'))


@pytest.mark.parametrize('seed', range(ROUNDS))
def test_a_job_runs_once(world, seed):
    dice = random.Random(seed)
    world.server.objects.update({f'in/d/{i}': os.urandom(1000) for i in range(5)})
    job = world.train('''
import time
print("ran", flush=True)
open("/opt/ml/model/runs", "a").write("x")
time.sleep(0.2)
print("loss=1.5;")
raise SystemExit(%d)
''' % (seed % 2), channels=[{'name': 'train', 's3_uri': 's3://in/d/'}],
        metric_definitions=[{'name': 'loss', 'regex': 'loss=(.*?);'}])
    kills = 0
    while True:
        job.start()
        try:
            job.agents[-1].wait(dice.choice([0.01, 0.05, 0.1, 0.2, 0.5]) * dice.random() if kills < 15 else 30)
            break
        except subprocess.TimeoutExpired:
            job.kill()
            kills += 1
    r = job.ended()
    assert r['outcome'] == ('Failed' if seed % 2 else 'Completed'), r['failure_reason'] + job.log()
    assert world.server.lines(job.name) == ['ran', 'loss=1.5;'], job.log()
    assert [p['phase'] for p in r['phases']] == ['Starting', 'Downloading', 'Training', 'Uploading', 'Ended']
    assert sum(len([m for m in d['data'] if m['name'] == 'loss']) for d in world.server.metrics.values()) == 1
    assert ('out/job/output/model.tar.gz' in world.server.objects) == (seed % 2 == 0)
    assert job.leftovers() == []


@pytest.mark.parametrize('seed', range(max(1, ROUNDS // 4)))
def test_an_endpoint_survives(world, seed):
    dice = random.Random(seed)
    i = serve(world)
    for _ in range(10):
        i.start()
        time.sleep(dice.random() * 0.3)
        i.kill()
    i.start()
    r = i.until(lambda r: r.get('healthy'))
    assert get(r) == b''
    i.kill()
    i.start()
    time.sleep(0.1)
    i.stop(5)
    assert i.ended()['outcome'] == 'Stopped'
    assert world.server.lines(i.name) == ["serving"], i.log()
    assert i.leftovers() == []


def test_a_container_killed_from_outside(world):
    job = world.train('import time; print("x", flush=True); time.sleep(60)').start()
    job.until(lambda r: world.server.lines(job.name) == ['x'])
    # The container's pid 1 is the one process with our init's name and this job's folder.
    state = subprocess.run(['runc', '--root', f'{world.run}/runc', 'state', job.name], capture_output=True,
                           text=True).stdout
    pid = int(state.split('"pid":')[1].split(',')[0])
    os.kill(pid, 9)
    r = job.ended()
    assert r['outcome'] == 'Failed' and r['failure_reason'].startswith('InternalServerError: the container was lost')
    assert job.leftovers() == []


def test_two_agents_on_one_folder(world):
    job = world.train('import time; print("ran", flush=True); time.sleep(0.5)')
    for _ in range(4):
        job.start()
    job.until(lambda r: r.get('phase') == 'Ended')
    for agent in job.agents:
        agent.wait(60)
    assert world.server.lines(job.name) == ['ran']


def test_a_deleted_data_directory_takes_all_along(world):
    i = serve(world).start()
    i.until(lambda r: r.get('healthy'))
    subprocess.run(['rm', '-rf', world.data], capture_output=True)
    i.agents[-1].wait(60)
    assert i.leftovers() == []
    assert not os.path.exists(i.folder)


def test_a_removed_data_directory_takes_all_along(world):
    i = serve(world).start()
    r = i.until(lambda r: r.get('healthy'))
    assert i.leftovers() != []
    os.rename(world.data, world.data + '.gone')
    i.agents[-1].wait(60)
    assert i.leftovers() == []
    with pytest.raises(OSError):
        get(r)
