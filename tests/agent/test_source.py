"""Source archives of script mode that must not be unpacked, or that hold what must not be run: the reason says why."""
import json
import tarfile

import pytest

from conftest import needs_containers
from test_serve import archive

pytestmark = needs_containers

SCRIPT = ('train.py', b'print("ran", flush=True)', {})


def submit(world, *members, **order):
    """A job whose script comes from an archive in S3."""
    world.server.objects['code/source.tar.gz'] = archive(*members)
    words = {'sagemaker_program': 'train.py', 'sagemaker_submit_directory': 's3://code/source.tar.gz'}
    return world.train(hyper_parameters={k: json.dumps(v) for k, v in words.items()}, **order).start()


def test_it_runs(world):
    job = submit(world, SCRIPT)
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert 'ran' in world.server.lines(job.name)


@pytest.mark.parametrize('isolated', [False, True])
@pytest.mark.parametrize('member', [
    ('../evil.py', b'1', {}),
    ('a/../../evil.py', b'1', {}),
    ('/tmp/evil.py', b'1', {}),
    ('way', b'', {'type': tarfile.SYMTYPE, 'linkname': '../../..'}),
    ('way', b'', {'type': tarfile.LNKTYPE, 'linkname': '../../../etc/passwd'}),
])
def test_archives_that_climb_out(world, member, isolated):
    job = submit(world, SCRIPT, member, isolated=isolated)
    r = job.ended()
    assert r['outcome'] == 'Failed' and 'ran' not in world.server.lines(job.name), r
    assert any(words in r['failure_reason'] for words in ('leads out', '".."', 'absolute')), r
    assert job.leftovers() == []


@pytest.mark.parametrize('isolated', [False, True])
def test_a_bomb(world, isolated):
    job = submit(world, SCRIPT, ('zeros', bytes(64 << 20), {}), isolated=isolated,
                 limits={'memory_bytes': 512 << 20, 'disk_bytes': 8 << 20})
    r = job.ended()
    assert r['outcome'] == 'Failed' and 'ran' not in world.server.lines(job.name), r
    assert 'room' in r['failure_reason'] or 'No space left on device' in r['failure_reason'], r
    assert job.leftovers() == []
