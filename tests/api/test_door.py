"""What the public port reads of those who speak as the nodes of jobs: nothing of a stranger's, and what comes is looked
at again when it is there."""
import json
import shutil
import socket

import pytest

WORK = "/_sagebrush/node/v1/work"
BODY = b'{"report":{"phase":"Training"}}'


class Request:
    """A POST whose body waits to be sent."""

    def __init__(self, server, authorization, length):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        self.socket.sendall(f"POST {WORK} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n"
                            f"Content-Length: {length}\r\n\r\n".encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def answer(self):
        """Its status."""
        return int(self.socket.makefile("rb").readline().split()[1])


@pytest.fixture
def agent(server, unique):
    """The folder of one that another machine works for; nobody here owns it."""
    folder = server.data / "agents" / unique
    folder.mkdir()
    (folder / "order.json").write_text(json.dumps({"version": 1, "name": unique, "remote": {"token": "secret"}}))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("authorization, status", [
    ("", 403), ("Bearer {}:here:guessed", 403), ("Bearer ../agents/{}:here:secret", 403),
    ("Bearer nobody-0:here:secret", 404)])
def test_the_body_of_a_stranger_is_not_waited_for(server, agent, authorization, status):
    with Request(server, authorization.format(agent.name), 8 << 20) as request:
        assert request.answer() == status
    assert not (agent / "place.json").exists()


@pytest.mark.parametrize("happens, content, status", [
    (None, None, 200), ("report.json", {"version": 1, "phase": "Ended"}, 404),
    ("place.json", {"place": "elsewhere"}, 409)])
def test_what_happened_while_the_body_came(server, agent, happens, content, status):
    with Request(server, f"Bearer {agent.name}:here:secret", 70000) as request:
        request.socket.sendall(BODY)
        request.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):  # it is read on, and the head alone has lent nothing
            request.socket.recv(1)
        request.socket.settimeout(30)
        assert not (agent / "place.json").exists()
        if happens:
            (agent / happens).write_text(json.dumps(content))
        request.socket.sendall(b" " * (70000 - len(BODY)))
        assert request.answer() == status
    written = json.loads((agent / "report.json").read_text()) if (agent / "report.json").exists() else {}
    assert (written.get("phase") == "Training") == (status == 200)
