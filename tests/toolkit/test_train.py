import http.server
import json
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest
from conftest import TOOLKIT, archive

SHOW = '''
import json, os, sys
with open(os.environ['SM_MODEL_DIR'] + '/seen.json', 'w') as f:
    json.dump({'args': sys.argv[1:], 'env': dict(os.environ), 'cwd': os.getcwd()}, f)
'''


def seen(box):
    return json.loads((box.base / 'model/seen.json').read_text())


def test_arguments_and_variables(box):
    box.script({'train.py': SHOW}, epochs=3, learning_rate=0.1, x='one two', flag=True, none=None, layers=[1, 2],
               sagemaker_some_option='a')
    box.config('resourceconfig', {
        'current_host': 'algo-2', 'hosts': ['algo-2'], 'network_interface_name': 'eth0',
        'current_instance_type': 'ml.m5.large', 'current_group_name': 'homogeneousCluster',
        'instance_groups': [{'instance_group_name': 'homogeneousCluster', 'instance_type': 'ml.m5.large',
                             'hosts': ['algo-2']}]})
    box.config('inputdataconfig', {'train': {'TrainingInputMode': 'File'}, 'test-set': {'TrainingInputMode': 'File'}})
    done = box.train(TRAINING_JOB_NAME='job-1')
    assert done.returncode == 0, done.stderr
    result = seen(box)
    assert result['args'] == ['--epochs', '3', '--flag', 'True', '--layers', '[1, 2]', '--learning_rate', '0.1',
                              '--none', '', '-x', 'one two']
    env, base = result['env'], str(box.base)
    assert result['cwd'] == base + '/code'
    for name, value in {
            'SM_HOSTS': '["algo-2"]', 'SM_CURRENT_HOST': 'algo-2', 'SM_NUM_GPUS': '0', 'SM_MODEL_DIR': base + '/model',
            'SM_CHANNELS': '["test-set","train"]', 'SM_CHANNEL_TRAIN': base + '/input/data/train',
            'SM_CHANNEL_TEST-SET': base + '/input/data/test-set', 'SM_HP_EPOCHS': '3', 'SM_HP_NONE': '',
            'SM_HP_LAYERS': '[1,2]', 'SM_HP_FLAG': 'true', 'SM_USER_ENTRY_POINT': 'train.py', 'SM_MODULE_NAME': 'train',
            'SM_FRAMEWORK_PARAMS': '{"sagemaker_some_option":"a"}', 'SM_OUTPUT_DATA_DIR': base + '/output/data',
            'SM_CURRENT_INSTANCE_TYPE': 'ml.m5.large', 'SM_IS_HETERO': 'false', 'SM_LOG_LEVEL': '20',
            'SM_CURRENT_INSTANCE_GROUP': 'homogeneousCluster', 'SM_INSTANCE_GROUPS': '["homogeneousCluster"]',
            'SM_CURRENT_INSTANCE_GROUP_HOSTS': '["algo-2"]', 'SM_INPUT_CONFIG_DIR': base + '/input/config'}.items():
        assert env[name] == value, name
    assert json.loads(env['SM_HPS']) == {'epochs': 3, 'learning_rate': 0.1, 'x': 'one two', 'flag': True, 'none': None,
                                         'layers': [1, 2]}
    assert json.loads(env['SM_USER_ARGS']) == result['args']
    training = json.loads(env['SM_TRAINING_ENV'])
    assert training['hyperparameters']['epochs'] == 3 and training['job_name'] == 'job-1' and training['is_master']
    assert training['channel_input_dirs']['train'] == base + '/input/data/train'
    assert training['distribution_hosts'] == [] and training['distribution_instance_groups'] == []
    assert env['PYTHONPATH'].split(':')[0] == base + '/code'
    assert (box.base / 'output/success').exists() and not (box.base / 'output/failure').exists()


