"""`train`: runs the user's script once, with the SM_* environment, and tells how it ended."""
import _signal as signal  # the module without the enumerations, whose import takes longer than all of this
import os
import select
import sys
import time

from sagebrush_toolkit import launch, source
from sagebrush_toolkit.environment import Environment
from sagebrush_toolkit.launch import quoted
from sagebrush_toolkit.layout import Failure, Layout

TAIL = 16384          # of standard error, to tell what went wrong
LINGER_S = 5          # for what is still in the pipe when the script has ended
BEREAVED_S = 30       # for the host that failed first to say why
RESOLVE_S = 15 * 60   # hosts of a job start at different times

told_to_end = []      # the signals that came


def command(environment, folder, plan):
    program = environment.program
    words = environment.user_arguments
    if not program:
        raise Failure('No training script was named: the hyperparameter sagemaker_program is missing. This image runs '
                      'a script of yours (script mode); the SDK\'s framework estimators set it from entry_point.')
    if os.path.exists(os.path.join(folder, 'setup.py')):
        return plan.before + plan.python + ['-m', environment.module_name] + words
    if not os.path.exists(os.path.join(folder, program)):
        there = ', '.join(sorted(os.listdir(folder))[:20]) if os.path.isdir(folder) else 'nothing'
        raise Failure(f'The training script {program} (sagemaker_program) is not in the source archive, which holds: '
                      f'{there or "nothing"}.')
    if program.endswith('.py'):
        return plan.before + plan.python + [program] + words
    if not plan.python:
        raise Failure(f'torchrun starts Python programs (*.py) only, not {program}.')
    # Archives are packed where a script may not have been a program yet.
    os.chmod(os.path.join(folder, program), 0o755)
    return plan.before + ['/bin/sh', '-c', './' + quoted([program] + words)]


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


def start(words, folder, variables, stderr, inner):
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
            os.execvpe(words[0], words, variables)
        except OSError as error:
            os.write(2, f'{words[0]} cannot be started: {error}\n'.encode())
        finally:
            os._exit(127)
    # The platform tells the container to end; the script has its grace period to save what it has.
    for number in ends:
        signal.signal(number, lambda n, _: pass_signal(pid, n, inner))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
    return pid


def children(pid):
    """Those of the script. mpirun's remote shells are ours, and wait for it."""
    found = []
    for name in os.listdir('/proc'):
        try:
            with open(f'/proc/{int(name)}/stat') as f:
                parent = int(f.read().rsplit(')', 1)[1].split()[1])
            with open(f'/proc/{name}/cmdline', 'rb') as f:
                if parent == pid and b'mpi-agent' not in f.read().split(b'\0'):
                    found.append(int(name))
        except (ValueError, OSError):
            pass  # no process, or no more
    return found


def pass_signal(pid, number, inner):
    told_to_end.append(number)
    # Launchers give their processes 1 s (mpirun) or 30 s (torchrun) of the 120 s, and they call that a failure.
    for each in inner and children(pid) or [pid]:
        try:
            os.kill(each, number)
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


def run(words, folder, variables, inner=False, echo=2):
    """The script's exit code and the end of its standard error, which is passed on as it comes."""
    source, sink = os.pipe()
    pid = start(words, folder, variables, sink, inner)
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


def let_the_cause_speak():
    """The job's reason is that of the host that fails first; one that only lost another waits to be ended for it."""
    print(f'Another host of the job is gone; waiting for {BEREAVED_S} s at most until it has said why', file=sys.stderr,
          flush=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    if not told_to_end:
        signal.sigtimedwait((signal.SIGTERM,), BEREAVED_S)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))


def variables_of(environment, layout, plan):
    paths = [layout.code, layout.packages if layout.relocated else '', os.environ.get('PYTHONPATH', '')]
    variables = {
        'PYTHONUNBUFFERED': '1',  # logs as they are written
        'MASTER_ADDR': environment.master(),
        'MASTER_PORT': launch.MASTER_PORT,
        'NCCL_SOCKET_IFNAME': environment.interface,
        **os.environ,
        **environment.variables(),
        'PYTHONPATH': ':'.join(p for p in paths if p),
    }
    if plan.terminal:
        # There they come in lines anyway; without, mpirun puts its tag on each piece of a line.
        del variables['PYTHONUNBUFFERED']
    return variables


def run_for(environment, layout, plan):
    """What mpirun on the first host has this one do; how the script ended is known there only, whatever orted says."""
    from sagebrush_toolkit import mpi
    print(f'Waiting for mpirun on {plan.waits_for}', flush=True)
    words, connection = mpi.wait(plan.waits_for)
    code, _ = run(words, layout.code, variables_of(environment, layout, plan), inner=True)
    mpi.answer(connection, code)
    return f'This host has done its part; {plan.waits_for} tells how the training ended'


def train(layout):
    """The log's last words, of one that has not failed."""
    environment = Environment(layout)
    for folder in (layout.model, layout.output_data, layout.intermediate):
        os.makedirs(folder, exist_ok=True)
    if environment.submit_directory:
        source.fetch(environment.submit_directory, layout.code)
    if not os.path.isdir(layout.code):
        os.makedirs(layout.code, exist_ok=True)
    source.install(layout.code, layout)
    plan = launch.plan(environment)
    words = command(environment, layout.code, plan)
    if len(environment.hosts) > 1:
        wait_for_hosts(environment.hosts)
    shown = quoted(words)
    image = os.environ.get('SAGEBRUSH_IMAGE')
    print(f'Script mode{" for " + image if image else ""} on Python {sys.version.split()[0]} of this machine',
          flush=True)
    if plan.waits_for:
        return run_for(environment, layout, plan)
    print(f'Invoking script with the following command:\n\n{shown}\n', flush=True)
    code, text = run(words, layout.code, variables_of(environment, layout, plan), plan.inner)
    if code == 0:
        return 'Reporting training SUCCESS'
    from sagebrush_toolkit import reason
    if code < 0:
        code = 128 - code
    why = reason.of(text, code)
    if len(environment.hosts) > 1 and reason.is_bereaved(why):
        let_the_cause_speak()
    raise Failure(reason.told('ExecuteUserScriptError', code, why, shown), code)


def main():
    layout = Layout()
    try:
        if os.path.isfile(layout.failure):
            os.unlink(layout.failure)  # of an earlier run
        end = train(layout)
    except Failure as failure:
        text, code = failure.text, failure.exit_code
    except Exception:
        import traceback
        text, code = 'Framework Error: \n' + traceback.format_exc(), 1
    else:
        with open(layout.success, 'w'):
            pass
        print(end, flush=True)
        return 0
    print(f'Reporting training FAILURE\n{text}', file=sys.stderr, flush=True)
    try:
        os.makedirs(layout.output, exist_ok=True)
        # What the script wrote there itself says it better.
        if not os.path.isfile(layout.failure) or os.path.getsize(layout.failure) == 0:
            with open(layout.failure, 'w', encoding='utf-8') as f:
                f.write(text)
    except OSError as error:
        print(f'The failure file could not be written: {error}', file=sys.stderr, flush=True)
    return code
