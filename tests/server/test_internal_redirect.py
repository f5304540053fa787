"""A process group's answer of status 200 with a Location of this server: httpd answers with that."""

import pytest

SCRIPT = '''
def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response(environ.get("HTTP_X_STATUS", "200 OK"), [
        ("Content-Type", "text/plain"), ("X-Own", "yes"), ("Set-Cookie", "a=b"),
        ("Location", environ["QUERY_STRING"])])
    return [b"the application's own " + body]
'''

ECHO = '''
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr((environ["REQUEST_METHOD"], environ.get("CONTENT_LENGTH"), environ["PATH_INFO"],
                  environ["QUERY_STRING"], environ.get("REDIRECT_URL"),
                  environ["wsgi.input"].read())).encode()]
'''

CONFIG = """
Alias /file "${root}/notes/file"
Alias /guarded "${root}/notes/file"
WSGIScriptAlias /to "${scripts}/to.py"
WSGIScriptAlias /target "${scripts}/target.py"
RewriteEngine On
RewriteCond %{IS_SUBREQ} =false
RewriteCond %{ENV:REDIRECT_STATUS} ^$
RewriteRule ^/guarded - [F]
"""


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, config=CONFIG, modules=["alias", "rewrite"], single_child=True)
    server.script("to.py", SCRIPT)
    server.script("target.py", ECHO)
    server.note("file").write_text("a static file\n")
    server.note("file").chmod(0o644)
    return server


@pytest.mark.compat("REDIRECT-location")
def test_a_file(server, mode):
    reply = server.get("/to?/file")
    assert reply.status == 200
    if mode == "embedded":
        assert reply.body == b"the application's own ", "daemon mode only"
        assert reply.header("Location").endswith("/file")
        return
    assert reply.body == b"a static file\n"
    assert reply.header("X-Own") is None
    assert reply.header("Location") is None
    assert reply.header("Set-Cookie") == "a=b"
    assert reply.header("Content-Type") == "text/plain", "the file has no type of its own"


@pytest.mark.compat("REDIRECT-location")
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_it_is_a_get_without_a_body(server, mode, method):
    if mode == "embedded":
        pytest.skip("daemon mode only")
    body = None if method == "GET" else b"x" * 100_000
    reply = server.request(method, "/to?/target/more?a=b", body)
    assert reply.body == repr(("GET", None, "/more", "a=b", "/to", b"")).encode()
    assert server.get("/hello").body == b"Hello world\n"


@pytest.mark.parametrize("size", [10, 50_000, 300_000])
def test_a_body_that_nobody_has_read_is_no_next_request(server, mode, size):
    """Else what a client sends as a body could pass for a request of its own."""
    if mode == "embedded":
        pytest.skip("daemon mode only")
    server.script("unread.py", SCRIPT.replace('environ["wsgi.input"].read()', 'b""'))
    hidden = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
    body = (hidden * (size // len(hidden) + 1))[:size]
    with server.raw() as raw:
        raw.request("POST /scripts/unread.py?/file", f"Content-Length: {size}")
        raw.send(body)
        raw.request("GET /target", "Connection: close")
        answers = raw.read_to_end()
    assert answers.count(b"HTTP/1.1 200 OK") == 2, answers
    assert b"a static file" in answers and b"Hello world" not in answers


@pytest.mark.compat("REDIRECT-guard")
def test_a_target_can_be_closed_to_the_outside(server, mode):
    assert server.get("/guarded").status == 403
    if mode == "daemon":
        assert server.get("/to?/guarded").body == b"a static file\n"


@pytest.mark.compat("REDIRECT-location")
@pytest.mark.parametrize("location, status", [
    ("http://example.org/file", "200 OK"),
    ("/file", "201 Created"),
    ("/file", "302 Found"),
    ("file", "200 OK"),
])
def test_other_answers_are_sent_as_they_are(server, location, status):
    reply = server.get(f"/to?{location}", headers={"X-Status": status})
    assert reply.status == int(status[:3])
    assert reply.body == b"the application's own "
    assert reply.header("X-Own") == "yes"


def test_a_redirect_to_itself_ends(server, mode):
    if mode == "embedded":
        pytest.skip("daemon mode only")
    server.log.allow_anything()
    assert server.get("/to?/to?/to").status in (200, 500)
