"""Request bodies without a length: refused by default, passed on, or collected."""

import hashlib

import pytest

CONFIG = """
WSGIScriptAlias /on "${apps}/echo.py"
WSGIScriptAlias /buffer "${apps}/echo.py"
<Location /on>
    WSGIChunkedRequest On
</Location>
<Location /buffer>
    WSGIChunkedRequest Buffer
    LimitRequestBody 3000000
</Location>
"""


@pytest.fixture(scope="module")
def server(launch, mode):
    return launch(mode, config=CONFIG, timeout_s=5)


def chunked(body, size):
    pieces = [body[at:at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def post(server, path, data):
    with server.raw() as raw:
        raw.request(f"POST {path}", "Transfer-Encoding: chunked", "Connection: close")
        raw.send(data)
        status, fields = raw.read_head()
        return status, raw.read_to_end()


BODIES = {
    "none": b"",
    "one byte": b"x",
    "small": b"hello world",
    "64 KiB": bytes(range(256)) * 256,
    "1 MiB": bytes(range(256)) * 4096,
}


@pytest.mark.compat("BODY-chunked", "DIR-chunkedrequest", "DIR-chunkedrequest-buffer")
@pytest.mark.parametrize("path", ["/on", "/buffer"])
@pytest.mark.parametrize("size", [1000, 100_000])
@pytest.mark.parametrize("name", BODIES)
def test_arrives(server, path, size, name):
    import json
    body = BODIES[name]
    status, answer = post(server, f"{path}?how=chunks", chunked(body, size))
    assert status == 200
    found = json.loads(answer[answer.index(b"{"):answer.rindex(b"}") + 1])
    assert found["length"] == len(body)
    assert found["sha256"] == hashlib.sha256(body).hexdigest()
    assert found["at_end"]
    assert found["CONTENT_LENGTH"] == (None if path == "/on" else str(len(body)))


@pytest.mark.compat("CHECK-chunked", "DIR-chunkedrequest")
def test_off_is_the_default(server):
    server.expect("WSGI0139", "WSGIChunkedRequest")
    assert post(server, "/echo?how=all", chunked(b"hello", 5))[0] == 411


def test_buffer_hides_the_coding_from_the_application(server):
    url = server.script("coding.py", '''
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr((environ.get("HTTP_TRANSFER_ENCODING"), environ["CONTENT_LENGTH"],
                  environ["wsgi.input"].read())).encode()]
''')
    server.script(".htaccess", "")
    with server.raw() as raw:
        raw.request(f"POST {url.replace('/scripts/', '/scripts/')}", "Content-Length: 2",
                    "Connection: close")
        raw.send("ab")
        assert b"(None, '2', b'ab')" in raw.read_to_end()


@pytest.mark.parametrize("path", ["/on", "/buffer"])
def test_keep_alive_goes_on(server, path):
    with server.raw() as raw:
        for _ in range(3):
            raw.request(f"POST {path}?how=return", "Transfer-Encoding: chunked")
            raw.send(chunked(b"hello", 2))
            status, fields = raw.read_head()
            assert status == 200
            if "content-length" in fields:
                body = raw.read_exactly(int(fields["content-length"]))
            else:
                body = b"".join(iter(raw.read_chunk, b""))
            assert body == b"hello"


def test_buffer_and_expect(server):
    with server.raw() as raw:
        raw.request("POST /buffer?how=return", "Transfer-Encoding: chunked",
                    "Expect: 100-continue", "Connection: close")
        assert raw.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.send(chunked(b"hello", 5))
        assert b"hello" in raw.read_to_end()


@pytest.mark.parametrize("data, status", [
    (b"zz\r\nhello\r\n0\r\n\r\n", 400),
    (b"ffffffffffffffffff\r\n", 413),
])
def test_buffer_refuses_bad_chunks(server, data, status):
    server.expect("WSGI1521", count=None)
    server.log.allow_anything()
    assert post(server, "/buffer?how=all", data)[0] in (400, 413)


def test_buffer_keeps_to_limitrequestbody(server):
    server.expect("WSGI1521", count=None)
    server.log.allow_anything()
    assert post(server, "/buffer?how=all", chunked(b"x" * 3_100_000, 60_000))[0] == 413


def test_buffer_of_a_silent_client_is_408(server):
    server.expect("WSGI1521", "timed out", count=None)
    server.log.allow_anything()
    with server.raw() as raw:
        raw.request("POST /buffer?how=all", "Transfer-Encoding: chunked", "Connection: close")
        raw.send("5\r\nhel")
        assert raw.read_head()[0] == 408
