"""Answers: fields that httpd has a say in, statuses, and answers that go wrong late."""

import re

import env
import pytest

CONFIG = """
CustomLog "${root}/notes/access.log" "%U %>s"
AddDefaultCharset utf-8
AddOutputFilterByType DEFLATE text/x-test
"""

ANSWERS = '''

def fields(start_response, *pairs, status="200 OK", body=b"body"):
    start_response(status, [*pairs])
    return [body]

KINDS = {
    "plain": lambda s: fields(s, ("Content-Type", "text/plain")),
    "long": lambda s: fields(s, ("Content-Type", "text/x-test"), body=b"body" * 100),
    "long-plain": lambda s: fields(s, ("Content-Type", "text/plain"), body=b"body" * 100),
    "upper": lambda s: fields(s, ("Content-Type", "Application/X-Test; A=B")),
    "locations": lambda s: fields(s, ("Location", "http://one.example/"),
                                  ("Location", "http://two.example/"), status="302 Found"),
    "lengths": lambda s: fields(s, ("Content-Length", "9"), ("Content-Length", "4")),
    "servers-own": lambda s: fields(s, ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"),
                                    ("Server", "mine/1")),
    "modified": lambda s: fields(s, ("Last-Modified", "Fri, 01 Jan 2100 00:00:00 GMT"),
                                 ("ETag", '"tag"')),
    "ok-with-path": lambda s: fields(s, ("Location", "/hello")),
    "ok-with-url": lambda s: fields(s, ("Location", "http://other.example/hello")),
    "reserved": lambda s: fields(s, status="200 Error"),
    "many-in-list": lambda s: fields(s, *[("X-Number", str(n)) for n in range(3)]),
}

class HeaderList(list):
    pass

def subclass(start_response):
    start_response("200 OK", HeaderList([("X-From", "a subclass of list")]))
    return [b"body"]

def keywords(start_response):
    try:
        start_response(status="200 OK", headers=[])
    except TypeError:
        start_response("200 OK", [])
        return [b"TypeError"]

def empty_write(start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"")
    try:
        start_response("500 Too Late", [])
    except RuntimeError:
        yield b"RuntimeError"

def late(start_response):
    start_response("201 Created", [("Content-Type", "text/plain")])
    yield b"early"
    raise ZeroDivisionError("on purpose")

class Sized:
    def __len__(self):
        return 1
    def __iter__(self):
        return iter([b"one", b"two"])

def sized(start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Sized()

KINDS.update({"subclass": subclass, "keywords": keywords, "empty-write": empty_write,
              "late": late, "sized": sized})

def application(environ, start_response):
    return KINDS[environ["PATH_INFO"].strip("/")](start_response)
'''


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, config=CONFIG, modules=("deflate", "filter"))
    server.script("answers.py", ANSWERS)
    return server


def ask(server, kind, headers=()):
    return server.get(f"/scripts/answers.py/{kind}", headers)


# ---- fields

@pytest.mark.compat("RESP-content-type")
def test_content_type_counts_for_httpd(server):
    assert ask(server, "plain").header("Content-Type") == "text/plain; charset=utf-8"
    packs = {"Accept-Encoding": "gzip"}
    assert ask(server, "long", packs).header("Content-Encoding") == "gzip"
    assert ask(server, "long-plain", packs).header("Content-Encoding") is None


@pytest.mark.compat("RESP-single-headers")
def test_fields_that_stand_once(server):
    assert ask(server, "locations").header("Location") == "http://two.example/"
    reply = ask(server, "lengths")
    assert (reply.header("Content-Length"), reply.body) == ("4", b"body")


@pytest.mark.compat("RESP-dup-headers")
def test_fields_that_stand_several_times(server):
    assert ask(server, "many-in-list").header_all("X-Number") == ["0", "1", "2"]


@pytest.mark.compat("RESP-hop-by-hop")
def test_fields_that_are_the_servers(server):
    reply = ask(server, "servers-own")
    assert "1970" not in reply.header("Date")
    assert reply.header("Server").startswith("Apache/")


