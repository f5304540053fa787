"""Request bodies: of all sizes, read in all ways, announced in all ways."""

import hashlib

import env
import pytest

READERS = ["all", "chunks", "readline", "short-lines", "readlines", "iterate", "mixed"]
LINES = b"".join(b"line %d %s\n" % (number, b"x" * (number % 200)) for number in range(500))
SIZES = {
    "none": b"",
    "small": b"a=1&b=2",
    "lines": LINES + b"last line without its end",
    "64 KiB": bytes(range(256)) * 256,
    "64 KiB and one": bytes(range(256)) * 256 + b"1",
}


@pytest.fixture(scope="module")
def server(launch, mode):
    return launch(mode, timeout_s=5)


def assert_arrived(reply, body):
    assert reply.status == 200
    found = reply.json()
    assert found["length"] == len(body)
    assert found["sha256"] == hashlib.sha256(body).hexdigest()
    assert found["at_end"]
    assert found["CONTENT_LENGTH"] == str(len(body))


@pytest.mark.compat("INPUT-read", "INPUT-lines", "INPUT-end", "FIELD-content-length")
@pytest.mark.parametrize("how", READERS)
@pytest.mark.parametrize("size", SIZES)
def test_sizes_and_ways_to_read(server, how, size):
    assert_arrived(server.post(f"/echo?how={how}", SIZES[size]), SIZES[size])


def test_byte_by_byte(server):
    assert_arrived(server.post("/echo?how=bytes", LINES[:3000]), LINES[:3000])


@pytest.mark.compat("INPUT-lines")
def test_readline_keeps_to_its_limit(server):
    found = server.post("/echo?how=short-lines", LINES).json()
    assert found["longest"] == 10


@pytest.mark.compat("INPUT-end", "FIELD-content-length")
def test_get_has_no_body(server):
    found = server.get("/echo?how=all").json()
    assert (found["length"], found["CONTENT_LENGTH"]) == (0, None)


@pytest.mark.big
@pytest.mark.parametrize("how", ["all", "chunks", "iterate"])
def test_eight_megabytes(server, how):
    body = (b"0123456789abcde\n" * 64) * 8192
    assert len(body) == 8 << 20
    assert_arrived(server.post(f"/echo?how={how}", body, timeout=60 * env.PATIENCE), body)


@pytest.mark.compat("BODY-unread")
@pytest.mark.parametrize("how", ["none", "some"])
@pytest.mark.parametrize("size", [10, 5000, 64 << 10, 1 << 20])
def test_what_the_application_leaves_does_not_disturb_the_next_request(server, how, size):
    with server.keep_alive() as session:
        for _ in range(3):
            reply = session.request("POST", f"/echo?how={how}", b"y" * size)
            assert reply.json()["length"] == (0 if how == "none" else 10)
            assert session.get("/hello").body == b"Hello world\n"


@pytest.mark.compat("INPUT-read")
def test_body_that_arrives_in_pieces(server):
    with server.raw() as raw:
        raw.request("POST /echo?how=return", "Content-Length: 30", "Connection: close")
        for piece in (b"1" * 10, b"2" * 10, b"3" * 10):
            raw.send(piece)
        answer = raw.read_to_end()
        assert answer.endswith(b"\r\n\r\n" + b"1" * 10 + b"2" * 10 + b"3" * 10)


@pytest.mark.compat("BODY-expect")
def test_expect_100_continue(server):
    """The interim answer comes when the application wants the body, and only then."""
    with server.raw() as raw:
        raw.request("POST /echo?how=return", "Content-Length: 5", "Expect: 100-continue")
        assert raw.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.send("hello")
        status, fields = raw.read_head()
        assert status == 200
        assert raw.read_exactly(int(fields["content-length"])) == b"hello"


