"""Whose server it is: another user, who forgot sudo, is told so, and not that nothing runs."""
import os
import shutil
import subprocess

import pytest
from conftest import SAGEBRUSH

NOBODY = {'user': 65534, 'group': 65534, 'extra_groups': []}
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='becomes another user')


@pytest.fixture
def nobody(place):
    """Runs a command of the program as another user, who finds it in the folder of the place."""
    program = place.folder / 'sagebrush'
    shutil.copy(SAGEBRUSH, program)
    for path in (place.folder, program):
        path.chmod(0o755)
    return lambda *words: subprocess.run([program, *words], capture_output=True, text=True, timeout=60,
                                         stdin=subprocess.DEVNULL, env={'HOME': str(place.folder)}, **NOBODY)


def test_it_is_not_said_that_roots_server_does_not_run(place, nobody):
    place.up()
    for words in (['status'], ['cost'], ['nodes'], ['nodes', 'cordon', 'n'], ['drill', 'spot', 'j'], ['down']):
        done = nobody(*words, '--data', str(place.data))
        assert done.returncode != 0 and 'not running' not in done.stdout and 'no server' not in done.stderr, done
        said = f'the server on {place.data} was started by root: run this as that user, with `sudo`'
        assert said in done.stderr, done
    assert place.run('status').returncode == 0


def test_who_has_no_server_of_his_own_is_told_of_roots(nobody):
    """Without --data a user's own directory is meant, and what root started is elsewhere."""
    for word in ('status', 'env'):
        done = nobody(word)
        assert done.returncode != 0 and 'is asked with sudo' in done.stderr, done
