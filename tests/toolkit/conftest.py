"""Script mode as the platform sees it: the program of the build, an /opt/ml of its own, the Python of the machine."""
import contextlib
import io
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('SAGEBRUSH_BUILD', ROOT / 'build')).resolve()
TOOLKIT = BUILD / 'src/toolkit/sagebrush-toolkit'


def archive(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w:gz') as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            data = text.encode()
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


class Box:
    def __init__(self, base):
        self.base = base
        self.environment = {'PATH': '/usr/bin:/bin', 'SAGEMAKER_BASE_DIR': str(base), 'HOME': str(base)}
        for folder in ('input/config', 'input/data', 'model', 'output'):
            (base / folder).mkdir(parents=True)

    def config(self, name, value):
        (self.base / f'input/config/{name}.json').write_text(json.dumps(value))

    def script(self, files, program='train.py', **hyperparameters):
        """What the SDK does: the archive in a channel named code, hyperparameters as JSON in strings."""
        channel = self.base / 'input/data/code'
        channel.mkdir(exist_ok=True)
        (channel / 'sourcedir.tar.gz').write_bytes(archive(files))
        every = {'sagemaker_program': program, 'sagemaker_submit_directory': str(channel / 'sourcedir.tar.gz'),
                 'sagemaker_job_name': 'job-1', 'sagemaker_region': 'us-east-1', **hyperparameters}
        self.config('hyperparameters', {k: json.dumps(v) for k, v in every.items()})

    def train(self, **more):
        return subprocess.run([TOOLKIT, 'train'], capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL, env={**self.environment, **more})

    @property
    def failure(self):
        return (self.base / 'output/failure').read_text()


def free_port():
    """Below those that the kernel gives to connections: nobody gets it before the server that it is for."""
    while True:
        port = random.randrange(10000, 32000)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(('127.0.0.1', port))
            return port


class Served:
    def __init__(self, box, **environment):
        self.port = free_port()
        self.log = open(box.base / 'serve.log', 'w+')
        variables = {**box.environment, 'SAGEMAKER_BIND_TO_PORT': str(self.port), **environment}
        self.process = subprocess.Popen([TOOLKIT, 'serve'], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        env=variables)

    def output(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text()

    def wait(self, seconds=60):
        until = time.monotonic() + seconds
        while True:
            try:
                if self.call('/ping')[0] == 200:
                    return self
            except OSError:
                pass
            assert self.process.poll() is None and time.monotonic() < until, self.output()
            time.sleep(0.02)

    def call(self, path, data=None, headers=None):
        request = urllib.request.Request(f'http://127.0.0.1:{self.port}{path}', data=data, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)

    def invoke(self, data, content_type='application/json', accept=None, **headers):
        return self.call('/invocations', data, {'Content-Type': content_type, **({'Accept': accept} if accept else {}),
                                                **headers})

    def stop(self):
        self.process.terminate()
        try:
            code = self.process.wait(30)
        finally:
            self.process.kill()
            self.log.close()
        return code


@pytest.fixture
def box():
    base = pathlib.Path(tempfile.mkdtemp(prefix='sagebrush-toolkit-'))
    yield Box(base)
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def serve(box):
    running = []

    def start(files, wait=True, program='inference.py', **environment):
        for name, text in files.items():
            path = box.base / 'model' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        served = Served(box, **{'SAGEMAKER_MODEL_SERVER_WORKERS': '1', 'SAGEMAKER_PROGRAM': program, **environment})
        running.append(served)
        return served.wait() if wait else served

    yield start
    for served in running:
        if served.process.poll() is None:
            served.stop()
