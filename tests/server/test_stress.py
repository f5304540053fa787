"""Many at once, again and again: every answer is the right one, each interpreter is made once, a
changed script is never served old, and clients that go away leave nothing behind."""

import re
import socket
import struct
import threading
import time

import env
import processes
import pytest
from processes import wait_until

pytestmark = pytest.mark.big

KIB = 1024


class Crew:
    """Threads that do the same until it gives False or they are told to stop; what they raise
    fails the test."""

    def __init__(self, count, task):
        self.stopping = threading.Event()
        self.failures, self.done = [], 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._work, args=(number, task), daemon=True)
                        for number in range(count)]

    def _work(self, number, task):
        try:
            while not self.stopping.is_set() and task(number) is not False:
                with self.lock:
                    self.done += 1
        except BaseException as error:
            self.failures.append(f"{type(error).__name__}: {error}"[:500])
            self.stopping.set()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, *exc_info):
        self.stopping.set()
        self.join()

    def join(self, timeout=120):
        deadline = time.monotonic() + timeout * env.PATIENCE
        for thread in self.threads:
            thread.join(max(0, deadline - time.monotonic()))
        assert not any(thread.is_alive() for thread in self.threads), "a client hangs"
        assert self.failures == []


# ---- 128 clients, 20 interpreters, one child

GROUPS, CLIENTS, ROUNDS = 20, 128, 24
KINDS = ("plain", "raise", "file", "stream", "late")

MIXED = '''
import io
import mod_wsgi

FIELDS = [("Content-Type", "text/plain")]

def stream(text):
    for number in range(20):
        yield f"{number} {text}\\n".encode()

def late(text):
    yield text.encode()
    raise ZeroDivisionError("late on purpose")

def application(environ, start_response):
    kind = environ["PATH_INFO"].strip("/")
    text = f"{mod_wsgi.application_group} {environ['QUERY_STRING']}"
    if kind == "raise":
        raise ZeroDivisionError("on purpose")
    start_response("200 OK", FIELDS)
    if kind == "file":
        return environ["wsgi.file_wrapper"](open(environ["FILE"], "rb"))
    if kind == "stream":
        return stream(text)
    return late(text) if kind == "late" else [text.encode()]
'''

FILE = b"0123456789abcdef" * 4096


def ask_mixed(server, client, step):
    """One request of one kind; asserts its answer and returns the kind."""
    kind = KINDS[(client + step) % len(KINDS)]
    group, token = f"g{(client * 7 + step) % GROUPS}", f"{client}-{step}"
    with server.raw(60 * env.PATIENCE) as raw:
        raw.request(f"GET /{group}/{kind}?{token}", "Connection: close")
        head, _, body = raw.read_to_end().partition(b"\r\n\r\n")
    status, text = int(head.split()[1]), f"{group} {token}"
    if kind == "raise":
        assert status == 500
    elif kind == "late":  # cut: the last chunk is missing
        assert (status, body) == (200, f"{len(text):x}\r\n{text}\r\n".encode())
    else:
        assert (status, unchunk(head, body)) == (200, {
            "plain": text.encode(), "file": FILE,
            "stream": "".join(f"{number} {text}\n" for number in range(20)).encode()}[kind])
    return kind


def unchunk(head, body):
    if b"chunked" not in head.lower():
        return body
    parts = []
    while True:
        size, _, body = body.partition(b"\r\n")
        if int(size, 16) == 0:
            return b"".join(parts)
        parts.append(body[:int(size, 16)])
        body = body[int(size, 16) + 2:]


@pytest.mark.skipif(env.MPM == "prefork", reason="one child of prefork has one thread")
def test_many_clients_in_many_interpreters(launch_once, mode):
    aliases = "".join(f'WSGIScriptAlias /g{number} "${{scripts}}/mixed.py" '
                      f"application-group=g{number}\n" for number in range(GROUPS))
    server = launch_once(mode, single_child=True, daemon="threads=32", modules=("env",),
                         config=f'{aliases}SetEnv FILE "${{scripts}}/file"\nListenBacklog 511\n')
    server.script("mixed.py", MIXED)
    (server.directory / "scripts" / "file").write_bytes(FILE)
    server.tolerate("AH00484|AH00286")  # MaxRequestWorkers is reached, as it must be here
    told = []

    def task(client):
        for step in range(ROUNDS):
            told.append(ask_mixed(server, client, step))
        return False

    with Crew(CLIENTS, task) as crew:
        crew.join()
    assert len(told) == CLIENTS * ROUNDS
    raised = told.count("raise") + told.count("late")
    server.expect("WSGI0174", count=raised)
    server.expect_output("ZeroDivisionError: (late )?on purpose$", count=raised)
    server.check()
    created = re.findall(r'interpreter "(g\d+)" created', server.log.text())
    assert sorted(created) == sorted(f"g{number}" for number in range(GROUPS))
    server.stop()


# ---- reloads

# The blob makes a version that stays in memory visible there.
VERSIONED = '''
import gc, os, sys, types

version = {version}
blob = os.urandom(65536)

def live_modules():
    gc.collect()
    return sum(isinstance(each, types.ModuleType) and each.__name__ == __name__
               for each in gc.get_objects())

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["QUERY_STRING"] == "modules":
        return [str(live_modules()).encode()]
    return [f"{{version}} {{os.getpid()}}".encode()]
'''


def write_version(server, version):
    return server.script("versioned.py", VERSIONED.format(version=version),
                         mtime=1_700_000_000 + version)


