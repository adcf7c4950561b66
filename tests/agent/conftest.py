"""A server to stand in for sagebrushd, and agents started by hand on folders of their own."""
import base64
import hashlib
import http.server
import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
import urllib.parse
import uuid

import pytest

BUILD = os.environ.get('SAGEBRUSH_BUILD', os.path.abspath('build'))
AGENT = f"{BUILD}/libexec/sagebrush-agent"
HAS_RUNC = os.geteuid() == 0 and any(os.access(f'{d}/runc', os.X_OK)
                                     for d in ('/usr/sbin', '/usr/bin', '/usr/local/sbin'))

needs_containers = pytest.mark.skipif(not HAS_RUNC, reason='containers need root and runc')


def hears(pid, number):
    """Whether the signal does not end the process; true as well when it has ended."""
    try:
        with open(f'/proc/{pid}/status') as f:
            masks = dict(line.split(':', 1) for line in f)
    except OSError:
        return True
    return any(int(masks[m], 16) >> (number - 1) & 1 for m in ('SigBlk', 'SigIgn', 'SigCgt'))


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def get_request(self):
        return self.socket.accept()[0], ('unix', 0)


class Server:
    """S3 on api.sock, logs, metrics and pokes on admin.sock."""

    def __init__(self, folder):
        self.folder = folder
        self.objects, self.uploads, self.streams, self.metrics, self.pokes, self.requests = {}, {}, {}, {}, [], []
        self.denied, self.unlisted = set(), set()
        self.fetched = {}  # bytes by path, of ranges
        self.lock = threading.Lock()
        self.servers = []
        self.up()

    def up(self):
        for name in ('api', 'admin'):
            path = f'{self.folder}/{name}.sock'
            if os.path.exists(path):
                os.unlink(path)
            server = UnixServer(path, type('Handler', (Handler,), {'state': self}))
            threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True).start()
            self.servers.append(server)

    def down(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
        self.servers = []

    def lines(self, stream='stream'):
        return [e['message'] for _, e in sorted(self.streams.get(stream, {}).items())]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    state = None

    def log_message(self, *a):
        pass

    def answer(self, status, body=b'', headers=()):
        self.send_response(status)
        for k, v in headers:
            self.send_header(k, v)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def error(self, status, code, message='no'):
        self.answer(status, f'<Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode())

    def do(self):
        s = self.state
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        with s.lock:
            s.requests.append((self.command, self.path))
            if url.path.startswith('/_sagebrush/'):
                return self.admin(url.path, query, body)
            assert self.headers['Authorization'].startswith('AWS4-HMAC-SHA256 '), 'unsigned'
            claimed = self.headers['X-Amz-Content-Sha256']
            assert claimed in ('UNSIGNED-PAYLOAD', hashlib.sha256(body).hexdigest())
            bucket, _, key = urllib.parse.unquote(url.path)[1:].partition('/')
            if bucket in s.denied:
                return self.error(403, 'AccessDenied', 'Access Denied')
            return self.s3(bucket, key, query, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do

    def admin(self, path, query, body):
        s = self.state
        if path.endswith('/poke'):
            s.pokes.append(query['name'])
        else:
            d = json.loads(body)
            if path.endswith('/logs'):
                stream = s.streams.setdefault(d['stream'], {})
                for e in d['events']:
                    if e['offset'] in stream:
                        assert stream[e['offset']]['message'] == e['message'], 'one offset, two messages'
                    stream[e['offset']] = e
            else:
                if d['id'] in s.metrics:
                    strip = lambda x: [{**m, 'at_ms': 0} for m in x['data']]
                    assert strip(s.metrics[d['id']]) == strip(d), 'one id, two contents'
                s.metrics[d['id']] = d
        self.answer(200, b'{}')

    def s3(self, bucket, key, query, body):
        objects = self.state.objects
        path = f'{bucket}/{key}'
        if self.command == 'GET' and not key and bucket in self.state.unlisted:
            return self.error(403, 'AccessDenied', 'Access Denied')
        if self.command == 'GET' and not key:
            names = sorted(k for k in objects if k.startswith(f'{bucket}/')
                           and k[len(bucket) + 1:].startswith(query['prefix']))
            start = int(query.get('continuation-token', 0))
            page = names[start:start + 3]
            xml = ''.join(f'<Contents><Key>{urllib.parse.quote_plus(n[len(bucket) + 1:], safe="/")}</Key>'
                          f'<Size>{len(objects[n])}</Size></Contents>' for n in page)
            if start + 3 < len(names):
                xml += f'<NextContinuationToken>{start + 3}</NextContinuationToken>'
            return self.answer(200, f'<ListBucketResult>{xml}</ListBucketResult>'.encode())
        if self.command == 'GET':
            if path not in objects:
                return self.error(404, 'NoSuchKey', 'The specified key does not exist.')
            data = objects[path]
            if 'Range' in self.headers:
                a, b = self.headers['Range'][6:].split('-')
                self.state.fetched[path] = self.state.fetched.get(path, 0) + int(b) - int(a) + 1
                piece = data[int(a):int(b) + 1]
                return self.answer(206, piece, [('Content-Range', f'bytes {a}-{b}/{len(data)}')])
            return self.answer(200, data)
        if query.get('uploadId') and query['uploadId'] not in self.state.uploads:
            return self.error(404, 'NoSuchUpload', 'The specified upload does not exist.')
        if self.command == 'PUT' and 'partNumber' in query:
            self.state.uploads[query['uploadId']][int(query['partNumber'])] = body
            return self.answer(200, b'', [('ETag', f'"{hashlib.md5(body).hexdigest()}"')])
        if self.command == 'PUT' and 'If-Match' in self.headers:
            return self.error(404, 'NoSuchKey', 'The specified key does not exist.')
        if self.command == 'PUT':
            objects[path] = body
            return self.answer(200, b'', [('ETag', f'"{hashlib.md5(body).hexdigest()}"')])
        if self.command == 'POST' and 'uploads' in query:
            upload = uuid.uuid4().hex
            self.state.uploads[upload] = {}
            return self.answer(200, f'<R><UploadId>{upload}</UploadId></R>'.encode())
        if self.command == 'POST':
            parts = self.state.uploads.pop(query['uploadId'])
            assert body.count(b'<Part>') == len(parts)
            objects[path] = b''.join(parts[i] for i in sorted(parts))
            return self.answer(200, b'<CompleteMultipartUploadResult/>')
        if self.command == 'DELETE' and 'uploadId' in query:
            self.state.uploads.pop(query['uploadId'])
        elif self.command == 'DELETE':
            objects.pop(path, None)
        return self.answer(204)


class Instance:
    """One order in a folder, and the agent on it."""

    def __init__(self, world, **order):
        self.world = world
        self.name = f't{uuid.uuid4().hex[:12]}-0'
        self.folder = f'{world.data}/agents/{self.name}'
        os.makedirs(self.folder, 0o700)
        self.agents = []
        self.order = {
            'version': 1, 'name': self.name, 'uid': 'u', 'work': 'train', 'image': '1.dkr/pytorch-training:1.13',
            'entrypoint': [], 'arguments': [], 'environment': {}, 'host_name': 'algo-1', 'hosts': ['algo-1'],
            'instance_type': 'ml.m5.large', 'region': 'us-west-2', 'account': '123456789012',
            'limits': {'cpu_weight': 100, 'cpus': 0, 'memory_bytes': 512 << 20}, 'isolated': False,
            'max_runtime_s': 3600,
            'api_socket': f'{world.folder}/api.sock', 'admin_socket': f'{world.folder}/admin.sock',
            'role': {'access_key_id': 'AKID', 'secret_access_key': 'SECRET', 'session_token': 'TOKEN',
                     'role_arn': 'arn:aws:iam::123456789012:role/r', 'expires_ms': int(time.time() * 1000) + 86400000},
            'log_group': '/aws/sagemaker/TrainingJobs', 'log_stream': self.name, 'job_name': 'job',
            'job_arn': 'arn:aws:sagemaker:us-west-2:123456789012:training-job/job', 'hyper_parameters': {},
            'channels': [],
            'output_s3_uri': 's3://out/job', 'metric_definitions': [], 'runtime': 'container',
            'data_folder': world.data, 'run_folder': world.run}
        self.order.update(order)
        with open(f'{self.folder}/order.json', 'w') as f:
            json.dump(self.order, f)

    def start(self):
        log = open(f'{self.folder}/agent.log', 'ab')
        agent = subprocess.Popen([AGENT, self.folder], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 start_new_session=True, env=self.world.environment)
        log.close()
        self.agents.append(agent)
        return self

    def kill(self):
        self.agents[-1].kill()
        self.agents[-1].wait()

    def report(self):
        try:
            with open(f'{self.folder}/report.json') as f:
                return json.load(f)
        except FileNotFoundError:
            return {}

    def stop(self, grace_s=120, reason='test'):
        with open(f'{self.folder}/stop.new', 'w') as f:
            json.dump({'grace_s': grace_s, 'reason': reason}, f)
        os.rename(f'{self.folder}/stop.new', f'{self.folder}/stop.json')
        # The server signals who has the lock on agent.pid; before that it would be the end of the agent.
        self.until(lambda r: hears(self.agents[-1].pid, signal.SIGUSR1))
        self.agents[-1].send_signal(signal.SIGUSR1)

    def until(self, condition, limit_s=120):
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            report = self.report()
            if condition(report):
                return report
            time.sleep(0.01)
        raise AssertionError(f'not in {limit_s} s: {self.report()}\n{self.log()}')

    def ended(self, limit_s=120):
        report = self.until(lambda r: r.get('phase') == 'Ended', limit_s)
        self.agents[-1].wait(60)
        return report

    def log(self):
        return ''.join(open(f'{self.folder}/{n}', errors='replace').read() for n in ('agent.log', 'runc.log', 'stdout')
                       if os.path.exists(f'{self.folder}/{n}'))

    def leftovers(self):
        """What is still there that should have gone with the container."""
        found = []
        if os.path.exists(f'{self.world.run}/runc/{self.name}'):
            found.append('container')
        if self.folder in open('/proc/self/mountinfo').read():
            found.append('mount')
        for line in open('/proc/self/mountinfo'):
            if ' - cgroup' in line and os.path.exists(f'{line.split()[4]}/sagebrush-{self.name}'):
                found.append(f'cgroup {line.split()[4]}')
        if os.path.exists(f'{self.world.run}/netns/{self.name}'):
            found.append('netns')
        pool = '/run/sagebrush/net'
        for entry in os.listdir(pool) if os.path.exists(pool) else []:
            if os.path.islink(f'{pool}/{entry}') and os.readlink(f'{pool}/{entry}') == f'{self.world.run}/{self.name}':
                found.append('address')
        for folder in ('ml', 'root', 'upper'):
            if os.path.exists(f'{self.folder}/{folder}'):
                found.append(folder)
        return found


class World:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix='sgb-test-', dir='/tmp')
        self.data, self.run = f'{self.folder}/data', f'/run/sagebrush/test-{uuid.uuid4().hex[:8]}'
        os.makedirs(f'{self.data}/images')
        os.makedirs(self.run)
        self.server = Server(self.folder)
        self.environment = dict(os.environ)
        self.instances = []

    def train(self, script=None, **order):
        """A job that runs a Python script, or what the order says."""
        if script is not None:
            order.setdefault('entrypoint', ['/usr/bin/python3', '-c'])
            order.setdefault('arguments', [script])
        self.instances.append(Instance(self, **order))
        return self.instances[-1]

    def close(self):
        for i in self.instances:
            for agent in i.agents:
                if agent.poll() is None:
                    agent.kill()
                    agent.wait()
            if os.path.exists(f'{i.folder}/ml') or os.path.exists(f'{self.run}/runc/{i.name}'):
                i.stop(0) if i.agents else None
                try:
                    i.start().agents[-1].wait(60)
                except subprocess.TimeoutExpired:
                    pass
        self.server.down()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.run, ignore_errors=True)


@pytest.fixture
def world():
    w = World()
    yield w
    w.close()
