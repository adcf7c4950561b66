"""`train`: runs the user's script once, with the SM_* environment, and tells how it ended."""
import _signal as signal  # the module without the enumerations, whose import takes longer than all of this
import os
import select
import sys
import time

from sagebrush_toolkit import source
from sagebrush_toolkit.environment import Environment
from sagebrush_toolkit.layout import Failure, Layout

TAIL = 16384          # of standard error, to tell what went wrong
REASON = 1000         # FailureReason takes the first 1024 characters of the failure file
LINGER_S = 5          # for what is still in the pipe when the script has ended
RESOLVE_S = 15 * 60   # hosts of a job start at different times
UNAVAILABLE = {
    'sagemaker_mpi_enabled': 'MPI',
    'sagemaker_pytorch_ddp_enabled': 'the PyTorch DDP launcher (pytorchddp)',
    'sagemaker_distributed_dataparallel_enabled': 'the SageMaker data parallel library',
    'sagemaker_parameter_server_enabled': 'parameter servers',
    'sagemaker_multi_worker_mirrored_strategy_enabled': 'the multi worker mirrored strategy',
    'sagemaker_pytorch_xla_multi_worker_enabled': 'PyTorch XLA',
}


def is_on(value):
    return value is True or str(value).lower() == 'true'


def quoted(words):
    """As a shell would have them written."""
    plain = {*'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-'}
    return ' '.join(w if w and plain.issuperset(w) else "'" + w.replace("'", "'\"'\"'") + "'" for w in words)


def torch_version():
    import site
    from importlib import metadata
    site.main()
    try:
        return tuple(int(part) for part in metadata.version('torch').split('.')[:2])
    except metadata.PackageNotFoundError:
        raise Failure('This job asks for torchrun, but there is no PyTorch for the Python of this machine.') from None


def launcher(environment):
    """What stands before the script: torchrun where it is asked for. Every other launcher is refused by name."""
    for name, title in UNAVAILABLE.items():
        if is_on(environment.framework_parameters.get(name)):
            raise Failure(f'This job asks for {title} ({name}), which is not available here. Multi-instance jobs run '
                          'with torch_distributed, or with a script that starts its own processes.')
    if not is_on(environment.framework_parameters.get('sagemaker_torch_distributed_enabled')):
        return None
    words = [sys.executable, '-m', 'torch.distributed.run', f'--nnodes={len(environment.hosts)}',
             f'--nproc_per_node={max(1, environment.gpus)}']
    if sys.version_info >= (3, 11) and torch_version() < (2,):
        words += ['-r', '1', '-t', '1']  # without it, that release trips over the enums of this Python
    if len(environment.hosts) > 1:
        words += [f'--master_addr={environment.master()}', '--master_port=7777',
                  f'--node_rank={sorted(environment.hosts).index(environment.current_host)}']
    return words


def command(environment, folder):
    program = environment.program
    words = environment.user_arguments
    before = launcher(environment)
    if not program:
        raise Failure('No training script was named: the hyperparameter sagemaker_program is missing. This image runs '
                      'a script of yours (script mode); the SDK\'s framework estimators set it from entry_point.')
    if os.path.exists(os.path.join(folder, 'setup.py')):
        return (before or [sys.executable]) + ['-m', environment.module_name] + words
    if not os.path.exists(os.path.join(folder, program)):
        there = ', '.join(sorted(os.listdir(folder))[:20]) if os.path.isdir(folder) else 'nothing'
        raise Failure(f'The training script {program} (sagemaker_program) is not in the source archive, which holds: '
                      f'{there or "nothing"}.')
    if program.endswith('.py'):
        return (before or [sys.executable]) + [program] + words
    return ['/bin/sh', '-c', './' + quoted([program] + words)]


def wait_for_hosts(hosts):
    import socket
    until = time.monotonic() + RESOLVE_S
    pause = 0.1
    for host in hosts:
        while True:
            try:
                socket.gethostbyname(host)
                break
            except OSError:
                if time.monotonic() > until:
                    raise Failure(f'The host {host} of this job did not appear within {RESOLVE_S // 60} minutes.')
                time.sleep(pause)
                pause = min(pause * 2, 5)


def last_words(text):
    """The last traceback of what went to standard error, or its end; the exception's own line is always in it."""
    at = text.rfind('Traceback (most recent call last)')
    return (text[at:] if at >= 0 else text).strip()


