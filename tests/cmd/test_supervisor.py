import datetime
import json
import os
import signal
import socket
import threading

from conftest import SAGEBRUSH, alive, free_port, wait_for


def test_starts_says_where_and_ends(place):
    said = place.up().stdout
    assert f'https://127.0.0.1:{place.port}' in said and f'eval "$({SAGEBRUSH} env --data {place.data})"' in said
    status = place.status()
    assert status['healthy'] and len({status['supervisor'], status['control_plane'], status['data_plane']}) == 3
    assert 'has ended' in place.run('down').stdout
    for name in ('supervisor', 'control_plane', 'data_plane'):
        assert not alive(status[name])
    assert place.run('status', check=False).returncode == 3
    assert 'no server is running' in place.run('down', check=False).stderr


def test_secrets_are_private(place):
    place.up()
    for path in (place.data / 'secrets').iterdir():
        assert path.name.endswith('.pem') or path.stat().st_mode & 0o077 == 0, path
    assert (place.data / 'secrets').stat().st_mode & 0o077 == 0
    assert (place.data / 'client/ca-bundle.pem').read_text().endswith((place.data / 'secrets/ca.pem').read_text())


def test_second_start_is_refused_with_the_owner(place):
    place.up()
    again = place.up(check=False)
    assert again.returncode == 1 and f'in use by process {place.status()["supervisor"]}' in again.stderr


def test_dead_programs_come_back(place):
    place.up()
    before = place.kill('control_plane', 'data_plane')
    wait_for(lambda: place.status()['healthy'])
    after = place.status()
    assert after['supervisor'] == before['supervisor']
    assert after['control_plane'] != before['control_plane'] and after['data_plane'] != before['data_plane']


class Client:
    """One that connects again and again: 'refused' counts how often nobody listened."""

    def __init__(self, place):
        self.port, self.refused, self.served, self.over = place.port, 0, 0, False
        self.thread = threading.Thread(target=self.ask)

    def __enter__(self):
        self.thread.start()
        wait_for(lambda: self.served)
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()

    def ask(self):
        while not self.over:
            try:
                with socket.create_connection(('127.0.0.1', self.port), 20) as s:
                    s.sendall(b'GET / HTTP/1.1\r\n\r\n')
                    self.served += s.recv(100).startswith(b'HTTP/1.1 200')
            except ConnectionRefusedError:
                self.refused += 1
            except OSError:
                pass  # it was being answered

    def is_served(self):
        before = self.served
        wait_for(lambda: self.served > before)


def test_nobody_is_refused_while_a_program_comes_back(place):
    place.up()
    with Client(place) as client:
        for name in ('data_plane', 'control_plane', 'data_plane'):
            before = place.kill(name)
            wait_for(lambda: place.status()['healthy'] and place.status()[name] != before[name])
            client.is_served()
    assert client.refused == 0


def test_a_restart_refuses_nobody(place):
    place.up()
    before = place.status()
    with Client(place) as client:
        for _ in range(2):  # the second one restarts what the first one left
            assert 'is ready at' in place.run('restart').stdout
            client.is_served()
    assert client.refused == 0
    after = place.status()
    assert after['healthy'] and after['url'] == before['url']
    for name in ('supervisor', 'control_plane', 'data_plane'):
        assert not alive(before[name]) and alive(after[name])


def test_a_restart_on_another_port_leaves_the_old_one(place):
    place.up()
    old = place.port
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        place.port = s.getsockname()[1]
    place.run('restart', '--port', str(place.port))
    assert place.status()['healthy'] and str(place.port) in place.status()['url']
    with socket.socket() as s:
        assert s.connect_ex(('127.0.0.1', old)) != 0


def test_a_restart_that_cannot_be_ends_nothing(place):
    assert 'no server is running' in place.run('restart', check=False).stderr
    place.up()
    before = place.status()
    assert 'port = http' in place.run('restart', '--port', 'http', check=False).stderr
    assert place.status() == {**before, **{k: v for k, v in place.status().items() if k.endswith('_ms')}}


def test_killed_supervisor_is_followed_by_one_that_adopts(place):
    place.up()
    before = place.kill('supervisor')
    with socket.create_connection(('127.0.0.1', place.port)):
        pass  # the data plane serves on
    place.up()
    after = place.status()
    assert after['healthy'] and after['supervisor'] != before['supervisor']
    assert (after['control_plane'], after['data_plane']) == (before['control_plane'], before['data_plane'])
    place.kill('data_plane')  # the new supervisor has the socket, and sees the end of what it adopted
    wait_for(lambda: place.status()['healthy'])
    assert place.status()['control_plane'] == before['control_plane']


def test_adopted_programs_are_ended_too(place):
    place.up()
    before = place.kill('supervisor')
    place.up()
    place.run('down')
    assert not alive(before['control_plane']) and not alive(before['data_plane'])


def test_everything_killed_at_once(place):
    place.up()
    place.kill('supervisor', 'control_plane', 'data_plane')
    place.up()
    assert place.status()['healthy']


def test_another_port_needs_another_data_plane(place):
    place.up()
    before = place.kill('supervisor')
    place.port = free_port()
    place.up()
    after = place.status()
    assert after['healthy'] and str(place.port) in after['url'] and after['data_plane'] != before['data_plane']
    assert after['control_plane'] == before['control_plane']


def test_port_in_use_is_said(place):
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        s.listen()
        place.port = s.getsockname()[1]
        failed = place.up(check=False)
    assert failed.returncode == 1 and str(place.port) in failed.stderr and 'in use by another program' in failed.stderr
    assert '--port N' in failed.stderr and 'logs' not in failed.stderr


def test_a_program_that_fails_at_once_is_tried_less_and_less(place):
    place.up()
    (place.data / 'fail').write_text('')
    place.kill('control_plane')
    log = place.data / 'log/supervisor.log'

    def times(event):
        found = [line.split()[0] for line in log.read_text().splitlines() if f'event={event} name=sagebrushd' in line]
        return [datetime.datetime.fromisoformat(at) for at in found]

    wait_for(lambda: len(times('program.ended')) >= 3)
    (place.data / 'fail').unlink()
    wait_for(lambda: place.status()['healthy'])
    # At once after the first end, and then after a second, and two.
    for failures, (ended, begun) in enumerate(zip(times('program.ended')[1:3], times('program.started')[2:4])):
        assert (begun - ended).total_seconds() > 0.99 * 2 ** failures, log.read_text()


def test_foreground_ends_on_sigterm(place):
    import subprocess
    from conftest import SAGEBRUSH
    child = subprocess.Popen([SAGEBRUSH, 'up', '--data', place.data, '--port', str(place.port), '--runtime', 'sim'],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd='/',
                             env={'PATH': '/usr/bin', 'SAGEBRUSH_LIBEXEC': str(place.programs)})
    try:
        assert 'is ready' in child.stdout.readline()
        assert 'runs in the foreground' in place.run('restart', check=False).stderr and child.poll() is None
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
        child.stderr.close()
    assert not place.status()['healthy']


def test_stale_pid_file_is_not_believed(place):
    place.up()
    place.run('down')
    # Somebody else's process with the pid of an old one: another start time, so it is left alone.
    (place.data / 'run/control.pid').write_text(f'{os.getpid()} 12345\n')
    place.up()
    assert place.status()['control_plane'] != os.getpid()
    assert json.loads((place.data / 'config').read_text())['port'] == place.port
