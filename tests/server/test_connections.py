"""Connections between httpd's children and workers: they are kept, bounded, given up in time, and
no request is executed twice or lost on their account."""

import collections
import concurrent.futures
import os
import signal
import time
from pathlib import Path

import env
import pytest
from processes import wait_until

NOBODY_TOOK_IT = "WSGI0116"
TOO_LATE = "WSGI0145"
TOO_OLD = "WSGI1412"
WORKER_DIED = "WSGI1409"

# Where a child is one request, as many children as there are clients: they should wait for a
# worker, not for httpd.
CROWD = "StartServers 16\n" if env.MPM == "prefork" else ""

NUMBERED = '''
import os, time

def application(environ, start_response):
    name, _, seconds = environ["QUERY_STRING"].partition("&")
    with open(name, "a") as file:
        file.write("x")
    time.sleep(float(seconds or 0))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]
'''

SPINNING = '''
import os, time

def application(environ, start_response):
    end = time.thread_time() + 0.004
    while time.thread_time() < end:
        pass
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]
'''


def sockets(pid):
    """The sockets of a process, by inode."""
    found = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(entry.path)
        except FileNotFoundError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


def parallel(function, arguments, clients):
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        return list(pool.map(function, arguments))


def launch_for_crowd(launch_once, daemon):
    """More clients may come than httpd has room for; it says so, and that is all right."""
    server = launch_once("daemon", daemon=daemon, config=CROWD)
    server.tolerate("AH00161")
    server.tolerate("AH00484")
    return server


class Numbered:
    """Requests that leave a trace of each execution."""

    def __init__(self, server):
        self.server = server
        self.url = server.script("numbered.py", NUMBERED)

    def ask(self, name, seconds=0.0):
        """(status, pid or None, seconds it took)"""
        began = time.monotonic()
        reply = self.server.get(f"{self.url}?{self.server.note(name)}&{seconds}")
        pid = int(reply.body) if reply.status == 200 else None
        return reply.status, pid, time.monotonic() - began

    def executions(self, name):
        path = self.server.note(name)
        return len(path.read_text()) if path.exists() else 0