def test_plain_strings_are_hyperparameters_too(box):
    box.script({'train.py': SHOW})
    place = str(box.base / 'input/data/code/sourcedir.tar.gz')
    box.config('hyperparameters', {'sagemaker_program': 'train.py', 'name': 'plain', 'count': '7',
                                   'sagemaker_submit_directory': place})
    assert box.train().returncode == 0
    assert seen(box)['args'] == ['--count', '7', '--name', 'plain']


@pytest.mark.parametrize('text', ['{bad', '[1,2', '"open', "{'a': 1}", '{prefix}_x', '[train]'])
def test_what_only_looks_like_json_is_a_plain_string(box, text):
    box.script({'train.py': SHOW})
    with open(box.base / 'input/config/hyperparameters.json', 'r+') as f:
        every = json.load(f)
        f.seek(0)
        json.dump({**every, 'pattern': text}, f)
    done = box.train()
    assert done.returncode == 0, done.stderr
    assert seen(box)['args'] == ['--pattern', text] and seen(box)['env']['SM_HP_PATTERN'] == text


def test_modules_beside_the_script_are_found(box):
    box.script({'train.py': 'import helper; helper.go()', 'helper.py': 'def go(): print("helped")'})
    assert 'helped' in box.train().stdout


def test_script_that_fails(box):
    box.script({'train.py': 'import sys\nprint("on stderr", file=sys.stderr)\nraise ValueError("no such column: x")\n'},
               depth=4)
    done = box.train()
    assert done.returncode == 1
    assert box.failure.startswith('ExecuteUserScriptError:\nExitCode 1\nErrorMessage "Traceback')
    assert 'ValueError: no such column: x' in box.failure
    assert box.failure.endswith('Command "/usr/bin/python3 train.py --depth 4"')
    assert 'on stderr' in done.stderr and not (box.base / 'output/success').exists()


def test_long_error_keeps_the_exception_and_the_command(box):
    box.script({'train.py': 'raise RuntimeError("x" * 5000 + " the end")'})
    assert box.train().returncode == 1
    assert len(box.failure) <= 1024 and ' the end"' in box.failure and 'Command "' in box.failure


@pytest.mark.parametrize('code', [2, 42])
def test_exit_code_is_the_scripts(box, code):
    box.script({'train.py': f'import sys; sys.exit({code})'})
    assert box.train().returncode == code
    assert f'ExitCode {code}\n' in box.failure


def test_killed_script_is_told_as_out_of_memory(box):
    box.script({'train.py': 'import os; os.kill(os.getpid(), 9)'})
    assert box.train().returncode == 137
    assert 'OutOfMemory: Process killed by SIGKILL (signal 9)' in box.failure


def test_a_signal_has_its_name(box):
    box.script({'train.py': 'import os, sys; print("at the end", file=sys.stderr, flush=True); os.kill(os.getpid(), '
                            '11)'})
    assert box.train().returncode == 139
    assert 'ExitCode 139\nErrorMessage "Process killed by SIGSEGV (signal 11): at the end"' in box.failure


def test_what_the_script_says_of_its_failure_stays(box):
    box.script({'train.py': 'import sys; open("../output/failure", "w").write("column x is empty"); sys.exit(3)'})
    assert box.train().returncode == 3
    assert box.failure == 'column x is empty'


def test_what_an_earlier_run_said_goes(box):
    (box.base / 'output').mkdir(exist_ok=True)
    (box.base / 'output/failure').write_text('long ago')
    box.script({'train.py': 'import sys; sys.exit(4)'})
    assert box.train().returncode == 4
    assert 'ExitCode 4' in box.failure


def test_shell_script(box):
    box.script({'run.sh': '#!/bin/sh\necho "args: $*" > $SM_MODEL_DIR/out'}, program='run.sh', a='it\'s "x"', depth=2)
    assert box.train().returncode == 0
    assert (box.base / 'model/out').read_text() == 'args: -a it\'s "x" --depth 2\n'


