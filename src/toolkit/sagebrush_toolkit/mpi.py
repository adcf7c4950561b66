"""Where AWS's images have ssh: how mpirun on the first host starts its daemon, orted, on the others.

Each other host listens on the port of sshd, in a network that holds nobody but the hosts of this job, and answers the
first host alone: `mpi-agent`, which mpirun runs there as its remote shell. All it can ask for is an orted."""
import os
import socket
import sys
import time

from sagebrush_toolkit.layout import Failure

PORT = 22
CONNECT_S = 15 * 60   # hosts of a job start at different times
HELLO_S = 30
SIZE_MAX = 1 << 16


def receive(connection):
    """A line; None when there is none in time."""
    text = b''
    while not text.endswith(b'\n'):
        block = connection.recv(SIZE_MAX)
        if not block or len(text) + len(block) > SIZE_MAX:
            return None
        text += block
    return text.decode()


def orted_of(line):
    """The words of the command that mpirun made for a shell, which is not needed for it."""
    import shlex
    words = shlex.split(line)
    if not words or os.path.basename(words[0]) != 'orted':
        raise Failure(f'mpirun asks for {words[:1]}, where it can have orted only: custom_mpi_options may not move '
                      'Open MPI to another place (--prefix).')
    return words


def wait(master, port=PORT):
    """The command that the first host asks for, and the connection on which it learns how that ended."""
    server = socket.create_server(('', port))
    with server:
        while True:
            connection, (address, _) = server.accept()
            if address != socket.gethostbyname(master):
                print(f'A connection from {address}, which is not {master}, was closed', file=sys.stderr, flush=True)
                connection.close()
                continue
            connection.settimeout(HELLO_S)
            try:
                line = receive(connection)
            except OSError:
                line = None
            if line:
                return orted_of(line), connection
            connection.close()


def answer(connection, code):
    with connection:
        try:
            connection.sendall(b'%d\n' % (code if code >= 0 else 128 - code))
        except OSError:
            pass  # mpirun is gone: its host says why


def connect(host, port):
    until, pause = time.monotonic() + CONNECT_S, 0.05
    while True:
        try:
            return socket.create_connection((host, port), timeout=HELLO_S)
        except OSError as error:
            if time.monotonic() > until:
                sys.exit(f'The host {host} did not start its part of the job within {CONNECT_S // 60} minutes: {error}')
            time.sleep(pause)
            pause = min(pause * 2, 2)


def agent(host, *command, port=PORT):
    """What mpirun runs for `ssh HOST COMMAND`: ends when the command has ended there, with its exit status."""
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the notice is for the script; mpirun ends this one when it is over
    with connect(host, port) as connection:
        connection.sendall(' '.join(command).encode() + b'\n')
        connection.settimeout(None)
        try:
            status = connection.recv(16)
        except OSError:
            status = b''
    if not status:
        print(f'The host {host} did not start its part of the job, or is gone', file=sys.stderr)
    return int(status or 255)
