"""The user's code: from the source archive, a channel or a folder into the code folder, with what it requires.

On this platform the agent has most often unpacked it before the container started, and nothing here is needed."""
import os
import sys

from sagebrush_toolkit.layout import Failure


def inside(folder, name):
    """The path of an archive's member, which must not lead out of the folder."""
    path = os.path.normpath(os.path.join(folder, name))
    if os.path.isabs(name) or not (path + os.sep).startswith(os.path.normpath(folder) + os.sep):
        raise Failure(f'The source archive holds {name!r}, which leads out of its folder.')
    return path


def unpack(archive, folder):
    import tarfile
    try:
        with tarfile.open(archive, 'r:*') as tar:
            members = []
            for member in tar:
                inside(folder, member.name)
                if member.issym() or member.islnk():
                    start = os.path.dirname(member.name) if member.issym() else ''
                    inside(folder, os.path.join(start, member.linkname))
                elif not (member.isfile() or member.isdir()):
                    raise Failure(f'The source archive holds {member.name!r}, which is no file, folder or link.')
                member.mode = (member.mode or 0o644) & 0o777
                member.uid = member.gid = os.getuid()
                member.uname = member.gname = ''
                members.append(member)
            tar.extractall(folder, members)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise Failure(f'The source archive cannot be unpacked: {error}') from error


def fetch(place, folder, environment=os.environ):
    """Code from s3://..., a tar file, or a folder. A folder that holds something already is left alone."""
    if os.path.isdir(folder) and os.listdir(folder):
        return
    os.makedirs(folder, exist_ok=True)
    if place.startswith('s3://'):
        import tempfile
        from sagebrush_toolkit import s3
        with tempfile.NamedTemporaryFile(suffix='.tar.gz') as archive:
            s3.download(place, archive.name, environment)
            unpack(archive.name, folder)
    elif os.path.isdir(place):
        if os.path.realpath(place) != os.path.realpath(folder):
            import shutil
            shutil.copytree(place, folder, dirs_exist_ok=True)
    elif os.path.isfile(place):
        unpack(place, folder)
    else:
        raise Failure(f'The source directory {place} (sagemaker_submit_directory) is neither an S3 URI nor there.')


def pip(words, folder, layout, what):
    """In the folder of the code: paths in a requirements file are taken from there."""
    import subprocess
    command = [sys.executable, '-m', 'pip', 'install', '--no-input', '--disable-pip-version-check', '-q']
    if layout.relocated:
        command += ['--target', layout.packages, '--upgrade']
    command += words
    print(f'Installing {what}: {" ".join(command)}', flush=True)
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          errors='replace')
    sys.stderr.write(done.stderr)
    if done.returncode == 0:
        return
    text, advice = done.stderr.strip(), ''
    if any(words in text for words in ('Temporary failure in name resolution', 'Network is unreachable',
                                       'Connection refused', 'Name or service not known')):
        advice = ('The container has no way to the package index: is network isolation on, or this machine offline? '
                  'Ship the packages with the source instead. ')
    raise Failure(f'InstallRequirementsError:\nExitCode {done.returncode}\nErrorMessage "{advice}{text[-500:]}"\n'
                  f'Command "{" ".join(command)}"')


def install(folder, layout):
    """requirements.txt, and the folder itself if it is a package with setup.py."""
    requirements = os.path.join(folder, 'requirements.txt')
    if os.path.exists(requirements):
        pip(['-r', requirements], folder, layout, 'requirements.txt')
    if os.path.exists(os.path.join(folder, 'setup.py')):
        pip([folder], folder, layout, 'the package of the source archive')