def test_sigterm_reaches_the_script(box):
    box.script({'train.py': '''
import os, signal, sys, time
def end(*_):
    open(os.environ['SM_MODEL_DIR'] + '/saved', 'w').close()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print('waiting', flush=True)
time.sleep(60)
'''})
    child = subprocess.Popen([TOOLKIT, 'train'], env=box.environment, stdout=subprocess.PIPE, text=True)
    with child.stdout:
        for line in child.stdout:
            if 'waiting' in line:
                break
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    assert (box.base / 'model/saved').exists()


def test_output_comes_as_it_is_written(box):
    box.script({'train.py': 'import time\nprint("first")\ntime.sleep(30)'})
    child = subprocess.Popen([TOOLKIT, 'train'], env=box.environment, stdout=subprocess.PIPE, text=True)
    with child.stdout:
        while 'first' not in child.stdout.readline():
            assert child.poll() is None
        child.send_signal(signal.SIGTERM)
        child.wait(20)


def test_missing_program_and_missing_file(box):
    box.config('hyperparameters', {})
    assert box.train().returncode == 1
    assert 'sagemaker_program is missing' in box.failure
    box.script({'other.py': ''})
    assert box.train().returncode == 1
    assert 'train.py (sagemaker_program) is not in the source archive, which holds: other.py' in box.failure


@pytest.mark.parametrize('name', ['../evil.py', '/tmp/evil.py', 'a/../../evil.py'])
def test_archive_that_climbs_out(box, name):
    box.script({'train.py': '', name: 'print("evil")'})
    assert box.train().returncode == 1
    assert 'leads out of its folder' in box.failure
    assert not (box.base / 'evil.py').exists()


def test_link_that_climbs_out(box):
    import io
    import tarfile
    box.script({'train.py': ''})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w:gz') as tar:
        entry = tarfile.TarInfo('way')
        entry.type, entry.linkname = tarfile.SYMTYPE, '../../..'
        tar.addfile(entry)
    (box.base / 'input/data/code/sourcedir.tar.gz').write_bytes(out.getvalue())
    assert box.train().returncode == 1
    assert 'leads out of its folder' in box.failure


def test_damaged_archive(box):
    box.script({'train.py': ''})
    (box.base / 'input/data/code/sourcedir.tar.gz').write_bytes(archive({'train.py': 'x' * 9999})[:60])
    assert box.train().returncode == 1
    assert 'cannot be unpacked' in box.failure


def test_requirements_without_a_network(box):
    box.script({'train.py': 'print("ran")', 'requirements.txt': 'no-such-package-of-anybody==1.0\n'})
    done = box.train(PIP_INDEX_URL='http://127.0.0.1:9/simple', PIP_RETRIES='3', PIP_NO_INDEX='')
    assert done.returncode == 1 and 'ran' not in done.stdout
    assert box.failure.startswith('InstallRequirementsError:') and 'no-such-package-of-anybody' in box.failure
    assert 'no way to the package index' in box.failure


def test_paths_in_requirements_are_those_of_the_source(box):
    box.script({'train.py': 'import vendored; print("value", vendored.value)',
                'requirements.txt': '-r more/first.txt\n', 'more/first.txt': './vendored\n',
                'vendored/vendored.py': 'value = 43',
                'vendored/setup.py': 'from setuptools import setup; '
                                     'setup(name="vendored", version="1.0", py_modules=["vendored"])'})
    done = box.train(PIP_NO_BUILD_ISOLATION='0', PIP_NO_INDEX='1')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'value 43' in done.stdout


def test_requirements_from_a_folder(box):
    package = {'setup.py': 'from setuptools import setup; setup(name="sbmini", version="1.0", py_modules=["sbmini"])',
               'sbmini.py': 'value = 41'}
    (box.base / 'src').mkdir()
    for name, text in package.items():
        (box.base / 'src' / name).write_text(text)
    box.script({'train.py': 'import sbmini; print("value", sbmini.value + 1)',
                'requirements.txt': f'{box.base}/src\n'})
    done = box.train(PIP_NO_BUILD_ISOLATION='0', PIP_NO_INDEX='1')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'value 42' in done.stdout
    assert os.path.isdir(box.base / 'python'), 'not into the Python of the machine'


