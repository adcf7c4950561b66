"""Channels in all their modes: files, pipes, mounts."""
import contextlib
import gzip
import json
import os
import random
import struct
import time

import pytest

from conftest import needs_containers

pytestmark = needs_containers

needs_fuse = pytest.mark.skipif(not os.access('/dev/fuse', os.W_OK), reason='no /dev/fuse')


def records(data):
    """What a RecordIO stream holds."""
    found, at, parts = [], 0, []
    while at < len(data):
        magic, word = struct.unpack_from('<II', data, at)
        assert magic == 0xced7230a
        part, size = word >> 29, word & 0x1fffffff
        parts.append(data[at + 8:at + 8 + size])
        if part in (0, 3):
            found.append(struct.pack('<I', magic).join(parts))
            parts = []
        at += 8 + (size + 3) // 4 * 4
    return found


READ = '''
import sys
def read(epoch, name="train", size=-1):
    import time, os
    path = f"/opt/ml/input/data/{name}_{epoch}"
    while not os.path.exists(path): time.sleep(0.01)
    with open(path, "rb") as f: return f.read(size)
'''



def output(world):
    import io
    import tarfile
    tar = tarfile.open(fileobj=io.BytesIO(world.server.objects['out/job/output/output.tar.gz']))
    return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


def run(world, script, limit_s=120, **order):
    job = world.train(script, **order).start()
    r = job.ended(limit_s)
    assert r['outcome'] == 'Completed', (r.get('failure_reason'), job.log())
    assert job.leftovers() == []
    return job


def channel(**more):
    return {'name': 'train', 's3_uri': 's3://in/d/', 's3_data_type': 'S3Prefix', 'input_mode': 'Pipe', **more}


def test_a_pipe_for_every_epoch(world):
    parts = {f'in/d/{i}': os.urandom(n) for i, n in enumerate([10, 0, 9 << 20, 3])}
    world.server.objects.update(parts)
    run(world, READ + '''
import os
assert os.stat("/opt/ml/input/data/train_0").st_mode & 0o777 == 0o644  # who is not root reads it too
for epoch in range(3): open(f"/opt/ml/output/data/{epoch}", "wb").write(read(epoch))
import json; c = json.load(open("/opt/ml/input/config/inputdataconfig.json"))["train"]
assert c["TrainingInputMode"] == "Pipe", c
''', channels=[channel()])
    whole = b''.join(parts.values())
    assert output(world) == {'0': whole, '1': whole, '2': whole}


def test_a_reader_that_closes_early(world):
    world.server.objects['in/d/big'] = os.urandom(20 << 20)
    run(world, READ + '''
for epoch in range(5): assert len(read(epoch, size=100)) == 100
assert len(read(5)) == 20 << 20
''', channels=[channel()])


def test_records(world):
    magic = struct.pack('<I', 0xced7230a)
    parts = [b'', b'a', b'1234' + magic + b'5', magic * 3, b'x' + magic]
    world.server.objects.update({f'in/d/{i}': p for i, p in enumerate(parts)})
    run(world, READ + 'open("/opt/ml/output/data/r", "wb").write(read(0))',
        channels=[channel(record_wrapper='RecordIO')])
    assert records(output(world)['r']) == parts


def test_gzip(world):
    parts = [os.urandom(100), b'a' * (30 << 20), b'']
    world.server.objects.update({f'in/d/{i}': gzip.compress(p, 1) for i, p in enumerate(parts)})
    world.server.objects['in/d/1'] = gzip.compress(parts[1][:1000]) + gzip.compress(parts[1][1000:])
    run(world,
        READ + 'open("/opt/ml/output/data/r", "wb").write(read(0)); open("/opt/ml/output/data/s", "wb").write(read(0, '
               '"other"))',
        channels=[channel(compression='Gzip'), channel(name='other', compression='Gzip', record_wrapper='RecordIO')])
    assert output(world)['r'] == b''.join(parts)
    assert records(output(world)['s']) == parts


def test_shuffled_anew_at_every_epoch(world):
    world.server.objects.update({f'in/d/{i:02}': bytes([i]) for i in range(20)})
    run(world, READ + 'for e in range(2): open(f"/opt/ml/output/data/{e}", "wb").write(read(e))',
        channels=[channel(shuffle_seed=7)])
    first, second = output(world)['0'], output(world)['1']
    assert sorted(first) == sorted(second) == list(range(20)) and first != second and first != bytes(range(20))
    # Hosts that share a channel take different things in every epoch, and all of them together.
    taken = []
    for host in ('algo-1', 'algo-2', 'algo-3'):
        run(world, READ + 'for e in range(2): open(f"/opt/ml/output/data/{e}", "wb").write(read(e))', host_name=host,
            hosts=['algo-1', 'algo-2', 'algo-3'], channels=[channel(shuffle_seed=7, distribution='ShardedByS3Key')])
        taken.append(output(world))
    for epoch in '01':
        assert sorted(b''.join(t[epoch] for t in taken)) == list(range(20))
    assert taken[0]['0'] != taken[0]['1']


