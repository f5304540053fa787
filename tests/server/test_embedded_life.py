"""What applications do to the process that they share: they fork, leave threads and exit functions
behind, crash it; and what httpd does to it: it replaces children and restarts."""

import http.client
import os
import re
import sys
import signal
import threading
import time

import env
import processes
import pytest
from processes import wait_until

MAIN_ONLY = "WSGIApplicationGroup %{GLOBAL}\n"

# ---- forks

FORKS = '''
import os, signal, sys, time

def child(how, start_response):
    if how == "exit":
        os._exit(7)
    if how == "sys.exit":
        sys.exit(7)
    if how == "raise":
        raise ZeroDivisionError("in the child")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the child answers"]

def wait_for(pid):
    end = time.monotonic() + 5
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return "hangs"

def application(environ, start_response):
    how, note = environ["QUERY_STRING"].split("&")
    pid = os.fork()
    if pid == 0:
        return child(how, start_response)
    with open(note, "w") as file:
        file.write(str(pid))
    status = wait_for(pid)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"the parent answers {status}".encode()]
'''


@pytest.fixture
def forking(launch_once, mode):
    """A server of one interpreter, and what is left of its application's forks is ended."""
    server = launch_once(mode, single_child=env.MPM != "prefork", config=MAIN_ONLY)
    yield server
    for note in (server.directory / "notes").glob("fork-*"):
        for pid in note.read_text().split():
            if processes.is_alive(int(pid)):
                os.kill(int(pid), signal.SIGKILL)


def family_without_growth(server):
    """Prefork starts children as it needs them."""
    return set(server.family()) - (set(server.httpd_children()) if env.MPM == "prefork" else set())


def fork(server, how):
    """The answer to a request that forks; the family is as before."""
    url = server.script("forks.py", FORKS)
    assert server.get("/hello").status == 200
    before = family_without_growth(server)
    with server.raw() as client:
        client.request(f"GET {url}?{how}&{server.note('fork-' + how)}", "Connection: close")
        answer = client.read_to_end()
    assert answer.count(b"HTTP/1.1 ") == 1
    assert server.get("/hello").body == b"Hello world\n"
    wait_until(lambda: family_without_growth(server) == before, "the family is as before", 5)
    return answer.partition(b"\r\n\r\n")[2].decode()


@pytest.mark.parametrize("how, status", [("exit", 7), ("kill", -9)])
def test_fork_that_ends_at_once(forking, how, status):
    assert fork(forking, how) == f"the parent answers {status}"
    forking.stop()


@pytest.mark.parametrize("how, status", [("sys.exit", 7), ("raise", 1), ("return", 0)])
def test_fork_that_comes_back(forking, how, status):
    """The child runs into the server's own code. It must end there: without an answer of its own,
    and without the server's clean-up."""
    forking.tolerate("WSGI0174")
    if how == "raise":
        forking.expect_output("ZeroDivisionError: in the child", count=1)
    assert fork(forking, how) == f"the parent answers {status}"
    forking.stop()


# Python up to 3.11 at least ends a child that is forked in another interpreter than the main one.
FATAL = (r"^Fatal Python error: _PyInterpreterState_DeleteExceptMain|^Python runtime state|"
         r"^Current thread|^  File |^  <no Python frame>|^Extension modules|^$")


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_fork_in_another_interpreter(launch_once, mode, how):
    """Whatever becomes of the child, the request is answered and the server goes on and stops."""
    server = launch_once(mode, single_child=env.MPM != "prefork")
    server.log.expect_output(FATAL, count=None)
    server.expect("WSGI1105", "os.fork.*sub-interpreter")
    url = server.script("forks.py", FORKS)
    answer = server.get(f"{url}?{how}&{server.note('fork')}").body.decode()
    assert re.fullmatch(r"the parent answers -?[1-9]\d*", answer)
    assert not processes.is_alive(int(server.note("fork").read_text()))
    assert server.get("/hello").body == b"Hello world\n"
    server.stop()


KILLED_FORK = '''
import os, signal

def application(environ, start_response):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.kill(pid, signal.SIGKILL)  # it may hang before it comes back from fork()
    os.waitpid(pid, 0)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the parent answers"]
'''


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python 3.11 and earlier")
def test_fork_in_the_main_interpreter_beside_others_is_warned_of_once(launch_once, mode):
    server = launch_once(mode, single_child=True, config="""
WSGIScriptAlias /forking "${scripts}/forks.py" application-group=%{GLOBAL}
""")
    server.script("forks.py", KILLED_FORK)
    assert server.get("/forking").body == b"the parent answers", "alone in the process"
    server.check()
    assert server.get("/hello").status == 200, "another interpreter"
    server.expect("WSGI1105", "hangs.*subprocess", count=1 if env.MPM != "prefork" else None)
    for _ in range(3):
        assert server.get("/forking").body == b"the parent answers"


STAYING_FORK = '''
import os, signal, time

def application(environ, start_response):
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(pid).encode()]
'''