@pytest.mark.parametrize('parameters, words', [
    ({'sagemaker_parameter_server_enabled': True}, 'asks for parameter servers (sagemaker_parameter_server_enabled)'),
    ({'mp_parameters': 'partitions=2', 'sagemaker_mpi_enabled': True}, 'the SageMaker model parallel library'),
])
def test_launchers_that_are_not_here(box, parameters, words):
    box.script({'train.py': ''}, **parameters)
    assert box.train().returncode == 1
    assert words in box.failure


def test_mpi_where_there_is_none(box, tmp_path):
    """A PATH with Python and pip alone."""
    box.script({'train.py': ''}, sagemaker_mpi_enabled=True)
    for name in ('env', 'python3'):
        (tmp_path / name).symlink_to(f'/usr/bin/{name}')
    assert box.train(PATH=str(tmp_path)).returncode == 1
    assert 'Open MPI is not complete on this machine. On the server: apt-get install openmpi-bin' in box.failure


def has(module):
    return subprocess.run(['/usr/bin/python3', '-c', f'import {module}'], capture_output=True).returncode == 0


needs_torch = pytest.mark.skipif(not has('torch.distributed'), reason='python3-torch is not installed')
needs_mpi = pytest.mark.skipif(not has('mpi4py') or not shutil.which('orted'),
                               reason='openmpi-bin or python3-mpi4py is not installed')
TORCHRUN = pytest.param('sagemaker_torch_distributed_enabled', marks=needs_torch)
MPIRUN = pytest.param('sagemaker_mpi_enabled', marks=needs_mpi)


@pytest.mark.parametrize('launcher', [
    TORCHRUN, MPIRUN, pytest.param('sagemaker_pytorch_ddp_enabled', marks=needs_torch),
    pytest.param('sagemaker_distributed_dataparallel_enabled', marks=needs_torch)])
def test_launchers(box, launcher):
    box.script({'train.py': '''
import os
rank = os.environ.get('RANK') or os.environ['OMPI_COMM_WORLD_RANK']
if 'RANK' in os.environ:
    os.write(1, f'line of {rank}\\n'.encode())
else:
    print('line of', rank)
open(os.environ['SM_MODEL_DIR'] + '/rank' + rank, 'w').write(os.environ['SM_CURRENT_HOST'])
'''}, **{launcher: True}, sagemaker_mpi_num_of_processes_per_host=2)
    done = box.train(CUDA_VISIBLE_DEVICES='0,1', PYTHONUNBUFFERED='1')
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_text() for path in (box.base / 'model').iterdir()} == {
        'rank0': 'localhost', 'rank1': 'localhost'}
    lines = [line for line in done.stdout.split('\n') if 'line of' in line]
    if 'mpi' in launcher:
        assert sorted(lines) == ['[1,0]<stdout>:line of 0', '[1,1]<stdout>:line of 1']
    else:
        assert sorted(lines) == ['line of 0', 'line of 1'], 'as they were written: metrics are found in them'


@pytest.mark.parametrize('launcher', [TORCHRUN, MPIRUN])
def test_each_process_has_its_notice(box, launcher):
    """mpirun would kill them a second after SIGTERM, and both launchers call the end of such a script a failure."""
    box.script({'train.py': '''
import os, signal, sys, time
rank = os.environ.get('RANK') or os.environ['OMPI_COMM_WORLD_RANK']
def end(*_):
    time.sleep(2.5)
    open(os.environ['SM_MODEL_DIR'] + '/saved' + rank, 'w').close()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
os.write(1, b'waiting\\n')
time.sleep(60)
'''}, **{launcher: True}, sagemaker_mpi_num_of_processes_per_host=2)
    child = subprocess.Popen([TOOLKIT, 'train'], env={**box.environment, 'CUDA_VISIBLE_DEVICES': '0,1'},
                             stdout=subprocess.PIPE, text=True)
    with child.stdout:
        waiting = 0
        while waiting < 2:
            line = child.stdout.readline()
            assert line, 'ended early'
            waiting += line.rstrip().endswith('waiting')
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
    assert sorted(os.listdir(box.base / 'model')) == ['saved0', 'saved1']


