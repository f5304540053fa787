"""Clients and applications that mean harm, byte by byte: what httpd refuses reaches no application,
what it lets pass reaches the environ unchanged, and no answer becomes two."""

import json

import env
import pytest

CONFIG = """
DocumentRoot "${root}/empty"
SetEnv RECORD "${root}/notes/calls"
WSGIScriptAlias /forged "${apps}/record.py"
<Location /forged>
    SetEnv mod_wsgi.process_group forged
    SetEnv mod_wsgi.x-own forged
    SetEnv wsgi.url_scheme gopher
    SetEnv wsgi.input forged
    SetEnv apache.version forged
    SetEnv REQUEST_METHOD forged
    SetEnv SCRIPT_NAME forged
    SetEnv PATH_INFO forged
    SetEnv REMOTE_ADDR forged
    SetEnvIf X-Key (.*) mod_wsgi.application_group=$1 wsgi.multithread=$1 mod_wsgi.any=$1
    SetEnvIf X-Key (.*) wsgi.errors=$1 QUERY_STRING=$1 HTTP_X_GIVEN=$1 HTTP_HOST=$1
    SetEnvIfNoCase ^X-K[f]?ey$ (.*) mod_wsgi.callable_object=$1 mod_wsgi.request_id=$1
</Location>
ScriptAlias /cgi/ "${root}/cgi/"
"""

HOST = "Host: localhost\r\n"

# The variables of its environment, as httpd gives them to every CGI program.
CGI = r"""#!/bin/sh
printf 'Content-Type: application/octet-stream\r\n\r\n'
exec env -0
"""

# What a CGI program and a WSGI application must see alike.
COMMON = ("CONTENT_LENGTH", "CONTENT_TYPE", "QUERY_STRING", "REQUEST_METHOD", "REQUEST_SCHEME",
          "SERVER_ADDR", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "SERVER_SOFTWARE",
          "REMOTE_ADDR", "REMOTE_USER", "AUTH_TYPE", "DOCUMENT_ROOT", "PATH_INFO")


class Recorder:
    """Speaks to /record, which notes each call."""

    def __init__(self, server):
        self.server = server
        self.calls_file = server.note("calls")

    def forget(self):
        self.calls_file.write_text("")
        self.calls_file.chmod(0o666)

    def exchange(self, *parts):
        """Sends bytes and the end, and gives all that comes back."""
        self.forget()
        with self.server.raw(10 * env.PATIENCE) as client:
            client.send(*parts)
            client.finish_sending()
            return client.read_to_end()

    @property
    def calls(self):
        """The request targets that reached the application, with their methods."""
        return [tuple(json.loads(line)) for line in self.calls_file.read_text().splitlines()]


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, config=CONFIG, modules=("env", "setenvif", "alias", "cgi"),
                    start=False)
    for name in ("empty", "cgi"):
        (server.directory / name).mkdir()
        (server.directory / name).chmod(0o755)
    program = server.directory / "cgi" / "show"
    program.write_text(CGI)
    program.chmod(0o755)
    return server.start()


@pytest.fixture
def recorder(server):
    return Recorder(server)


def split(answer):
    """Status line, fields and body of one answer."""
    head, mark, body = answer.partition(b"\r\n\r\n")
    assert mark, f"no head: {answer[:200]!r}"
    line, *fields = head.decode("latin-1").split("\r\n")
    return line, fields, body


def status_of(answer):
    return int(split(answer)[0].split()[1])


def environ_of(answer):
    assert status_of(answer) == 200, answer[:300]
    return json.loads(split(answer)[2])


def get(target, fields="", version="HTTP/1.1", method="GET", host=HOST):
    """A request head as bytes; text is latin-1."""
    return f"{method} {target} {version}\r\n{host}{fields}\r\n".encode("latin-1")


def post(fields, body="hello"):
    return get("/record", fields, method="POST") + body.encode("latin-1")


MANY = "".join(f"X-{number}: v\r\n" for number in range(1000))

INVALID_PATH = "AH10244"

