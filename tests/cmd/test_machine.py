"""What `sagebrush up` says when the machine is not fit for a server: what is wrong, and what to do."""
import json
import os
import shutil
import subprocess

import pytest
from conftest import SAGEBRUSH

NOBODY = {'user': 65534, 'group': 65534, 'extra_groups': []}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason='becomes another user, and mounts')


def refused(*words, program=SAGEBRUSH, **more):
    done = subprocess.run([program, 'up', '--daemon', *words], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=60, **more)
    assert done.returncode in (1, 2) and not done.stdout and len(done.stderr.splitlines()) == 1, done
    return done.stderr


@pytest.fixture
def everybodys(place):
    """The program where another user may run it."""
    program = place.folder / 'sagebrush'
    shutil.copy(SAGEBRUSH, program)
    place.folder.chmod(0o755)
    program.chmod(0o755)
    return program


def test_a_data_directory_that_cannot_be(place):
    (place.folder / 'file').write_text('')
    for path, why in [('/proc/x', 'cannot be made'), (place.folder / 'file/x', 'cannot be made'),
                      (place.folder / 'file', 'that is a file')]:
        text = refused('--data', path, '--runtime', 'sim')
        assert why in text and str(path) in text and 'data directory' in text and 'start as root' not in text


@as_root
def test_a_data_directory_of_somebody_else(place, everybodys):
    place.data.mkdir(mode=0o755)
    text = refused('--data', place.data, '--runtime', 'sim', program=everybodys, **NOBODY)
    assert 'cannot be written' in text and '--data DIR' in text and '`sudo sagebrush up`' in text


@as_root
def test_containers_need_root(place, everybodys):
    place.data.mkdir()
    os.chown(place.data, 65534, 65534)
    text = refused('--data', place.data, program=everybodys, **NOBODY)
    assert 'containers need root' in text and '--runtime process' in text
    assert not list(place.data.iterdir())


@as_root
def test_containers_need_runc(place):
    hide = ('for f in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin; do '
            '! [ -e $f/runc ] || mount --bind /dev/null $f/runc; done')
    done = subprocess.run(['unshare', '-m', 'sh', '-c', f'{hide}; "$@"', 'sh', SAGEBRUSH, 'up', '--daemon', '--data',
                           place.data],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and 'apt-get install runc' in done.stderr, done


def test_an_address_of_another_machine(place):
    text = refused('--data', place.data, '--runtime', 'sim', '--bind', '192.0.2.1', '--port', str(place.port))
    assert '192.0.2.1 is no address of this machine' in text and '--bind' in text


@as_root
def test_a_port_of_roots(place, everybodys):
    if int(open('/proc/sys/net/ipv4/ip_unprivileged_port_start').read()) <= 443:
        pytest.skip('this machine lets everybody have it')
    place.data.mkdir()
    os.chown(place.data, 65534, 65534)
    text = refused('--data', place.data, '--runtime', 'sim', '--port', '443', program=everybodys,
                   env={'SAGEBRUSH_LIBEXEC': str(place.programs)}, **NOBODY)
    assert 'above 1023' in text, text


def test_slurm_has_its_own_nodes(place):
    fleet = place.folder / 'fleet.toml'
    fleet.write_text('[[nodes]]\nname = "n"\ncores = 1\nmemory = "1GiB"\n')
    text = refused('--data', place.data, '--runtime', 'slurm', '--fleet', fleet)
    assert 'takes no nodes of a fleet file' in text and str(fleet) in text and 'Take [[nodes]]' in text


def test_a_fleet_that_is_more_than_the_machine(place):
    """A warning, where it is read."""
    fleet = place.folder / 'fleet.toml'
    for cores, warned in ((1 << 19, True), (1, False)):
        fleet.write_text(f'[[nodes]]\nname = "n"\ncores = {cores}\nmemory = "16MiB"\n')
        done = place.up('--fleet', str(fleet))
        warning = f'warning: the nodes of {fleet} together have more than this machine: {cores} cores of'
        assert (warning in done.stderr) == warned
        place.run('down')


def test_a_fleet_file_that_is_not_there(place):
    """What, why, and what to do, wherever the path came from."""
    for given, path, why in (('nowhere.toml', place.folder / 'nowhere.toml', 'No such file or directory'),
                             (str(place.folder), place.folder, 'Is a directory')):
        text = refused('--data', place.data, '--runtime', 'sim', '--fleet', given, cwd=place.folder)
        assert 'the fleet file cannot be read' in text and str(path) in text and why in text, text
        assert 'simulate --example DIR' in text and '--fleet ""' in text, text
    place.folder.joinpath('config').write_text(f'fleet = {place.folder}/gone.toml\n')
    text = refused('--data', place.data, '--runtime', 'sim', '--config', place.folder / 'config')
    assert 'gone.toml: No such file' in text and 'the setting `fleet`' in text, text


@as_root
@pytest.mark.skipif(not shutil.which('runc'), reason='containers need runc')
def test_slurm_that_does_not_answer(place):
    """A warning with squeue's own words, and the server starts."""
    for name in ('sbatch', 'squeue', 'scancel'):
        program = place.folder / name
        program.write_text(f'#!/bin/sh\necho "{name}: error: Unable to contact slurm controller" >&2\nexit 1\n')
        program.chmod(0o755)
    env = {**os.environ, 'PATH': f"{place.folder}:{os.environ['PATH']}", 'SAGEBRUSH_LIBEXEC': str(place.programs)}
    done = subprocess.run([SAGEBRUSH, 'up', '--daemon', '--data', place.data, '--port', str(place.port), '--runtime',
                           'slurm'],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, env=env)
    assert done.returncode == 0 and 'is ready' in done.stdout, done
    assert 'warning: Slurm does not answer (squeue: Unable to contact slurm controller)' in done.stderr, done
