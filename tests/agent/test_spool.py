"""The spool of a job that prints a lot."""
import os

from conftest import needs_containers

pytestmark = needs_containers


def test_what_the_server_has_takes_no_room(world):
    job = world.train('line = "x" * 999\nfor i in range(20000): print(line)\nprint("end")').start()
    r = job.ended()
    assert r['outcome'] == 'Completed'
    lines = world.server.lines(job.name)
    assert len(lines) == 20001 and lines[-1] == 'end'
    st = os.stat(f'{job.folder}/stdout')
    assert st.st_size > 20_000_000 and st.st_blocks * 512 < 8_000_000
