"""`serve`: /ping and /invocations of the hosting contract, by worker processes that each hold the model.

The parent binds the port and starts the workers; a worker listens only when its model is loaded, so nobody is healthy
too early. A worker runs one invocation at a time, as the framework containers do; /ping is answered meanwhile."""
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback

from sagebrush_toolkit import source
from sagebrush_toolkit.layout import Failure, Layout

BODY_MAX_BYTES = 128 << 20
HEAD_MAX_BYTES = 64 << 10
IDLE_S = 65
REASONS = {200: 'OK', 400: 'Bad Request', 404: 'Not Found', 405: 'Method Not Allowed', 406: 'Not Acceptable',
           413: 'Payload Too Large', 415: 'Unsupported Media Type', 500: 'Internal Server Error'}
GRACE_S = 25  # the platform kills after 30


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def read_line(stream):
    line = stream.readline(HEAD_MAX_BYTES)
    if not line.endswith(b'\n'):
        raise EOFError
    return line.rstrip(b'\r\n')


def read_body(stream, headers):
    if headers.get('transfer-encoding', '').lower() == 'chunked':
        parts, total = [], 0
        while True:
            size = int(read_line(stream).split(b';')[0], 16)
            total += size
            if size < 0 or total > BODY_MAX_BYTES:
                raise Refused(413, f'The body is larger than {BODY_MAX_BYTES} bytes.')
            if size == 0:
                while read_line(stream):
                    pass
                return b''.join(parts)
            parts.append(stream.read(size))
            read_line(stream)
    size = int(headers.get('content-length', 0))
    if size < 0 or size > BODY_MAX_BYTES:
        raise Refused(413, f'The body is larger than {BODY_MAX_BYTES} bytes.')
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


