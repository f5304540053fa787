"""The client goes away in the middle: the application is told, nothing is logged as an error, and
others are served."""

import pytest

# The word in the note tells what the application saw.
READER = '''
import os

def application(environ, start_response):
    try:
        data = environ["wsgi.input"].read()
        text = f"read {len(data)}"
    except OSError as error:
        text = f"OSError {error}"
        try:
            environ["wsgi.input"].read()
        except OSError:
            text += " again"
    path = environ["QUERY_STRING"]
    with open(path + ".part", "w") as file:
        file.write(text)
    os.rename(path + ".part", path)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"read"]
'''

WRITER = '''
import os

def application(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    text = "wrote all"
    try:
        for _ in range(10000):
            write(b"x" * 65536)
    except OSError:
        text = "OSError"
    path = environ["QUERY_STRING"]
    with open(path + ".part", "w") as file:
        file.write(text)
    os.rename(path + ".part", path)
    return []
'''


@pytest.fixture(scope="module")
def server(launch, mode):
    return launch(mode)


def assert_still_serving(server):
    for _ in range(3):
        assert server.get("/hello").body == b"Hello world\n"


@pytest.mark.compat("INPUT-error", "BODY-client-stops")
def test_while_the_application_reads(server):
    url = server.script("reader.py", READER)
    with server.raw() as raw:
        raw.request(f"POST {url}?{server.note('reader')}", "Content-Length: 1000000")
        raw.send(b"x" * 1000)
    note = server.wait_for_note("reader")
    assert note.startswith("OSError mod_wsgi request data read error: ")
    assert note.endswith(" again")
    assert_still_serving(server)


@pytest.mark.compat("RESP-gone", "RESP-close")
def test_while_the_application_iterates(server):
    """Iteration stops, and close() is called."""
    note = server.note("closed")
    with server.raw() as raw:
        raw.request(f"GET /response/closing?chunks=100000&note={note}")
        raw.read_until(b"0123456789abcdef")
    text = server.wait_for_note("closed")
    assert text.startswith("closed after ")
    assert int(text.split()[-1]) < 100000
    assert_still_serving(server)


@pytest.mark.compat("RESP-gone-write")
def test_while_the_application_writes(server):
    url = server.script("writer.py", WRITER)
    with server.raw() as raw:
        raw.request(f"GET {url}?{server.note('writer')}")
        raw.read_until(b"xxxx")
    assert server.wait_for_note("writer") == "OSError"
    assert_still_serving(server)


def test_before_the_answer(server):
    gates = server.directory / "notes" / "gone-early"
    gates.mkdir()
    with server.raw() as raw:
        raw.request(f"GET /waiting?directory={gates}")
    for number in range(4):
        (gates / str(number)).touch()
    assert_still_serving(server)


def test_twenty_at_once(server):
    notes = [f"many-{number}" for number in range(20)]
    clients = [server.raw() for _ in notes]
    for client, note in zip(clients, notes):
        client.request(f"GET /response/closing?chunks=100000&note={server.note(note)}")
    for client in clients:
        client.close()
    for note in notes:
        assert server.wait_for_note(note).startswith("closed after ")
    assert_still_serving(server)