REFUSED = {
    # the request line
    "NUL in the target": (get("/record/a\0b"), 400),
    "CR in the target": (get("/record/a\rb"), 400),
    "DEL in the target": (get("/record/a\x7fb"), 400),
    "blank in the target": (get("/record/a b"), 400),
    "tabs in the line": (b"GET\t/record\tHTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "two blanks in the line": (b"GET  /record  HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "blank at the line's end": (get("/record", version="HTTP/1.1 "), 400),
    "bare LF": (b"GET /record HTTP/1.1\nHost: localhost\n\n", 400),
    "no slash": (get("record"), 400),
    "fragment": (get("/record/a#b"), 400),
    "percent and one digit": (get("/record/a%b"), 400, INVALID_PATH),
    "percent and letters": (get("/record/a%zz"), 400, INVALID_PATH),
    "encoded NUL": (get("/record/a%00b"), 404),
    "encoded slash": (get("/record/a%2Fb"), 404),
    "encoded slash in the mount": (get("/%2frecord"), 404),
    "above the root": (get("/record/../../etc/passwd"), 400, INVALID_PATH),
    "above the root, encoded": (get("/record/%2e%2e/%2E./etc/passwd"), 400, INVALID_PATH),
    "above the root, half encoded": (get("/record/.%2e/.%2e/hello"), 400, INVALID_PATH),
    "target of 9,000 bytes": (get("/record?" + "q" * 9000), 414),
    "name of 7,000 bytes": (get("/scripts/" + "a" * 7000), 404, "WSGI1523"),
    "3,900 directories": (get("/scripts/" + "a/" * 3900), 404, "WSGI1523"),
    "path longer than a file's may be": (get("/record/" + "a/" * 3900), 404, "WSGI1523"),
    "directory of scripts": (get("/scripts/"), 403, "WSGI0136"),
    "out of the directory": (get("/scripts/%2e%2e/apps/record.py"), 404),
    "backslash out of it": (get("/scripts/..%5capps%5crecord.py"), 404, "WSGI0135"),
    "segment that ends in ;": (get("/record;a=b"), 404),
    "another origin's path": (get("//evil.example/record"), 404),
    "absolute form with a user": (get("http://u:p@other.example/record"), 400),
    "absolute form of ftp": (get("ftp://other.example/record"), 400),
    "absolute form without Host": (get("http://other.example/record", host=""), 400),
    "authority form": (get("localhost:443"), 400),
    "asterisk form": (get("*"), 400),
    "CONNECT": (get("/record", method="CONNECT"), 400),
    "CONNECT with authority": (get("localhost:443", method="CONNECT"), 405),
    "HTTP/0.9 said aloud": (get("/record", version="HTTP/0.9"), 400),
    "HTTP/1.10": (get("/record", version="HTTP/1.10"), 400),
    "HTTP/11": (get("/record", version="HTTP/11"), 400),
    "http in small letters": (get("/record", version="http/1.1"), 400),
    "unknown protocol": (get("/record", version="FOO"), 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "method with @": (get("/record", method="G@T"), 400),
    # Host
    "no Host": (get("/record", host=""), 400),
    "two Hosts": (get("/record", host="Host: a\r\nHost: b\r\n"), 400),
    "two equal Hosts": (get("/record", host="Host: a\r\nHost: a\r\n"), 400),
    "empty Host": (get("/record", host="Host:\r\n"), 400),
    "markup in Host": (get("/record", host="Host: <script>\r\n"), 400),
    "blank in Host": (get("/record", host="Host: a b\r\n"), 400),
    "path in Host": (get("/record", host="Host: a/b\r\n"), 400),
    "user in Host": (get("/record", host="Host: u@h\r\n"), 400),
    "two dots in Host": (get("/record", host="Host: a..b\r\n"), 400),
    "port 99999": (get("/record", host="Host: a:99999\r\n"), 400),
    "port of letters": (get("/record", host="Host: a:b\r\n"), 400),
    "IPv6 Host without its end": (get("/record", host="Host: [::1\r\n"), 400),
    # fields
    "NUL in a value": (get("/record", "X-A: a\0b\r\n"), 400),
    "NUL in a name": (get("/record", "X\0A: a\r\n"), 400),
    "CR in a value": (get("/record", "X-A: a\rX-B: b\r\n"), 400),
    "control in a value": (get("/record", "X-A: \x01\r\n"), 400),
    "DEL in a value": (get("/record", "X-A: \x7f\r\n"), 400),
    "folded first line": (get("/record", host=" X-A: a\r\n" + HOST), 400),
    "tab in a name": (get("/record", "X\tUser: w\r\n"), 400),
    "blank before the colon": (get("/record", "X-User : w\r\n"), 400),
    "no colon": (get("/record", "X-User\r\n"), 400),
    "empty name": (get("/record", ": w\r\n"), 400),
    "name in latin-1": (get("/record", "X-\xe9: w\r\n"), 400),
    "line of 64 KiB": (get("/record", "X-A: " + "v" * 65536 + "\r\n"), 400),
    "folds of 64 KiB": (get("/record", "X-A: a\r\n" + " v\r\n" * 21000), 400),
    "1,000 fields": (get("/record", MANY), 400),
    "unknown expectation": (post("Expect: nonsense\r\nContent-Length: 5\r\n"), 417),
    "two expectations": (post("Expect: 100-continue, x\r\nContent-Length: 5\r\n"), 417),
    # the body's length
    "two equal lengths": (post("Content-Length: 5\r\nContent-Length: 5\r\n"), 400),
    "two lengths": (post("Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
    "list of lengths": (post("Content-Length: 5, 5\r\n"), 400),
    "length with plus": (post("Content-Length: +5\r\n"), 400),
    "length with minus": (post("Content-Length: -5\r\n"), 400),
    "length in hexadecimal": (post("Content-Length: 0x5\r\n"), 400),
    "length with letters": (post("Content-Length: 5a\r\n"), 400),
    "empty length": (post("Content-Length:\r\n"), 400),
    "length over 64 bits": (post("Content-Length: 99999999999999999999\r\n"), 400),
    "length of 63 bits": (post("Content-Length: 9223372036854775807\r\n"), 413, "WSGI1520"),
    "xchunked": (post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 400),
    "identity": (post("Transfer-Encoding: identity\r\n", "0\r\n\r\n"), 400),
    "chunked and identity": (post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                                  "0\r\n\r\n"), 400),
    "chunked twice": (post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 501,
                      "WSGI0138"),
    "gzip and chunked": (post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501,
                         "WSGI0138"),
    "chunked in capitals": (post("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n"), 411, "WSGI0139"),
    "length, then chunked": (post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                                  "0\r\n\r\n"), 411, "WSGI0139"),
    "chunked, then length": (post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                                  "0\r\n\r\n"), 411, "WSGI0139"),
    "chunked in HTTP/1.0": (get("/record", "Transfer-Encoding: chunked\r\n", "HTTP/1.0", "POST")
                            + b"0\r\n\r\n", 411, "WSGI0139"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_any_application(server, recorder, name):
    data, status, *ids = REFUSED[name]
    for id in ids:
        server.expect(id)
    answer = recorder.exchange(data)
    assert (status_of(answer), recorder.calls) == (status, [])
    assert answer.count(b"HTTP/1.1 ") == 1


UNCHANGED = {"SCRIPT_NAME": "/record", "PATH_INFO": "", "QUERY_STRING": "", "REQUEST_METHOD": "GET",
             "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost", "SERVER_NAME": "localhost",
             "SERVER_PORT": "80", "wsgi.url_scheme": "http", "the body": ""}


def path(target, info, query=""):
    return get(target), {"REQUEST_URI": target, "PATH_INFO": info, "QUERY_STRING": query}


def field(lines, **values):
    return get("/record", lines), values


def method(name):
    return get("/record", method=name), {"REQUEST_METHOD": name}


PASSED = {
    # paths: decoded once, and never further
    "raw UTF-8": path("/record/\xc3\xa9", "/\xc3\xa9"),
    "raw bytes": path("/record/\xff\x80", "/\xff\x80"),
    "encoded bytes": path("/record/%C3%A9%ff", "/\xc3\xa9\xff"),
    "encoded CR and LF": path("/record/a%0d%0aX-B:%20c", "/a\r\nX-B: c"),
    "encoded question mark": path("/record/a%3Fb%23c", "/a?b#c"),
    "overlong dots": path("/record/%c0%ae%c0%ae/x", "/\xc0\xae\xc0\xae/x"),
    "overlong slash": path("/record/%c0%af..%c0%af", "/\xc0\xaf..\xc0\xaf"),
    "encoded twice": path("/record/%252e%252e%252fx", "/%2e%2e%2fx"),
    "dots": path("/record/./a/.", "/a/"),
    "two dots inside": path("/record/a/../b", "/b"),
    "three dots": path("/record/.../a", "/.../a"),
    "backslashes": path("/record/..\\x/..%5cy", "/..\\x/..\\y"),
    "into the mount by dots": path("/hello/%2e%2e/record/x", "/x"),
    "slashes": path("//record///a//", "/a/"),
    "parameters": path("/record/;a=b/c;d?e;f", "/;a=b/c;d", "e;f"),
    "odd characters": path("/record/a<>\"{}|^`'b", "/a<>\"{}|^`'b"),
    "path of 3,800 bytes": path("/record/" + "a/" * 1900, "/" + "a/" * 1900),
    "query is not decoded": path("/record?a=%2F%00%zz\xff&b=??", "", "a=%2F%00%zz\xff&b=??"),
    "query of 8,000 bytes": path("/record?" + "q" * 8000, "", "q" * 8000),
    # forms and versions
    "absolute form": (get("http://other.example:81/record/x?y"),
                      {"REQUEST_URI": "http://other.example:81/record/x?y", "PATH_INFO": "/x",
                       "QUERY_STRING": "y", "HTTP_HOST": "other.example:81",
                       "SERVER_NAME": "other.example", "SERVER_PORT": "81"}),
    "absolute form of https": (get("https://other.example/record"), {}),
    "HTTP/1.0 without Host": (get("/record", version="HTTP/1.0", host=""),
                              {"HTTP_HOST": None, "SERVER_PROTOCOL": "HTTP/1.0"}),
    "HTTP/1.0 with Host": (get("/record", version="HTTP/1.0", host="Host: other.example:82\r\n"),
                           {"HTTP_HOST": "other.example:82", "SERVER_PROTOCOL": "HTTP/1.0",
                            "SERVER_NAME": "other.example", "SERVER_PORT": "82"}),
    "IPv6 Host": (get("/record", host="Host: [::1]:8080\r\n"),
                  {"HTTP_HOST": "[::1]:8080", "SERVER_NAME": "[::1]", "SERVER_PORT": "8080"}),
    "Host with a dot": (get("/record", host="Host: localhost.\r\n"), {"HTTP_HOST": "localhost."}),
    "empty lines first": (b"\r\n\r\n" + get("/record"), {}),
    # fields
    "folded": field("X-A: a\r\n b\r\n\tc\r\n", HTTP_X_A="a b c"),
    "blanks around": field("X-A: \t a\tb \t\r\n", HTTP_X_A="a\tb"),
    "latin-1 value": field("X-A: \xe9\x80\xff\r\n", HTTP_X_A="\xe9\x80\xff"),
    "empty value": field("X-A:\r\n", HTTP_X_A=""),
    "8 KiB": field("X-A: " + "v" * 8180 + "\r\n", HTTP_X_A="v" * 8180),
    "99 fields": field(MANY[:MANY.index("X-99:")], HTTP_X_0="v", HTTP_X_98="v"),
    "underscore first": field("X_User: wrong\r\nX-User: right\r\n", HTTP_X_USER="right"),
    "underscore last": field("X-User: right\r\nX_User: wrong\r\n", HTTP_X_USER="right"),
    "underscore alone": field("X_User: wrong\r\n", HTTP_X_USER=None),
    "dot": field("X.User: wrong\r\n", HTTP_X_USER=None),
    "odd name": field("X!#$%&'*+.^`|~: wrong\r\n"),
    "Proxy": field("Proxy: p\r\nPROXY: q\r\nproxy:r\r\n", HTTP_PROXY=None),
    "repeated in two cases": field("X-A: one\r\nx-a: two\r\n", HTTP_X_A="one, two"),
    "named by Connection": field("Connection: X-User, close\r\nX-User: u\r\n", HTTP_X_USER="u",
                                 HTTP_CONNECTION="X-User, close"),
    "range": field("X-A: b\r\nIf-Range: x\r\n", HTTP_IF_RANGE="x"),
    "upgrade to nobody": field("Connection: Upgrade\r\nUpgrade: h2c\r\n", HTTP_UPGRADE="h2c"),
    "twins of keys": field("mod_wsgi.process_group: x\r\nmod-wsgi.process-group: x\r\n"
                           "wsgi.url_scheme: x\r\nHTTP_HOST: x\r\nHTTPS: on\r\n"
                           "CONTENT_LENGTH: 5\r\nCONTENT_TYPE: x\r\nSCRIPT_NAME: x\r\n"
                           "REMOTE_USER: x\r\n",
                           CONTENT_LENGTH=None, CONTENT_TYPE=None, REMOTE_USER=None,
                           HTTP_HTTPS="on", HTTPS=None),
    "names of keys": field("HTTP-HOST: y\r\nREMOTE-USER: y\r\nSCRIPT-NAME: y\r\n"
                           "Request-Method: y\r\nWsgi-Input: y\r\n",
                           HTTP_HTTP_HOST="y", HTTP_REMOTE_USER="y", HTTP_SCRIPT_NAME="y",
                           HTTP_REQUEST_METHOD="y", HTTP_WSGI_INPUT="y", REMOTE_USER=None),
    # methods
    "small letters": method("get"),
    "own method": method("FROBNICATE"),
    "all characters of a token": method("M!#$%&'*+-.^_`|~"),
    "method of 8,000 letters": method("M" * 8000),
    **{name: method(name) for name in ("DELETE", "PROPFIND", "PATCH", "OPTIONS", "MKCOL")},
    # bodies
    "length with zeros": (post("Content-Length: 0005\r\n"),
                          {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "0005",
                           "the body": "hello"}),
    "Transfer_Encoding": (post("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n"),
                          {"REQUEST_METHOD": "POST", "the body": "hello"}),
    "body of GET": (get("/record", "Content-Length: 5\r\n") + b"hello", {"the body": "hello"}),
    "POST without length": (post("", ""), {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": None}),
}


@pytest.mark.parametrize("name", PASSED)
def test_passed_unchanged(recorder, name):
    data, expected = PASSED[name]
    found = environ_of(recorder.exchange(data))
    expected = {**UNCHANGED, **expected}
    assert {key: found.get(key) for key in expected} == expected
    assert len(recorder.calls) == 1
    assert "wrong" not in found.values()


def cgi_environment(recorder, data):
    """What httpd gives a CGI program for the same request."""
    answer = recorder.exchange(data.replace(b"/record", b"/cgi/show", 1))
    assert status_of(answer) == 200, answer[:300]
    _, fields, body = split(answer)
    if "Transfer-Encoding: chunked" in fields:
        body = b"".join(chunks_of(body))
    pairs = (pair.split("=", 1) for pair in body.decode("latin-1").split("\0") if pair)
    return {"PATH_INFO": "", **dict(pairs)}


def chunks_of(body):
    while True:
        size, _, body = body.partition(b"\r\n")
        if int(size, 16) == 0:
            return
        yield body[:int(size, 16)]
        body = body[int(size, 16) + 2:]


# Where the path of the CGI program makes another request of it.
NOT_AS_CGI = ("absolute form", "into the mount by dots", "99 fields")


@pytest.mark.parametrize("name", [name for name in PASSED if name not in NOT_AS_CGI])
def test_as_a_cgi_program_sees_it(server, recorder, name):
    server.tolerate("AH02651")  # the program does not read its input
    data, _ = PASSED[name]
    ours = environ_of(recorder.exchange(data))
    theirs = cgi_environment(recorder, data)
    keys = {key for key in (*ours, *theirs) if key.startswith("HTTP_")}.union(COMMON)
    assert {key: ours.get(key) for key in keys} == {key: theirs.get(key) for key in keys}
    assert ours["REQUEST_URI"].replace("/record", "/cgi/show", 1) == theirs["REQUEST_URI"]


def test_http_0_9(recorder):
    """No head in either direction, and the rest of what came is no request."""
    answer = recorder.exchange("GET /record/a\r\nX-B: c HTTP/1.1\r\n", HOST, "\r\n")
    found = json.loads(answer)
    assert (found["PATH_INFO"], found["SERVER_PROTOCOL"]) == ("/a", "HTTP/0.9")
    assert [key for key in found if key.startswith("HTTP_")] == []
    assert recorder.calls == [("GET", "/record/a")]


def test_asterisk_and_trace_are_httpd_s_own(recorder):
    assert status_of(recorder.exchange(get("*", method="OPTIONS"))) == 200
    assert recorder.calls == []
    answer = recorder.exchange(get("/record", method="TRACE"))
    assert (status_of(answer), recorder.calls) == (200, [])
    assert b"TRACE /record HTTP/1.1" in answer


def test_head_is_shown_as_head(recorder):
    answer = recorder.exchange(get("/record", method="HEAD"))
    assert (status_of(answer), split(answer)[2]) == (200, b"")
    assert recorder.calls == [("HEAD", "/record")]


def test_no_request_at_all(recorder):
    """A greeting of TLS, nothing, half a line: closed without a call, and without a hang."""
    for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"", b"\0" * 100, b"GET /rec",
                 b"GET /record HTTP/1.1\r\nHost: loc"):
        answer = recorder.exchange(data)
        assert (answer == b"" or status_of(answer) in (400, 408)) and recorder.calls == []


# ---- two requests in one

SECOND = get("/record/second")
SMUGGLED = get("/record/smuggled")


def chunked(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


PAIRS = {
    "inside a length": (post(f"Content-Length: {len(SMUGGLED)}\r\n", SMUGGLED.decode()) + SECOND,
                        ["/record", "/record/second"]),
    "inside a length of GET": (get("/record", f"Content-Length: {len(SMUGGLED)}\r\n") + SMUGGLED
                               + SECOND, ["/record", "/record/second"]),
    "inside a length nobody reads": (
        get("/hello", f"Content-Length: {len(SMUGGLED)}\r\n", method="POST") + SMUGGLED + SECOND,
        ["/record/second"]),
    "behind length 0": (post("Content-Length: 0\r\n", "") + SECOND, ["/record", "/record/second"]),
    "pipelined": (get("/record") + get("/record/2") + SECOND,
                  ["/record", "/record/2", "/record/second"]),
    "underscored coding": (post("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")
                           + SECOND, ["/record", "/record/second"]),
}

# The first request is refused, and whatever follows on the connection is not looked at.
CUT = {
    "length and chunked": post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                               "0\r\n\r\n") + SMUGGLED,
    "chunked and length": post(f"Transfer-Encoding: chunked\r\nContent-Length: {len(SMUGGLED)}"
                               "\r\n", "0\r\n\r\n") + SMUGGLED,
    "two lengths": post("Content-Length: 0\r\nContent-Length: 200\r\n", "") + SMUGGLED,
    "xchunked": post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n") + SMUGGLED,
    "blank before the colon": post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n") + SMUGGLED,
    "tab before chunked": post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n") + SMUGGLED,
    "CR instead of CRLF": get("/record", "X-A: b\rContent-Length: 200\r\n") + SMUGGLED,
    "LF in the head": get("/record", "X-A: b\n\nGET /record/smuggled HTTP/1.1\r\n") + SMUGGLED,
    "folded coding": post("Transfer-Encoding:\r\n chunked, identity\r\n", "0\r\n\r\n") + SMUGGLED,
}


@pytest.mark.parametrize("name", PAIRS)
def test_requests_end_where_they_say(recorder, name):
    data, targets = PAIRS[name]
    recorder.exchange(data)
    assert [target for _, target in recorder.calls] == targets


@pytest.mark.parametrize("name", CUT)
def test_nothing_follows_a_request_of_two_lengths(server, recorder, name):
    server.tolerate("WSGI0139")
    answer = recorder.exchange(CUT[name])
    assert 400 <= status_of(answer) < 502
    assert (recorder.calls, answer.count(b"HTTP/1.1 ")) == ([], 1)


# ---- keys that nobody but us may set

def test_environment_of_httpd_forges_no_key(recorder, mode):
    found = environ_of(recorder.exchange(get("/forged/p?q", "X-Key: forged\r\nX-Given: given\r\n")))
    assert found["mod_wsgi.process_group"] == ("" if mode == "embedded" else "tests")
    assert found["mod_wsgi.application_group"] == "localhost|/forged"
    assert found["mod_wsgi.callable_object"] == "application"
    assert found["wsgi.url_scheme"] == "http"
    assert found["wsgi.multithread"] in ("True", "False")
    assert found["apache.version"].startswith("(2, 4")
    assert (found["HTTP_X_GIVEN"], found["HTTP_HOST"]) == ("given", "localhost")
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/forged", "/p")
    assert found["QUERY_STRING"] == "q"
    assert found["REMOTE_ADDR"] == "127.0.0.1"
    assert [key for key in found if found[key] == "forged"] == ["HTTP_X_KEY"]


# ---- answers

@pytest.fixture
def answered(server):
    """Gives answer(told, method) → the bytes for `told`, and whether the connection served on."""
    def answer(told, method="POST"):
        data = json.dumps(told).encode()
        with server.raw(10 * env.PATIENCE) as client:
            client.request(f"{method} /answer", f"Content-Length: {len(data)}")
            client.send(data)
            client.request("GET /hello", "Connection: close")
            client.finish_sending()
            first, mark, rest = client.read_to_end().partition(b"Hello world\n")
        assert rest == b""
        if not mark:
            return first, False
        return first[:first.rindex(b"HTTP/1.1 ")], True
    return answer


def header(name, value, *more):
    return {"headers": [[name, value, *more]]}


BROKEN_HEADS = {
    "CR and LF in the status": {"status": "200 OK\r\nX-Injected: yes"},
    "LF in the status": {"status": "200 OK\nX-Injected: yes"},
    "NUL in the status": {"status": "200 O\0K"},
    "tab in the status": {"status": "200 O\tK"},
    "status beyond latin-1": {"status": "200 \u20ac"},
    "status 000": {"status": "000 x"},
    "status 099": {"status": "099 x"},
    "status of superscripts": {"status": "\xb2\xb9\xb2 x"},
    "LF in a name": header("X\nX-Injected", "yes"),
    "NUL in a name": header("X\0", "a"),
    "colon in a name": header("X-Injected: yes\r\nX", "a"),
    "tab in a name": header("X\t", "a"),
    "status line as a name": header("HTTP/1.1 200 OK", "a"),
    "name beyond latin-1": header("X\u20ac", "a"),
    "CR and LF in a value": header("X", "a\r\nX-Injected: yes"),
    "LF in a value": header("X", "a\nX-Injected: yes"),
    "CR in a value": header("X", "a\rX-Injected: yes"),
    "LF at the end of a value": header("X", "a\n"),
    "fold in a value": header("X", "a\r\n b"),
    "NUL in a value": header("X", "a\0b"),
    "value beyond latin-1": header("X", "\u0a0d\u010a"),
    "CR and LF in a type": header("Content-Type", "text/plain\r\nX-Injected: yes"),
    "CR and LF in a place": header("Location", "/\r\nX-Injected: yes"),
    "CR and LF in a challenge": header("WWW-Authenticate", "Basic\r\nX-Injected: yes"),
    "negative length": header("Content-Length", "-1"),
    "length with plus": header("Content-Length", "+5"),
    "length with a blank": header("Content-Length", " 5"),
    "list of lengths": header("Content-Length", "5, 5"),
    "empty length": header("Content-Length", ""),
    "length over 63 bits": header("Content-Length", "9223372036854775808"),
    "one good, one bad": {"headers": [["X", "good"], ["X", "a\nX-Injected: yes"]]},
}


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("name", BROKEN_HEADS)
def test_broken_heads_are_500(server, answered, name, method):
    server.expect("WSGI0174")
    server.expect_output("ValueError: |UnicodeEncodeError: ", count=None)
    answer, _ = answered(BROKEN_HEADS[name], method)
    line, fields, body = split(answer)
    assert line == "HTTP/1.1 500 Internal Server Error"
    assert not any(each.startswith("X-Injected") for each in fields)
    assert answer.count(b"HTTP/1.1 ") == 1 and b"X-Injected" not in body


CANNOT_SEND = "WSGI1205|WSGI1208|WSGI1530"

# Legal for us; httpd refuses them in its own last filter.
HTTPD_REFUSES = {
    "name of latin-1": header("X\xe9", "a"),
    "name with brackets": header("X()", "a"),
    "controls in a value": header("X", "a\x01b\x7f"),
    "vertical tab in a value": header("X", "a\x0b\x0cb"),
}


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("name", HTTPD_REFUSES)
def test_what_httpd_refuses_is_one_answer_of_500(server, answered, name, method):
    server.expect(CANNOT_SEND)
    server.tolerate("AH02429|AH02430")
    answer, _ = answered(HTTPD_REFUSES[name], method)
    assert split(answer)[0] == "HTTP/1.1 500 Internal Server Error"
    assert answer.count(b"HTTP/1.1 ") == 1


STATUSES = {
    "reason of latin-1": ("200 \xe9", "200 \xe9"),
    "reason of blanks": ("200  OK ", "200  OK "),
    "600": ("600 x", "600 x"),
    "999": ("999 x", "999 x"),
}


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("name", STATUSES)
def test_odd_statuses(answered, name, method):
    status, expected = STATUSES[name]
    answer, serves_on = answered({"status": status}, method)
    line, _, body = split(answer)
    assert line == f"HTTP/1.1 {expected}"
    assert body == (b"body\n" if method == "POST" else b"") and serves_on


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("status", ["100 Continue", "101 Switching Protocols", "103 Hints", "199"])
def test_an_interim_status_is_no_answer(server, answered, status, method):
    """What follows it would be taken for the answer itself."""
    server.expect("WSGI0174")
    server.expect_output("ValueError: ", count=1)
    forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    answer, _ = answered({"status": status, "body": [forged]}, method)
    assert split(answer)[0] == "HTTP/1.1 500 Internal Server Error"
    assert b"forged" not in answer


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("length", [None, "5", "1000"])
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_a_body(answered, status, length, method):
    headers = [] if length is None else [["Content-Length", length]]
    answer, serves_on = answered({"status": status, "headers": headers, "body": ["hello"]}, method)
    line, fields, body = split(answer)
    assert (line, body, serves_on) == (f"HTTP/1.1 {status}", b"", True)
    if status.startswith("204"):
        assert not any(each.startswith("Content-Length") for each in fields)


def test_head_may_announce_what_it_does_not_send(answered):
    told = {"headers": [["Content-Length", "1000"]], "body": []}
    answer, serves_on = answered(told, "HEAD")
    _, fields, body = split(answer)
    assert ("Content-Length: 1000" in fields, body, serves_on) == (True, b"", True)


def test_huge_length_ends_the_connection(answered):
    """The client cannot take the next answer for the rest of this one."""
    answer, serves_on = answered(header("Content-Length", str(2**63 - 1)))
    _, fields, body = split(answer)
    assert f"Content-Length: {2**63 - 1}" in fields
    assert (body, serves_on) == (b"body\n", False)


def test_length_0_with_a_body(answered):
    answer, serves_on = answered(header("Content-Length", "0"))
    assert (split(answer)[2], serves_on) == (b"", True)


@pytest.mark.parametrize("first, last", [("3", "5"), ("5", "5")])
def test_two_lengths_become_one(answered, first, last):
    answer, serves_on = answered({"headers": [["Content-Length", first], ["content-length", last]]})
    _, fields, body = split(answer)
    assert [each for each in fields if each.lower().startswith("content-length")] == \
        [f"Content-Length: {last}"]
    assert (body, serves_on) == (b"body\n", True)


@pytest.mark.parametrize("value", ["chunked", "Chunked", "gzip", "gzip, chunked"])
@pytest.mark.parametrize("body", ["body\n", "0\r\n\r\nHTTP/1.1 200 Forged\r\n\r\n"])
def test_coding_set_by_the_application_is_dropped(answered, value, body):
    """How a body travels is httpd's to say: it would take this one for chunks that are not there."""
    answer, serves_on = answered({"headers": [["Transfer-Encoding", value]], "body": [body]})
    _, fields, found = split(answer)
    assert not any(value in each for each in fields if each.lower().startswith("transfer-enc")
                   and each.lower() != "transfer-encoding: chunked")
    if "transfer-encoding: chunked" in [each.lower() for each in fields]:
        found = b"".join(chunks_of(found))
    assert (found, serves_on) == (body.encode(), True)


LARGE_HEADS = {
    "value just under 1 MiB": (header("X", "v", (1 << 20) - 5000), True),
    "4,000 fields": (header("X", "v", 1, 4000), True),
    "500 cookies": (header("Set-Cookie", "a=b", 1, 500), True),
    "reason of 60,000 bytes": ({"status": "200 " + "x" * 60000}, True),
    "value of 1 MiB": (header("X", "v", 1 << 20), False),
    "5,000 fields": (header("X", "v", 1, 5000), False),
    "reason of 100,000 bytes": ({"status": "200 " + "x" * 100000}, False),
}


@pytest.mark.parametrize("name", LARGE_HEADS)
def test_large_heads(server, answered, mode, name):
    told, fits_a_worker = LARGE_HEADS[name]
    arrives = fits_a_worker or mode == "embedded"
    if not arrives:
        server.expect("WSGI.*")
    answer, serves_on = answered(told)
    line, fields, body = split(answer)
    if not arrives:
        assert line == "HTTP/1.1 500 Internal Server Error"
        return
    assert line == "HTTP/1.1 " + told.get("status", "200 OK")
    for key, value, *more in told.get("headers", []):
        times, count = (*more, 1, 1)[:2]
        assert fields.count(f"{key}: {value * times}") == count
    assert (body, serves_on) == (b"body\n", True)


@pytest.mark.parametrize("headers, expected", [
    ([["X", "\xe9\xff\x85\xa0"]], "X: \xe9\xff\x85\xa0"),
    ([["Date", "x"]], None),
    ([["Status", "404 x"]], "Status: 404 x"),
    ([["Location", "http://other.example/hello"]], "Location: http://other.example/hello"),
    ([["Trailer", "X-T"]], "Trailer: X-T"),
    ([["Content-Type", "a/b"], ["Content-Type", "c/d"]], "Content-Type: c/d"),
    ([["Connection", "keep-alive"], ["Keep-Alive", "timeout=1000"]], "Keep-Alive: timeout=1000"),
])
def test_odd_fields_leave_one_answer(answered, headers, expected):
    answer, serves_on = answered({"headers": headers})
    line, fields, body = split(answer)
    assert (line, body, serves_on) == ("HTTP/1.1 200 OK", b"body\n", True)
    assert expected is None or expected in fields
    assert "Date: x" not in fields