@pytest.mark.parametrize('launcher', [TORCHRUN, MPIRUN])
def test_the_reason_is_that_of_the_rank_that_failed(box, launcher):
    box.script({'train.py': '''
import os, time
rank = os.environ.get('RANK') or os.environ['OMPI_COMM_WORLD_RANK']
if rank == '1':
    raise ValueError('no such column: x')
time.sleep(60)
'''}, **{launcher: True}, sagemaker_mpi_num_of_processes_per_host=2)
    assert box.train(CUDA_VISIBLE_DEVICES='0,1').returncode == 1
    assert 'ValueError: no such column: x"' in box.failure and 'ChildFailedError' not in box.failure
    assert '<stderr>' not in box.failure


@pytest.mark.parametrize('launcher, words', [
    pytest.param('sagemaker_torch_distributed_enabled', 'local rank 1 was ended by signal 9 (Killed)',
                 marks=needs_torch),
    pytest.param('sagemaker_mpi_enabled', 'process rank 1 with PID', marks=needs_mpi)])
def test_a_rank_that_is_killed(box, launcher, words):
    box.script({'train.py': '''
import os, time
rank = os.environ.get('RANK') or os.environ['OMPI_COMM_WORLD_RANK']
if rank == '1':
    os.kill(os.getpid(), 9)
time.sleep(60)
'''}, **{launcher: True}, sagemaker_mpi_num_of_processes_per_host=2)
    assert box.train(CUDA_VISIBLE_DEVICES='0,1').returncode
    assert words in box.failure and 'signal 9 (Killed), as the kernel does where memory ends"' in box.failure


@needs_torch
def test_torchrun_starts_no_shell_scripts(box):
    box.script({'run.sh': ''}, program='run.sh', sagemaker_torch_distributed_enabled=True)
    assert box.train().returncode == 1
    assert 'torchrun starts Python programs (*.py) only, not run.sh' in box.failure


def group(name, kind, *hosts):
    return {'instance_group_name': name, 'instance_type': kind, 'hosts': list(hosts)}


def test_groups_of_a_heterogeneous_cluster(box):
    """The launcher runs in the groups that are named; the others run the script as it is."""
    box.script({'train.py': SHOW}, sagemaker_mpi_enabled=True, sagemaker_distribution_instance_groups=['gpus'])
    box.config('resourceconfig', {
        'current_host': 'localhost', 'hosts': ['localhost'], 'network_interface_name': 'lo',
        'current_instance_type': 'ml.c5.large', 'current_group_name': 'cpus',
        'instance_groups': [group('gpus', 'ml.g5.xlarge', 'algo-3', 'algo-1'),
                            group('cpus', 'ml.c5.large', 'localhost')]})
    assert box.train().returncode == 0
    env = seen(box)['env']
    assert 'OMPI_COMM_WORLD_RANK' not in env
    for name, value in {
            'SM_CURRENT_INSTANCE_GROUP': 'cpus', 'SM_CURRENT_INSTANCE_GROUP_HOSTS': '["localhost"]',
            'SM_INSTANCE_GROUPS': '["gpus","cpus"]', 'SM_DISTRIBUTION_INSTANCE_GROUPS': '["gpus"]',
            'SM_IS_HETERO': 'true',
            'SM_CURRENT_INSTANCE_TYPE': 'ml.c5.large'}.items():
        assert env[name] == value, name
    assert json.loads(env['SM_INSTANCE_GROUPS_DICT'])['gpus']['hosts'] == ['algo-3', 'algo-1']


