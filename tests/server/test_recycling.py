"""Workers are replaced by rules, each of which works with all others off, and no request is lost."""

import os
import re
import signal
import time

import env
import processes
import pytest
from processes import wait_until
from recycling import (ANSWER, Load, ask, assert_restarts, expect_end, make_interpreters_slow,
                       restarts, write)

KILLED = "WSGI1402"
NO_ANSWER = "WSGI0146"
OFF = "deadlock-timeout=0 "     # and every other rule is off by default

STUCK = '''
def get_stuck():
    while True:
        try:
            time.sleep(60)
        except Exception:
            pass

def application(environ, start_response):
    tell("stuck", str(os.getpid()))
    get_stuck()
'''


@pytest.fixture
def launch_group(launch_once):
    def launch(options, config="", **more):
        return launch_once("daemon", daemon=OFF + options,
                           config="WSGIApplicationGroup %{GLOBAL}\n" + config, **more)
    return launch


# ---- each rule alone

@pytest.mark.compat("OPT-maximum-requests", "OPT-timeouts-alone")
def test_maximum_requests(launch_group):
    server = launch_group("threads=2 maximum-requests=3")
    url = write(server, "app")
    first = ask(server, url)
    wait_until(lambda: ask(server, url) != first, "another worker", 10 * env.PATIENCE)
    expect_end(server, first, "maximum_requests")


@pytest.mark.compat("OPT-restart-interval", "OPT-timeouts-alone")
def test_restart_interval(launch_group):
    server = launch_group("threads=2 restart-interval=1")
    url = write(server, "app")
    expect_end(server, ask(server, url), "restart_interval")
    assert server.get(url).status == 200


@pytest.mark.compat("OPT-inactivity-timeout", "OPT-timeouts-alone")
def test_inactivity_timeout(launch_group):
    server = launch_group("threads=2 inactivity-timeout=1")
    expect_end(server, ask(server, write(server, "app")), "inactivity_timeout")


@pytest.mark.compat("DIR-ignoreactivity")
def test_requests_that_do_not_count_as_activity(launch_group):
    server = launch_group("threads=2 inactivity-timeout=1", config="""
<Location /scripts/ignored.py>
    WSGIIgnoreActivity On
</Location>""")
    first = ask(server, write(server, "app"))
    url = write(server, "ignored")
    wait_until(lambda: ask(server, url) != first, "a worker that only they visit is replaced",
               15 * env.PATIENCE)
    expect_end(server, first, "inactivity_timeout")


@pytest.mark.compat("OPT-startup-timeout", "OPT-timeouts-alone")
def test_startup_timeout(launch_group):
    server = launch_group("threads=2 startup-timeout=1 graceful-timeout=1 shutdown-timeout=1")
    server.expect(KILLED, "shutdown-timeout=1")
    server.expect(NO_ANSWER)
    url = write(server, "hanging", 'tell("begun", str(os.getpid()))\ntime.sleep(60)\n')
    assert server.get(url).status == 502
    pid = int(server.wait_for_note("begun"))
    assert server.wait_for_note(f"end-{pid}") == \
        "process_stopping {'shutdown_reason': 'startup_timeout'}"
    assert_restarts(server, {"startup_timeout": 1})


@pytest.mark.compat("OPT-startup-timeout")
def test_startup_timeout_is_over_with_the_first_script(launch_group):
    server = launch_group("threads=2 startup-timeout=1")
    url = write(server, "slow", "def application(environ, start_response):\n"
                "    time.sleep(2)\n" + ANSWER.split(":", 1)[1])
    assert ask(server, url) == ask(server, url)
    assert restarts(server) == {}


@pytest.mark.compat("OPT-request-timeout", "OPT-timeouts-alone", "LIFE-stacks")
def test_request_timeout(launch_group):
    server = launch_group("threads=1 request-timeout=1 shutdown-timeout=1")
    url = write(server, "stuck", STUCK)
    server.expect("WSGI1413", r'request-timeout=1 .*running: "GET /scripts/stuck\.py\?find=me"')
    server.expect(KILLED, r'"GET /scripts/stuck\.py\?find=me"')
    server.expect(NO_ANSWER)
    assert server.get(url + "?find=me").status == 502
    pid = int(server.wait_for_note("stuck"))
    assert server.wait_for_note(f"end-{pid}") == \
        "process_stopping {'shutdown_reason': 'request_timeout'}"
    log = server.log.text()
    assert '("GET /scripts/stuck.py?find=me" (request' in log, "whose stack it is"
    assert re.search(r"\[wsgi:info\] .*in get_stuck", log), "the stacks"
    assert_restarts(server, {"request_timeout": 1})
    assert server.get("/hello").status == 200


