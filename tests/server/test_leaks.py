"""Twenty restarts and twenty killed workers later every process has as many descriptors open as
after the fifth, and nothing is left when httpd has stopped (env.Server.stop looks)."""

import os
import signal
import time

import env
import processes
import pytest
from processes import wait_until

ROUNDS, FIRST = 20, 5


def roles(server):
    """The processes of the family by role."""
    supervisors = server.supervisors()
    return {
        "parent": [server.pid],
        "child": server.httpd_children(),
        "supervisor": supervisors,
        "worker": [worker for pid in supervisors for worker in processes.children(pid)],
    }


def descriptors(server):
    """For each role the descriptors of its processes, as a comparable value."""
    return {role: sorted(sorted(processes.descriptors(pid).items()) for pid in pids)
            for role, pids in roles(server).items()}


def warm_up(server):
    for path in ("/hello", "/process", "/environ", "/response/many?chunks=4"):
        for _ in range(3):
            assert server.get(path, timeout=40 * env.PATIENCE).status == 200
    assert server.post("/echo?how=all", b"x" * 200_000).status == 200


def assert_settles_at(server, expected):
    """Connections of the last requests may take a moment to close."""
    seen = {}

    def is_equal():
        seen.update(descriptors(server))
        return seen == expected

    try:
        wait_until(is_equal, "descriptors", 8 * env.PATIENCE)
    except AssertionError:
        assert seen == expected


def settled(server):
    """The descriptors once they have not changed for three seconds: httpd may linger for two over
    the close of a connection."""
    since, last = time.monotonic(), None

    def is_stable():
        nonlocal since, last
        now = descriptors(server)
        if now != last:
            since, last = time.monotonic(), now
        return time.monotonic() - since > 3

    wait_until(is_stable, "descriptors stop changing", 20 * env.PATIENCE)
    return last


@pytest.mark.big
@pytest.mark.parametrize("kind", ["restart", "graceful"])
def test_restarts(launch_once, mode, kind):
    server = launch_once(mode, single_child=env.MPM != "prefork")
    for number in range(1, ROUNDS + 1):
        server.restart(kind)
        warm_up(server)
        if number == FIRST:
            expected = settled(server)
    assert_settles_at(server, expected)


@pytest.mark.big
def test_killed_workers(launch_once):
    server = launch_once("daemon", single_child=env.MPM != "prefork")
    server.expect("WSGI1409", "SIGKILL|signal 9|Killed", count=ROUNDS)
    for number in range(1, ROUNDS + 1):
        (worker,) = wait_until(lambda: server.workers(), "a worker", 20 * env.PATIENCE)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: server.workers() not in ([], [worker]), "another worker",
                   40 * env.PATIENCE)
        warm_up(server)
        if number == FIRST:
            expected = settled(server)
    assert_settles_at(server, expected)


@pytest.mark.big
def test_requests(launch_once, mode):
    """A thousand requests of all kinds, aborted ones too, leave no descriptor behind."""
    server = launch_once(mode, single_child=env.MPM != "prefork")
    expected = None
    for _ in range(20):
        warm_up(server)
        for _ in range(10):
            with server.raw() as client:
                client.request("GET /response/many?chunks=50")
                client.read_head()
            with server.raw() as client:
                client.request("POST /echo?how=none", "Content-Length: 100000")
                client.send(b"begun")
        expected = expected or settled(server)
    assert_settles_at(server, expected)
