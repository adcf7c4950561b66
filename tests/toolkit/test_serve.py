import contextlib
import io
import json
import os
import signal
import subprocess
import threading
import time

import numpy
import pytest

SCRIPT = '''
import json, os, time
def model_fn(model_dir):
    return {'factor': 3, 'pid': os.getpid()}
def input_fn(data, content_type):
    assert isinstance(data, str), type(data)
    return json.loads(data)
def predict_fn(data, model):
    if data == 'sleep':
        print('sleeps', flush=True)
        time.sleep(1.5)
        return 'slept'
    if data == 'die':
        os._exit(9)
    if data == 'fail':
        raise KeyError('nothing there')
    if data == 'pid':
        return model['pid']
    return [x * model['factor'] for x in data]
def output_fn(prediction, accept):
    return json.dumps(prediction), accept
'''


def host_has(module):
    return subprocess.run(['/usr/bin/python3', '-c', f'import {module}'], capture_output=True).returncode == 0


def make(box, script):
    done = subprocess.run(['/usr/bin/python3', '-c', script], cwd=box.base / 'model', capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_users_functions(serve):
    server = serve({'code/inference.py': SCRIPT})
    status, body, headers = server.invoke(b'[1, 2]')
    assert (status, body, headers['Content-Type']) == (200, b'[3, 6]', 'application/json')
    assert server.invoke(b'[1]', accept='text/csv')[2]['Content-Type'] == 'text/csv'
    assert server.call('/ping')[0] == 200
    assert server.call('/nothing')[0] == 404
    assert server.call('/invocations')[0] == 405
    assert server.stop() == 0


def test_error_of_the_script_is_500_and_in_the_log(serve):
    server = serve({'code/inference.py': SCRIPT})
    status, body, _ = server.invoke(b'"fail"')
    assert status == 500 and body == b"KeyError: 'nothing there'"
    assert 'Traceback' in server.output()
    assert server.invoke(b'[1]')[0] == 200


def test_transform_fn_and_context(serve):
    server = serve({'code/entry.py': '''
def model_fn(model_dir, context):
    return context.system_properties['model_dir']
def transform_fn(model, data, content_type, accept, context):
    trace = context.get_request_header('x-amzn-sagemaker-custom-attributes')
    context.set_response_header('X-Amzn-SageMaker-Custom-Attributes', trace)
    return (data.hex() if isinstance(data, bytes) else data) + '|' + content_type + '|' + accept
'''}, program='entry.py')
    status, body, headers = server.invoke(b'\x00\xff', 'application/x-image', 'text/plain',
                                          **{'X-Amzn-SageMaker-Custom-Attributes': 'trace=7'})
    assert (status, body) == (200, b'00ff|application/x-image|text/plain')
    assert headers['X-Amzn-SageMaker-Custom-Attributes'] == 'trace=7'


def test_transform_fn_beside_predict_fn_is_refused(serve):
    script = 'def model_fn(d): pass\ndef transform_fn(*a): pass\ndef predict_fn(*a): pass\n'
    server = serve({'code/inference.py': script}, wait=False)
    assert server.process.wait(30) == 1
    assert 'one or the other' in server.output()


def test_script_that_is_not_there(serve):
    server = serve({'code/other.py': ''}, wait=False)
    assert server.process.wait(30) == 1
    assert 'inference.py (SAGEMAKER_PROGRAM) is not in' in server.output() and 'other.py' in server.output()


def test_a_training_script_that_is_no_module(serve):
    """Its arguments are those of a training job, which the server has not."""
    script = ('import argparse\np = argparse.ArgumentParser()\n'
              'p.add_argument("--depth", required=True)\np.parse_args()\n')
    server = serve({'code/inference.py': script}, wait=False)
    assert server.process.wait(30) == 1
    said = server.output()
    assert 'the following arguments are required: --depth' in said and 'line 4, in <module>' in said
    assert said.rstrip().endswith('only belongs behind `if __name__ == "__main__":`.'), said


def test_model_that_does_not_load_ends_the_server(serve):
    server = serve({'code/inference.py': 'def model_fn(d):\n    raise OSError("weights are damaged")\n'}, wait=False,
                   SAGEMAKER_MODEL_SERVER_WORKERS='2')
    assert server.process.wait(30) == 1
    assert 'weights are damaged' in server.output() and 'Traceback' in server.output()


def test_not_healthy_before_the_model_is_loaded(serve, tmp_path):
    script = f'import os, time\ndef model_fn(d):\n    while not os.path.exists("{tmp_path}/go"): time.sleep(0.01)\n'
    server = serve({'code/inference.py': script}, wait=False)
    while 'worker on port' not in server.output():
        time.sleep(0.01)
    with pytest.raises(OSError):
        server.call('/ping')
    (tmp_path / 'go').touch()
    server.wait()


def test_several_workers_share_the_load_and_ping_is_answered(serve):
    server = serve({'code/inference.py': SCRIPT}, SAGEMAKER_MODEL_SERVER_WORKERS='2')
    results = []
    threads = [threading.Thread(target=lambda: results.append(server.invoke(b'"sleep"')[0])) for _ in range(2)]
    for t in threads:
        t.start()
    assert server.call('/ping')[0] == 200
    for t in threads:
        t.join()
    assert results == [200, 200]
    pids = {server.invoke(b'"pid"')[1] for _ in range(40)}
    assert 1 <= len(pids) <= 2


def test_dead_worker_is_replaced(serve):
    server = serve({'code/inference.py': SCRIPT})
    before = server.invoke(b'"pid"')[1]
    with pytest.raises(OSError):
        server.invoke(b'"die"')
    until = time.monotonic() + 60
    while True:
        try:
            if server.invoke(b'"pid"')[1] != before:
                break
        except OSError:
            pass
        assert time.monotonic() < until
        time.sleep(0.05)
    assert 'another one starts' in server.output()


def test_running_request_is_finished_at_the_end(serve):
    server = serve({'code/inference.py': SCRIPT})
    results = []
    thread = threading.Thread(target=lambda: results.append(server.invoke(b'"sleep"')[:2]))
    thread.start()
    while 'sleeps' not in server.output():
        time.sleep(0.01)
    assert server.stop() == 0
    thread.join()
    assert results == [(200, b'"slept"')]


def test_keep_alive_and_chunked_bodies(serve):
    import http.client
    server = serve({'code/inference.py': SCRIPT})
    c = http.client.HTTPConnection('127.0.0.1', server.port, timeout=20)
    for _ in range(3):
        c.request('POST', '/invocations', body=iter([b'[1,', b' 2]']), encode_chunked=True,
                  headers={'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked'})
        answer = c.getresponse()
        assert (answer.status, answer.read()) == (200, b'[3, 6]')
    c.close()


@pytest.mark.parametrize('garbage', [
    b'\x00\x01\x02\r\n\r\n', b'GET / HTTP/2\r\n\r\n', b'A' * 100000,
    b'POST /invocations HTTP/1.1\r\nContent-Length: -5\r\n\r\n',
    b'POST /invocations HTTP/1.1\r\nContent-Length: x\r\n\r\n',
    b'POST /invocations HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n'])
def test_garbage_does_not_end_the_server(serve, garbage):
    import socket
    server = serve({'code/inference.py': SCRIPT})
    with socket.create_connection(('127.0.0.1', server.port), timeout=10) as s:
        with contextlib.suppress(ConnectionError):
            s.sendall(garbage)
            with contextlib.suppress(OSError):  # who has hung up already is not connected
                s.shutdown(socket.SHUT_WR)
            s.recv(65536)
    assert server.invoke(b'[1]')[0] == 200


def test_sklearn_defaults(box, serve):
    if not host_has('sklearn'):
        pytest.skip('python3-sklearn is not installed')
    make(box, 'import joblib; from sklearn.linear_model import LinearRegression as L;'
              'joblib.dump(L().fit([[0, 0], [1, 1], [2, 0]], [0, 2, 2]), "model.joblib")')
    server = serve({}, program='', SAGEBRUSH_IMAGE='sagemaker-scikit-learn:1.2-1-cpu-py3')
    status, body, headers = server.invoke(b'3,1\n4,2\n', 'text/csv')
    assert status == 200 and numpy.allclose(json.loads(body), [4, 6]) and headers['Content-Type'] == 'application/json'
    rows = io.BytesIO()
    numpy.save(rows, numpy.array([[3.0, 1.0]]))
    status, body, headers = server.invoke(rows.getvalue(), 'application/x-npy', 'application/x-npy')
    assert status == 200 and numpy.allclose(numpy.load(io.BytesIO(body)), [4])
    assert abs(float(server.invoke(b'[[3, 1]]', accept='text/csv')[1]) - 4) < 1e-9
    assert server.invoke(b'x', 'image/png')[0] == 415
    assert server.invoke(b'[[3, 1]]', accept='image/png')[0] == 406
    # As AWS's containers: what a function cannot read is that function's exception, also an empty body.
    for body in b'{broken', b'':
        status, text, _ = server.invoke(body)
        assert status == 500 and text.startswith(b'JSONDecodeError: ')


def test_pickled_arrays_are_refused(box, serve):
    server = serve({'code/inference.py': 'def model_fn(d): return 1\ndef predict_fn(x, m): return x.tolist()\n'})
    rows = io.BytesIO()
    numpy.save(rows, numpy.array([{'a': 1}], dtype=object), allow_pickle=True)
    assert server.invoke(rows.getvalue(), 'application/x-npy')[0] == 500


def test_pytorch_defaults(box, serve):
    if not host_has('torch'):
        pytest.skip('python3-torch is not installed')
    make(box, 'import torch; m = torch.nn.Linear(2, 1); torch.nn.init.constant_(m.weight, 2.0);'
              'torch.nn.init.constant_(m.bias, 1.0); torch.jit.script(m).save("model.pt")')
    server = serve({}, program='', SAGEBRUSH_IMAGE='pytorch-inference:2.3-cpu-py311')
    status, body, _ = server.invoke(b'[[1, 2], [0, 0]]')
    assert status == 200 and json.loads(body) == [[7.0], [1.0]]
    rows = io.BytesIO()
    numpy.save(rows, numpy.array([[1, 2]]))
    status, body, _ = server.invoke(rows.getvalue(), 'application/x-npy', 'application/x-npy')
    assert numpy.load(io.BytesIO(body)).tolist() == [[7.0]]


def test_xgboost_defaults(box, serve):
    if not host_has('xgboost'):
        pytest.skip('python3-xgboost is not installed')
    make(box, 'import xgboost, numpy; x = numpy.random.RandomState(1).rand(100, 3);'
              'xgboost.train({"max_depth": 2}, xgboost.DMatrix(x, x[:, 0]), 20).save_model("xgboost-model")')
    server = serve({}, program='', SAGEBRUSH_IMAGE='sagemaker-xgboost:1.7-1')
    status, body, _ = server.invoke(b'0.9,0.5,0.5\n0.1,0.5,0.5', 'text/csv', 'text/csv')
    high, low = map(float, body.split())
    assert status == 200 and high > 0.7 and low < 0.3
    assert abs(float(server.invoke(b'0.9,0.5,0.5', 'text/csv', 'text/csv')[1]) - high) < 1e-6
    assert abs(float(server.invoke(b'0 0:0.9 1:0.5 2:0.5', 'text/libsvm', 'text/csv')[1]) - high) < 1e-6


def test_code_from_an_archive(box, serve):
    from conftest import archive
    path = box.base / 'sourcedir.tar.gz'
    path.write_bytes(archive({'inference.py': SCRIPT}))
    server = serve({}, SAGEMAKER_SUBMIT_DIRECTORY=str(path))
    assert server.invoke(b'[5]')[1] == b'[15]'


def test_wrong_number_of_workers_and_taken_port(box, serve):
    server = serve({'code/inference.py': SCRIPT}, wait=False, SAGEMAKER_MODEL_SERVER_WORKERS='many')
    assert server.process.wait(20) == 1 and 'SAGEMAKER_MODEL_SERVER_WORKERS=many' in server.output()
    first = serve({'code/inference.py': SCRIPT})
    second = serve({}, wait=False, SAGEMAKER_BIND_TO_PORT=str(first.port))
    assert second.process.wait(20) == 1 and 'cannot start' in second.output()


def test_children_end_with_their_parent(serve):
    server = serve({'code/inference.py': SCRIPT}, SAGEMAKER_MODEL_SERVER_WORKERS='2')
    pid = int(server.invoke(b'"pid"')[1])
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    until = time.monotonic() + 60
    while os.path.exists(f'/proc/{pid}'):
        assert time.monotonic() < until
        time.sleep(0.02)