def test_the_first_host_is_the_first_of_the_named_groups(box):
    import sys
    sys.path.insert(0, str(TOOLKIT))
    from sagebrush_toolkit.environment import Environment
    from sagebrush_toolkit.layout import Layout
    box.script({}, sagemaker_mpi_enabled=True, sagemaker_distribution_instance_groups=['gpus'])
    box.config('resourceconfig', {
        'current_host': 'algo-3', 'hosts': ['algo-1', 'algo-2', 'algo-3'], 'current_group_name': 'gpus',
        'instance_groups': [group('gpus', 'ml.g5.xlarge', 'algo-3', 'algo-2'), group('cpus', 'ml.c5.large', 'algo-1')]})
    here = Environment(Layout(box.environment))
    assert (here.master(), here.distribution_hosts()) == ('algo-2', ['algo-2', 'algo-3'])
    variables = here.variables()
    assert variables['SM_HOSTS'] == '["algo-1","algo-2","algo-3"]'
    training = json.loads(variables['SM_TRAINING_ENV'])
    assert not training['is_master'] and training['master_hostname'] == 'algo-2'
    assert training['distribution_hosts'] == ['algo-2', 'algo-3']


def test_a_rank_whose_end_is_seen_first_may_have_lost_another():
    import sys
    sys.path.insert(0, str(TOOLKIT))
    from sagebrush_toolkit import reason
    trace = 'Traceback (most recent call last):\n  main()\n'
    ranks = {1: trace + 'ValueError: no label', 0: trace + 'RuntimeError: Connection closed by peer [10.0.0.1]:55174'}
    text = ''.join(f'[1,{rank}]<stderr>:{line}\n' for rank, said in ranks.items() for line in said.split('\n'))
    for first in (0, 1):
        end = f'The first process to do so was:\n\n  Process name: [[41185,1],{first}]\n  Exit code:    1\n-----\n'
        assert reason.of(text + end, 1).endswith('ValueError: no label')


def called(program):
    return f'import subprocess, sys\nsubprocess.run([sys.executable, "-c", {program!r}], check=True)'


CAUSES = [
    ('direct', 'try:\n    {}["label"]\nexcept KeyError as e:\n    raise RuntimeError("config is wrong") from e',
     ["KeyError: 'label'\n\nThe above exception was the direct cause", 'RuntimeError: config is wrong']),
    ('by accident', 'try:\n    {}["label"]\nexcept KeyError:\n    open("/nowhere/x")',
     ["KeyError: 'label'\n\nDuring handling", 'FileNotFoundError']),
    ('the first of three',
     'try:\n    try:\n        1 / 0\n    except ArithmeticError as e:\n        raise KeyError from e'
     '\nexcept KeyError as e:\n    raise ValueError(3) from e',
     ['ZeroDivisionError: division by zero', 'ValueError: 3']),
    ('a program', called('raise ValueError("no such column")'),
     ['ValueError: no such column', 'CalledProcessError: Command', 'returned non-zero exit status 1']),
    ('a talkative program', called('import atexit, sys\natexit.register(lambda: sys.stderr.write("\\nbye" * 500))\n'
                                   'raise ValueError("no such column")'), ['ValueError: no such column', 'status 1']),
    ('a program of a program', called(called('raise ValueError("no such column")')), ['ValueError: no such column']),
    ('a pool', 'import multiprocessing as m\ndef f(x):\n    raise ValueError(f"row {x}")\nm.Pool(1).map(f, [7])',
     ['ErrorMessage "Traceback', 'ValueError: row 7']),
    ('one that was caught before', 'import traceback\ntry:\n    1 / 0\nexcept Exception:\n    traceback.print_exc()\n'
     'raise ValueError("later")', ['ErrorMessage "Traceback', 'ValueError: later']),
]


