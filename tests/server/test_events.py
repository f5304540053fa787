"""What subscribers are told, and when."""

import os
import signal
import time

import env
import processes
import pytest
from processes import wait_until

CONFIG = """
WSGIScriptAlias /main "${scripts}/events.py" application-group=%{GLOBAL}
WSGIScriptAlias /other "${scripts}/events.py" application-group=other
WSGIScriptAlias /broken "${scripts}/broken.py" application-group=%{GLOBAL}
"""

# Keeps what it hears, as text; /told gives it and begins anew. What a request does is its query.
APP = '''
import json, os, threading, time
import mod_wsgi

heard = []
KEPT = (bool, int, float, str, list)

def show(value):
    if isinstance(value, tuple):
        return [show(each) for each in value]
    return value if isinstance(value, KEPT) else getattr(value, "__name__", type(value).__name__)

@mod_wsgi.subscribe_events
def hear(name, **payload):
    if "/told" in str(payload.get("request_environ", {}).get("PATH_INFO")):
        payload["request_data"]["told"] = True
    if "told" in payload.get("request_data", {}):
        return
    heard.append([name, {key: show(value) for key, value in payload.items()}])

def again(environ, start_response):
    start_response("200 OK", [])
    return [b"another"]

@mod_wsgi.subscribe_events
def replace(name, **payload):
    query = payload.get("request_environ", {}).get("QUERY_STRING")
    if query == "replace":
        return {"application_object": again, "more": 1}
    if query == "raise":
        raise LookupError("on purpose")

@mod_wsgi.subscribe_events
def last(name, **payload):
    query = payload.get("request_environ", {}).get("QUERY_STRING")
    if query == "replace":
        heard.append(["last", {"more": payload["more"], "new": show(payload["application_object"])}])

class Answer:
    def __init__(self, items):
        self.items = items
    def __iter__(self):
        yield from self.items
    def close(self):
        heard.append(["close", {}])

def application(environ, start_response):
    query = environ["QUERY_STRING"]
    if environ["PATH_INFO"] == "/told":
        text = json.dumps(heard).encode()
        heard.clear()
        start_response("200 OK", [])
        return [text]
    heard.append(["call", {"data": len(mod_wsgi.request_data())}])
    mod_wsgi.request_data()["mine"] = 1
    if query == "fail":
        raise ValueError("call")
    if query == "lengths":
        body = environ["wsgi.input"]
        body.read(3), body.read()
        start_response("201 Created", [("Content-Length", "4")])
        return Answer([b"abc", b"", b"defgh"])
    if query == "bad":
        start_response("no status", [("X", "y")])
    start_response("200 OK", [("X", "y")])
    if query == "iterate":
        return (1 // 0 for _ in "x")
    return Answer([b"hello"])
'''


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, daemon="processes=1 threads=4", single_child=True, config=CONFIG)
    server.script("events.py", APP)
    return server


def told(server, finished=1, path="/main"):
    """What has been heard, once so many requests have finished: a client may be faster."""
    everything = []

    def is_complete():
        everything.extend(server.get(f"{path}/told").json())
        return sum(name == "request_finished" for name, _ in everything) >= finished

    wait_until(is_complete, "the requests have finished", 5 * env.PATIENCE)
    return everything


def names(events):
    return [name for name, _ in events]


def of(events, wanted):
    (payload,) = [payload for name, payload in events if name == wanted]
    return payload


STARTED = ["request_id", "thread_id", "daemon_connects", "daemon_restarts", "server_pid",
           "request_start", "queue_start", "daemon_start", "application_start",
           "application_object", "callable_object", "request_environ", "request_data"]

FINISHED = ["request_id", "thread_id", "server_pid", "request_start", "queue_start", "daemon_start",
            "input_reads", "input_length", "input_time", "output_length", "output_writes",
            "output_time", "cpu_user_time", "cpu_system_time", "cpu_time", "application_finish",
            "application_time", "status", "gil_wait_time", "gil_wait_count", "request_data"]


# ---- a request