@pytest.mark.compat("RESP-last-modified")
def test_fields_that_stand_as_they_are(server):
    assert ask(server, "modified").header("Last-Modified") == "Fri, 01 Jan 2100 00:00:00 GMT"
    assert ask(server, "upper").header("Content-Type") == "Application/X-Test; A=B"


@pytest.mark.compat("RESP-conditional")
def test_no_304_is_made(server):
    reply = ask(server, "modified", {"If-None-Match": '"tag"',
                                     "If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"})
    assert (reply.status, reply.body) == (200, b"body")


@pytest.mark.compat("REDIRECT-absolute")
def test_200_with_an_absolute_location(server):
    reply = ask(server, "ok-with-url")
    assert (reply.status, reply.body) == (200, b"body")
    assert reply.header("Location") == "http://other.example/hello"


@pytest.mark.compat("REDIRECT-embedded")
def test_200_with_a_path_as_location(launch_once):
    server = launch_once("embedded")
    server.script("answers.py", ANSWERS)
    reply = ask(server, "ok-with-path")
    assert (reply.status, reply.header("Location"), reply.body) == (200, "/hello", b"body")


# ---- start_response

@pytest.mark.compat("RESP-reserved-status")
def test_no_reason_is_reserved(server):
    reply = ask(server, "reserved")
    assert (reply.status, reply.reason, reply.body) == (200, "Error", b"body")


@pytest.mark.compat("START-headers")
def test_a_subclass_of_list(server):
    assert ask(server, "subclass").header("X-From") == "a subclass of list"


@pytest.mark.compat("START-positional")
def test_arguments_by_keyword(server):
    assert ask(server, "keywords").body == b"TypeError"


@pytest.mark.compat("START-write-empty")
def test_an_empty_write_settles_the_head(server):
    reply = ask(server, "empty-write")
    assert (reply.status, reply.body) == (200, b"RuntimeError")


@pytest.mark.compat("RESP-iterables", "RESP-length-absent")
def test_len_does_not_matter(server):
    reply = ask(server, "sized")
    assert (reply.body, reply.header("Content-Length")) == (b"onetwo", None)


# ---- the end

def logged_status(server, path):
    def find():
        return re.search(rf"^{re.escape(path)} (\d+)$", server.note("access.log").read_text(), re.M)
    return env.wait_until(find, f"{path} in the access log", 10 * env.PATIENCE).group(1)


@pytest.mark.compat("FAIL-cut", "RESP-truncated", "RESP-truncated-daemon")
def test_the_status_of_a_cut_answer_stands(server):
    server.expect("WSGI0174")
    server.expect_output("ZeroDivisionError: on purpose", count=1)
    with server.raw() as raw:
        raw.request("GET /scripts/answers.py/late")
        assert raw.read_head()[0] == 201
        assert raw.read_chunk() == b"early"
        assert raw.read_to_end() == b""
    assert logged_status(server, "/scripts/answers.py/late") == "201"


@pytest.mark.compat("RESP-gone")
def test_the_status_of_an_answer_whose_client_has_gone(server):
    note = server.note("gone")
    with server.raw() as raw:
        raw.request(f"GET /response/closing?chunks=100000&note={note}")
        raw.read_until(b"0123456789abcdef")
    assert int(server.wait_for_note("gone").split()[-1]) < 100000
    assert logged_status(server, "/response/closing") == "200"


@pytest.mark.compat("RESP-exception", "RESP-own-error")
def test_error_documents_are_for_failures(launch_once, mode):
    server = launch_once(mode, config='ErrorDocument 500 "the text of httpd"')
    server.expect("WSGI0174")
    server.expect_output("ZeroDivisionError: on purpose", count=1)
    assert server.get("/faults/raises").body == b"the text of httpd"
    reply = server.get("/response/status?status=500%20Own")
    assert (reply.reason, reply.body) == ("Own", b"the application's own body\n")