def stop(pid):
    """SIGSTOP, and all its threads have stopped."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(stat.read_text().rpartition(")")[2].split()[0] == "T"
                           for stat in Path(f"/proc/{pid}/task").glob("*/stat")), "it has stopped")


def occupy(server, name):
    """A request that holds a thread until the gates are opened; returns client, pid and gates."""
    gates = server.note(name)
    gates.mkdir()
    client = server.raw()
    client.request(f"GET /waiting?directory={gates}")
    _, fields = client.read_head()
    assert client.read_chunk() == b"part 0\n"
    return client, int(fields["x-pid"]), gates


def release(client, gates):
    for number in range(4):
        (gates / str(number)).touch()
    assert [client.read_chunk() for _ in range(4)][-1] == b""
    client.close()


# ---- kept


def test_requests_share_a_connection(launch_once):
    server = launch_once("daemon", single_child=True, daemon="processes=1 threads=4")
    with server.keep_alive() as session:
        session.get("/hello")
        (worker,) = server.workers()
        before = sockets(worker)
        for _ in range(30):
            assert session.get("/hello").status == 200
        assert sockets(worker) == before


def test_a_worker_has_no_more_connections_than_threads(launch_once):
    server = launch_for_crowd(launch_once, "processes=1 threads=3")
    (worker,) = wait_until(server.workers, "a worker")
    server.get("/hello")
    idle = len(sockets(worker)) - 1
    most = []

    def ask(_):
        status = server.get("/hello").status
        most.append(len(sockets(worker)))
        return status

    assert set(parallel(ask, range(300), 16)) == {200}
    # each thread may have one in its hand for the instant in which it takes another's place
    assert max(most) <= idle + 3 + 3
    wait_until(lambda: len(sockets(worker)) <= idle + 3, "one for each thread at most is kept")


def test_two_hundred_clients(launch_once):
    server = launch_for_crowd(launch_once, "processes=2 threads=4")
    numbered = Numbered(server)
    found = parallel(lambda number: numbered.ask(f"n{number}", 0.01), range(200), 200)
    assert {status for status, _, _ in found} == {200}
    assert [numbered.executions(f"n{number}") for number in range(200)] == [1] * 200


@pytest.mark.parametrize("clients, touches", [(4, 0), (12, 0), (4, 1), (12, 1)])
def test_workers_share_the_load(launch_once, clients, touches):
    """Also those that came after a changed script: they are in other rows of the counters."""
    server = launch_once("daemon", single_child=env.MPM != "prefork",
                         daemon="processes=4 threads=15")
    url = server.script("spinning.py", SPINNING)
    wait_until(lambda: len(server.workers()) == 4, "four workers")
    parallel(lambda _: server.get(url), range(40), 4)  # they have started, and loaded it
    for _ in range(touches):
        server.script("spinning.py", SPINNING + "# changed")
        parallel(lambda _: server.get(url), range(40), 4)

    def ask_often(_):
        with server.keep_alive() as session:
            return [int(session.get(url).body) for _ in range(1200 // clients)]

    shares = collections.Counter(sum(parallel(ask_often, range(clients), clients), []))
    assert len(shares) == 4
    assert max(shares.values()) <= 2 * min(shares.values()), shares


# ---- killed and stopped


def test_kept_connections_of_a_killed_worker_lose_nothing(launch_once):
    server = launch_once("daemon", daemon="processes=2 threads=4")
    numbered = Numbered(server)
    server.expect(WORKER_DIED, "SIGKILL|signal 9|Killed", count=3)
    for round_ in range(3):
        parallel(lambda number: numbered.ask(f"warm{round_}-{number}", 0.02), range(8), 8)
        os.kill(server.workers()[0], signal.SIGKILL)
        found = parallel(lambda number: numbered.ask(f"n{round_}-{number}"), range(16), 8)
        assert {status for status, _, _ in found} == {200}
        assert [numbered.executions(f"n{round_}-{number}") for number in range(16)] == [1] * 16
        wait_until(lambda: len(server.workers()) == 2, "two workers", 20 * env.PATIENCE)


def test_what_a_stopped_worker_has_not_read_moves_on(launch_once):
    server = launch_once("daemon", daemon="processes=2 threads=4", config=CROWD)
    numbered = Numbered(server)
    warm = parallel(lambda number: numbered.ask(f"warm{number}", 0.1), range(8), 8)
    pids = {pid for _, pid, _ in warm}
    assert len(pids) == 2
    victim = min(pids)
    stop(victim)
    try:
        found = parallel(lambda number: numbered.ask(f"n{number}"), range(24), 4)
    finally:
        os.kill(victim, signal.SIGCONT)
    assert {status for status, _, _ in found} == {200}
    assert {pid for _, pid, _ in found} == pids - {victim}
    assert max(seconds for _, _, seconds in found) < 1.0 * env.PATIENCE
    wait_until(lambda: numbered.ask("after")[0] == 200, "it goes on")
    time.sleep(0.2)
    assert [numbered.executions(f"n{number}") for number in range(24)] == [1] * 24


def test_what_a_stopped_worker_has_begun_ends_by_socket_timeout(launch_once):
    server = launch_once("daemon", daemon="processes=1 threads=2 socket-timeout=1")
    numbered = Numbered(server)
    numbered.ask("warm")
    (worker,) = server.workers()
    server.expect(TOO_LATE, "silent for 1 s")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(numbered.ask, "begun", 0.5)
        wait_until(lambda: numbered.executions("begun"), "it is begun")
        stop(worker)
        try:
            status, _, seconds = future.result()
        finally:
            os.kill(worker, signal.SIGCONT)
    assert status == 504
    assert 0.9 < seconds < 1.5 * env.PATIENCE
    assert numbered.executions("begun") == 1


# ---- deadlines


@pytest.mark.compat("OPT-socket-timeout")
def test_socket_timeout_before_the_head(launch_once):
    server = launch_once("daemon", daemon="processes=1 threads=2 socket-timeout=1")
    numbered = Numbered(server)
    server.expect(TOO_LATE, "silent for 1 s; .* or raise socket-timeout$", count=2)
    for number in range(2):  # on a fresh connection, and on a kept one
        status, _, seconds = numbered.ask(f"slow{number}", 1.6)
        assert status == 504
        assert 0.9 < seconds < 1.4 * env.PATIENCE
        time.sleep(0.8)
        assert numbered.ask(f"fast{number}")[0] == 200


@pytest.mark.compat("OPT-connect-timeout", "FAIL-refused")
def test_connect_timeout_counts_all_waiting(launch_once):
    """At the rendezvous and in the child; each client is told when it may come again."""
    server = launch_once("daemon", daemon="processes=1 threads=1 connect-timeout=1", config=CROWD)
    client, _, gates = occupy(server, "gates")
    server.expect(NOBODY_TOOK_IT, "within 1 s", count=12)

    def ask(_):
        began = time.monotonic()
        reply = server.get("/hello")
        return reply.status, reply.header("Retry-After"), time.monotonic() - began

    found = parallel(ask, range(12), 12)
    assert {(status, after is not None) for status, after, _ in found} == {(503, True)}
    assert all(0.95 < seconds < 1.4 * env.PATIENCE for _, _, seconds in found)
    release(client, gates)
    assert server.get("/hello").status == 200


@pytest.mark.compat("OPT-listen-backlog")
def test_a_full_backlog(launch_once):
    """More than may wait: they try again until connect-timeout, and get in as places become free."""
    server = launch_once("daemon", config=CROWD,
                         daemon="processes=1 threads=1 connect-timeout=2 listen-backlog=2")
    numbered = Numbered(server)
    numbered.ask("warm")
    client, _, gates = occupy(server, "gates")
    server.expect(NOBODY_TOOK_IT, "within 2 s", count=8)
    found = parallel(lambda number: numbered.ask(f"n{number}"), range(8), 8)
    assert {status for status, _, _ in found} == {503}
    assert all(1.95 < seconds < 2.5 * env.PATIENCE for _, _, seconds in found)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(numbered.ask, f"m{number}") for number in range(8)]
        time.sleep(0.3)
        release(client, gates)
        assert {future.result()[0] for future in futures} == {200}
    assert [numbered.executions(f"m{number}") for number in range(8)] == [1] * 8
    assert [numbered.executions(f"n{number}") for number in range(8)] == [0] * 8


@pytest.mark.compat("OPT-queue-timeout", "FAIL-queue-timeout")
def test_queue_timeout(launch_once):
    server = launch_once("daemon", daemon="processes=1 threads=1 queue-timeout=1", config=CROWD)
    numbered = Numbered(server)
    client, _, gates = occupy(server, "gates")
    server.expect(TOO_OLD, "longer than queue-timeout", count=3)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        old = [pool.submit(numbered.ask, f"old{number}") for number in range(3)]
        time.sleep(1.3)
        young = pool.submit(numbered.ask, "young")
        time.sleep(0.1)
        release(client, gates)
        assert [future.result()[0] for future in old] == [504] * 3
        assert young.result()[0] == 200
    assert [numbered.executions(f"old{number}") for number in range(3)] == [0] * 3
    assert numbered.executions("young") == 1


# ---- taken back


def test_the_children_share_few_connections(launch_once):
    """Two children and one thread: the connection goes back and forth, and nothing is lost."""
    server = launch_for_crowd(launch_once, "processes=1 threads=1")
    numbered = Numbered(server)
    found = parallel(lambda number: numbered.ask(f"n{number}"), range(300), 24)
    assert {status for status, _, _ in found} == {200}
    assert [numbered.executions(f"n{number}") for number in range(300)] == [1] * 300


def test_a_worker_that_ends_gives_its_connections_up(launch_once):
    """SIGTERM to an idle worker, again and again, while clients come: none sees it."""
    server = launch_once("daemon", daemon="processes=2 threads=4")
    numbered = Numbered(server)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(numbered.ask, f"n{number}", 0.01) for number in range(400)]
        for _ in range(6):
            time.sleep(0.1)
            os.kill(wait_until(server.workers, "a worker")[0], signal.SIGTERM)
        assert {future.result()[0] for future in futures} == {200}
    assert [numbered.executions(f"n{number}") for number in range(400)] == [1] * 400