@pytest.mark.parametrize('program, words', [case[1:] for case in CAUSES], ids=[case[0] for case in CAUSES])
def test_what_caused_it(box, program, words):
    box.script({'train.py': program})
    assert box.train().returncode == 1
    for each in words:
        assert each in box.failure
    assert len(box.failure) <= 1024


@pytest.mark.parametrize('module, words', [
    ('torch', 'torch is not on this machine: name it in requirements.txt beside the script, or on the server: '
              'apt-get install python3-torch'),
    ('sklearn.ensemble', 'apt-get install python3-sklearn'),
    ('tensorflow', 'tensorflow is not on this machine: name it in requirements.txt beside the script"\n'),
    ('smdistributed.dataparallel.torch', 'with the backend nccl or gloo, the same job runs here'),
])
def test_a_module_that_is_not_here(box, module, words):
    box.script({'train.py': f'raise ModuleNotFoundError("No module named {module!r}")'})
    assert box.train().returncode == 1
    assert words in box.failure


def test_a_fault_of_ours_is_a_framework_error(box):
    (box.base / 'input/config/hyperparameters.json').write_text('{broken')
    assert box.train().returncode == 1
    assert box.failure.startswith('Framework Error: \n')


class Bucket(http.server.BaseHTTPRequestHandler):
    body, seen, failures = b'', [], 0

    def do_GET(self):
        Bucket.seen.append((self.path, dict(self.headers)))
        if Bucket.failures:
            Bucket.failures -= 1
            self.send_error(503)
            return
        if self.path == '/credentials':
            answer = json.dumps({'AccessKeyId': 'ASIAX', 'SecretAccessKey': 's', 'Token': 'the-token'}).encode()
        elif 'missing' in self.path:
            body = (b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>There is no &quot;key&quot; of that '
                    b'name'
                    b'</Message><Key>missing.tar.gz</Key></Error>')
            self.send_response(404)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        else:
            answer = Bucket.body
        self.send_response(200)
        self.send_header('Content-Length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def bucket():
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Bucket)
    Bucket.seen, Bucket.failures = [], 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


def test_source_from_s3(box, bucket):
    Bucket.body, Bucket.failures = archive({'train.py': 'print("came from S3")'}), 1
    box.script({}, sagemaker_submit_directory='s3://my-bucket/a b/ü/sourcedir.tar.gz')
    done = box.train(AWS_ENDPOINT_URL=bucket, AWS_CONTAINER_CREDENTIALS_FULL_URI=bucket + '/credentials',
                     AWS_REGION='eu-central-1', TMPDIR=str(box.base))
    assert 'came from S3' in done.stdout, done.stderr
    path, headers = Bucket.seen[-1]
    assert path == '/my-bucket/a%20b/%C3%BC/sourcedir.tar.gz'
    assert headers['x-amz-security-token'.title()] == 'the-token'
    assert '/eu-central-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;' in headers['Authorization']


def test_source_that_is_not_in_s3(box, bucket):
    box.script({}, sagemaker_submit_directory='s3://my-bucket/missing.tar.gz')
    assert box.train(AWS_ENDPOINT_URL=bucket, AWS_ACCESS_KEY_ID='A', AWS_SECRET_ACCESS_KEY='s').returncode == 1
    assert box.failure == ('Cannot download s3://my-bucket/missing.tar.gz: NoSuchKey (404): '
                           'There is no "key" of that name')
    assert box.train(AWS_ENDPOINT_URL=bucket).returncode == 1
    assert 'no credentials in the container' in box.failure


