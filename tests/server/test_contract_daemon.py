"""Daemon mode: ends of workers, what a service group is spared, and requests that cannot be carried."""

import os
import signal
import time
from pathlib import Path

import env
import processes
import pytest
from processes import wait_until
from recycling import ANSWER, ask, expect_end, handed_over, write

KILLED = "WSGI1402"
NO_ANSWER = "WSGI0146"
DIED = "WSGI1409"
ONE_INTERPRETER = "WSGIApplicationGroup %{GLOBAL}\n"

GATED = '''
def application(environ, start_response):
    name = environ["QUERY_STRING"]
    if name:
        tell(name, f"{os.getpid()} {environ['mod_wsgi.thread_id']}")
    while name and not os.path.exists(f"NOTES/{name}-gate"):
        time.sleep(0.01)
    start_response("200 OK", [])
    return [f"{os.getpid()} {environ['mod_wsgi.thread_id']}".encode()]
'''


class Gated:
    """A request that stays in the middle until it is let go; who serves it is known."""

    def __init__(self, server, name="gated"):
        self.server, self.name = server, name
        self.url = write(server, "gated", GATED.replace("NOTES", str(server.directory / "notes")),
                         mtime=1_700_000_000)
        self.client = server.raw(60 * env.PATIENCE)
        self.client.request(f"GET {self.url}?{name}", "Connection: close")
        self.pid, self.thread = map(int, server.wait_for_note(name).split())

    def let_go(self):
        self.server.note(f"{self.name}-gate").touch()
        return self.status()

    def status(self):
        status = self.client.read_head()[0]
        self.client.read_to_end()
        self.client.close()
        return status


def launch_group(launch_once, daemon, config="", **options):
    return launch_once("daemon", daemon=daemon, config=ONE_INTERPRETER + config, **options)


# ---- ends

@pytest.mark.compat("LIFE-term")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_told_to_end_takes_no_more_and_finishes_what_runs(launch_once, number):
    server = launch_group(launch_once, "processes=2 threads=4 shutdown-timeout=60")
    gated = Gated(server)
    os.kill(gated.pid, number)
    assert server.wait_for_note(f"end-{gated.pid}"), "told with a request inside"
    url = write(server, "app")
    assert gated.pid not in {ask(server, url) for _ in range(12)}
    assert processes.is_alive(gated.pid)
    assert gated.let_go() == 200
    expect_end(server, gated.pid, "shutdown_signal")


@pytest.mark.compat("LIFE-term", "OPT-shutdown-timeout")
def test_shutdown_timeout_is_five_seconds(launch_once):
    server = launch_group(launch_once, "threads=2")
    server.expect(KILLED, "shutdown-timeout=5")
    server.expect(NO_ANSWER)
    gated = Gated(server)
    began = time.monotonic()
    os.kill(gated.pid, signal.SIGTERM)
    assert gated.status() == 502
    assert 4.8 < time.monotonic() - began < 7 * env.PATIENCE


@pytest.mark.compat("OPT-shutdown-timeout")
def test_shutdown_timeout_0_is_no_limit(launch_once):
    """Six seconds: longer than the default, and than any timer of ours."""
    server = launch_group(launch_once, "threads=2 shutdown-timeout=0")
    gated = Gated(server)
    os.kill(gated.pid, signal.SIGTERM)
    assert server.wait_for_note(f"end-{gated.pid}")
    time.sleep(6)
    assert gated.let_go() == 200
    expect_end(server, gated.pid, "shutdown_signal")


@pytest.mark.compat("OPT-eviction-timeout")
@pytest.mark.parametrize("options, reason", [
    ("eviction-timeout=1 graceful-timeout=600", "eviction_signal"),
    ("eviction-timeout=0 graceful-timeout=1", "graceful_signal"),
    ("graceful-timeout=1", "graceful_signal"),
])
def test_eviction_timeout(launch_once, options, reason):
    server = launch_group(launch_once, f"threads=2 shutdown-timeout=60 {options}")
    gated = Gated(server)
    began = time.monotonic()
    os.kill(gated.pid, signal.SIGUSR1)
    server.wait_for_note(f"end-{gated.pid}")
    assert time.monotonic() - began > 0.9
    assert gated.let_go() == 200
    expect_end(server, gated.pid, reason)