@pytest.mark.compat("EVENT-request-started", "EVENT-response-started", "EVENT-request-finished",
                    "EVENT-call")
def test_events_of_a_request(server, mode):
    begin = time.time()
    assert server.get("/main").body == b"hello"
    events = told(server)
    assert names(events) == ["request_started", "call", "response_started", "close",
                             "request_finished"]
    started, response, finished = (of(events, name) for name in (
        "request_started", "response_started", "request_finished"))
    assert set(STARTED) == set(started)
    assert set(FINISHED) <= set(finished)
    assert (started["application_object"], started["callable_object"]) == ("application",) * 2
    assert (started["request_environ"], started["request_data"]) == ("dict", "dict")
    is_daemon = mode == "daemon"
    assert (started["daemon_connects"], started["daemon_restarts"]) == (int(is_daemon), 0)
    assert started["server_pid"] in server.httpd_children()
    order = [begin, started["request_start"], started["application_start"],
             finished["application_finish"], time.time()]
    if is_daemon:
        order[2:2] = [started["queue_start"], started["daemon_start"]]
    else:
        assert started["queue_start"] == started["daemon_start"] == 0.0
    assert order == sorted(order)
    assert response == {"request_id": started["request_id"], "response_status": "200 OK",
                        "response_headers": [["X", "y"]], "exception_info": "NoneType",
                        "request_data": "dict"}
    same = set(started) & set(finished)
    assert {key: started[key] for key in same} == {key: finished[key] for key in same}
    assert finished["status"] == 200


@pytest.mark.compat("EVENT-lengths")
def test_lengths_and_times(server):
    with server.raw() as client:
        client.request("POST /main?lengths", "Content-Length: 11", "Connection: close")
        client.send("body")
        time.sleep(0.1)
        client.send(" of ten")
        assert client.read_head()[0] == 201
        assert client.read_to_end() == b"abcd"
    finished = of(told(server), "request_finished")
    assert finished["status"] == 201
    assert (finished["input_length"], finished["output_length"]) == (11, 8)
    assert finished["output_writes"] == 2 and finished["input_reads"] >= 2
    for name in ("input_time", "output_time", "application_time", "cpu_user_time",
                 "cpu_system_time", "cpu_time", "gil_wait_time"):
        assert isinstance(finished[name], float) and 0 <= finished[name] < 5, name
    assert finished["input_time"] > 0.05 and finished["output_time"] > 0
    assert finished["cpu_time"] == pytest.approx(
        finished["cpu_user_time"] + finished["cpu_system_time"])
    assert finished["application_time"] == pytest.approx(
        finished["application_finish"] - finished["application_start"], abs=1e-3)
    assert finished["gil_wait_count"] >= 1


@pytest.mark.compat("EVENT-response-started")
def test_a_response_is_told_before_it_is_checked(server):
    server.expect("WSGI0174")
    server.expect_output("bad status 'no status'")
    assert server.get("/main?bad").status == 500
    events = told(server)
    assert of(events, "response_started")["response_status"] == "no status"
    assert of(events, "request_finished")["status"] == 0


@pytest.mark.compat("EVENT-request-exception")
@pytest.mark.parametrize("query, exception", [("fail", "ValueError"),
                                              ("iterate", "ZeroDivisionError")])
def test_an_exception(server, query, exception):
    server.expect("WSGI0174")
    server.expect_output(exception)
    assert server.get(f"/main?{query}").status == 500
    events = told(server)
    assert names(events)[-2:] == ["request_exception", "request_finished"]
    payload = of(events, "request_exception")
    assert payload["exception_info"] == [exception, exception, "traceback"]
    assert payload["request_id"] == of(events, "request_started")["request_id"]
    assert payload["request_data"] == "dict"


