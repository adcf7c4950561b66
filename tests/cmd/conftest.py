"""The command line and the supervisor, with two stand-ins for control plane and data plane: small Python programs that
answer what the supervisor asks. What is tested here is who lives, who dies, and what the user is told."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('SAGEBRUSH_BUILD', ROOT / 'build')).resolve()
SAGEBRUSH = BUILD / 'src/cmd/sagebrush'
STAND_IN = '''#!/usr/bin/python3 -S
import os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
assert sys.argv[1] == '--data' and os.path.isdir(sys.argv[2])
if os.path.basename(sys.argv[0]) == 'sagebrushd':
    if os.path.exists(sys.argv[2] + '/fail'):
        sys.exit(3)
    path = sys.argv[2] + '/run/admin.sock'
    if os.path.exists(path):
        os.unlink(path)
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen()
else:
    s = socket.socket(fileno=3)
    s.setblocking(True)
while True:
    c, _ = s.accept()
    c.recv(65536)
    said = sys.argv[2] + '/answer.json'
    body = open(said, 'rb').read() if os.path.exists(said) else b'{"status":"ok"}'
    c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s' % (len(body), body))
    c.close()
'''


def free_port():
    """Below those that the kernel gives to connections: nobody gets it before the server that it is for."""
    while True:
        port = random.randrange(10000, 32000)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(('127.0.0.1', port))
            return port


def wait_for(check, seconds=60):
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until, 'it did not happen in time'
        time.sleep(0.01)


class Place:
    """A data directory of its own; 'answer.json' in it is what the control plane says to whatever it is asked."""

    def __init__(self, folder):
        self.folder = folder
        self.data = folder / 'data'
        self.programs = folder / 'libexec'
        self.programs.mkdir()
        for name in ('sagebrushd', 'sagebrush-serve'):
            (self.programs / name).write_text(STAND_IN)
            (self.programs / name).chmod(0o755)
        self.port = free_port()

    def run(self, *words, check=True, **more):
        environment = {'PATH': '/usr/bin:/bin', 'SAGEBRUSH_LIBEXEC': str(self.programs), 'HOME': str(self.folder)}
        done = subprocess.run([SAGEBRUSH, *words, '--data', self.data], capture_output=True, text=True, timeout=60,
                              env=environment, **{'stdin': subprocess.DEVNULL, **more})
        assert not check or done.returncode == 0, done.stderr
        return done

    def up(self, *more, check=True):
        return self.run('up', '--daemon', '--port', str(self.port), '--runtime', 'sim', *more, check=check)

    def status(self):
        return json.loads(self.run('status', '--json', check=False).stdout)

    def kill(self, *names):
        status = self.status()
        for name in names:
            os.kill(status[name], signal.SIGKILL)
        for name in names:
            wait_for(lambda: not alive(status[name]))
        return status


def alive(pid):
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False


@pytest.fixture
def place():
    p = Place(pathlib.Path(tempfile.mkdtemp(prefix='sagebrush-cmd-')))
    yield p
    p.run('down', check=False)
    p.run('reset', '--yes', check=False)  # its folder of sockets in /run
    shutil.rmtree(p.folder, ignore_errors=True)