@pytest.mark.compat("OPT-graceful-timeout", "OPT-deadlock-timeout")
def test_times_of_a_group_that_sets_none(launch_once):
    """Too long to be waited for: as its supervisor was given them."""
    server = launch_once("daemon")
    wait_until(server.workers, "a worker")
    found = handed_over(server)
    times = {name: seconds for name, seconds in found.items() if name.endswith("_timeout_s")}
    assert {name: seconds for name, seconds in times.items() if seconds} == {
        "shutdown_timeout_s": 5, "graceful_timeout_s": 15, "deadlock_timeout_s": 300,
        "connect_timeout_s": 15, "socket_timeout_s": server.timeout_s}
    assert found["maximum_requests"] == found["restart_interval_s"] == 0
    assert found["cpu_time_limit_s"] == 0


@pytest.mark.compat("OPT-graceful-timeout", "OPT-timeouts-alone")
def test_eviction_timeout_is_for_sigusr1_only(launch_once):
    server = launch_group(launch_once, "threads=2 shutdown-timeout=60 deadlock-timeout=0 "
                                       "maximum-requests=1 eviction-timeout=600 graceful-timeout=1")
    gated = Gated(server)
    ask(server, write(server, "app"))
    server.wait_for_note(f"end-{gated.pid}")
    assert gated.let_go() == 200
    expect_end(server, gated.pid, "maximum_requests")


@pytest.mark.compat("LIFE-dead-requests")
def test_a_stuck_request_is_not_waited_for(launch_once):
    """Neither for graceful-timeout, nor where another request ends first."""
    server = launch_group(launch_once, "threads=2 request-timeout=1 interrupt-timeout=1 "
                                       "graceful-timeout=600 shutdown-timeout=1")
    url = write(server, "stuck", '''
def application(environ, start_response):
    tell("stuck", str(os.getpid()))
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
''')
    for message in ("WSGI1413", "WSGI1414", KILLED, NO_ANSWER):
        server.expect(message)
    began = time.monotonic()
    assert server.get(url, timeout=60 * env.PATIENCE).status == 502
    pid = int(server.note("stuck").read_text())
    assert "request_timeout" in server.wait_for_note(f"end-{pid}")
    assert time.monotonic() - began < 10 * env.PATIENCE


ORDERED = '''
import atexit, mod_wsgi, os, time
group = mod_wsgi.application_group or "main"

def note(text):
    with open("NOTES/order", "a") as file:
        file.write(text + "\\n")

def stopping(name, **payload):
    note(f"event {group}")

def at_exit():
    note(f"exit {group}")

mod_wsgi.subscribe_shutdown(stopping)
atexit.register(at_exit)

def application(environ, start_response):
    if environ["QUERY_STRING"]:
        note("inside")
        while not os.path.exists("NOTES/gate"):
            time.sleep(0.01)
        note("request")
    start_response("200 OK", [])
    return [b"%d" % os.getpid()]
'''


@pytest.mark.compat("LIFE-shutdown-order")
def test_order_of_the_end(launch_once):
    server = launch_once("daemon", daemon="threads=4 shutdown-timeout=60", config="""
WSGIScriptAlias /main "${scripts}/ordered.py" application-group=%{GLOBAL}
WSGIScriptAlias /sub "${scripts}/ordered.py" application-group=sub
""")
    server.script("ordered.py", ORDERED.replace("NOTES", str(server.directory / "notes")))
    order = server.note("order")

    def lines():
        return order.read_text().split("\n")[:-1] if order.exists() else []

    pid = ask(server, "/main")
    assert ask(server, "/sub") == pid
    with server.raw(60 * env.PATIENCE) as client:
        client.request("GET /sub?gated", "Connection: close")
        wait_until(lambda: lines() == ["inside"], "it is inside")
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: len(lines()) == 3, "both have heard of the end", 15 * env.PATIENCE)
        server.note("gate").touch()
        assert client.read_head()[0] == 200
    wait_until(lambda: not processes.is_alive(pid), "it has ended", 20 * env.PATIENCE)
    assert sorted(lines()[1:3]) == ["event main", "event sub"]
    assert lines()[3:] == ["request", "exit sub", "exit main"]


# ---- starts

@pytest.mark.compat("LIFE-loop")
def test_a_group_that_fails_at_start_is_started_less_and_less_often(launch_once):
    """At once, then after one second, then after two."""
    server = launch_once("daemon", start=False)
    library = server.directory / "library"
    library.mkdir()
    starts = server.note("starts")
    (library / "sitecustomize.py").write_text(f'''
import os, time
with open({str(starts)!r}, "a") as file:
    file.write(f"{{time.monotonic()}}\\\\n")
os.kill(os.getpid(), 9)
'''.replace("\\\\n", "\\n"))
    server.extra_environment["PYTHONPATH"] = str(library)
    server.expect(DIED, "SIGKILL", count=None)
    server.start()

    def times():
        return [float(line) for line in starts.read_text().split()] if starts.exists() else []

    wait_until(lambda: len(times()) >= 4, "four starts", 20 * env.PATIENCE)
    pauses = [after - before for before, after in zip(times(), times()[1:])]
    assert pauses[1] > 0.9 and pauses[2] > 1.9