@pytest.mark.compat("EVENT-request-exception")
def test_an_exception_of_a_script(launch_once, mode):
    """In the request that loads it, and ahead of requests."""
    server = launch_once(mode, single_child=True, start=False, config=CONFIG + "".join(
        f'WSGIImportScript "${{scripts}}/{name}.py" process-group='
        f'{"tests" if mode == "daemon" else "%{GLOBAL}"} application-group=%{{GLOBAL}}\n'
        for name in ("events", "ahead")))
    server.script("events.py", APP)
    server.script("ahead.py", "raise KeyError('ahead')\n")
    server.expect("WSGI0174", count=None)
    server.expect("WSGI1411" if mode == "daemon" else "WSGI1512", count=None)
    server.expect_output("KeyError")
    server.start()
    (event,) = server.get("/main/told").json()
    assert event == ["request_exception",
                     {"exception_info": ["KeyError", "KeyError", "traceback"]}]


# ---- callbacks

@pytest.mark.compat("EVENT-result")
def test_what_a_callback_returns(server):
    assert server.get("/main?replace").body == b"another"
    events = told(server)
    assert names(events) == ["request_started", "last", "response_started", "request_finished"]
    assert of(events, "last") == {"more": 1, "new": "again"}


@pytest.mark.compat("EVENT-exception")
def test_what_a_callback_raises(server):
    server.expect("WSGI0174", "request_started")
    server.expect_output("LookupError: on purpose")
    assert server.get("/main?raise").body == b"hello"
    assert names(told(server))[-1] == "request_finished"


@pytest.mark.compat("EVENT-interpreter")
def test_each_interpreter_has_its_own(server):
    assert server.get("/other").body == b"hello"
    assert server.get("/main?1").body == b"hello"
    assert names(told(server, path="/other")).count("request_started") == 1
    assert names(told(server)).count("request_started") == 1


@pytest.mark.compat("EVENT-uncallable")
def test_an_object_that_cannot_be_called(launch_once, mode):
    server = launch_once(mode, single_child=True)
    url = server.script("app.py", """
import mod_wsgi
assert mod_wsgi.subscribe_events(42) == 42
heard = []

@mod_wsgi.subscribe_events
def hear(name, **payload):
    heard.append(name)

def application(environ, start_response):
    start_response("200 OK", [])
    return [repr(heard).encode()]
""")
    server.expect("WSGI0174", "request_started")
    server.expect("WSGI0174", "response_started")
    server.expect("WSGI0174", "request_finished")
    server.tolerate("WSGI0174")  # process_stopping
    server.expect_output("'int' object is not callable")
    assert server.get(url).body == b"['request_started', 'response_started']"
    server.check()
    server.expect_output("'int' object is not callable")
    server.stop()


# ---- the process

LIFE = '''
import atexit, os, threading, time
import mod_wsgi

group = mod_wsgi.application_group or "main"

def tell(text):
    with open("NOTES/" + group, "a") as file:
        file.write(text + "\\n")

@mod_wsgi.subscribe_events
@mod_wsgi.subscribe_signals
@mod_wsgi.subscribe_shutdown
def hear(name, **payload):
    if name.startswith("process"):
        tell(f"{name} {payload}")
        if "signum" in payload:
            assert threading.current_thread() is not serving

serving = None
atexit.register(tell, "exit")

def application(environ, start_response):
    global serving
    serving = threading.current_thread()
    if environ["QUERY_STRING"] == "wait":
        tell("inside")
        while not os.path.exists("NOTES/gate"):
            time.sleep(0.01)
    start_response("200 OK", [])
    return [b"%d" % os.getpid()]
'''


@pytest.fixture
def life(launch_once, mode):
    server = launch_once(mode, daemon="processes=1 threads=1", single_child=True, config=CONFIG)
    server.script("events.py", LIFE.replace("NOTES", str(server.directory / "notes")))
    return server


def notes(server, group):
    path = server.note(group)
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.compat("EVENT-process-stopping", "EVENT-shutdown-reason", "LIFE-embedded-stop")
def test_the_end(life, mode):
    """Once for each subscription, in each interpreter, before Python ends there."""
    for path in ("/main", "/other"):
        assert life.get(path).status == 200
    life.stop()
    reason = "shutdown_signal" if mode == "daemon" else ""
    for group in ("main", "other"):
        stopping = f"process_stopping {dict(shutdown_reason=reason)}"
        assert notes(life, group) == [stopping, stopping, "exit"]