def test_a_fork_that_stays_keeps_no_process_group_alive(launch_once):
    server = launch_once("embedded", single_child=True, config=MAIN_ONLY + """
WSGIDaemonProcess beside
WSGIScriptAlias /beside "${apps}/hello.py" process-group=beside
""")
    assert server.get("/beside").status == 200
    before = server.supervisors()
    pid = int(server.get(server.script("staying.py", STAYING_FORK)).body)
    try:
        server.signal(signal.SIGUSR1)
        wait_until(lambda: not any(map(processes.is_alive, before)), "the old group has ended",
                   20 * env.PATIENCE)
        assert processes.is_alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


FORK_AT_IMPORT = '''
import multiprocessing, time
process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True)
process.start()

def application(environ, start_response):
    process.terminate()
    process.join(10)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(process.exitcode).encode()]
'''


def test_a_fork_while_a_script_is_imported(launch_once):
    server = launch_once("daemon", start=False, config="""
WSGIImportScript "${scripts}/forking.py" process-group=tests application-group=%{GLOBAL}
WSGIScriptAlias /forking "${scripts}/forking.py" application-group=%{GLOBAL}
""")
    server.script("forking.py", FORK_AT_IMPORT)
    server.start()
    assert server.get("/forking").body == b"-15"
    server.stop()


PROCESSES = '''
import multiprocessing, os, subprocess, time

def run():
    done = subprocess.run(["/bin/echo", "from a process"], stdout=subprocess.PIPE, timeout=10)
    return done.stdout.decode().strip()

def hook():
    done = subprocess.run(["/bin/echo", "from a process"], stdout=subprocess.PIPE, timeout=10,
                          preexec_fn=lambda: os.umask(0o77))
    return done.stdout.decode().strip()

def system():
    return "from a process" if os.system("exit 3") == 3 << 8 else "?"

def terminate():
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        process.terminate()
        try:
            return str(process.wait(5))
        except subprocess.TimeoutExpired:
            process.kill()
            return "does not heed SIGTERM"

def work(queue, number):
    queue.put(number * number)

def multiprocess():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    workers = [context.Process(target=work, args=(queue, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(10)
    codes = [worker.exitcode for worker in workers]
    return f"{sorted(queue.get() for _ in workers)} {codes}"

def application(environ, start_response):
    body = globals()[environ["QUERY_STRING"]]().encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
'''


@pytest.mark.parametrize("what, expected", [
    ("run", "from a process"), ("hook", "from a process"), ("system", "from a process"),
    ("multiprocess", "[0, 1, 4] [0, 0, 0]"),
])
def test_processes_of_the_main_interpreter(forking, what, expected):
    url = forking.script("processes.py", PROCESSES)
    assert forking.get(f"{url}?{what}").body.decode() == expected
    assert forking.get("/hello").status == 200
    forking.stop()


@pytest.mark.parametrize("what", ["run", "system"])
def test_processes_of_other_interpreters(launch_once, mode, what):
    server = launch_once(mode)
    url = server.script("processes.py", PROCESSES)
    assert server.get(f"{url}?{what}").body == b"from a process"
    server.stop()


def test_sigterm_ends_a_process_of_the_application(forking, mode, request):
    if mode == "embedded" and env.MPM != "prefork":
        request.applymarker(pytest.mark.xfail(strict=True, reason="httpd's threads block all "
                                              "signals, and what they start inherits that"))
    url = forking.script("processes.py", PROCESSES)
    assert forking.get(f"{url}?terminate").body == b"-15"


# ---- the end of the process

ENDING = '''
import atexit, os, threading, time

def tell(path, text):
    with open(path, "a") as file:
        file.write(text + "\\n")

def work(path, seconds):
    time.sleep(seconds)
    tell(path, "thread")

def forever():
    while True:
        time.sleep(0.01)

# Told, since a thread of the server is a daemon to Python, and what it starts inherits that.
def application(environ, start_response):
    path, kind = environ["QUERY_STRING"].split("&")
    atexit.register(tell, path, "atexit")
    if kind in ("worker", "both"):
        threading.Thread(target=work, args=(path, 0.7), daemon=False).start()
    if kind in ("daemon", "both"):
        threading.Thread(target=forever, daemon=True).start()
    if kind == "endless":
        threading.Thread(target=forever, daemon=False).start()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
'''


@pytest.fixture(params=["main", "other"])
def ending(request, launch_once, mode):
    config = MAIN_ONLY if request.param == "main" else ""
    return launch_once(mode, config=config)


def end_with(server, kind):
    """Stops a server whose application left `kind` behind; what it noted, and the seconds."""
    url = server.script("ending.py", ENDING)
    assert server.get(f"{url}?{server.note('ending')}&{kind}").status == 200
    begun = time.monotonic()
    server.stop()
    note = server.note("ending")
    return note.read_text().split() if note.exists() else [], time.monotonic() - begun


@pytest.mark.parametrize("kind, noted", [
    ("nothing", ["atexit"]),
    ("daemon", ["atexit"]),
    ("worker", ["thread", "atexit"]),
    ("both", ["thread", "atexit"]),
])
def test_threads_and_exit_functions_at_the_end(ending, kind, noted):
    """Threads that are no daemons are waited for, then the exit functions run, once."""
    found, seconds = end_with(ending, kind)
    assert found == noted
    assert seconds < 5 * env.PATIENCE