@pytest.mark.compat("OPT-request-timeout", "OPT-startup-timeout")
@pytest.mark.parametrize("options, reason", [
    ("request-timeout=1", "request_timeout"),
    ("request-timeout=1 interrupt-timeout=1", "request_timeout"),
    ("startup-timeout=1 graceful-timeout=1", "startup_timeout"),
])
def test_the_making_of_an_interpreter_counts(launch_group, options, reason):
    """As part of the request that it is made for, which cannot be interrupted there."""
    server = launch_group(f"threads=1 shutdown-timeout=1 {options}", start=False, config="""
WSGIScriptAlias /made "${apps}/hello.py" application-group=made""")
    make_interpreters_slow(server)
    if "request" in reason:
        server.expect("WSGI1413", 'running: "GET /made')
    server.expect(KILLED, '"GET /made')
    server.expect(NO_ANSWER)
    server.start()
    assert server.get("/made").status == 502
    server.note("slow").unlink()
    assert_restarts(server, {reason: 1})
    assert server.get("/made").status == 200


@pytest.mark.compat("OPT-request-timeout")
def test_request_timeout_grows_with_threads(launch_group):
    """1 + ln(8) is 3.08: so many seconds have not passed after 2."""
    server = launch_group("threads=8 request-timeout=1")
    url = write(server, "slow", "def application(environ, start_response):\n"
                "    time.sleep(2)\n" + ANSWER.split(":", 1)[1])
    assert ask(server, url) == ask(server, "/scripts/slow.py")
    assert restarts(server) == {}


@pytest.mark.compat("OPT-interrupt-timeout", "FAIL-request-timeout", "LIFE-stacks-interrupt")
def test_interrupt_timeout(launch_group):
    server = launch_group("threads=1 request-timeout=1 interrupt-timeout=20")
    url = write(server, "looping", '''
def application(environ, start_response):
    try:
        while True:
            time.sleep(0.01)
    except Exception:
        pass
    finally:
        tell("cleaned-up", str(os.getpid()))
''')
    server.expect("WSGI1414", r'"GET /scripts/looping\.py"')
    server.expect("WSGI0174", "looping.py")
    server.expect_output("mod_wsgi.RequestTimeout")
    assert server.get(url).status == 504
    log = server.log.text()
    stack = re.search(r'\[wsgi:info\] .*looping\.py", line \d+, in application', log)
    assert stack and stack.start() < log.index("WSGI1414"), "where it was, before it is interrupted"
    pid = int(server.note("cleaned-up").read_text())
    url = write(server, "app")
    for _ in range(3):
        assert ask(server, url) == pid, "the process lives"
    assert restarts(server) == {}


@pytest.mark.compat("OPT-interrupt-timeout")
def test_an_interrupt_that_has_no_effect(launch_group):
    server = launch_group("threads=1 request-timeout=1 interrupt-timeout=1 shutdown-timeout=1")
    url = write(server, "stuck", STUCK.replace("except Exception", "except BaseException"))
    server.expect("WSGI1414")
    server.expect("WSGI1413")
    server.expect(KILLED)
    server.expect(NO_ANSWER)
    assert server.get(url).status == 502
    assert_restarts(server, {"request_timeout": 1})


@pytest.mark.compat("OPT-deadlock-timeout", "OPT-timeouts-alone")
def test_deadlock_timeout(launch_once):
    """A call into C that keeps the interpreter."""
    server = launch_once("daemon", daemon="threads=2 deadlock-timeout=1")
    url = server.script("deadlock.py", '''
import ctypes

def application(environ, start_response):
    ctypes.PyDLL(None).sleep(60)
''')
    server.expect("WSGI1409", r'SIGKILL.*deadlock-timeout.*serving "GET /scripts/deadlock\.py"')
    server.expect(NO_ANSWER)
    assert server.get(url).status == 502
    assert server.get("/hello").status == 200
    assert_restarts(server, {"deadlock_timeout": 1})


@pytest.mark.compat("OPT-cpu-time-limit", "OPT-timeouts-alone")
def test_cpu_time_limit(launch_group):
    server = launch_group("threads=2 cpu-time-limit=1 shutdown-timeout=20")
    url = write(server, "burning", '''
def application(environ, start_response):
    while time.process_time() < 1.2:
        pass
''' + "\n".join("    " + line for line in ANSWER.splitlines()[2:]).replace("        ", "    "))
    pid = ask(server, url)
    expect_end(server, pid, "cpu_time_limit")


