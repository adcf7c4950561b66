"""The data plane as a process: containers, sagebrushd and clients are played from here, with sockets and nothing else.

usage: test_serve.py <sagebrush-serve>
"""
import base64
import contextlib
import datetime
import hashlib
import hmac
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROGRAM = os.path.abspath(sys.argv.pop(1))
ACCOUNT, REGION = '123456789012', 'us-east-1'
KEY, SECRET = 'AKIAIOSFODNN7EXAMPLE', 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
ENDPOINT_ARN = f'arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/'


def sign(method, path, headers, body, key=KEY, secret=SECRET, when=None, token=None):
    """Signature Version 4, written from its description: an independent second opinion."""
    now = when or datetime.datetime.utcnow()
    stamp, day = now.strftime('%Y%m%dT%H%M%SZ'), now.strftime('%Y%m%d')
    headers = dict(headers, **{'X-Amz-Date': stamp})
    if token:
        headers['X-Amz-Security-Token'] = token
    names = sorted(name.lower() for name in headers)
    lower = {name.lower(): value for name, value in headers.items()}
    canonical = '\n'.join([method, path, '', ''.join(f'{n}:{lower[n].strip()}\n' for n in names), ';'.join(names),
                           hashlib.sha256(body).hexdigest()])
    scope = f'{day}/{REGION}/sagemaker/aws4_request'
    text = '\n'.join(['AWS4-HMAC-SHA256', stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    k = ('AWS4' + secret).encode()
    for part in (day, REGION, 'sagemaker', 'aws4_request'):
        k = hmac.new(k, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(k, text.encode(), hashlib.sha256).hexdigest()
    headers['Authorization'] = (f'AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={";".join(names)}, '
                                f'Signature={signature}')
    return headers


class Container(BaseHTTPRequestHandler):
    """A container whose Content-Type says what it does."""
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        what = self.headers.get('Content-Type', '')
        length = int(self.headers.get('Content-Length', 0))
        self.server.seen.append(dict(self.headers))
        if what == 'early':
            self.connection.sendall(b'HTTP/1.1 413 no\r\nContent-Length: 3\r\n\r\nbig')
        try:
            body = self.rfile.read(length)
        except OSError:
            body = b''
        if len(body) < length:
            self.server.cut += 1
            self.close_connection = True
            return
        if what == 'early':
            return
        if what == 'garbage':
            self.connection.sendall(b'this is not HTTP\r\n\r\n')
            self.close_connection = True
        elif what == 'close':
            self.close_connection = True
        elif what == 'half':
            self.connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf')
            self.close_connection = True
        elif what == 'half-large':
            self.connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n' + b'x' * 150000)
            self.close_connection = True
        elif what == 'slow':
            self.server.release.wait(20)
            self.answer(200, b'slow')
        elif what == 'error':
            self.answer(415, b'I do not read \xff that')
        elif what == 'crash':
            self.answer(500, b'Traceback "quoted"')
        elif what == 'large':
            self.answer(200, b'y' * 5000000)
        elif what == 'too-large':
            self.answer(200, b'y' * 6291457)
        elif what == 'chunked':
            self.send_response(200)
            self.send_header('Transfer-Encoding', 'chunked')
            self.end_headers()
            self.wfile.write(b'3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n')
        elif what.startswith('drip'):
            self.send_response(200)
            self.send_header('Content-Type', 'text/event-stream')
            self.send_header('Transfer-Encoding', 'chunked')
            self.end_headers()
            self.wfile.write(b'3\r\nabc\r\n')
            self.server.release.wait(20)
            if what == 'drip':
                self.wfile.write(b'3\r\ndef\r\n0\r\n\r\n')
            self.close_connection = True
        elif what == 'session':
            self.send_response(200)
            self.send_header('X-Amzn-SageMaker-Session-Id', 'abc; Expires=2030-01-01T00:00:00Z')
            self.send_header('Content-Length', '0')
            self.end_headers()
        elif what == 'hash':
            self.answer(200, hashlib.sha256(body).hexdigest().encode())
        else:
            self.answer(200, body)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header('Content-Type', 'text/csv')
        self.send_header('X-Amzn-SageMaker-Custom-Attributes', 'from container')
        self.send_header('X-Other', 'stays inside')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *args):
        pass


def container():
    server = ThreadingHTTPServer(('127.0.0.1', 0), Container)
    server.daemon_threads = True
    server.seen, server.cut, server.release = [], 0, threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


class Control:
    """A sagebrushd: answers each connection's bytes by a function of the request."""

    def __init__(self, path, answer):
        self.path, self.answer, self.seen = path, answer, []
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(100)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            while True:
                data = b''
                while b'\r\n\r\n' not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                head, body = data.split(b'\r\n\r\n', 1)
                if b'100-continue' in head:
                    connection.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
                length = [int(line.split(b':')[1]) for line in head.split(b'\r\n')
                          if line.lower().startswith(b'content-length:')]
                if b'chunked' in head:
                    while not body.endswith(b'0\r\n\r\n'):
                        body += connection.recv(65536)
                while length and len(body) < length[0]:
                    body += connection.recv(1 << 20)
                self.seen.append((head, body))
                answer = self.answer(head, body)
                if answer is None:
                    return
                connection.sendall(answer)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


class ServeTest(unittest.TestCase):
    def setUp(self):
        self.data = tempfile.mkdtemp(prefix='sb-serve-')
        os.mkdir(self.data + '/run')
        os.mkdir(self.data + '/secrets')
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(('127.0.0.1', 0))
        self.listener.listen(100)
        self.port = self.listener.getsockname()[1]
        self.containers = [container(), container()]
        self.generation = 0
        self.control = None
        self.process = None
        self.policies = []

    def tearDown(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.assertEqual(self.process.wait(15), 0)
        for server in self.containers:
            server.release.set()
            server.shutdown()
            server.server_close()
        if self.control:
            self.control.close()
        self.listener.close()
        shutil.rmtree(self.data)

    def start(self, threads=2):
        fd = self.listener.fileno()
        with open(self.data + '/log', 'ab') as log:
            self.process = subprocess.Popen(
                ['/bin/sh', '-c', f'exec 3<&{fd}; exec "$0" "$@"', PROGRAM, '--data', self.data, '--threads',
                 str(threads)],
                pass_fds=[fd], stderr=log)

    def variant(self, name, weight, *servers):
        return {'name': name, 'weight': weight, 'uid': name,
                'instances': [{'uid': f'{name}-{i}', 'address': '127.0.0.1', 'port': s.server_address[1]}
                              for i, s in enumerate(servers)]}

    def snapshot(self, *variants, **more):
        self.generation += 1
        s = {'version': 1, 'generation': self.generation, 'session_key': base64.b64encode(bytes(32)).decode(),
             'account': ACCOUNT, 'default_region': REGION,
             'keys': [{'id': KEY, 'secret': SECRET, 'account': ACCOUNT, 'arn': f'arn:aws:iam::{ACCOUNT}:root',
                       'user_id': ACCOUNT, 'policies': [], 'trusted': True},
                      {'id': 'AKIALIMITED000000000', 'secret': 'limited', 'account': ACCOUNT,
                       'arn': f'arn:aws:iam::{ACCOUNT}:user/limited', 'user_id': 'AIDALIMITED',
                       'policies': self.policies,
                       'trusted': False}],
             'roles': [],
             'endpoints': [{'name': 'Demo', 'region': REGION, 'account': ACCOUNT, 'arn': ENDPOINT_ARN + 'demo',
                            'variants': list(variants)}] if variants else []}
        s.update(more)
        with open(self.data + '/route.tmp', 'w') as f:
            json.dump(s, f)
        os.rename(self.data + '/route.tmp', self.data + '/route.json')
        return self.generation

    def ack(self):
        try:
            with open(self.data + '/route.ack') as f:
                return json.load(f)
        except (FileNotFoundError, ValueError):
            return {'applied': 0, 'drained': 0}

    def wait_for(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, 'it did not happen')
            time.sleep(0.005)

    def go(self, *variants, **more):
        generation = self.snapshot(*(variants or (self.variant('AllTraffic', 1, self.containers[0]),)), **more)
        if not self.process:
            self.start()
        self.wait_for(lambda: self.ack()['applied'] == generation)

    def connect(self):
        return http.client.HTTPConnection('127.0.0.1', self.port, timeout=20)

    def invoke(self, body=b'1,2,3', what='text/csv', endpoint='Demo', connection=None, headers={}, **signing):
        path = f'/endpoints/{endpoint}/invocations'
        c = connection or self.connect()
        all_headers = {'Host': f'127.0.0.1:{self.port}', 'Content-Type': what, **headers}
        c.request('POST', path, body, sign('POST', path, all_headers, body, **signing))
        r = c.getresponse()
        r.content = r.read()
        if not connection:
            c.close()
        return r

    def invoke_streamed(self, body=b'1', what='text/csv', headers={}, **signing):
        path = '/endpoints/Demo/invocations-response-stream'
        c = self.connect()
        all_headers = {'Host': f'127.0.0.1:{self.port}', 'Content-Type': what, **headers}
        c.request('POST', path, body, sign('POST', path, all_headers, body, **signing))
        return c.getresponse()

    def next_event(self, stream):
        """Of application/vnd.amazon.eventstream: (headers, payload), None at the end."""
        prelude = stream.read(12)
        if not prelude:
            return None
        total, head, crc = struct.unpack('>III', prelude)
        rest = stream.read(total - 12)
        self.assertEqual(crc, zlib.crc32(prelude[:8]))
        self.assertEqual(struct.unpack('>I', rest[-4:])[0], zlib.crc32(prelude + rest[:-4]))
        headers, at = {}, 0
        while at < head:
            name = rest[at + 1:at + 1 + rest[at]].decode()
            at += 1 + rest[at]
            kind, size = struct.unpack_from('>BH', rest, at)
            self.assertEqual(kind, 7)
            headers[name] = rest[at + 3:at + 3 + size].decode()
            at += 3 + size
        return headers, rest[head:-4]

    # --- Invocations ---

    def test_response_stream(self):
        self.go()
        part = {':event-type': 'PayloadPart', ':content-type': 'application/octet-stream', ':message-type': 'event'}
        r = self.invoke_streamed(what='drip',
                                 headers={'X-Amzn-SageMaker-Accept': 'text/event-stream', 'Accept': 'no/no'})
        self.assertEqual(r.status, 200)
        self.assertEqual(r.headers['Content-Type'], 'application/vnd.amazon.eventstream')
        self.assertEqual(r.headers['X-Amzn-SageMaker-Content-Type'], 'text/event-stream')
        self.assertEqual(r.headers['x-Amzn-Invoked-Production-Variant'], 'AllTraffic')
        # The first is here while the container still thinks about the second.
        self.assertEqual(self.next_event(r), (part, b'abc'))
        self.containers[0].release.set()
        self.assertEqual(self.next_event(r), (part, b'def'))
        self.assertIsNone(self.next_event(r))
        self.assertEqual(self.containers[0].seen[-1]['Accept'], 'text/event-stream')

        r = self.invoke_streamed(what='drip-broken')
        self.assertEqual(self.next_event(r), (part, b'abc'))
        headers, payload = self.next_event(r)
        self.assertEqual((headers[':message-type'], headers[':exception-type']), ('exception', 'ModelStreamError'))
        self.assertEqual(json.loads(payload)['ErrorCode'], 'StreamBroken')
        self.assertIsNone(self.next_event(r))

        r = self.invoke_streamed(what='error')  # before the stream began: as any other
        self.assertEqual((r.status, json.loads(r.read())['OriginalStatusCode']), (424, 415))
        r = self.invoke_streamed(b'')
        self.assertEqual((r.status, r.read()), (200, b''))
        self.assertEqual(self.invoke_streamed(secret='wrong').status, 403)
        r, data = self.invoke_streamed(b'z' * 3000000), b''
        while event := self.next_event(r):
            data += event[1]
        self.assertEqual(data, b'z' * 3000000)
        r, size = self.invoke_streamed(what='too-large'), 0  # a stream may be as long as it likes
        while event := self.next_event(r):
            size += len(event[1])
        self.assertEqual(size, 6291457)


    def test_invoke(self):
        self.go()
        c = self.connect()
        for i in range(3):
            r = self.invoke(b'1,2,%d' % i, connection=c, headers={
                'Accept': 'text/csv', 'X-Amzn-SageMaker-Custom-Attributes': 'mine', 'X-Secret': 'no', 'Cookie': 'no'})
            self.assertEqual((r.status, r.content), (200, b'1,2,%d' % i))
            self.assertEqual(r.headers['x-Amzn-Invoked-Production-Variant'], 'AllTraffic')
            self.assertEqual(len(r.headers['x-amzn-RequestId']), 36)
            self.assertEqual(r.headers['Content-Type'], 'text/csv')
            self.assertEqual(r.headers['X-Amzn-SageMaker-Custom-Attributes'], 'from container')
            self.assertIsNone(r.headers['X-Other'])
        seen = self.containers[0].seen[0]
        self.assertEqual(sorted(seen), ['Accept', 'Content-Length', 'Content-Type', 'Host',
                                        'X-Amzn-SageMaker-Custom-Attributes'])
        self.assertEqual(self.invoke(what='chunked').content, b'abcdef')
        self.assertEqual(self.invoke(b'').content, b'')
        self.assertEqual(self.invoke(endpoint='dEMO').status, 200)

    def test_sizes(self):
        self.go()
        for size in (70000, 1 << 20, (1 << 20) + 1, 3000000, 6291456):
            body = os.urandom(size)
            r = self.invoke(body, 'hash')
            self.assertEqual((r.status, r.content), (200, hashlib.sha256(body).hexdigest().encode()))
        r = self.invoke(b'x' * 6291457)
        self.assertEqual((r.status, r.headers['x-amzn-ErrorType']), (413, 'ValidationError'))
        self.assertEqual(len(self.invoke(what='large').content), 5000000)
        with contextlib.suppress(http.client.IncompleteRead):
            self.assertEqual(self.invoke(what='too-large').status, 200)  # its head was sent, and then it is cut
            self.fail('the whole of it came')

    def test_wrong_signatures(self):
        self.go()
        seen = len(self.containers[0].seen)
        r = self.invoke(secret='wrong')
        self.assertEqual((r.status, r.headers['x-amzn-ErrorType']), (403, 'InvalidSignatureException'))
        r = self.invoke(key='AKIANOBODY0000000000')
        self.assertEqual((r.status, r.headers['x-amzn-ErrorType']), (403, 'UnrecognizedClientException'))
        r = self.invoke(when=datetime.datetime(2020, 1, 1))
        self.assertEqual(r.status, 403)
        r = self.invoke(token='not one of ours')
        self.assertEqual((r.status, r.headers['x-amzn-ErrorType']), (403, 'UnrecognizedClientException'))
        c = self.connect()
        c.request('POST', '/endpoints/Demo/invocations', b'1')
        self.assertEqual(c.getresponse().status, 403)
        # The body is another one than was signed.
        path = '/endpoints/Demo/invocations'
        c = self.connect()
        c.request('POST', path, b'1,2,4', sign('POST', path, {'Host': f'127.0.0.1:{self.port}'}, b'1,2,3'))
        self.assertEqual(c.getresponse().status, 403)
        self.assertEqual(len(self.containers[0].seen), seen)

    def test_large_body_with_wrong_signature(self):
        """The container may see most of it, but never a whole request."""
        self.go()
        r = self.invoke(os.urandom(2000000), secret='wrong')
        self.assertEqual((r.status, r.headers['x-amzn-ErrorType']), (403, 'InvalidSignatureException'))
        self.wait_for(lambda: self.containers[0].cut == 1)
        r = self.invoke(os.urandom(2000000), 'early')
        self.assertEqual(r.status, 424)
        self.assertEqual(json.loads(r.content)['OriginalStatusCode'], 413)
        r = self.invoke(os.urandom(2000000), 'early', secret='wrong')
        self.assertEqual(r.status, 403)

    def test_policies(self):
        self.policies = [{'Version': '2012-10-17', 'Statement': [
            {'Effect': 'Allow', 'Action': 'sagemaker:InvokeEndpoint', 'Resource': ENDPOINT_ARN + 'other'}]}]
        self.go()
        limited = {'key': 'AKIALIMITED000000000', 'secret': 'limited'}
        r = self.invoke(**limited)
        self.assertEqual((r.status, r.headers['x-amzn-ErrorType']), (403, 'AccessDeniedException'))
        self.assertIn('not authorized to perform: sagemaker:InvokeEndpoint on resource: ' + ENDPOINT_ARN + 'demo',
                      json.loads(r.content)['message'])
        self.assertEqual(self.invoke(os.urandom(2000000), **limited).status, 403)
        self.policies[0]['Statement'][0]['Resource'] = ENDPOINT_ARN + 'demo'
        self.go()
        self.assertEqual(self.invoke(**limited).status, 200)
        r = self.invoke_streamed(**limited)
        self.assertIn('not authorized to perform: sagemaker:InvokeEndpointWithResponseStream on', r.read().decode())
        self.policies[0]['Statement'][0]['Action'] = 'sagemaker:InvokeEndpoint*'
        self.go()
        self.assertEqual(self.invoke_streamed(**limited).status, 200)

    def test_not_found(self):
        self.go()
        r = self.invoke(endpoint='Nope')
        self.assertEqual((r.status, r.headers['x-amzn-ErrorType']), (400, 'ValidationError'))
        self.assertEqual(json.loads(r.content), {'Message': f'Endpoint Nope of account {ACCOUNT} not found.'})
        r = self.invoke(headers={'X-Amzn-SageMaker-Target-Variant': 'Nope'})
        self.assertEqual((r.status, r.headers['x-amzn-ErrorType']), (400, 'ValidationError'))
        self.go(self.variant('AllTraffic', 1))
        r = self.invoke()
        self.assertEqual((r.status, r.headers['x-amzn-ErrorType']), (503, 'ServiceUnavailable'))

    def test_what_names_another_model_is_refused(self):
        self.go()
        for header, words in (
                ('Target-Model',
                 'Endpoint Demo is not a multi-model endpoint and does not support target model header.'),
                ('Target-Container-Hostname', 'Endpoint Demo is not a multi-container endpoint with direct invocation '
                                              'and does not support target container hostname header.'),
                ('Inference-Component',
                 'Inference Component Name header is not allowed for endpoints to which you dont '
                                        'plan to deploy inference components. Please remove the Inference Component '
                                        'Name header and try again.')):
            r = self.invoke(headers={'X-Amzn-SageMaker-' + header: 'another'})
            self.assertEqual((r.status, r.headers['x-amzn-ErrorType']), (400, 'ValidationError'))
            self.assertEqual(json.loads(r.content), {'Message': words})
            self.assertIn(words,
                          self.invoke_streamed(headers={'X-Amzn-SageMaker-' + header: 'another'}).read().decode())
        self.assertEqual(self.containers[0].seen, [])

    def test_model_errors(self):
        self.go()
        see = f'See the log group /aws/sagemaker/Endpoints/Demo in account {ACCOUNT} for more information.'
        for what, status, who, message in (('error', 415, 'client', 'I do not read ? that'),
                                           ('crash', 500, 'server', 'Traceback "quoted"')):
            r = self.invoke(what=what)
            self.assertEqual((r.status, r.headers['x-amzn-ErrorType']), (424, 'ModelError'))
            self.assertEqual(json.loads(r.content), {
                'Message': f'Received {who} error ({status}) from primary with message "{message}". {see}',
                'OriginalStatusCode': status, 'OriginalMessage': message,
                'LogStreamArn': f'arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker/Endpoints/Demo'})
        for what in ('garbage', 'close', 'half'):
            r = self.invoke(what=what)
            self.assertEqual((r.status, r.headers['x-amzn-ErrorType']), (424, 'ModelError'), what)
            self.assertEqual(json.loads(r.content)['OriginalStatusCode'], 0)
        with self.assertRaises(http.client.IncompleteRead):
            self.invoke(what='half-large')

    def test_instances_that_are_gone(self):
        gone = container()
        gone.server_close()
        self.go(self.variant('AllTraffic', 1, gone, self.containers[0]))
        for _ in range(10):
            self.assertEqual(self.invoke().status, 200)
        self.go(self.variant('AllTraffic', 1, gone))
        self.assertEqual(self.invoke().status, 424)

    def test_weights(self):
        self.go(self.variant('A', 3, self.containers[0]), self.variant('B', 1, self.containers[1]),
                self.variant('C', 0, self.containers[1]))
        c = self.connect()
        got = [self.invoke(connection=c).headers['x-Amzn-Invoked-Production-Variant'] for _ in range(400)]
        self.assertTrue(230 < got.count('A') < 370, got.count('A'))
        self.assertEqual(got.count('C'), 0)
        r = self.invoke(headers={'X-Amzn-SageMaker-Target-Variant': 'C'})
        self.assertEqual(r.headers['x-Amzn-Invoked-Production-Variant'], 'C')

    def test_client_leaves(self):
        self.go()
        path = '/endpoints/Demo/invocations'
        c = self.connect()
        headers = {'Host': f'127.0.0.1:{self.port}', 'Content-Type': 'slow'}
        c.request('POST', path, b'1', sign('POST', path, headers, b'1'))
        self.wait_for(lambda: self.containers[0].seen)
        self.snapshot(self.variant('AllTraffic', 1, self.containers[1]))
        self.wait_for(lambda: self.ack()['applied'] == 2)
        self.assertEqual(self.ack()['drained'], 0)
        c.close()
        self.wait_for(lambda: self.ack()['drained'] == 1)

    # --- Snapshots ---

    def test_generations(self):
        self.go()
        result = []
        slow = threading.Thread(target=lambda: result.append(self.invoke(what='slow')))
        slow.start()
        self.wait_for(lambda: self.containers[0].seen)
        for _ in range(3):
            self.go(self.variant('AllTraffic', 1, self.containers[1]))
        self.assertEqual(self.ack(), {'version': 1, 'applied': 4, 'drained': 0})
        self.assertEqual(self.invoke(b'new').content, b'new')
        self.assertEqual(len(self.containers[1].seen), 1)
        self.containers[0].release.set()
        slow.join()
        self.assertEqual(result[0].content, b'slow')
        self.wait_for(lambda: self.ack()['drained'] == 3)

    def test_bad_snapshots(self):
        self.go()
        for text in ('', '{', '{"version":1,"generation":99}', '{"version":2,"generation":99}', '[' * 100000):
            with open(self.data + '/route.tmp', 'w') as f:
                f.write(text)
            os.rename(self.data + '/route.tmp', self.data + '/route.json')
            time.sleep(0.05)
            self.assertEqual(self.invoke().status, 200)
        self.assertEqual(self.ack()['applied'], 1)
        self.go(self.variant('Other', 1, self.containers[1]))
        self.assertEqual(self.invoke().headers['x-Amzn-Invoked-Production-Variant'], 'Other')

    def test_killed(self):
        self.go()
        self.assertEqual(self.invoke().status, 200)
        self.process.kill()
        self.process.wait()
        # The connection waits in the socket for the next one.
        result = []
        waiting = threading.Thread(target=lambda: result.append(self.invoke(b'waited')))
        waiting.start()
        time.sleep(0.1)
        self.start()
        waiting.join()
        self.assertEqual(result[0].content, b'waited')
        self.wait_for(lambda: self.ack() == {'version': 1, 'applied': 1, 'drained': 0})

    # --- The rest ---

    def serve_control(self, answer=lambda head, body: b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok'):
        self.control = Control(self.data + '/run/api.sock', answer)

    def test_pass(self):
        self.serve_control()
        self.go()
        raw = (b'POST /a%20b?x=%7e HTTP/1.1\r\nhOST: a\r\nX-Sagebrush-Peer: 6.6.6.6 tls\r\nX-Twice: 1 \r\n'
               b'X-twice:  2\r\nContent-Length: 3\r\n')
        with socket.create_connection(('127.0.0.1', self.port)) as s:
            s.sendall(raw + b'\r\nabc')
            answer = b''
            while not answer.endswith(b'\r\n\r\nok') and (more := s.recv(65536)):  # it may come in parts
                answer += more
        self.assertTrue(answer.endswith(b'\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok'), answer)
        self.assertEqual(self.control.seen[0], (raw.replace(b'X-Sagebrush-Peer: 6.6.6.6 tls\r\n', b'') +
                                                b'x-sagebrush-peer: 127.0.0.1 plain', b'abc'))

    def test_pass_large(self):
        body = os.urandom(3000000)
        self.serve_control(lambda head, got: b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' +
                           b'%x\r\n' % len(got) + got + b'\r\n0\r\n\r\n')
        self.go()
        c = self.connect()
        c.request('PUT', '/bucket/key', body, {'Expect': '100-continue'})
        self.assertEqual(c.getresponse().read(), body)
        c.request('PUT', '/bucket/key', iter([b'abc', b'd' * 100000]), encode_chunked=True,
                  headers={'Transfer-Encoding': 'chunked'})
        self.assertIn(b'abc', c.getresponse().read())
        c.request('HEAD', '/bucket/key')
        self.assertEqual(c.getresponse().read(), b'')

    def test_pass_waits(self):
        self.go()
        results = []
        threads = [threading.Thread(target=lambda: results.append(self.get('/x'))) for _ in range(20)]
        for t in threads:
            t.start()
        time.sleep(0.3)
        self.assertEqual(results, [])
        self.serve_control()
        for t in threads:
            t.join()
        self.assertEqual(results, [(200, b'ok')] * 20)

    def get(self, path, **headers):
        c = self.connect()
        c.request('GET', path, headers=headers)
        r = c.getresponse()
        result = r.status, r.read()
        c.close()
        return result

    def test_control_dies_in_the_middle(self):
        self.serve_control(lambda head, body: None)
        self.go()
        c = self.connect()
        c.request('POST', '/', b'{}', {'X-Amz-Target': 'SageMaker.CreateModel',
                                       'Content-Type': 'application/x-amz-json-1.1'})
        r = c.getresponse()
        self.assertEqual((r.status, r.headers['x-amzn-ErrorType']), (503, 'ServiceUnavailable'))
        self.assertEqual(json.loads(r.read())['__type'], 'ServiceUnavailable')
        c.request('POST', '/', b'Action=X', {'Content-Type': 'application/x-www-form-urlencoded'})
        self.assertIn(b'<Code>ServiceUnavailable</Code>', c.getresponse().read())

    def test_own_paths(self):
        self.go()
        status, body = self.get('/_sagebrush/health/serve')
        self.assertEqual((status, json.loads(body)['status']), (200, 'ok'))
        self.assertEqual(self.get('/_sagebrush/health')[0], 503)
        for path in ('/_sagebrush/agent/v1/poke', '//_sagebrush//agent/x', '/%5fsagebrush/agent/',
                     '/_sagebrush/%61gent/x'):
            self.assertEqual(self.get(path)[0], 404, path)

    def test_counters(self):
        self.go()
        for what in ('text/csv', 'text/csv', 'error', 'crash', 'close'):
            self.invoke(what=what)
        with open(self.data + '/run/serve.counters', 'rb') as f:
            data = f.read(64 + 8 + 200 + 60 * 104)
        self.assertEqual(data[:8], b'SBCOUNT\0')
        self.assertEqual(data[64 + 4:64 + 4 + 12], ACCOUNT.encode())
        buckets = [struct.unpack_from('<q12Q', data, 64 + 208 + i * 104) for i in range(60)]
        used = [b for b in buckets if b[0]]
        total = [sum(column) for column in zip(*used)]
        self.assertEqual(total[1:6], [5, 5000000, 1, 2, 5])  # invocations, per instance, 4XX, 5XX, measured

    def test_garbage(self):
        self.go()
        for data in (b'\0' * 100,
                     b'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
                     b'POST /endpoints/Demo/invocations HTTP/1.1\r\nHost: a\r\n\r\n', b'GET http://[ HTTP/1.1\r\n\r\n'):
            with socket.create_connection(('127.0.0.1', self.port)) as s:
                s.sendall(data)
                self.assertRegex(s.recv(65536), rb'^HTTP/1.1 40[03] ')
        self.assertEqual(self.invoke().status, 200)

    def test_tls(self):
        made = subprocess.run(
            ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
             '-subj', '/CN=x', '-addext', 'subjectAltName=DNS:localhost', '-keyout', self.data + '/secrets/server.key',
             '-out', self.data + '/secrets/server.pem'], capture_output=True)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.serve_control(lambda head, body: b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(head) + head)
        self.go()
        self.assertEqual(self.invoke().status, 200)
        context = ssl.create_default_context(cafile=self.data + '/secrets/server.pem')
        c = http.client.HTTPSConnection('localhost', self.port, timeout=20, context=context)
        for size in (3, 100000, 3000000):
            body = os.urandom(size)
            self.assertEqual(self.invoke(body, connection=c).content, body)
        c.request('GET', '/')
        self.assertTrue(c.getresponse().read().endswith(b'x-sagebrush-peer: 127.0.0.1 tls'))

    def test_sessions(self):
        self.go()
        r = self.invoke(what='session', headers={'X-Amzn-SageMaker-Session-Id': 'NEW_SESSION'})
        self.assertEqual(r.headers['X-Amzn-SageMaker-New-Session-Id'], 'abc; Expires=2030-01-01T00:00:00Z')
        r = self.invoke(what='session', headers={'X-Amzn-SageMaker-Session-Id': 'abc'})
        self.assertIsNone(r.headers['X-Amzn-SageMaker-New-Session-Id'])

    def test_no_routes_yet(self):
        self.start()
        self.assertEqual(self.invoke().status, 503)


if __name__ == '__main__':
    unittest.main(warnings='ignore')