class Worker:
    def __init__(self, listener, handler, alone):
        self.listener = listener
        self.handler = handler
        self.alone = alone
        self.turn = threading.Lock()
        self.running = 0

    def run(self):
        self.listener.listen(1024)
        while True:
            if self.running and not self.alone:
                # Another worker may be idle: let it have the next connection, take it if nobody did.
                time.sleep(0.005)
            try:
                connection, _ = self.listener.accept()
            except OSError:
                continue
            threading.Thread(target=self.converse, args=(connection,), daemon=True).start()

    def converse(self, connection):
        try:
            connection.settimeout(IDLE_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection, connection.makefile('rb', 65536) as stream:
                while self.answer_one(connection, stream):
                    pass
        except (OSError, EOFError, ValueError):
            pass  # the other side is gone, or speaks no HTTP

    def answer_one(self, connection, stream):
        words = read_line(stream).split(b' ')
        if len(words) != 3 or not words[2].startswith(b'HTTP/1.'):
            return False
        method, path = words[0].decode('latin-1'), words[1].decode('latin-1').split('?')[0]
        headers = {}
        while True:
            line = read_line(stream)
            if not line:
                break
            name, _, value = line.decode('latin-1').partition(':')
            headers[name.strip().lower()] = value.strip()
        if headers.get('expect', '').lower() == '100-continue':
            connection.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
        # With several workers a kept connection would tie its requests to this one.
        keep = headers.get('connection', '').lower() != 'close' and words[2] == b'HTTP/1.1'
        keep = keep and (self.alone or path == '/ping')
        try:
            status, body, kind, more = self.answer(method, path, headers, read_body(stream, headers))
        except Refused as refused:
            status, body, kind, more, keep = refused.status, str(refused).encode(), 'text/plain', {}, False
        more = {'Content-Type': kind, 'Content-Length': str(len(body)), **more}
        if not keep:
            more['Connection'] = 'close'
        head = f'HTTP/1.1 {status} {REASONS.get(status, "Error")}\r\n'
        head += ''.join(f'{k}: {v}\r\n' for k, v in more.items() if '\n' not in f'{k}{v}' and '\r' not in f'{k}{v}')
        connection.sendall(head.encode('latin-1', 'replace') + b'\r\n' + (b'' if method == 'HEAD' else body))
        return keep

    def answer(self, method, path, headers, data):
        if path == '/ping':
            return 200, b'\n', 'application/json', {}
        if path == '/execution-parameters':
            return 200, json.dumps({'MaxConcurrentTransforms': 1, 'BatchStrategy': 'MULTI_RECORD',
                                    'MaxPayloadInMB': 6}).encode(), 'application/json', {}
        if path != '/invocations':
            return 404, b'There are /ping and /invocations here.', 'text/plain', {}
        if method != 'POST':
            return 405, b'POST to /invocations.', 'text/plain', {'Allow': 'POST'}
        self.running += 1
        try:
            with self.turn:
                body, kind, more = self.handler.invoke(data, headers)
            return 200, body, kind, more
        except Exception as error:
            status = getattr(error, 'status', None) or getattr(error, 'status_code', None)
            status = status if isinstance(status, int) and 400 <= status < 600 else 500
            traceback.print_exc()
            sys.stderr.flush()
            return status, f'{type(error).__name__}: {error}'.encode(), 'text/plain', {}
        finally:
            self.running -= 1


def count(environment):
    for name in ('SAGEMAKER_MODEL_SERVER_WORKERS', 'SAGEMAKER_NUM_MODEL_WORKERS'):
        text = environment.get(name, '')
        if text:
            if not text.isdigit() or not 1 <= int(text) <= 256:
                raise Failure(f'{name}={text} is no number of workers (1 to 256).')
            return int(text)
    return max(1, len(os.sched_getaffinity(0)))


def prepare(layout, environment):
    """The code folder: the one inside the model, unless the source is somewhere else."""
    place = environment.get('SAGEMAKER_SUBMIT_DIRECTORY', '')
    within = layout.model + '/code'
    if place.startswith('s3://') or (place and os.path.isfile(place)):
        source.fetch(place, layout.code, environment)
    elif place and os.path.isdir(place):
        layout.code = place
    elif os.path.isdir(within):
        layout.code = within
    if os.path.isdir(layout.code):
        source.install(layout.code, layout)
    if layout.relocated:
        sys.path.insert(0, layout.packages)


def work(listener, layout, environment, alone):
    """A worker's life. Does not return."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        from sagebrush_toolkit.handlers import Handler
        handler = Handler(layout, environment.get('SAGEMAKER_PROGRAM', ''), environment)
        worker = Worker(listener, handler, alone)
    except Failure as failure:
        if failure.__cause__:
            traceback.print_exception(failure.__cause__)
        print(failure.text, file=sys.stderr, flush=True)
        os._exit(3)
    except BaseException:
        print('The model could not be loaded:', file=sys.stderr)
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(3)
    ending = threading.Event()

    def end(*_):
        if not ending.is_set():
            ending.set()
            threading.Thread(target=leave, daemon=True).start()

    def leave():
        listener.close()
        until = time.monotonic() + GRACE_S
        while worker.running and time.monotonic() < until:
            time.sleep(0.01)
        sys.stdout.flush()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    print(f'worker {os.getpid()} is ready', flush=True)
    worker.run()


def serve(layout, environment):
    if environment.get('SAGEMAKER_MULTI_MODEL', '').lower() == 'true':
        raise Failure('Multi-model endpoints (SAGEMAKER_MULTI_MODEL) are not available in script mode here.')
    prepare(layout, environment)
    workers = count(environment)
    port = int(environment.get('SAGEMAKER_BIND_TO_PORT') or 8080)
    listener = socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(('', port))
    image = environment.get('SAGEBRUSH_IMAGE')
    print(f'Script mode{" for " + image if image else ""} on Python {sys.version.split()[0]} of this machine: '
          f'{workers} worker{"s" if workers > 1 else ""} on port {port}', flush=True)

    children, ending = {}, []

    def start():
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            work(listener, layout, environment, workers == 1)
        children[pid] = time.monotonic()

    def end(*_):
        ending.append(True)
        for pid in children:
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    for _ in range(workers):
        start()
    while children:
        try:
            pid, status = os.wait()
        except InterruptedError:
            continue
        except ChildProcessError:
            break
        if pid not in children:
            continue
        del children[pid]
        if ending:
            continue
        code = os.waitstatus_to_exitcode(status)
        if code == 3:
            end()
            return 1  # the worker said why, and its words are the last
        print(f'worker {pid} ended with {code}; another one starts', file=sys.stderr, flush=True)
        time.sleep(0.5)
        start()
    return 0


def main():
    try:
        return serve(Layout(), os.environ)
    except Failure as failure:
        print(failure.text, file=sys.stderr, flush=True)
        return failure.exit_code
    except OSError as error:
        print(f'The model server cannot start: {error}', file=sys.stderr, flush=True)
        return 1