@pytest.mark.compat("LIFE-usr1", "LIFE-graceful-end", "OPT-graceful-timeout")
@pytest.mark.compat("LOAD-again-daemon", "EVENT-shutdown-reason")
@pytest.mark.parametrize("options, number, reason", [
    pytest.param("", signal.SIGUSR1, "graceful_signal", marks=pytest.mark.compat("LIFE-usr1")),
    ("eviction-timeout=30", signal.SIGUSR1, "eviction_signal"),
    ("", signal.SIGTERM, "shutdown_signal"),
    ("", signal.SIGINT, "shutdown_signal"),
    pytest.param("", signal.SIGXCPU, "cpu_time_limit", marks=pytest.mark.compat("LIFE-xcpu")),
])
def test_signals(launch_group, options, number, reason):
    server = launch_group(f"threads=2 {options}")
    url = write(server, "app")
    pid = ask(server, url)
    os.kill(pid, number)
    expect_end(server, pid, reason)
    assert ask(server, url) != pid


@pytest.mark.compat("RELOAD-sigint")
def test_an_application_that_signals_itself(launch_group):
    """As code monitors do."""
    server = launch_group("threads=2")
    url = write(server, "monitor", '''
def application(environ, start_response):
    os.kill(os.getpid(), 2)
''' + "\n".join(ANSWER.splitlines()[2:]))
    pids = set()
    while len(pids) < 3:  # the next request may be faster than the signal
        before = ask(server, url)
        pids.add(before)
        wait_until(lambda pid=before: not processes.is_alive(pid), "the end of the worker",
                   10 * env.PATIENCE)
    for pid in pids:
        expect_end(server, pid, "shutdown_signal")


# ---- how they are replaced

def position(server, text):
    return wait_until(lambda: server.log.text().find(text) + 1, text, 10 * env.PATIENCE)


@pytest.mark.parametrize("processes_option, is_first", [("", False), ("processes=1", True)])
def test_the_successor_starts_first_where_there_may_be_two(launch_group, processes_option,
                                                           is_first):
    server = launch_group(f"threads=2 {processes_option}")
    url = write(server, "app")
    first = ask(server, url)
    os.kill(first, signal.SIGUSR1)
    second = wait_until(lambda: (lambda pid: pid != first and pid)(ask(server, url)),
                        "the successor", 20 * env.PATIENCE)
    expect_end(server, first, "graceful_signal")
    started = position(server, f"started worker {second}")
    assert (started < position(server, f"worker {first} ended in order")) == is_first


def begin_gated(server, client, name="gated"):
    """A request that stays in the middle until its gate is there."""
    gate = server.directory / "notes" / f"{name}-gate"
    url = write(server, name, f'''
def application(environ, start_response):
    tell("{name}-inside", str(os.getpid()))
    while not os.path.exists("{gate}"):
        time.sleep(0.01)
''' + "\n".join(ANSWER.splitlines()[2:]))
    client.request(f"GET {url}", "Connection: close")
    return int(server.wait_for_note(f"{name}-inside")), gate, url


@pytest.mark.parametrize("processes_option", ["", "processes=1"])
def test_requests_finish_within_graceful_timeout(launch_group, processes_option):
    server = launch_group(f"threads=2 graceful-timeout=60 {processes_option}")
    with server.raw(60 * env.PATIENCE) as client:
        pid, gate, _ = begin_gated(server, client)
        os.kill(pid, signal.SIGUSR1)
        position(server, "is to be replaced: graceful_signal")
        serving = server.get("/process").json()["pid"]
        if not processes_option:
            assert serving == pid, "without a successor beside it it goes on taking requests"
        gate.touch()
        assert client.read_head()[0] == 200
    expect_end(server, pid, "graceful_signal")


@pytest.mark.compat("OPT-maximum-requests", "OPT-graceful-timeout", "LIFE-graceful-end")
def test_a_busy_worker_reaches_its_deadline(launch_group):
    server = launch_group("threads=2 graceful-timeout=1 shutdown-timeout=1 maximum-requests=1")
    server.expect(KILLED)
    server.expect(NO_ANSWER)
    with server.raw(60 * env.PATIENCE) as client:
        pid, _, _ = begin_gated(server, client)
        server.get("/hello")
        assert client.read_head()[0] == 502
    wait_until(lambda: not processes.is_alive(pid), "it has ended", 10 * env.PATIENCE)