# ---- requests that are handed back

WAITING_AT_START = '''
while os.path.exists("NOTES/closed"):
    time.sleep(0.01)
'''


@pytest.mark.compat("RELOAD-daemon-retry", "OPT-connect-timeout-start")
def test_a_changed_script_and_no_worker_within_connect_timeout(launch_once):
    server = launch_group(launch_once, "threads=2 connect-timeout=1", single_child=True, start=False,
                          config='WSGIImportScript "${scripts}/slow.py" process-group=tests '
                                 'application-group=%{GLOBAL}\n')
    write(server, "slow", WAITING_AT_START.replace("NOTES", str(server.directory / "notes")))
    url = write(server, "app", mtime=1_700_000_000)
    server.start()
    first = ask(server, url)
    server.note("closed").touch()
    write(server, "app", mtime=1_700_000_100)
    server.expect("WSGI0116", "within 1 s; its workers are still starting: make the import faster")
    reply = server.get(url)
    assert (reply.status, reply.header("Retry-After")) == (503, "1")
    server.note("closed").unlink()
    wait_until(lambda: f"worker {first} ended" in server.log.text(), "the old one has ended",
               10 * env.PATIENCE)
    server.tolerate("WSGI0116")
    assert wait_until(lambda: server.get(url).status == 200, "the new one", 20 * env.PATIENCE)
    assert ask(server, url) != first


@pytest.mark.compat("RELOAD-daemon-retry")
def test_another_worker_answers_what_was_handed_back(launch_once):
    server = launch_group(launch_once, "processes=1 threads=2", single_child=True)
    first = ask(server, write(server, "app", mtime=1_700_000_000))
    second = ask(server, write(server, "app", mtime=1_700_000_100))
    assert second != first


@pytest.mark.compat("FAIL-restarts")
def test_too_many_workers_in_a_row_give_it_back(launch_once):
    """Each worker touches the script before it loads it and after: whatever the request has seen,
    it is another one."""
    server = launch_group(launch_once, "threads=2", single_child=True, start=False,
                          config="".join(f'WSGIImportScript "${{scripts}}/{name}.py" '
                                         "process-group=tests application-group=%{GLOBAL}\n"
                                         for name in ("before", "restless")))
    url = server.script("restless.py", "import os\nos.utime(__file__)\n" + ANSWER)
    path = server.directory / "scripts" / "restless.py"
    path.chmod(0o666)
    server.script("before.py", f"import os\nos.utime({str(path)!r})\n")
    server.start()
    server.expect("WSGI0116", "3 workers in a row gave the request back")
    assert server.get(url, timeout=60 * env.PATIENCE).status == 503


# ---- requests that cannot be carried

LIMITING = '''
import os, resource

def application(environ, start_response):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    number = os.open('/dev/null', os.O_RDONLY)
    os.close(number)
    if environ["QUERY_STRING"] == "off":
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number + 1, hard))
    start_response("200 OK", [("Content-Length", "0")])
    return []
'''


@pytest.mark.compat("FAIL-socket")
def test_no_descriptor_for_a_socket(launch_once):
    """An embedded application leaves httpd's child one: enough to look for .htaccess, not for a pair."""
    server = launch_once("daemon", single_child=True, config='''
WSGIScriptAlias /limit "${scripts}/limiting.py" process-group=%{GLOBAL}
''')
    server.script("limiting.py", LIMITING)
    server.expect("WSGI1530", "raise the limit of open files")
    with server.keep_alive() as session:
        assert session.get("/limit").status == 200
        assert session.get("/hello").status == 500


@pytest.mark.compat("FAIL-protocol")
def test_an_answer_that_is_none(launch_once):
    """The application writes into the worker's own connections."""
    server = launch_once("daemon", daemon="threads=1 shutdown-timeout=1")
    url = server.script("vandal.py", '''
import os, socket, stat, time

def application(environ, start_response):
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            kind = socket.socket(fileno=os.dup(number))
        except OSError:
            continue
        if kind.family == socket.AF_UNIX and kind.type == socket.SOCK_STREAM:
            kind.send(b"\\xff" * 64)
    start_response("200 OK", [])
    return []
''')
    server.expect("WSGI0148")
    assert server.get(url).status == 502
    assert server.get("/hello").status == 200


# ---- threads and groups

