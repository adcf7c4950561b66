"""Images that the user brought, as OCI archives and in the local store: layers, whiteouts, users, entry points."""
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile

import pytest

from conftest import needs_containers

pytestmark = needs_containers


def layer(members):
    """members: name -> bytes, or a dict of TarInfo's fields."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as tar:
        for name, what in members.items():
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if isinstance(what, dict):
                for k, v in what.items():
                    setattr(info, k, v)
                tar.addfile(info)
            else:
                info.size = len(what)
                tar.addfile(info, io.BytesIO(what))
    return gzip.compress(out.getvalue(), mtime=0)


def shell():
    """/bin/sh, cat and id of this host with the libraries they need, as a root file system."""
    members = {'etc/': {'type': tarfile.DIRTYPE}, 'tmp/': {'type': tarfile.DIRTYPE, 'mode': 0o1777},
               'etc/passwd': b'root:x:0:0::/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n',
               'etc/group': b'g:x:1001:\n'}
    files = {'/bin/sh', '/bin/cat', '/usr/bin/id', '/bin/ls'}
    for path in list(files):
        for word in subprocess.check_output(['ldd', path], text=True).split():
            if word.startswith('/'):
                files.add(word)
    for path in files:
        members[path[1:]] = open(os.path.realpath(path), 'rb').read()
    return members


def build(layers, config):
    """blobs by digest, and index.json"""
    blobs = {}

    def blob(data):
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {'digest': f'sha256:{digest}', 'size': len(data)}

    manifest = {'schemaVersion': 2,
                'config': blob(json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': config}).encode()),
                'layers': [blob(l) for l in layers]}
    index = {'schemaVersion': 2, 'manifests': [{**blob(json.dumps(manifest).encode()),
                                                'annotations': {'org.opencontainers.image.ref.name': 'mine:1'}}]}
    return blobs, json.dumps(index).encode()


def archives(world):
    folder = f'{world.data}/images/archives'
    os.makedirs(folder, exist_ok=True)
    return folder


def archive(world, blobs, index):
    with tarfile.open(f'{archives(world)}/mine.tar', 'w') as tar:
        for name, data in [('oci-layout', b'{"imageLayoutVersion":"1.0.0"}'), ('index.json', index),
                           *((f'blobs/sha256/{d}', b) for d, b in blobs.items())]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def layout(folder, blobs, index):
    os.makedirs(f'{folder}/blobs/sha256')
    for digest, data in blobs.items():
        open(f'{folder}/blobs/sha256/{digest}', 'wb').write(data)
    open(f'{folder}/index.json', 'wb').write(index)


SCRIPT = (b'#!/bin/sh\necho "$0 $@" "$GREETING" "$HOSTNAME"\nid -u; id -g\nls /data\n'
          b'cat /opt/ml/input/config/hyperparameters.json\n')


@pytest.fixture(scope='module')
def image():
    first = {**shell(), 'run.sh': SCRIPT, 'data/': {'type': tarfile.DIRTYPE}, 'data/old': b'1', 'data/kept': b'2',
             'dev/null': {'type': tarfile.CHRTYPE}}
    second = {'data/.wh.old': b'', 'data/new': b'3'}
    return build([layer(first), layer(second)],
                 {'Entrypoint': ['/bin/sh', '/run.sh'], 'Cmd': ['ignored'],
                  'Env': ['GREETING=hello', 'PATH=/bin:/usr/bin'],
                  'WorkingDir': '/tmp', 'User': 'ann:g'})


def test_an_archive(world, image):
    archive(world, *image)
    for _ in range(2):
        job = world.train(image='oci-archive:mine.tar', hyper_parameters={'a': 'b'}).start()
        r = job.ended()
        assert r['outcome'] == 'Completed', r['failure_reason'] + job.log()
        assert world.server.lines(job.name) == ['/run.sh train hello algo-1', '1000', '1001', 'kept', 'new',
                                                '{"a":"b"}']
        assert job.leftovers() == []
    assert len(os.listdir(f'{world.data}/images/layers')) == 2


def test_the_local_store(world, image):
    layout(f'{world.data}/images/oci', *image)
    job = world.train(image='123456789012.dkr.ecr.us-west-2.amazonaws.com/mine:1', arguments=['x']).start()
    r = job.ended()
    assert r['outcome'] == 'Completed', r['failure_reason'] + job.log()
    assert world.server.lines(job.name)[0] == '/run.sh x hello algo-1'


def test_a_damaged_layer(world, image):
    blobs, index = image
    blobs = {d: (b[:-5] + b'wrong' if len(b) > 100000 else b) for d, b in blobs.items()}
    archive(world, blobs, index)
    r = world.train(image='oci-archive:mine.tar').start().ended()
    assert r['outcome'] == 'Failed' and 'damaged' in r['failure_reason']


def test_no_image_at_all(world):
    open(f'{archives(world)}/mine.tar', 'wb').write(b'nothing')
    r = world.train(image='oci-archive:mine.tar').start().ended()
    assert r['outcome'] == 'Failed' and 'mine.tar' in r['failure_reason']


def test_a_failure_tells_no_path_of_the_server(world, image):
    archive(world, *image)
    open(f'{world.data}/images/layers', 'w').close()
    r = world.train(image='oci-archive:mine.tar').start().ended()
    assert r['outcome'] == 'Failed'
    assert 'Not a directory' in r['failure_reason'] and '/' not in r['failure_reason'], r['failure_reason']


def test_hostile_working_folder(world):
    blobs, index = build([layer({**shell(), 'run.sh': SCRIPT})],
                         {'Entrypoint': ['/bin/sh', '-c', 'ls; pwd'], 'WorkingDir': '/proc/self/fd/3'})
    archive(world, blobs, index)
    job = world.train(image='oci-archive:mine.tar').start()
    r = job.ended()
    assert r['outcome'] == 'Failed' and 'working directory' in r['failure_reason'], r