def told(kind, code, words, shown):
    """The failure file: the contract's form, cut in the middle so that the exception and the command both fit."""
    frame = f'{kind}:\nExitCode {code}\nErrorMessage "%s"\nCommand "{shown[:200]}"'
    room = REASON - len(frame)
    if len(words) > room:
        words = words[:room // 4] + ' ... ' + words[-(room - room // 4 - 5):]
    return frame.replace('%s', words, 1)


def start(words, folder, variables, stderr):
    """The pid of the script, whose standard error goes to the descriptor. Signals to end it reach it from then on."""
    ends = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    pid = os.fork()
    if pid == 0:
        try:
            os.chdir(folder)
            os.dup2(stderr, 2)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and what is ignored stays so
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
            os.execve(words[0], words, variables)
        except OSError as error:
            os.write(2, f'{words[0]} cannot be started: {error}\n'.encode())
        finally:
            os._exit(127)
    # The platform tells the container to end; the script has its grace period to save what it has.
    for number in ends:
        signal.signal(number, lambda n, _: pass_signal(pid, n))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
    return pid


def pass_signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has just ended


def pass_on(source, echo, tail):
    """One block of what the script wrote; False at its end."""
    block = os.read(source, 65536)
    tail.extend(block)
    del tail[:-TAIL]
    left = block
    while left:
        left = left[os.write(echo, left):]
    return bool(block)


def run(words, folder, variables, echo=2):
    """The script's exit code and the end of its standard error, which is passed on as it comes."""
    source, sink = os.pipe()
    pid = start(words, folder, variables, sink)
    os.close(sink)
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(source, select.POLLIN)
    tail, code, flowing, left_ms = bytearray(), None, True, None
    while code is None or flowing:
        if code is not None:
            # A process that the script left behind may hold the pipe for ever.
            left_ms = (until - time.monotonic()) * 1000
            if left_ms <= 0:
                break
        for fd, _ in poll.poll(left_ms):
            if fd == ended:
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                until = time.monotonic() + LINGER_S
                poll.unregister(ended)
            elif not pass_on(source, echo, tail):
                flowing = False
                poll.unregister(source)
    return code, tail.decode('utf-8', 'replace')


def train(layout):
    environment = Environment(layout)
    for folder in (layout.model, layout.output_data, layout.intermediate):
        os.makedirs(folder, exist_ok=True)
    if environment.submit_directory:
        source.fetch(environment.submit_directory, layout.code)
    if not os.path.isdir(layout.code):
        os.makedirs(layout.code, exist_ok=True)
    source.install(layout.code, layout)
    words = command(environment, layout.code)
    if len(environment.hosts) > 1:
        wait_for_hosts(environment.hosts)
    paths = [layout.code, layout.packages if layout.relocated else '', os.environ.get('PYTHONPATH', '')]
    variables = {
        'PYTHONUNBUFFERED': '1',  # logs as they are written
        'MASTER_ADDR': environment.master(),
        'MASTER_PORT': '7777',
        'NCCL_SOCKET_IFNAME': environment.interface,
        **os.environ,
        **environment.variables(),
        'PYTHONPATH': ':'.join(p for p in paths if p),
    }
    shown = quoted(words)
    image = os.environ.get('SAGEBRUSH_IMAGE')
    print(f'Script mode{" for " + image if image else ""} on Python {sys.version.split()[0]} of this machine')
    print(f'Invoking script with the following command:\n\n{shown}\n', flush=True)
    code, text = run(words, layout.code, variables)
    if code == 0:
        return
    if code < 0:
        code = 128 - code
    reason = last_words(text)
    if code == 137:
        reason = 'OutOfMemory: Process killed by SIGKILL (signal 9)'
    raise Failure(told('ExecuteUserScriptError', code, reason, shown), code)


def main():
    layout = Layout()
    try:
        train(layout)
    except Failure as failure:
        text, code = failure.text, failure.exit_code
    except Exception:
        import traceback
        text, code = 'Framework Error: \n' + traceback.format_exc(), 1
    else:
        with open(layout.success, 'w'):
            pass
        print('Reporting training SUCCESS', flush=True)
        return 0
    print(f'Reporting training FAILURE\n{text}', file=sys.stderr, flush=True)
    try:
        os.makedirs(layout.output, exist_ok=True)
        with open(layout.failure, 'w', encoding='utf-8') as f:
            f.write(text)
    except OSError as error:
        print(f'The failure file could not be written: {error}', file=sys.stderr, flush=True)
    return code