@pytest.mark.compat("EVENT-shutdown-reason")
def test_the_first_cause_counts(launch_once):
    server = launch_once("daemon", daemon="processes=1 threads=1", single_child=True, config=CONFIG)
    server.script("events.py", LIFE.replace("NOTES", str(server.directory / "notes")))
    pid = int(server.get("/main").body)
    with server.raw(60 * env.PATIENCE) as client:
        client.request("GET /main?wait", "Connection: close")
        wait_until(lambda: notes(server, "main") == ["inside"], "it is inside")
        os.kill(pid, signal.SIGUSR1)
        wait_until(lambda: "is to be replaced: graceful_signal" in server.log.text(), "it leaves",
                   5 * env.PATIENCE)
        os.kill(pid, signal.SIGTERM)
        server.note("gate").touch()
        assert client.read_head()[0] == 200
    wait_until(lambda: notes(server, "main")[-1] == "exit", "it has ended", 10 * env.PATIENCE)
    told = f"process_stopping {dict(shutdown_reason='graceful_signal')}"
    assert notes(server, "main") == ["inside", told, told, "exit"]


@pytest.mark.compat("EVENT-process-signal", "LIFE-hup")
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_signals_to_a_daemon(launch, number):
    """In each interpreter; nothing else happens."""
    server = launch("daemon", daemon="processes=1 threads=1", single_child=True, config=CONFIG)
    server.script("events.py", LIFE.replace("NOTES", str(server.directory / "notes")))
    pids = {server.get(path).body for path in ("/main", "/other")}
    (pid,) = {int(body) for body in pids}
    os.kill(pid, number)
    expected = [f"process_signal {dict(signame=number.name, signum=int(number))}"] * 2
    for group in ("main", "other"):
        wait_until(lambda: notes(server, group) == expected, f"{group} has heard of it",
                   5 * env.PATIENCE)
    assert int(server.get("/main").body) == pid and processes.is_alive(pid)


@pytest.mark.compat("EVENT-signals-embedded")
def test_signals_embedded(launch_once):
    server = launch_once("embedded", single_child=True, config=CONFIG)
    server.script("events.py", LIFE.replace("NOTES", str(server.directory / "notes")))
    assert server.get("/main").status == 200
    line = "subscribe_signals() has no effect outside a process group"
    assert line in server.log.text() and "[wsgi:info]" in next(
        each for each in server.log.text().splitlines() if line in each)
    assert "in <module>" in server.log.text(), "the stack"
    server.stop()
    assert not [each for each in notes(server, "main") if "signal" in each.split()[0]]


# Comes back from a callback in the process that it forked, in each way there is.
FORKING = """
import os, sys, mod_wsgi

@mod_wsgi.subscribe_events
def fork(name, **payload):
    if name != "request_started":
        return
    how = payload["request_environ"]["QUERY_STRING"]
    pid = os.fork()
    if pid == 0:
        if how == "exits":
            sys.exit(3)
        if how == "raises":
            raise LookupError("in the fork")
        return
    payload["request_environ"]["forked"] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def application(environ, start_response):
    with open(os.path.dirname(os.path.dirname(__file__)) + "/notes/ran", "a") as file:
        file.write("x")
    start_response("200 OK", [])
    return [str(environ["forked"]).encode()]
"""


@pytest.mark.compat("PROC-fork-embedded", "EVENT-exception")
@pytest.mark.parametrize("how, status", [("exits", "3"), ("raises", "1"), ("returns", "0")])
def test_a_fork_that_comes_back_from_a_callback_ends(launch_once, mode, how, status):
    """And does not run the application a second time."""
    server = launch_once(mode, single_child=True, config="WSGIApplicationGroup %{GLOBAL}\n")
    server.tolerate("WSGI0174|WSGI1105")
    server.log.allow_anything() if how == "raises" else None
    url = server.script("forking.py", FORKING)
    reply = server.get(f"{url}?{how}")
    assert (reply.status, reply.body.decode()) == (200, status)
    assert server.note("ran").read_text() == "x"