def test_signature_is_botocores(box):
    """The same request signed by botocore and by the toolkit."""
    import datetime
    import sys

    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials
    sys.path.insert(0, str(TOOLKIT))
    from sagebrush_toolkit import s3
    moment = datetime.datetime(2024, 2, 29, 12, 0, 0, tzinfo=datetime.timezone.utc)
    url = 'http://127.0.0.1:8443/my-bucket/a%20b/%C3%BC.tar.gz'
    ours = s3.signed(url, 'us-east-1', ('AKIAX', 'secret', 'token'), moment)
    auth = botocore.auth.S3SigV4Auth(botocore.credentials.Credentials('AKIAX', 'secret', 'token'), 's3', 'us-east-1')
    request = botocore.awsrequest.AWSRequest('GET', url)
    request.context['timestamp'] = '20240229T120000Z'
    request.headers['X-Amz-Date'] = '20240229T120000Z'
    request.headers['X-Amz-Security-Token'] = 'token'
    request.headers['X-Amz-Content-SHA256'] = s3.EMPTY
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    assert ours['authorization'].endswith('Signature=' + signature)


TEXTS = ['{}', ' {"a": [1, 2.5, -1e-7, true, null, "\\u00fc\\n\\"x\\""]}\n', '"train.py"', '7', '1e400', 'NaN',
         '-Infinity',
         '[[], {"b": {"a": ""}}]', '"\\ud83d\\ude00"', '', 'plain', '{"a":1} x', '"open', '[1,]', "{'a': 1}", '01',
         '--1']


@pytest.mark.parametrize('text', TEXTS)
def test_json_reads_and_writes_as_the_module_does(text):
    import sys
    sys.path.insert(0, str(TOOLKIT))
    from sagebrush_toolkit import jsontext
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            jsontext.loads(text)
        return
    found = jsontext.loads(text)
    written = json.dumps(expected, sort_keys=True, separators=(',', ':'), ensure_ascii=False)
    assert jsontext.dumps(found) == written and repr(found) == repr(expected)


def test_what_a_start_imports():
    """Each of these takes longer to import than a job's start has to spare."""
    program = "import sys; sys.path[0] = sys.argv[1]; from sagebrush_toolkit import train; print(*sys.modules)"
    loaded = subprocess.run(['/usr/bin/python3', '-S', '-c', program, TOOLKIT], check=True, capture_output=True,
                            text=True).stdout.split()
    assert 'sagebrush_toolkit.train' in loaded
    slow = {'re', 'json', 'enum', 'socket', 'ssl', 'subprocess', 'tarfile', 'threading', 'signal', 'runpy', 'site'}
    assert not slow.intersection(loaded)


def test_a_process_left_behind_does_not_hold_the_job(box):
    box.script({'train.py': 'import subprocess as s; print(s.Popen(["sleep", "300"], stdout=s.DEVNULL).pid, '
                            'flush=True)'})
    done = box.train()  # waits for 120 s at most
    os.kill(int(done.stdout.split('train.py\n')[1].split()[0]), signal.SIGKILL)
    assert done.returncode == 0, done


@pytest.mark.parametrize('here, rank', [('algo-1', 0), ('algo-2', 1), ('algo-3', 2)])
def test_without_named_groups_all_hosts_are_one_world(box, monkeypatch, here, rank):
    """So it is with torch_distributed, for which the SDK sends no groups."""
    monkeypatch.syspath_prepend(str(TOOLKIT))
    from sagebrush_toolkit import launch
    from sagebrush_toolkit.environment import Environment
    from sagebrush_toolkit.layout import Layout
    monkeypatch.setattr(launch, 'has_module', lambda name: True)
    box.script({}, sagemaker_torch_distributed_enabled=True)
    box.config('resourceconfig', {
        'current_host': here, 'hosts': ['algo-1', 'algo-2', 'algo-3'],
        'current_group_name': 'cpus' if here == 'algo-1' else 'gpus',
        'instance_groups': [group('gpus', 'ml.g5.xlarge', 'algo-3', 'algo-2'), group('cpus', 'ml.c5.large', 'algo-1')]})
    words = launch.plan(Environment(Layout(box.environment))).before
    assert {'--nnodes=3', '--master_addr=algo-1', f'--node_rank={rank}'} <= {*words}, words
