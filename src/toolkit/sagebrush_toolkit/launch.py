"""How the script is started on this host: by itself, by torchrun, or by mpirun, as `distribution=` of the SDK asks."""
import os
import sys

from sagebrush_toolkit.layout import Failure

MASTER_PORT = '7777'
# This program itself, which launchers are to run again in another part.
TOOLKIT = os.path.abspath(sys.path[0])

UNAVAILABLE = {
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


class Plan:
    """How this host takes part.

    before: the words that stand before the script's command. python: what a script that is no program of its own is run
    by; none if the launcher does that. inner: the script's processes are the launcher's children, and it is they who
    are told to end. terminal: they write to one. waits_for: this host runs what that host's mpirun tells it to."""
    def __init__(self, before=(), python=(sys.executable,), inner=False, terminal=False, waits_for=None):
        self.before, self.python, self.waits_for = list(before), list(python), waits_for
        self.inner, self.terminal = inner, terminal


def has_module(name):
    """Not imported, which may take seconds."""
    import site
    from importlib import util
    site.main()
    return util.find_spec(name) is not None


def torchrun(environment):
    if not has_module('torch'):
        raise Failure('This job asks for torchrun (distribution), but there is no PyTorch for the Python of this '
                      'machine. On the server: apt-get install python3-torch; or name torch in requirements.txt.')
    hosts = environment.distribution_hosts()
    # Looked at twice a second, where old releases take five seconds to see that the script has ended.
    words = [TOOLKIT, 'torchrun', f'--nnodes={len(hosts)}', f'--nproc_per_node={max(1, environment.gpus)}',
             '--monitor_interval=0.5']
    if len(hosts) > 1:
        words += [f'--master_addr={environment.master()}', f'--master_port={MASTER_PORT}',
                  f'--node_rank={hosts.index(environment.current_host)}']
    return Plan(words, (), inner=True)


def has_program(name):
    return any(os.access(os.path.join(folder, name), os.X_OK) for folder in os.get_exec_path())


def mpi_options(text):
    """(the words for mpirun, the level of NCCL's log) of custom_mpi_options."""
    words, level = text.split(), 'INFO'
    if '--NCCL_DEBUG' in words[:-1]:
        at = words.index('--NCCL_DEBUG')
        level = words[at + 1]
        del words[at:at + 2]
    return words, level


def mpirun(environment):
    program = next((name for name in ('mpirun.openmpi', 'mpirun') if has_program(name)), None)
    missing = [] if program and has_program('orted') else ['openmpi-bin']
    missing += [] if has_module('mpi4py') else ['python3-mpi4py']
    if missing:
        raise Failure('This job asks for MPI (sagemaker_mpi_enabled), but Open MPI is not complete on this machine. '
                      f'On the server: apt-get install {" ".join(missing)}')
    if environment.current_host != environment.master():
        return Plan(terminal=True, waits_for=environment.master())
    hosts, options = environment.distribution_hosts(), environment.framework_parameters
    each = int(options.get('sagemaker_mpi_num_of_processes_per_host') or max(1, environment.gpus))
    count = int(options.get('sagemaker_mpi_num_processes') or each * len(hosts))
    custom, level = mpi_options(options.get('sagemaker_mpi_custom_mpi_options') or '')
    # By its name alone: from a path, it would have the other hosts set variables of a shell.
    words = [program, '--host', ','.join(f'{host}:{each}' for host in hosts), '-np', str(count), '--allow-run-as-root',
             '--tag-output', '--bind-to', 'none', '--map-by', 'slot']
    settings = {
        'pml': 'ob1', 'btl': 'self,vader,tcp', 'btl_vader_single_copy_mechanism': 'none',
        'orte_abort_on_non_zero_status': '1', 'plm_rsh_no_tree_spawn': '1', 'orte_leave_session_attached': '1',
        # Where AWS's images have ssh.
        'plm_rsh_agent': f'{TOOLKIT} mpi-agent',
    }
    if len(hosts) > 1:
        settings.update({'btl_tcp_if_include': environment.interface, 'oob_tcp_if_include': environment.interface})
    for name, value in settings.items():
        words += ['-mca', name, value]
    for setting in (f'NCCL_DEBUG={level}', f'NCCL_SOCKET_IFNAME={environment.interface}'):
        words += ['-x', setting]
    # mpi4py ends all ranks when one of them raises.
    return Plan(words + custom, (sys.executable, '-m', 'mpi4py'), inner=True, terminal=True)


LAUNCHERS = {
    'sagemaker_torch_distributed_enabled': torchrun,
    'sagemaker_pytorch_ddp_enabled': torchrun,
    # What the SDK makes of `pytorchddp`, too. Whoever imports Amazon's library hears that it is not here.
    'sagemaker_distributed_dataparallel_enabled': torchrun,
    'sagemaker_mpi_enabled': mpirun,
}


def plan(environment):
    options = environment.framework_parameters
    for name, title in UNAVAILABLE.items():
        if is_on(options.get(name)):
            raise Failure(f'This job asks for {title} ({name}), which is not available here. Several instances run '
                          'with torch_distributed, pytorchddp or mpi, or a script that starts its own processes.')
    if environment.hyperparameters.get('mp_parameters'):
        raise Failure('This job asks for the SageMaker model parallel library (mp_parameters), which is not available '
                      'here: it comes with Amazon\'s images only.')
    # Of a heterogeneous cluster, the groups that are not named run the script as it is.
    if environment.group in environment.distribution_groups():
        for name, start in LAUNCHERS.items():
            if is_on(options.get(name)):
                return start(environment)
    return Plan()