@pytest.mark.compat("OPT-graceful-timeout")
def test_graceful_timeout_0_is_at_once(launch_group):
    server = launch_group("threads=2 graceful-timeout=0 shutdown-timeout=60 processes=1")
    with server.raw(60 * env.PATIENCE) as client:
        pid, gate, _ = begin_gated(server, client)
        os.kill(pid, signal.SIGUSR1)
        assert server.wait_for_note(f"end-{pid}"), "told with a request inside"
        gate.touch()
        assert client.read_head()[0] == 200
    expect_end(server, pid, "graceful_signal")


@pytest.mark.compat("RELOAD-daemon-running")
@pytest.mark.parametrize("processes_option", ["", "processes=2"])
def test_requests_in_flight_finish_when_the_script_changes(launch_group, processes_option):
    server = launch_group(f"threads=2 {processes_option}")
    with server.raw(60 * env.PATIENCE) as client:
        pid, gate, url = begin_gated(server, client)
        write(server, "gated", mtime=1_700_000_000)
        if processes_option:
            with Load(server, url, clients=6):  # so many that the old worker is asked too
                position(server, "is to be replaced: script_reload")
            assert pid not in {ask(server, url) for _ in range(8)}
        else:
            with server.raw(60 * env.PATIENCE) as second:
                second.request(f"GET {url}", "Connection: close")
                position(server, "is to be replaced: script_reload")
                gate.touch()
                assert second.read_head()[0] == 200
        gate.touch()
        assert client.read_head()[0] == 200
        assert client.read_to_end().endswith(str(pid).encode())
    expect_end(server, pid, "script_reload")


@pytest.mark.compat("RELOAD-daemon", "RELOAD-daemon-running", "OPT-shutdown-timeout")
def test_a_long_request_holds_new_code_up_for_shutdown_timeout(launch_group):
    """Without processes= nobody is served meanwhile: graceful-timeout is not waited for."""
    server = launch_group("threads=2 graceful-timeout=60 shutdown-timeout=1")
    server.expect(KILLED)
    server.expect(NO_ANSWER)
    with server.raw(60 * env.PATIENCE) as client:
        pid, _, url = begin_gated(server, client)
        write(server, "gated", mtime=1_700_000_000)
        assert ask(server, url) != pid
        assert client.read_head()[0] == 502


@pytest.mark.compat("RELOAD-daemon-retry")
def test_who_waits_too_long_for_new_code_is_told_why(launch_group):
    server = launch_group("threads=2 connect-timeout=1 shutdown-timeout=3")
    server.expect(KILLED)
    server.expect(NO_ANSWER)
    server.expect("WSGI0116", "within 1 s; its workers are being replaced.*set processes=")
    with server.raw(60 * env.PATIENCE) as client:
        pid, _, url = begin_gated(server, client)
        write(server, "gated", mtime=1_700_000_000)
        assert server.get(url).status == 503
        assert client.read_head()[0] == 502
        assert ask(server, url) != pid


@pytest.mark.compat("RELOAD-daemon-running")
def test_two_changes_while_requests_run_long(launch_group):
    """Each in the one worker of its time; those of the older one make room."""
    server = launch_group("processes=1 threads=2 graceful-timeout=60 shutdown-timeout=1")
    server.expect(KILLED)
    server.expect(NO_ANSWER)
    url = write(server, "app")
    with server.raw(60 * env.PATIENCE) as oldest, server.raw(60 * env.PATIENCE) as older:
        first, _, _ = begin_gated(server, oldest, "oldest")
        assert ask(server, url) == first
        write(server, "app", mtime=1_700_000_000)
        assert ask(server, url) != first
        second, gate, _ = begin_gated(server, older, "older")
        write(server, "app", mtime=1_700_000_100)
        assert ask(server, url) not in (first, second)
        assert oldest.read_head()[0] == 502
        gate.touch()
        assert older.read_head()[0] == 200
    expect_end(server, second, "script_reload")


# ---- nothing is lost

def keep_touching(server, load):
    for second in range(4):
        seen = load.count
        write(server, "app", mtime=1_700_000_000 + second)
        wait_until(lambda: load.count > seen + 16, "clients are answered", 40 * env.PATIENCE)


def keep_evicting(server, load):
    for _ in range(4):
        seen, victim = load.count, wait_until(server.workers, "a worker", 20 * env.PATIENCE)[0]
        try:
            os.kill(victim, signal.SIGUSR1)
        except ProcessLookupError:
            pass
        wait_until(lambda: load.count > seen + 16, "clients are answered", 40 * env.PATIENCE)
        wait_until(lambda: not processes.is_alive(victim), "it has ended", 40 * env.PATIENCE)