class Reloader:
    """Writes versions while clients ask; nobody may see one older than was there when he began."""

    def __init__(self, server):
        self.server, self.written, self.seen = server, 0, 0
        self.url = write_version(server, 0)

    def ask(self, _=None):
        begun = self.written
        reply = self.server.get(self.url, timeout=60 * env.PATIENCE)
        assert reply.status == 200, (reply.status, reply.body)
        version, pid = map(int, reply.body.split())
        assert begun <= version <= self.written + 1, (begun, version, self.written)
        return version, pid

    def go_to(self, last):
        """Writes version after version; each is served before the next is written."""
        while self.written < last:
            write_version(self.server, self.written + 1)
            self.written += 1
            assert self.ask()[0] == self.written

    def live_modules(self):
        return int(self.server.get(f"{self.url}?modules").body)


GROWTH_KIB = 8192 * (4 if env.IS_SANITIZED else 1)


@pytest.mark.skipif(env.MPM == "prefork", reason="one child of prefork serves one client")
def test_a_thousand_reloads_in_place(launch_once):
    """A version that stayed would cost 64 KiB at least: 50 MiB in 800 reloads."""
    server = launch_once("embedded", single_child=True)
    reloader = Reloader(server)
    with Crew(8, reloader.ask) as crew:
        reloader.go_to(200)
        _, pid = reloader.ask()
        before = processes.own_pss_kib(pid)
        reloader.go_to(1000)
        after = processes.own_pss_kib(pid)
        assert crew.done > 500
    assert reloader.ask() == (1000, pid)
    assert reloader.live_modules() == 1
    print(f"PSS after 200 reloads {before} KiB, after 1,000 {after} KiB")
    assert after - before < GROWTH_KIB
    # Nobody may have asked before the first change.
    assert server.log.text().count("has changed and is loaded again") >= 999


def test_a_hundred_touches_of_a_process_group(launch_once):
    server = launch_once("daemon", daemon="processes=2 threads=4")
    reloader = Reloader(server)
    pids = set()
    with Crew(8, reloader.ask):
        for version in range(1, 101):
            reloader.go_to(version)
            pids.add(reloader.ask()[1])
    assert len(pids) >= 100
    wait_until(lambda: len(server.workers()) == 2, "two workers", 20 * env.PATIENCE)


# ---- clients that go away

PATIENT = '''
def application(environ, start_response):
    try:
        while environ["wsgi.input"].read(8192):
            pass
    except OSError:
        pass
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (b"x" * 65536 for _ in range(int(environ["QUERY_STRING"])))
'''


def before_anything(client, url):
    pass


def in_the_head(client, url):
    client.send(f"POST {url}?1 HTTP/1.1\r\nHost: local")


def before_the_body(client, url):
    client.request(f"POST {url}?1", "Content-Length: 100000")


def in_the_body(client, url):
    client.request(f"POST {url}?1", "Content-Length: 100000")
    client.send(b"x" * 30000)


def before_the_answer(client, url):
    client.request(f"POST {url}?200", "Content-Length: 10")
    client.send(b"x" * 10)


def in_the_answer(client, url):
    client.request(f"GET {url}?200")
    client.read_exactly(100000)


def between_requests(client, url):
    client.request(f"GET {url}?1")
    client.read_exactly(65536)


POINTS = (before_anything, in_the_head, before_the_body, in_the_body, before_the_answer,
          in_the_answer, between_requests)


def go_away(server, url, number):
    """Every other time by a reset instead of an orderly end."""
    client = server.raw(30 * env.PATIENCE)
    if number // len(POINTS) % 2:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        POINTS[number % len(POINTS)](client, url)
    finally:
        client.close()


def resources(server):
    """Descriptors and threads of each process of the family."""
    return {pid: (sum(processes.descriptors(pid).values()), processes.threads(pid))
            for pid in server.family()}


def settled_resources(server):
    since, last = time.monotonic(), None

    def is_stable():
        nonlocal since, last
        now = resources(server)
        if now != last:
            since, last = time.monotonic(), now
        return time.monotonic() - since > 3

    wait_until(is_stable, "descriptors and threads stop changing", 40 * env.PATIENCE)
    return last


def occupy_all_threads(server, count):
    """Threads that start on demand are there afterwards."""
    def task(_):
        server.get("/consume?0.2", timeout=60 * env.PATIENCE)
        return False

    with Crew(count, task) as crew:
        crew.join()


def test_clients_that_go_away_leave_nothing(launch_once, mode):
    server = launch_once(mode, single_child=env.MPM != "prefork", timeout_s=10)
    url = server.script("patient.py", PATIENT)
    for number in range(2 * len(POINTS)):
        go_away(server, url, number)
    occupy_all_threads(server, 32)
    before = settled_resources(server)

    def task(client):
        for number in range(125):
            go_away(server, url, number + client)
        return False

    with Crew(4, task) as crew:
        crew.join()
    assert server.get("/hello").body == b"Hello world\n"
    after = settled_resources(server)
    if env.MPM == "prefork":
        after = {pid: after[pid] for pid in after if pid in before}
        before = {pid: before[pid] for pid in after}
    grown = {f"{pid} {processes.program(pid)}": (before.get(pid), found)
             for pid, found in after.items()
             if pid not in before or found[0] > before[pid][0] or found[1] > before[pid][1]}
    assert grown == {}, "(descriptors, threads) before and after"
