"""Twelve thousand requests of each kind hold on to no object: a debug build of Python counts every
reference in the process, and after the first two thousand requests the number stays as it is."""

import http.client
from concurrent.futures import ThreadPoolExecutor

import env
import pytest

pytestmark = pytest.mark.skipif(not env.IS_DEBUG_PYTHON,
                                reason="needs a module built with a debug Python")

WARM_UP, REQUESTS = 2_000, 10_000
MAY_DIFFER = 50  # a leak of one reference a request is two hundred times that
THREADS = 32  # of a child; each keeps objects of its own from its first request on

SCRIPT = """
import gc, sys, time

kept = []

def slow(environ, start_response):
    time.sleep(0.5)
    return hello(environ, start_response)

def keeper(environ, start_response):
    kept.append(object())
    return hello(environ, start_response)

def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]

def generator(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])
    yield b"hello"
    yield b"hello"

def chunked(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"hello"
    yield b"hello"

def post(environ, start_response):
    body = environ["wsgi.input"].read(3) + environ["wsgi.input"].readline()
    body += b"".join(environ["wsgi.input"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

def file_wrapper(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](open(__file__, "rb"))

def write(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])
    write(b"hello")
    write(b"hello")
    return []

def errors(environ, start_response):
    environ["wsgi.errors"].write("a line\\n")
    return hello(environ, start_response)

def exception_before_head(environ, start_response):
    raise ZeroDivisionError("on purpose")

def exception_after_head(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"hello"
    raise ZeroDivisionError("on purpose")

def exc_info(environ, start_response):
    try:
        exception_before_head(environ, start_response)
    except ZeroDivisionError:
        start_response("200 OK", [("Content-Length", "0")], sys.exc_info())
    return []

def total(environ, start_response):
    gc.collect()
    body = b"%d" % sys.gettotalrefcount()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)
"""

KINDS = {"hello": 200, "generator": 200, "chunked": 200, "post": 200, "file_wrapper": 200,
         "write": 200, "errors": 200, "exc_info": 200, "exception_before_head": 500,
         "exception_after_head": 200, "keeper": 200}


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, single_child=True)
    server.tolerate("AH00484")  # MaxRequestWorkers is reached, on purpose
    server.url = server.script("kinds.py", SCRIPT)
    with ThreadPoolExecutor(THREADS) as pool:
        replies = list(pool.map(lambda _: server.get(f"{server.url}/slow"), range(THREADS)))
    assert {reply.status for reply in replies} == {200}
    return server


def ask(server, kind, count):
    """Sends requests by a connection that is kept where the answer allows it."""
    body = b"a line\n" * 10 if kind == "post" else None
    with server.keep_alive() as session:
        for _ in range(count):
            try:
                reply = session.request("POST" if body else "GET", f"{server.url}/{kind}", body)
                assert reply.status == KINDS[kind] and (not body or reply.body == body)
            except http.client.IncompleteRead:
                assert kind == "exception_after_head"
                session.close()


def growth(server, kind, count):
    """By how much `count` requests change the number of references in the process."""
    totals = []
    for requests in (0, count):
        ask(server, kind, requests)
        totals.append([int(server.get(f"{server.url}/total").body) for _ in range(3)][-1])
    return totals[1] - totals[0]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "keeper"])
def test_no_reference_is_kept(server, kind):
    if kind.startswith("exception") or kind == "errors":
        server.expect_output("a line|ZeroDivisionError")
        server.tolerate(r"WSGI\d+")
    ask(server, kind, WARM_UP)
    more = growth(server, kind, REQUESTS)
    print(f"{kind}: {more:+} references after {REQUESTS} requests")
    assert abs(more) <= MAY_DIFFER, f"{more / REQUESTS:+.4f} references a request"


def test_a_reference_that_is_kept_is_seen(server):
    ask(server, "hello", WARM_UP)
    assert abs(growth(server, "keeper", 1000) - 1000) <= MAY_DIFFER