def test_manifests(world):
    world.server.objects.update({f'in/d/{i}': str(i).encode() * (5 << 20 if i == 2 else 1) for i in range(4)})
    world.server.objects['in/m'] = json.dumps([{'prefix': 's3://in/d/'}, '2', '0']).encode()
    world.server.objects['in/lines'] = b''.join(json.dumps(
        {'source-ref': f's3://in/d/{i}', 'label': i, 'meta': {'a': [i]}, 'text': 'é'}).encode() + b'\n'
        for i in range(4))
    run(world, READ + '''
open("/opt/ml/output/data/m", "wb").write(read(0, "m"))
open("/opt/ml/output/data/l", "wb").write(read(0, "l"))
''', channels=[channel(name='m', s3_uri='s3://in/m', s3_data_type='ManifestFile'),
               channel(name='l', s3_uri='s3://in/lines', s3_data_type='AugmentedManifestFile',
                       record_wrapper='RecordIO', attributes=['label', 'source-ref', 'meta', 'text'])])
    assert output(world)['m'] == b'2' * (5 << 20) + b'0'
    expected = [x for i in range(4)
                for x in (str(i).encode(), world.server.objects[f'in/d/{i}'], b'{"a":[%d]}' % i, 'é'.encode())]
    assert records(output(world)['l']) == expected


@pytest.mark.parametrize('more, words', [
    ({'s3_uri': 's3://in/none/'}, 'No S3 objects found under S3 URL "s3://in/none/"'),
    ({'s3_uri': 's3://in/m', 's3_data_type': 'ManifestFile'}, 'NoSuchKey'),
    ({'s3_uri': 's3://in/l', 's3_data_type': 'AugmentedManifestFile', 'attributes': ['b']},
     'line 2 of the manifest s3://in/l has no attribute "b"'),
    ({'s3_uri': 's3://in/z', 'compression': 'Gzip'}, 's3://in/z: it is not gzip'),
])
def test_input_that_breaks_off_ends_the_job(world, more, words):
    world.server.objects.update({'in/m': b'[{"prefix": "s3://in/d/"}, "gone"]', 'in/l': b'{"b": 1}\n{"c": 2}\n',
                                 'in/z': b'no gzip at all'})
    job = world.train(READ + 'read(0); print("never")', channels=[channel(**more)]).start()
    r = job.ended()
    assert r['outcome'] == 'Failed' and r['failure_reason'].startswith('ClientError: Data download failed:')
    assert words in r['failure_reason'], r['failure_reason']
    assert world.server.lines(job.name) == []
    assert job.leftovers() == []


def data_pid(job):
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                if open(f'/proc/{name}/cmdline', 'rb').read().split(b'\0')[1:2] == [job.folder.encode()] and \
                        os.readlink(f'/proc/{name}/exe').endswith('sagebrush-data'):
                    return int(name)
            except OSError:
                pass


def test_pipes_live_on_without_the_agent(world):
    whole = os.urandom(30 << 20)
    world.server.objects['in/d/x'] = whole
    job = world.train(READ + '''
import os, time
with open("/opt/ml/input/data/train_0", "rb") as f:
    data = f.read(1000)
    print("reading", flush=True)
    while not os.path.exists("/opt/ml/go"): time.sleep(0.01)
    data += f.read()
open("/opt/ml/output/data/0", "wb").write(data)
open("/opt/ml/output/data/1", "wb").write(read(1))
''', channels=[channel()]).start()
    job.until(lambda r: world.server.lines(job.name) == ['reading'])
    job.kill()
    open(f'{job.folder}/ml/go', 'w').close()
    time.sleep(0.3)
    job.start()
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert output(world) == {'0': whole, '1': whole}
    assert data_pid(job) is None


def test_a_pipe_that_is_cut_does_not_look_like_its_end(world):
    world.server.objects['in/d/x'] = os.urandom(30 << 20)
    job = world.train(READ + '''
with open("/opt/ml/input/data/train_0", "rb") as f:
    f.read(1000)
    print("reading", flush=True)
    f.read()
import time; time.sleep(600)
''', channels=[channel()]).start()
    job.until(lambda r: world.server.lines(job.name) == ['reading'])
    os.kill(data_pid(job), 9)
    r = job.ended()
    assert r['outcome'] == 'Failed' and 'was killed while the job read from it' in r['failure_reason']
    assert job.leftovers() == []


