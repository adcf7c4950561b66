"""Checkpoints in S3: restored, kept in step while the job runs, and whole, whoever is killed and when."""
import os
import random
import shutil
import time

import pytest

from conftest import needs_containers

pytestmark = needs_containers

ROUNDS = int(os.environ.get('SAGEBRUSH_KILLS', '12'))
CHECKPOINT = {'s3_uri': 's3://ck/p', 'local_path': '/opt/ml/checkpoints'}
WAIT = '''
import os, time
os.chdir("/opt/ml/checkpoints")
print("ready", flush=True)
while not os.path.exists("/opt/ml/go"): time.sleep(0.02)
'''


def stored(world):
    return {k[len('ck/p/'):]: v for k, v in world.server.objects.items() if k.startswith('ck/p/')}


def held(folder):
    found = {}
    for base, _, names in os.walk(folder):
        for n in names:
            path = os.path.relpath(f'{base}/{n}', folder)
            if '.sagemaker-' not in path:
                found[path] = open(f'{base}/{n}', 'rb').read()
    return found


def start(world, script=WAIT, **order):
    job = world.train(script, checkpoint=CHECKPOINT, **order).start()
    job.until(lambda r: 'ready' in world.server.lines(job.name))
    return job, f'{job.folder}/ml/checkpoints'


def go(job):
    open(f'{job.folder}/ml/go', 'w').close()


def test_a_file_is_uploaded_when_it_is_closed_and_not_before(world):
    job, folder = start(world, '''
import os, time
os.chdir("/opt/ml/checkpoints")
f = open("a", "w"); f.write("half"); f.flush()
os.makedirs("new/folder"); open("new/folder/b", "w").write("b")
print("ready", flush=True)
while not os.path.exists("/opt/ml/go"): time.sleep(0.02)
f.write("+half"); f.close()
while not os.path.exists("a.sagemaker-uploaded"): time.sleep(0.02)
os.rename("a", "c"); os.remove("new/folder/b")
''')
    job.until(lambda r: stored(world).get('new/folder/b') == b'b')
    assert 'a' not in stored(world)
    go(job)
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert stored(world) == {'c': b'half+half'}


def test_what_a_killed_job_was_writing_is_not_taken(world):
    job, folder = start(world, '''
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("/opt/ml/checkpoints/a", "w").write("good")
open("/opt/ml/checkpoints/b", "w").write("whole")
while True:
    try: open("/opt/ml/checkpoints/a.sagemaker-uploaded"); break
    except OSError: time.sleep(0.02)
f = open("/opt/ml/checkpoints/a", "w"); f.write("bad"); f.flush()
print("ready", flush=True)
time.sleep(60)
''')
    job.stop(0)
    assert job.ended()['outcome'] == 'Stopped'
    assert stored(world) == {'a': b'good', 'b': b'whole'}


def test_the_next_attempt_has_exactly_what_s3_has(world):
    job, folder = start(world, WAIT + 'open("deep", "w").write("1"); os.makedirs("x/y"); open("x/y/z", "w").write("2")')
    go(job)
    assert job.ended()['outcome'] == 'Completed'
    before = stored(world)
    assert before == {'deep': b'1', 'x/y/z': b'2'}
    world.server.requests.clear()
    job, folder = start(world)
    assert held(folder) == before
    # An agent that is killed while it restores leaves nothing behind that is not in S3 any more.
    go(job)
    assert job.ended()['outcome'] == 'Completed'
    changed = [p for m, p in world.server.requests if m in ('PUT', 'DELETE') and '/ck/' in p]
    assert all(p.endswith('/.sagemaker-ignore') for p in changed), 'but for the question whether it may write there'


def test_a_bucket_that_is_taken_away(world):
    job, folder = start(world)
    world.server.denied.add('ck')
    open(f'{folder}/a', 'w').write('x')
    job.until(lambda r: 'checkpoints.not_synced' in job.log())
    open(f'{job.folder}/ml/model/m', 'w').close()
    go(job)
    r = job.ended()
    assert r['outcome'] == 'Failed' and 'AccessDenied' in r['failure_reason'], r
    assert 'out/job/output/model.tar.gz' in world.server.objects


def test_a_bucket_that_comes_back(world):
    job, folder = start(world)
    world.server.denied.add('ck')
    open(f'{folder}/a', 'w').write('x')
    job.until(lambda r: 'checkpoints.not_synced' in job.log())
    world.server.denied.clear()
    job.until(lambda r: stored(world) == {'a': b'x'})
    go(job)
    assert job.ended()['outcome'] == 'Completed'


@pytest.mark.parametrize('seed', range(ROUNDS))
def test_anything_in_any_order_of_kills(world, seed):
    dice = random.Random(seed)
    world.server.objects['ck/p/old'] = b'old'
    job, folder = start(world)
    names = ['old', 'a', 'b', 'd/a', 'd/e/b', 'f', 'g/h']
    for step in range(60):
        name, other = dice.choice(names), dice.choice(names)
        os.makedirs(os.path.dirname(f'{folder}/{name}'), exist_ok=True)
        os.makedirs(os.path.dirname(f'{folder}/{other}'), exist_ok=True)
        what = dice.randrange(8)
        if what < 3:
            with open(f'{folder}/{name}', 'wb') as f:
                f.write(os.urandom(dice.choice([0, 10, 100000] * 4 + [17 << 20])))  # the last goes in parts
        elif what == 3:
            with open(f'{folder}/tmp', 'wb') as f:
                f.write(os.urandom(50))
            os.rename(f'{folder}/tmp', f'{folder}/{name}')
        elif what == 4 and os.path.exists(f'{folder}/{name}'):
            os.rename(f'{folder}/{name}', f'{folder}/{other}')
        elif what == 5 and os.path.exists(f'{folder}/{name}'):
            os.remove(f'{folder}/{name}')
        elif what == 6 and dice.random() < 0.3:
            shutil.rmtree(f'{folder}/d', ignore_errors=True)
        else:
            time.sleep(dice.random() * 0.15)
        if dice.random() < 0.15:
            job.kill()
            if dice.random() < 0.5:
                time.sleep(dice.random() * 0.05)
            job.start()
    expected = held(folder)
    go(job)
    if dice.random() < 0.5:
        time.sleep(dice.random() * 0.2)
        job.kill()
        job.start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert stored(world) == expected
    assert not any(world.server.uploads.values()), 'parts that nobody sees'
    assert job.leftovers() == []


def test_parts_of_a_killed_agent_are_abandoned(world):
    job, folder = start(world)
    with open(f'{folder}/big', 'wb') as f:
        f.write(os.urandom(120 << 20))
    job.until(lambda r: any(world.server.uploads.values()))
    job.kill()
    left = set(world.server.uploads)
    os.remove(f'{folder}/big')
    job.start()
    if left:  # it was not quicker
        job.until(lambda r: not left & set(world.server.uploads))
    go(job)
    assert job.ended()['outcome'] == 'Completed'
    assert not any(world.server.uploads.values()) and stored(world) == {}