@pytest.mark.compat("BODY-expect")
def test_expect_100_continue_by_an_empty_read(server):
    url = server.script("empty_read.py", """
def application(environ, start_response):
    environ["wsgi.input"].read(0)
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
""")
    with server.raw() as raw:
        raw.request(f"POST {url}", "Content-Length: 5", "Expect: 100-continue",
                    "Connection: close")
        assert raw.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.send("hello")
        assert raw.read_to_end().endswith(b"\r\n\r\nhello")


@pytest.mark.compat("INPUT-read")
def test_an_empty_read_reads_nothing(server):
    url = server.script("empty_reads.py", """
def application(environ, start_response):
    body = environ["wsgi.input"]
    parts = [body.read(0), body.read(2), body.read(0), body.read(), body.read(0)]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(parts).encode()]
""")
    assert server.post(url, b"hello").body == b"[b'', b'he', b'', b'llo', b'']"
    assert server.get(url).body == b"[b'', b'', b'', b'', b'']"


@pytest.mark.compat("BODY-expect-unread")
def test_expect_100_continue_where_nobody_reads(server):
    """Without a read the final answer comes at once, without the interim one."""
    with server.raw() as raw:
        raw.request("POST /echo?how=none", "Content-Length: 5", "Expect: 100-continue")
        status, fields = raw.read_head()
        assert status == 200
        assert b'"length": 0' in raw.read_exactly(int(fields["content-length"]))


@pytest.mark.compat("BODY-duplex")
def test_the_answer_does_not_wait_for_the_body(server):
    """An application that does not read answers although the client has not sent the body."""
    with server.raw() as raw:
        raw.request("POST /echo?how=none", "Content-Length: 100000")
        raw.send("begun")
        status, fields = raw.read_head()
        assert status == 200
        assert b'"length": 0' in raw.read_exactly(int(fields["content-length"]))


@pytest.mark.compat("CHECK-chunked")
def test_chunked_is_refused_with_411(server):
    server.expect("WSGI0139", "chunked")
    with server.raw() as raw:
        raw.request("POST /echo?how=all", "Transfer-Encoding: chunked", "Connection: close")
        raw.send("5\r\nhello\r\n0\r\n\r\n")
        status, _ = raw.read_head()
        assert status == 411


@pytest.mark.compat("CHECK-coding")
def test_unknown_transfer_encoding_is_refused(server):
    with server.raw() as raw:
        raw.request("POST /echo?how=all", "Transfer-Encoding: gzip", "Connection: close")
        status, _ = raw.read_head()
        assert status == 400


@pytest.mark.compat("CHECK-length")
@pytest.mark.parametrize("length", ["-1", "abc", "5 5", "99999999999999999999"])
def test_bad_content_length_is_refused_with_400(server, length):
    with server.raw() as raw:
        raw.request("POST /echo?how=all", f"Content-Length: {length}", "Connection: close")
        status, _ = raw.read_head()
        assert status in (400, 413)


def test_two_uploads_at_once_by_slow_clients(server):
    """A stalled upload must not stop another request."""
    with server.raw() as slow:
        slow.request("POST /echo?how=return", "Content-Length: 20", "Connection: close")
        slow.send(b"1" * 10)
        assert server.post("/echo?how=return", b"quick").body == b"quick"
        slow.send(b"2" * 10)
        assert slow.read_to_end().endswith(b"1" * 10 + b"2" * 10)


@pytest.mark.compat("BODY-streamed", "BODY-duplex")
def test_duplex(server):
    """Body and answer travel both ways at the same time: each line is answered before the next
    is sent."""
    url = server.script("duplex.py", '''
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    for line in environ["wsgi.input"]:
        yield b"got " + line
''')
    lines = [b"line %d\n" % number for number in range(5)]
    with server.raw() as raw:
        raw.request(f"POST {url}", f"Content-Length: {sum(map(len, lines))}", "Connection: close")
        raw.send(lines[0])
        status, fields = raw.read_head()
        assert (status, fields["transfer-encoding"]) == (200, "chunked")
        for number, line in enumerate(lines):
            assert raw.read_chunk() == b"got " + line
            if number + 1 < len(lines):
                raw.send(lines[number + 1])
        assert raw.read_chunk() == b""