@needs_fuse
def test_fastfile(world):
    big = os.urandom(40 << 20)
    world.server.objects.update({'in/d/a/b/c': b'deep', 'in/d/a-b': b'dash', 'in/d/big': big, 'in/d/empty': b'',
                                 'in/d/dir/': b'', **{f'in/d/many/{i:04}': str(i).encode() for i in range(700)}})
    run(world, '''
import os, json, random
os.chdir("/opt/ml/input/data/train")
assert sorted(os.listdir(".")) == ["a", "a-b", "big", "dir", "empty", "many"], os.listdir(".")
assert open("a/b/c").read() == "deep" and open("a-b").read() == "dash" and open("empty").read() == ""
assert sorted(os.listdir("many")) == [f"{i:04}" for i in range(700)]
assert sum(int(open(f"many/{n}").read()) for n in os.listdir("many")) == sum(range(700))
assert os.listdir("dir") == [] and os.path.getsize("big") == 40 << 20 and not os.path.exists("none")
assert sum(len(f) for _, _, f in os.walk(".")) == 704
for path in ("big", "new"):
    try: open(path, "wb"); raise SystemExit("written")
    except OSError as e: assert e.errno == 30, e
data = open("big", "rb").read()
open("/opt/ml/output/data/big", "wb").write(data)
f = open("big", "rb")
dice = random.Random(1)
for _ in range(200):
    at, size = dice.randrange(len(data)), dice.randrange(300000)
    f.seek(at); assert f.read(size) == data[at:at + size]
c = json.load(open("/opt/ml/input/config/inputdataconfig.json"))["train"]
assert c["TrainingInputMode"] == "File", c
''', channels=[channel(input_mode='FastFile')])
    assert output(world)['big'] == big


@needs_fuse
def test_fastfile_fetches_what_is_read_and_what_comes_next(world):
    big = os.urandom(60 << 20)
    world.server.objects.update({'in/d/big': big, **{f'in/d/many/{i:04}': str(i).encode() for i in range(200)}})
    job = world.train('''
import os, random, time
os.chdir("/opt/ml/input/data/train")
f, dice = open("big", "rb", buffering=0), random.Random(1)
with open("/opt/ml/output/data/pieces", "wb") as pieces:
    for _ in range(100):
        f.seek(dice.randrange((60 << 20) - 65536))
        pieces.write(f.read(65536))
for i in range(100, 103): assert open(f"many/{i:04}").read() == str(i)
print("read", flush=True)
while not os.path.exists("/opt/ml/go"): time.sleep(0.02)
''', channels=[channel(input_mode='FastFile')]).start()
    small = lambda: sorted(int(p[-4:]) for p in world.server.fetched if '/many/' in p)
    job.until(lambda r: 'read' in world.server.lines(job.name))
    job.until(lambda r: len(small()) >= 15)
    assert small() == list(range(100, 115)), 'the twelve after the last one'
    assert world.server.fetched['in/d/big'] < 30 << 20, 'less than half, for a tenth of it'
    open(f'{job.folder}/ml/go', 'w').close()
    assert job.ended()['outcome'] == 'Completed', job.log()
    dice, expected = random.Random(1), b''
    for _ in range(100):
        at = dice.randrange((60 << 20) - 65536)
        expected += big[at:at + 65536]
    assert output(world)['pieces'] == expected


@needs_fuse
def test_a_mount_survives_whoever_answers_for_it(world):
    world.server.objects.update({f'in/d/{i}': os.urandom(3 << 20) for i in range(20)})
    job = world.train('''
import hashlib, os, time
os.chdir("/opt/ml/input/data/train")
h = hashlib.sha256()
for i in range(20):
    while i in (2, 6, 10, 14) and not os.path.exists(f"/opt/ml/go-{i}"): time.sleep(0.01)
    h.update(open(str(i), "rb").read())
    print("read", flush=True)
open("/opt/ml/output/data/hash", "w").write(h.hexdigest())
''', channels=[channel(input_mode='FastFile')]).start()
    for n in (2, 6, 10, 14):
        job.until(lambda r: len(world.server.lines(job.name)) >= n)
        answers = wait_until(lambda: data_pid(job))
        open(f'{job.folder}/ml/go-{n}', 'w').close()
        if n == 6:
            job.kill()
            job.start()
        else:
            os.kill(answers, 9)
    assert job.ended()['outcome'] == 'Completed', job.log()
    import hashlib
    assert output(world)['hash'].decode() == hashlib.sha256(b''.join(world.server.objects[f'in/d/{i}']
                                                                     for i in range(20))).hexdigest()
    assert job.leftovers() == [] and data_pid(job) is None


@needs_fuse
@pytest.mark.skipif(tuple(map(int, os.uname().release.split('.')[:2])) < (6, 9),
                    reason='Linux 6.9 sends requests again')
