"""Restarts of every kind under load: no request is lost, none runs twice, and clients see no more
closed connections than those of a static file in the same httpd."""

import http.client
import itertools
import os
import signal
import threading
import time
from collections import Counter

import env
import pytest
from processes import wait_until

CLIENTS = 50
PAUSE = 0.15  # of a client between two requests

SCRIPT = '''
import os, time
journal = os.open(f"NOTES/journal-{os.getpid()}", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)

def application(environ, start_response):
    number = environ["QUERY_STRING"]
    os.write(journal, f"{number}\\n".encode())
    if int(number) % 8 == 0:  # these are under way when something is done to their worker
        time.sleep(int(number) // 8 % 5 * 0.1)
    start_response("200 OK", [("Content-Type", "text/plain"),
                              ("Content-Length", str(len(number)))])
    return [number.encode()]
'''


class Client(threading.Thread):
    """Asks for numbers over one kept connection, until it is told to end. A connection that was
    used before and ends before any byte of an answer is no failure: the request is sent once more.
    """

    def __init__(self, port, path, numbers, is_echo):
        super().__init__(daemon=True)
        self.port, self.path, self.numbers, self.is_echo = port, path, numbers, is_echo
        self.is_ending = threading.Event()
        self.answered, self.failures, self.closed = [], [], 0
        self.connection, self.is_used = None, False

    def run(self):
        while not self.is_ending.is_set():
            number = next(self.numbers)
            try:
                self._ask_with_one_retry(number)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failures.append(f"{number}: {type(error).__name__} {error}")
                self._close()
            time.sleep(PAUSE)
        self._close()

    def _close(self):
        if self.connection:
            self.connection.close()
        self.connection, self.is_used = None, False

    def _ask_with_one_retry(self, number):
        try:
            self._ask(number)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            if not self.is_used:
                raise
            self.closed += 1
            self._close()
            self._ask(number)

    def _ask(self, number):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                         timeout=30 * env.PATIENCE)
        self.connection.request("GET", f"{self.path}?{number}")
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, f"status {answer.status}"
        assert not self.is_echo or body == str(number).encode(), f"body {body[:40]!r}"
        self.is_used = not answer.will_close
        if answer.will_close:
            self._close()
        self.answered.append(number)


def touch(server, step):
    server.script("journal.py", SCRIPT.replace("NOTES", str(server.directory / "notes")),
                  mtime=1_700_000_000 + step)


def graceful(server, step):
    server.signal(signal.SIGUSR1)


def recycle(server, step):
    for pid in server.workers()[:1]:
        try:
            os.kill(pid, signal.SIGUSR1)
        except ProcessLookupError:
            pass  # it was on its way out


def journal(server):
    numbers = Counter()
    for path in (server.directory / "notes").glob("journal-*"):
        numbers.update(int(line) for line in path.read_text().split())
    return numbers


def summary(clients):
    return (sum(len(client.answered) for client in clients),
            sum(client.closed for client in clients),
            [failure for client in clients for failure in client.failures])


@pytest.mark.big
@pytest.mark.skipif(env.MPM == "prefork", reason="its children are fewer than the clients")
@pytest.mark.parametrize("processes_option, seconds, period", [
    ("processes=2", 60, 5),
    ("", 10, 2),
])
def test_no_request_is_lost(launch_once, processes_option, seconds, period):
    server = launch_once("daemon", daemon=f"{processes_option} threads=10", start=False,
                         config='Alias /static "${root}/notes/static"', modules=["alias"])
    server.tolerate("AH00484|AH00286")  # MaxRequestWorkers is reached while children of before end
    server.note("static").write_text("a static file\n")
    server.note("static").chmod(0o644)
    touch(server, 0)
    server.start()
    numbers = itertools.count()
    ours = [Client(server.port, "/scripts/journal.py", numbers, True) for _ in range(CLIENTS)]
    static = [Client(server.port, "/static", itertools.count(), False) for _ in range(CLIENTS)]
    for client in ours + static:
        client.start()
    deeds = itertools.cycle([touch, graceful, recycle])
    for step in range(1, seconds // period + 1):
        time.sleep(period)
        next(deeds)(server, step)
    time.sleep(period)
    for client in ours + static:
        client.is_ending.set()
    for client in ours + static:
        client.join(60 * env.PATIENCE)
        assert not client.is_alive(), "a client hangs"
    answered, closed, failures = summary(ours)
    static_answered, static_closed, static_failures = summary(static)
    print(f"answered {answered}, closed {closed}; static {static_answered}, {static_closed}")
    assert failures == []
    assert static_failures == []
    wait_until(lambda: sum(journal(server).values()) >= answered, "the journals are written")
    executed = journal(server)
    assert [number for number, count in executed.items() if count > 1] == [], "ran twice"
    missing = {number for client in ours for number in client.answered} - set(executed)
    assert missing == set(), "answered, and not in a journal"
    assert answered > 1000
    assert closed <= max(1.2 * static_closed, 3), static_closed  # as many clients, for as long
