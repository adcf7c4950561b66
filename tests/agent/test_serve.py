"""Endpoints' instances in real containers."""
import io
import os
import socket
import tarfile
import time
import urllib.request

import pytest

from conftest import needs_containers

pytestmark = needs_containers

SERVER = '''
import http.server, os, sys, signal
class H(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(open("/opt/ml/model/m.txt","rb").read() if os.path.exists("/opt/ml/model/m.txt") else b"")
    def do_POST(self):
        os._exit(7)
class S(http.server.HTTPServer):
    def handle_error(self, *a): pass  # who asked is gone: an agent that was killed
print("serving", flush=True)
S(("0.0.0.0", 8080), H).serve_forever()
'''


def archive(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w:gz') as tar:
        for name, data, extra in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for k, v in extra.items():
                setattr(info, k, v)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def serve(world, script=SERVER, **order):
    order = {'work': 'serve', 'startup_timeout_s': 30, 'port': 8080, 'log_group': '/aws/sagemaker/Endpoints/e',
             'models': [], **order}
    return world.train(script, **order)


def get(r, path='/ping'):
    return urllib.request.urlopen(f'http://{r["address"]}:{r["port"]}{path}', timeout=5).read()


def test_it_serves_until_it_is_stopped(world):
    world.server.objects['b/m.tar.gz'] = archive(('m.txt', b'the model', {}), ('code/x.py', b'', {}))
    i = serve(world, models=[{'s3_uri': 's3://b/m.tar.gz', 'compressed': True, 'path': '/opt/ml/model'}]).start()
    r = i.until(lambda r: r.get('healthy'))
    assert r['phase'] == 'Serving' and get(r) == b'the model'
    i.stop(5)
    r = i.ended()
    assert r['outcome'] == 'Stopped' and r['healthy'] is False
    assert i.leftovers() == []


def test_isolated_endpoints_are_reached_and_reach_nobody(world):
    i = serve(world, '''
import socket
for to in (("10.213.0.1", 22), ("1.1.1.1", 53), (open("/proc/net/fib_trie").read().split("|-- ")[1].split()[0], 22)):
    try: socket.create_connection(to, 1); print("reached", to, flush=True)
    except OSError: pass
''' + SERVER, isolated=True).start()
    r = i.until(lambda r: r.get('healthy'))
    assert get(r) == b''
    assert world.server.lines(i.name) == ['serving']


def test_a_container_that_dies_is_started_again(world):
    i = serve(world).start()
    r = i.until(lambda r: r.get('healthy'))
    with pytest.raises(Exception):
        urllib.request.urlopen(urllib.request.Request(f'http://{r["address"]}:{r["port"]}/x', data=b'1'), timeout=5)
    r = i.until(lambda r: r.get('healthy') and r.get('_deaths') and world.server.lines(i.name).count('serving') == 2)
    assert get(r) == b''
    lines = world.server.lines(i.name)
    assert lines[0] == lines[-1] == 'serving'
    assert any('exit code: 7' in l and 'started again' in l for l in lines)


def test_it_never_becomes_healthy(world):
    i = serve(world, 'import time; time.sleep(100)', startup_timeout_s=2).start()
    r = i.ended()
    assert r['outcome'] == 'Failed'
    assert r['failure_reason'].startswith(f'The primary container for production variant {i.name} did not pass the '
                                          f'ping health check. Please check CloudWatch logs for this endpoint. In 2 s ')
    assert 'Connection refused' in r['failure_reason']
    assert i.leftovers() == []


def test_it_dies_until_it_is_given_up(world):
    i = serve(world, 'raise SystemExit("no model here")', startup_timeout_s=120).start()
    r = i.ended()
    assert r['outcome'] == 'Failed', r
    assert r['failure_reason'].endswith('It ended 5 times before it answered; the last time: no model here, exit code: '
                                        '1')
    assert i.leftovers() == []


def test_too_little_memory_is_the_reason(world):
    i = serve(world, 'x = b"x" * (300 << 20)', limits={'memory_bytes': 64 << 20}, startup_timeout_s=120).start()
    r = i.ended()
    assert r['outcome'] == 'Failed' and 'ping health check' in r['failure_reason'], r
    assert 'the container ran out of memory and was killed: its limit is 0.1 GiB' in r['failure_reason']
    assert i.leftovers() == []


def test_the_exception_is_the_reason_whatever_follows_it(world):
    i = serve(world, """
import sys, traceback
try: import no_such_library
except ImportError: traceback.print_exc()
print('[INFO] Shutting down: Master', file=sys.stderr)
sys.exit(3)
""", startup_timeout_s=120).start()
    r = i.ended()
    assert r['failure_reason'].endswith("the last time: ModuleNotFoundError: No module named 'no_such_library', exit "
                                        "code: 3")


@pytest.mark.parametrize('member, words', [
    (('../../x', b'1', {}), '..'),
    (('/etc/x', b'1', {}), 'absolute'),
    (('l', b'', {'type': tarfile.SYMTYPE, 'linkname': '../../../etc'}), 'leads out'),
    (('l', b'', {'type': tarfile.SYMTYPE, 'linkname': '/etc/passwd'}), 'leads out'),
    (('h', b'', {'type': tarfile.LNKTYPE, 'linkname': '../../x'}), '..'),
    (('d', b'', {'type': tarfile.CHRTYPE}), 'neither a file'),
])
def test_archives_that_climb_out(world, member, words):
    world.server.objects['b/m.tar.gz'] = archive(member)
    i = serve(world, models=[{'s3_uri': 's3://b/m.tar.gz', 'path': '/opt/ml/model'}]).start()
    r = i.ended()
    assert r['outcome'] == 'Failed' and words in r['failure_reason'], r
    assert r['failure_reason'].startswith('ClientError')
    assert i.leftovers() == []


def test_a_tar_bomb(world):
    world.server.objects['b/m.tar.gz'] = archive(('zeros', bytes(64 << 20), {}))
    i = serve(world, models=[{'s3_uri': 's3://b/m.tar.gz', 'path': '/opt/ml/model'}],
              limits={'memory_bytes': 512 << 20, 'disk_bytes': 8 << 20}).start()
    r = i.ended()
    assert r['outcome'] == 'Failed' and r['failure_reason'].endswith(
        'more than there is room for. Raise VolumeSizeInGB, or put less into the archive.'), r['failure_reason']


def test_a_model_that_is_not_there(world):
    i = serve(world, models=[{'s3_uri': 's3://b/none.tar.gz', 'path': '/opt/ml/model'}]).start()
    r = i.ended()
    assert 'NoSuchKey' in r['failure_reason'] and r['failure_reason'].startswith('ClientError')
    assert '. Please ensure' in r['failure_reason'] and '..' not in r['failure_reason']


def test_the_agent_is_killed_and_the_container_goes_on(world):
    i = serve(world).start()
    r = i.until(lambda r: r.get('healthy'))
    i.kill()
    assert get(r) == b''
    i.start()
    time.sleep(0.3)
    assert get(r) == b'' and i.report()['healthy']
    i.stop(5)
    assert i.ended()['outcome'] == 'Stopped'
    assert world.server.lines(i.name) == ['serving']


def test_a_container_that_is_started_again_finds_no_way_out(world, tmp_path):
    """What it left in its root, such as links in the place of folders that are mounted, is followed by nobody."""
    (tmp_path / 'of-the-host').touch()
    i = serve(world, f'''
import os, shutil, sys
print("in /usr/local:", sorted(os.listdir("/usr/local")), flush=True)
if not os.path.lexists("/opt/ml/been-here"):
    open("/opt/ml/been-here", "w").close()
    shutil.rmtree("/.local")
    os.symlink("{tmp_path}", "/.local")
    sys.exit(7)
''' + SERVER).start()
    i.until(lambda r: r.get('healthy'))
    i.until(lambda r: 'serving' in world.server.lines(i.name))
    seen = [line for line in world.server.lines(i.name) if line.startswith('in /usr/local')]
    assert len(seen) == 2 and seen[0] == seen[1]


def test_a_model_that_is_brought_again_goes_through_no_link(world, tmp_path):
    world.server.objects['b/m.tar.gz'] = archive(('m.txt', b'the model', {}))
    i = serve(world, f'''
import os, shutil, sys
if not os.path.islink("/opt/ml/model") and not os.path.exists("/opt/ml/model/m.txt"): sys.exit("no model")
if not os.path.islink("/opt/ml/model"):
    shutil.rmtree("/opt/ml/model")
    os.symlink("{tmp_path}", "/opt/ml/model")
    sys.exit(7)
''' + SERVER, models=[{'s3_uri': 's3://b/m.tar.gz', 'compressed': True, 'path': '/opt/ml/model'}]).start()
    i.until(lambda r: r.get('_deaths'))
    i.kill()
    assert not os.listdir(tmp_path)
    i.start()
    i.until(lambda r: r.get('healthy') or r.get('_deaths') > 2)
    assert not os.listdir(tmp_path)