@pytest.mark.compat("LIFE-lifo")
@pytest.mark.skipif(env.MPM == "prefork", reason="a child has one request at a time")
def test_the_thread_that_became_idle_last_serves_next(launch_once):
    server = launch_group(launch_once, "processes=1 threads=3", single_child=True)
    gated = [Gated(server, f"n{number}") for number in range(3)]
    assert len({each.thread for each in gated}) == 3
    tasks = Path(f"/proc/{gated[0].pid}/task")

    def all_sleep():
        """Three looks in a row."""
        looks = []
        for _ in range(3):
            looks += [stat.read_text().rpartition(")")[2].split()[0] for stat in
                      tasks.glob("*/stat")]
            time.sleep(0.02)
        return set(looks) == {"S"}

    order = [gated[1], gated[2], gated[0]]
    for each in order:
        assert each.let_go() == 200
        wait_until(all_sleep, "its thread is idle")
    for _ in range(5):
        reply = server.get(order[-1].url + "?")
        assert int(reply.body.split()[1]) == order[-1].thread
        wait_until(all_sleep, "all are idle")


@pytest.mark.parametrize("options, is_once", [
    pytest.param("threads=1 maximum-requests=1", True, marks=[
        pytest.mark.compat("ENV-run-once-true")]),
    ("threads=1 maximum-requests=2", False),
    ("threads=2 maximum-requests=1", False),
    ("threads=1", False),
])
def test_run_once(launch_once, options, is_once):
    server = launch_once("daemon", daemon=options)
    assert server.get("/environ").json()["wsgi.run_once"] == ["bool", is_once]


SERVICE = '''
import mod_wsgi, os, signal, time

def note(text):
    with open("NOTES/told", "a") as file:
        file.write(f"{os.getpid()} {text}\\n")

def hear(name, **payload):
    note(name)

mod_wsgi.subscribe_shutdown(hear)
mod_wsgi.subscribe_events(hear)
mod_wsgi.subscribe_signals(hear)
signal.signal(signal.SIGHUP, lambda number, frame: note("its own SIGHUP"))
signal.signal(signal.SIGUSR2, lambda number, frame: note("its own SIGUSR2"))
note("begins")
begin = time.monotonic()
while time.monotonic() < begin + 3:
    time.sleep(0.1)
note("still here")
while True:
    time.sleep(100)
'''


@pytest.mark.compat("SERVICE-quiet", "EVENT-service")
def test_a_service_group_is_left_alone(launch_once):
    server = launch_once("daemon", start=False, config="""
WSGIDaemonProcess service threads=0 display-name=%{GROUP} restart-interval=1 inactivity-timeout=1 \\
    maximum-requests=1 startup-timeout=1 request-timeout=1 deadlock-timeout=1
WSGIImportScript "${scripts}/service.py" process-group=service application-group=%{GLOBAL}
""")
    server.script("service.py", SERVICE.replace("NOTES", str(server.directory / "notes")))
    server.start()

    def told(text):
        path = server.note("told")
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(line.split()[0]) for line in lines if line.split(" ", 1)[1] == text]

    wait_until(lambda: told("still here"), "three deadlines have passed", 20 * env.PATIENCE)
    (pid,) = told("still here")
    assert told("begins") == [pid]
    assert len(os.listdir(f"/proc/{pid}/task")) == 1, "nobody is there to keep deadlines"
    for name in ("SIGHUP", "SIGUSR2"):
        os.kill(pid, getattr(signal, name))
        wait_until(lambda: told(f"its own {name}"), "signals are the script's", 5 * env.PATIENCE)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not processes.is_alive(pid), "it has ended", 10 * env.PATIENCE)
    assert told("process_stopping") == told("process_signal") == []


@pytest.mark.compat("LIFE-embedded-limits")
def test_options_of_a_group_do_not_hold_embedded(launch_once):
    server = launch_once("embedded", single_child=True, config=ONE_INTERPRETER + """
WSGIDaemonProcess other threads=1 maximum-requests=1 request-timeout=1 interrupt-timeout=1 \\
    restart-interval=1 inactivity-timeout=1 startup-timeout=1 graceful-timeout=1 umask=0077
""")
    url = server.script("slow.py", '''
import os, time

def application(environ, start_response):
    if environ["QUERY_STRING"]:
        time.sleep(2.5)
    start_response("200 OK", [])
    return [b"%d" % os.getpid()]
''')
    pids = {ask(server, url), ask(server, url), ask(server, url + "?slow"), ask(server, url)}
    assert len(pids) == 1
    assert server.get("/process").json()["umask"] != "0077"