def let_it_be(server, load):
    wait_until(lambda: len(load.pids) > 4, "workers are replaced", 60 * env.PATIENCE)


@pytest.mark.parametrize("processes_option", ["", "processes=2"])
@pytest.mark.parametrize("options, disturb", [
    ("maximum-requests=20", let_it_be),
    ("restart-interval=1", let_it_be),
    ("", keep_touching),
    ("", keep_evicting),
], ids=["maximum-requests", "restart-interval", "touch", "SIGUSR1"])
def test_no_request_is_lost(launch_group, processes_option, options, disturb):
    server = launch_group(f"threads=4 graceful-timeout=1 {processes_option} {options}",
                          single_child=True)
    url = write(server, "app")
    with Load(server, url) as load:
        disturb(server, load)
    assert len(load.pids) > 1


# ---- scripts that fail to load

BROKEN = '''
with open("NOTES/loads", "a") as file:
    file.write(f"{os.getpid()}\\n")
with open("NOTES/load-times", "a") as file:
    file.write(f"{time.monotonic()}\\n")
count = open("NOTES/loads").read().count(f"{os.getpid()}\\n")
raise LookupError(f"load {count} of {os.getpid()}")
'''


@pytest.mark.parametrize("processes_option", ["", "processes=1"])
def test_a_failed_load(launch_group, processes_option):
    """Never twice in one process; the first traceback is repeated; others are served; successors
    try again."""
    server = launch_group(f"threads=2 {processes_option}", single_child=True)
    url = write(server, "broken", BROKEN)
    server.expect("WSGI0174", "broken.py", count=None)
    server.expect("WSGI1207", "broken.py", count=None)
    server.expect_output("LookupError: load 1 of", count=None)
    others = write(server, "app")
    pids = set()

    def ask_all():
        assert server.get(url).status == 500
        pids.add(ask(server, others))
        return len(set(server.note("loads").read_text().split())) >= 3

    wait_until(ask_all, "three processes have tried", 40 * env.PATIENCE)
    loads = server.note("loads").read_text().split()
    assert len(loads) == len(set(loads)), "never twice in one process"
    assert "LookupError: load 2" not in server.log.text()
    wait_until(lambda: restarts(server).get("load_failure", 0) >= 2, "two have ended",
               10 * env.PATIENCE)
    times = [float(line) for line in server.note("load-times").read_text().split()]
    assert times[1] - times[0] > 0.9 and times[2] - times[1] > 1.9, "after growing pauses"
    write(server, "broken", ANSWER, mtime=1_700_000_000)
    ask(server, url)


def test_a_failed_load_that_nobody_asks_for_again(launch_group):
    server = launch_group("threads=2", single_child=True)
    url = write(server, "broken", BROKEN)
    server.expect("WSGI0174", "broken.py")
    server.expect_output("LookupError: load 1 of")
    assert server.get(url).status == 500
    pid = int(server.wait_for_note("loads"))
    expect_end(server, pid, "load_failure")
    wait_until(server.workers, "a successor", 5 * env.PATIENCE)
    assert ask(server, write(server, "app")) != pid


# ---- what applications hear

def test_subscribers(launch_once, mode):
    """In each interpreter, in order, with what earlier ones add; failures are logged; lists can be
    changed."""
    server = launch_once(mode, single_child=True, config="""
WSGIScriptAlias /main "${scripts}/app.py" application-group=%{GLOBAL}
WSGIScriptAlias /sub "${scripts}/app.py" application-group=sub
""")
    write(server, "app", '''
group = mod_wsgi.application_group or "main"

@mod_wsgi.subscribe_events
def first(name, **payload):
    return {"more": 1}

@mod_wsgi.subscribe_events
def second(name, **payload):
    if name == "process_stopping":
        raise LookupError("on purpose")

def third(name, **payload):
    tell(f"third-{group}", f"{name} {sorted(payload.items())}")

mod_wsgi.event_callbacks.append(third)
assert stopping in mod_wsgi.shutdown_callbacks
assert mod_wsgi.signal_callbacks == []
''' + ANSWER)
    for path in ("/main", "/sub"):
        assert server.get(path).status == 200
    server.expect("WSGI0174", "process_stopping", count=2)
    server.expect_output("LookupError: on purpose")
    server.stop()
    reason = "shutdown_signal" if mode == "daemon" else ""
    for group in ("main", "sub"):
        assert server.note(f"third-{group}").read_text() == \
            f"process_stopping {[('more', 1), ('shutdown_reason', reason)]}"