def test_a_read_that_was_under_way_is_answered_by_another(world):
    world.server.objects['in/d/x'] = b'answered'
    job = world.train('''
import os, time
print("ready", flush=True)
while not os.path.exists("/opt/ml/go"): time.sleep(0.01)
open("/opt/ml/output/data/x", "wb").write(open("/opt/ml/input/data/train/x", "rb").read())
''', channels=[channel(input_mode='FastFile')]).start()
    job.until(lambda r: world.server.lines(job.name) == ['ready'])
    with world.server.lock:
        open(f'{job.folder}/ml/go', 'w').close()
        wait_until(somebody_waits)
        first = data_pid(job)
        os.kill(first, 9)
        wait_until(lambda: data_pid(job) not in (None, first))
    assert job.ended()['outcome'] == 'Completed', job.log()
    assert output(world) == {'x': b'answered'}


def somebody_waits():
    """For an answer of a FUSE mount; where nobody can tell, after a second."""
    connections = '/sys/fs/fuse/connections'
    if not os.path.ismount(connections):
        time.sleep(1)
        return True
    for n in os.listdir(connections):
        with contextlib.suppress(FileNotFoundError), open(f'{connections}/{n}/waiting') as f:  # another one's, and gone
            if int(f.read()):
                return True


def wait_until(condition, limit_s=60):
    end = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


@needs_fuse
@pytest.mark.parametrize('how', ['read', 'mapped', 'random', 'direct'])
def test_a_reader_is_killed_while_the_server_is_away(world, how):
    world.server.objects['in/d/x'] = os.urandom(8 << 20)
    job = world.train(f'''
import mmap, os, threading, time
print("ready", flush=True)
while not os.path.exists("/opt/ml/go"): time.sleep(0.01)
fd = os.open("/opt/ml/input/data/train/x", os.O_RDONLY | (os.O_DIRECT if "{how}" == "direct" else 0))
if "{how}" == "random": os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
def read(at):
    if "{how}" == "mapped": return mmap.mmap(fd, 0, prot=mmap.PROT_READ)[at]
    os.preadv(fd, [mmap.mmap(-1, 4096)], at)
threads = [threading.Thread(target=read, args=(i << 18,)) for i in range(30)]
print("reading", flush=True)
for t in threads: t.start()
for t in threads: t.join()
''', channels=[channel(input_mode='FastFile')]).start()
    job.until(lambda r: world.server.lines(job.name) == ['ready'])
    world.server.down()
    open(f'{job.folder}/ml/go', 'w').close()
    wait_until(lambda: 'reading' in open(f'{job.folder}/stdout').read())
    wait_until(somebody_waits)
    job.stop(0)
    wait_until(lambda: os.path.exists(f'{job.folder}/box/exit.json'))
    world.server.up()
    assert job.ended()['outcome'] == 'Stopped', job.log()
    assert job.leftovers() == []


@needs_fuse
def test_a_mount_that_nobody_holds_any_more(world):
    world.server.objects['in/d/x'] = b'x'
    job = world.train('import time; print("ready", flush=True); time.sleep(600)',
                      channels=[channel(input_mode='FastFile')]).start()
    job.until(lambda r: world.server.lines(job.name) == ['ready'])
    job.agents[-1].send_signal(19)
    os.kill(data_pid(job), 9)
    job.kill()
    job.start()
    r = job.ended()
    assert r['outcome'] == 'Failed' and 'were killed at once' in r['failure_reason'], r
    assert job.leftovers() == [] and data_pid(job) is None


def test_a_folder_of_a_file_system(world):
    shared = f'{world.folder}/shared'
    os.makedirs(f'{shared}/data')
    open(f'{shared}/data/a', 'w').write('here')
    run(world, '''
assert open("/opt/ml/input/data/ro/a").read() == "here"
try: open("/opt/ml/input/data/ro/b", "w"); raise SystemExit("written")
except OSError as e: assert e.errno == 30, e
open("/opt/ml/input/data/rw/c", "w").write("written")
import os; os.symlink("/etc", "/opt/ml/input/data/rw/out")
''', channels=[folder(shared, '/data', n, n) for n in ('ro', 'rw')])
    assert open(f'{shared}/data/c').read() == 'written' and open(f'{shared}/data/a').read() == 'here'
    for directory in ('/data/out', '/../..', '/none'):
        r = world.train('print(1)', channels=[folder(shared, directory, 'rw')]).start().ended()
        assert r['outcome'] == 'Failed', r
        assert f'the DirectoryPath {directory} of its file system' in r['failure_reason'], r


def folder(shared, directory, access, name='train'):
    return {'name': name, 'input_mode': 'File',
            'file_system': {'folder': shared, 'directory': directory, 'access_mode': access}}