@pytest.mark.big
def test_endless_thread_does_not_hold_the_end_up(ending):
    ending.tolerate("AH0004[56]|WSGI1402")
    found, seconds = end_with(ending, "endless")
    assert found == []
    assert seconds < 18 * env.PATIENCE


# ---- children that httpd replaces

class Clients:
    """Threads that ask all the time; whatever is not the expected answer is kept."""

    def __init__(self, server, count, ask):
        self.server, self.ask = server, ask
        self.wrong, self.count, self.stopping = [], 0, threading.Event()
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]

    def _work(self):
        while not self.stopping.is_set():
            try:
                self.ask(self.server)
            except Exception as error:
                self.wrong.append(f"{type(error).__name__}: {error}"[:300])
            self.count += 1

    def wait_for(self, more):
        seen = self.count
        wait_until(lambda: self.count >= seen + more, "clients are answered", 30 * env.PATIENCE)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60 * env.PATIENCE)


def ask_once(server):
    reply = server.get("/hello", timeout=30 * env.PATIENCE)
    assert (reply.status, reply.body) == (200, b"Hello world\n")


def ask_by_keep_alive(server):
    """Ten requests by one connection. httpd may close it between two, which is no loss: then the
    request is sent by another. What has begun to be answered is answered to its end."""
    with server.keep_alive(30 * env.PATIENCE) as session:
        for number in range(10):
            is_fresh = session.local_port is None
            try:
                reply = session.get("/response/many-announced?chunks=4")
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                assert not is_fresh, "a fresh connection was closed without an answer"
                session.close()
                continue
            assert (reply.status, len(reply.body)) == (200, 4 * 65536), number


def ask_for_a_stream(server):
    with server.raw(30 * env.PATIENCE) as raw:
        raw.request("GET /response/many?chunks=8", "Connection: close")
        assert raw.read_head()[0] == 200
        for _ in range(8):
            raw.read_chunk()
        assert raw.read_chunk() == b""


def ask_all_ways(server):
    ask_once(server)
    ask_by_keep_alive(server)
    ask_for_a_stream(server)


@pytest.mark.big
def test_graceful_under_load_loses_nothing(launch_once, mode):
    server = launch_once(mode)
    ask_all_ways(server)
    with Clients(server, 4, ask_all_ways) as clients:
        for _ in range(4):
            before = set(server.httpd_children())
            server.restart("graceful")
            clients.wait_for(8)
            assert not before & set(server.httpd_children())
    assert clients.wrong == []
    server.stop()


def test_children_of_few_connections(launch_once, mode):
    """Each child ends in order after 20 connections, with Python's end in it."""
    server = launch_once(mode, config="MaxConnectionsPerChild 20")
    server.tolerate("AH03490")  # all places of ServerLimit are taken by children that end
    url = server.script("ending.py", ENDING)
    note = server.note("ending")
    first = server.get(f"{url}?{note}&nothing").body
    children = set()

    def ask(server):
        ask_once(server)
        children.update(server.httpd_children())

    with Clients(server, 3, ask) as clients:
        wait_until(lambda: len(children) >= 5, "children are replaced", 40 * env.PATIENCE)
        clients.wait_for(10)
    assert clients.wrong == []
    if mode == "embedded":
        wait_until(note.exists, "the child of the first request has ended", 20 * env.PATIENCE)
        assert note.read_text() == "atexit\n"
        assert int(first) not in server.httpd_children()
    else:
        assert (note.exists(), server.workers()) == (False, [int(first)])
    server.stop()


def ask_unless_the_child_dies(server):
    try:
        ask_once(server)
    except (http.client.RemoteDisconnected, ConnectionError, http.client.IncompleteRead):
        pass  # it was in that child


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_child_is_replaced(launch_once, number):
    server = launch_once("embedded")
    if number != signal.SIGKILL:  # which httpd takes for an order
        server.expect("AH0005[12]", "exit signal", count=3)
    ask_once(server)
    with Clients(server, 4, ask_unless_the_child_dies) as clients:
        for _ in range(3):
            victim = server.httpd_children()[0]
            os.kill(victim, number)
            wait_until(lambda: not processes.is_alive(victim), "it has ended", 5)
            clients.wait_for(20)
    assert clients.wrong == []
    for _ in range(5):
        ask_once(server)
    server.stop()


def test_an_application_that_crashes_its_child(launch_once):
    """The one who asked sees the end of the connection; the next is served."""
    server = launch_once("embedded", single_child=True)
    server.expect("AH0005[12]", "Segmentation fault")
    before = server.httpd_children()
    with server.raw() as client:
        client.request("GET /faults/crashes")
        assert client.read_to_end() == b""
    wait_until(lambda: server.httpd_children() not in ([], before), "another child",
               20 * env.PATIENCE)
    ask_once(server)
    server.stop()
