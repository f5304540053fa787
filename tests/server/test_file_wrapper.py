"""wsgi.file_wrapper."""

import hashlib

import pytest


@pytest.fixture(scope="module")
def server(launch, mode):
    return launch(mode)


@pytest.fixture(scope="module")
def content(server):
    """A file of 300,000 bytes, each part of it different."""
    data = b"".join(b"%09d\n" % number for number in range(30000))
    path = server.directory / "scripts" / "content.bin"
    path.write_bytes(data)
    return path, data


@pytest.mark.compat("FILE-length")
def test_whole_file_with_its_length(server, content):
    path, data = content
    reply = server.get(f"/files?file={path}")
    assert reply.status == 200
    assert reply.header("Content-Length") == str(len(data))
    assert hashlib.sha256(reply.body).digest() == hashlib.sha256(data).digest()


@pytest.mark.compat("FILE-position", "FILE-length")
@pytest.mark.parametrize("seek", [1, 4096, 299_990, 300_000])
def test_from_where_the_file_stands(server, content, seek):
    path, data = content
    reply = server.get(f"/files?file={path}&seek={seek}")
    assert reply.body == data[seek:]
    assert reply.header("Content-Length") == str(len(data) - seek)


@pytest.mark.compat("FILE-length")
@pytest.mark.parametrize("seek, length", [(0, 10), (100_000, 70_000), (0, 0)])
def test_content_length_limits(server, content, seek, length):
    path, data = content
    with server.keep_alive() as session:
        reply = session.get(f"/files?file={path}&seek={seek}&length={length}")
        assert reply.header("Content-Length") == str(length)
        assert reply.body == data[seek:seek + length]
        assert session.get("/hello").body == b"Hello world\n"


@pytest.mark.compat("FILE-iterated")
def test_after_write(server, content):
    """What was written before stands before the file."""
    path, data = content
    assert server.get(f"/files?file={path}&before=first").body == b"first" + data


def test_head(server, content):
    path, data = content
    with server.keep_alive() as session:
        reply = session.request("HEAD", f"/files?file={path}")
        assert (reply.status, reply.body) == (200, b"")
        assert session.get("/hello").body == b"Hello world\n"


@pytest.mark.compat("FILE-class")
def test_file_is_closed(server, content):
    note = server.note("file-closed")
    server.get(f"/files?file={content[0]}&note={note}")
    assert server.wait_for_note("file-closed") == "closed"


@pytest.mark.compat("FILE-iterated")
def test_what_is_no_file(server):
    assert server.get("/files?memory=1").body == b"from memory" * 1000
    assert server.get("/files?pipe=1").body == b"through a pipe"


def test_empty_file(server):
    path = server.directory / "scripts" / "empty.bin"
    path.touch()
    reply = server.get(f"/files?file={path}")
    assert (reply.status, reply.body) == (200, b"")


def test_shorter_than_announced(server, content):
    """A Content-Length beyond the end of the file: the client can see that something is missing."""
    path, data = content
    with server.raw() as raw:
        raw.request(f"GET /files?file={path}&seek=299000&length=5000", "Connection: close")
        status, fields = raw.read_head()
        assert (status, fields["content-length"]) == (200, "5000")
        assert raw.read_to_end() == data[299_000:]
