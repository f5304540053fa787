"""The first thing that must work: one small answer, by one connection and by many."""

from concurrent.futures import ThreadPoolExecutor

import env
import pytest


@pytest.fixture(scope="module")
def server(launch, mode):
    return launch(mode)


def test_hello(server):
    reply = server.get("/hello")
    assert (reply.status, reply.reason) == (200, "OK")
    assert reply.header("Content-Type") == "text/plain"
    assert reply.header("Content-Length") == "12"
    assert reply.body == b"Hello world\n"


@pytest.mark.compat("LIFE-embedded", "MOD-detect", "DIR-processgroup")
def test_it_runs_where_it_should(server, mode):
    here = server.get("/process").json()
    family = server.httpd_children() if mode == "embedded" else server.workers()
    assert here["pid"] in family
    assert here["process_group"] == ("" if mode == "embedded" else "tests")


def test_connection_is_kept(server):
    with server.keep_alive() as session:
        ports = set()
        for _ in range(20):
            assert session.get("/hello").body == b"Hello world\n"
            ports.add(session.local_port)
        assert len(ports) == 1


def test_pipelined_requests_are_answered_in_order(server):
    with server.raw() as raw:
        for path in ("/hello", "/echo?how=none", "/hello"):
            raw.request(f"GET {path}")
        for expected in (b"Hello world\n", None, b"Hello world\n"):
            status, fields = raw.read_head()
            body = raw.read_exactly(int(fields["content-length"]))
            assert status == 200
            assert expected in (None, body)


def test_fifty_parallel_clients(server):
    def ask(number):
        replies = []
        for turn in range(4):
            body = b"%d-%d" % (number, turn)
            reply = server.post("/echo?how=return", body, timeout=60 * env.PATIENCE)
            replies.append((reply.status, reply.body == body))
        return replies

    with ThreadPoolExecutor(50) as pool:
        results = [each for replies in pool.map(ask, range(50)) for each in replies]
    assert results == [(200, True)] * 200
