"""Response bodies and heads."""

import pytest


@pytest.fixture(scope="module")
def server(launch, mode):
    return launch(mode)


@pytest.fixture
def gates(server):
    """A directory where the application waits for the client's files."""
    notes = server.directory / "notes"
    path = notes / f"gates-{len(list(notes.iterdir()))}"
    path.mkdir()
    return path


@pytest.mark.compat("RESP-iterables", "RESP-empty-items")
@pytest.mark.parametrize("path, body", [
    ("list-of-many", b"one two three"),
    ("tuple-of-one", b"only"),
    ("nothing", b""),
    ("empty-parts", b"body"),
    ("lazy", b"lazy"),
])
def test_kinds_of_iterables(server, path, body):
    reply = server.get(f"/response/{path}")
    assert (reply.status, reply.body) == (200, body)


@pytest.mark.compat("RESP-flush", "RESP-head-first", "START-write")
@pytest.mark.parametrize("path", ["/waiting", "/waiting/write"])
def test_each_part_reaches_the_client_before_the_next_is_made(server, gates, path):
    with server.raw() as raw:
        raw.request(f"GET {path}?directory={gates}", "Connection: close")
        status, fields = raw.read_head()
        assert (status, fields["transfer-encoding"]) == (200, "chunked")
        for number in range(4):
            assert raw.read_chunk() == b"part %d\n" % number
            (gates / str(number)).touch()
        if path == "/waiting/write":
            assert raw.read_chunk() == b"end\n"
        assert raw.read_chunk() == b""


@pytest.mark.parametrize("path", ["many", "many-announced", "one-big"])
def test_a_megabyte(server, path):
    reply = server.get(f"/response/{path}?chunks=16")
    assert reply.body == b"0123456789abcdef" * 4096 * 16
    if path == "many-announced":
        assert reply.header("Content-Length") == str(1 << 20)


@pytest.mark.compat("RESP-length-surplus")
def test_surplus_bytes_are_dropped(server):
    with server.keep_alive() as session:
        assert session.get("/response/too-long").body == b"12345"
        assert session.get("/hello").body == b"Hello world\n"


@pytest.mark.compat("HEAD-no-body")
@pytest.mark.parametrize("path, length", [
    ("/hello", "12"),
    ("/response/many-announced?chunks=16", str(1 << 20)),
    ("/response/list-of-many", None),
    ("/response/nothing", None),
])
def test_head_has_the_fields_of_get_and_no_body(server, path, length):
    with server.keep_alive() as session:
        reply = session.request("HEAD", path)
        assert (reply.status, reply.body) == (200, b"")
        if length:
            assert reply.header("Content-Length") == length
        assert session.get("/hello").body == b"Hello world\n"


@pytest.mark.compat("START-status", "RESP-own-error")
@pytest.mark.parametrize("line, status, reason", [
    ("200 OK", 200, "OK"),
    ("201 Created", 201, "Created"),
    ("202 Anything one likes", 202, "Anything one likes"),
    ("299 Own number", 299, "Own number"),
    ("301 Moved Permanently", 301, "Moved Permanently"),
    ("400 Bad Request", 400, "Bad Request"),
    ("404 Nothing Here", 404, "Nothing Here"),
    ("418 I'm a teapot", 418, "I'm a teapot"),
    ("500 Internal Server Error", 500, "Internal Server Error"),
    ("503 Busy", 503, "Busy"),
])
def test_statuses(server, line, status, reason):
    """The application's body stands, whatever the status."""
    reply = server.get("/response/status?status=" + line.replace(" ", "%20"))
    assert (reply.status, reply.reason) == (status, reason)
    assert reply.body == b"the application's own body\n"


@pytest.mark.compat("START-status")
def test_status_without_a_reason(server):
    assert server.get("/response/status?status=404").status == 404


@pytest.mark.compat("RESP-no-body")
@pytest.mark.parametrize("line", ["204 No Content", "304 Not Modified"])
def test_statuses_without_a_body(server, line):
    with server.keep_alive() as session:
        reply = session.get("/response/status?status=" + line.replace(" ", "%20"))
        assert (reply.status, reply.body) == (int(line[:3]), b"")
        assert session.get("/hello").body == b"Hello world\n"


@pytest.mark.compat("RESP-dup-headers")
def test_fields(server):
    reply = server.get("/response/head-fields")
    assert reply.header_all("Set-Cookie") == ["first=1; Path=/", "second=2; Path=/"]
    assert reply.header_all("X-Repeated") == ["one", "two"]
    assert reply.header("X-Latin") == "caf\u00e9"
    assert reply.header("X-Empty") == ""
    assert reply.header("Cache-Control") == "no-store"
    assert reply.header("Content-Type") == "text/plain; charset=utf-8"
    assert ("x-Case-KEPT", "yes") in reply.headers


def test_a_hundred_kilobytes_of_fields(server):
    """More than http.client accepts by number of fields, so the raw client looks."""
    with server.raw() as raw:
        raw.request("GET /response/long-fields", "Connection: close")
        status, fields = raw.read_head()
        assert status == 200
        assert all(fields[f"x-number-{number}"] == "v" * 1000 for number in range(100))


@pytest.mark.compat("START-again")
def test_a_later_head_replaces_the_earlier_one(server):
    reply = server.get("/response/replaced")
    assert (reply.status, reply.reason) == (503, "Busy")
    assert reply.header("X-Head") == "second"
    assert reply.body == b"replaced\n"


@pytest.mark.compat("RESP-close")
def test_close_is_called_after_the_last_part(server):
    note = server.note("closed")
    assert server.get(f"/response/closing?chunks=3&note={note}").status == 200
    assert server.wait_for_note("closed") == "closed after 3"


def test_http_1_0(server):
    """No chunks for a client that does not know them: the end of the connection ends the body."""
    with server.raw() as raw:
        raw.send("GET /response/list-of-many HTTP/1.0\r\n\r\n")
        head, _, body = raw.read_to_end().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert b"chunked" not in head.lower()
        assert body == b"one two three"
