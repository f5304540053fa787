"""Figures for Python code: start_recording_metrics(), request_metrics(), process_metrics() and
server_metrics()."""

import threading
import time

import env
import pytest
from processes import wait_until

ASK = '''
import json, mod_wsgi

def application(environ, start_response):
    names = environ["QUERY_STRING"].split("&")
    body = json.dumps([getattr(mod_wsgi, name)() for name in names]).encode()
    start_response("200 OK", [])
    return [body]
'''

# Takes its time, reads its body bit by bit, answers by two chunks.
WORK = '''
import time

def application(environ, start_response):
    while environ["wsgi.input"].read(1000):
        pass
    time.sleep(float(environ["QUERY_STRING"] or 0))
    start_response("404 Not Found", [("Content-Length", "20")])
    yield b"0123456789"
    yield b"0123456789"
'''

FAIL = '''
def application(environ, start_response):
    raise SystemExit
'''

PHASES = ("server", "queue", "daemon", "application", "request", "input_read", "output_write",
          "gil_wait")
THREAD_LISTS = ("completed", "buckets", "busy_time", "cpu_time", "current_elapsed", "max_duration")
CPU_AND_MEMORY = {"cpu_user_time", "cpu_system_time", "cpu_time", "memory_rss", "memory_max_rss"}
REQUEST_KEYS = CPU_AND_MEMORY | {
    "pid", "start_time", "stop_time", "sample_period", "request_count", "request_throughput",
    "capacity_utilization", "request_threads_maximum", "request_threads_started",
    "request_threads_active", "gil_wait_count", "input_bytes", "input_reads", "output_bytes",
    "output_writes", "cpu_user_utilization", "cpu_system_utilization", "cpu_utilization"} | {
    f"request_threads_{name}" for name in THREAD_LISTS} | {
    f"{phase}_time{what}" for phase in PHASES for what in ("", "_min_us", "_max_us", "_buckets")} | {
    f"status_{digit}xx" for digit in range(1, 6)}
PROCESS_KEYS = CPU_AND_MEMORY | {
    "pid", "restart_time", "current_time", "running_time", "request_count", "request_busy_time",
    "request_threads", "active_requests", "threads"}
SERVER_KEYS = {"server_limit", "thread_limit", "running_generation", "restart_time", "current_time",
               "running_time", "processes"}
SERVER_PROCESS_KEYS = {"process_num", "pid", "generation", "quiescing", "workers"}
SERVER_WORKER_KEYS = {"thread_num", "generation", "status", "access_count", "bytes_served",
                      "start_time", "stop_time", "last_used", "client", "request", "vhost"}


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, single_child=True, daemon="threads=3 server-metrics=On", config="""
WSGIServerMetrics On
ExtendedStatus On
WSGIApplicationGroup one
<Location /scripts/other.py>
    WSGIApplicationGroup another
</Location>
""")
    for name, source in (("ask", ASK), ("other", ASK), ("work", WORK), ("fail", FAIL)):
        server.script(f"{name}.py", source)
    return server


def ask(server, *names, script="ask"):
    return server.get(f"/scripts/{script}.py?{'&'.join(names)}").json()


@pytest.fixture
def recording(server):
    """A new interval, after which only the request that began it is still to end."""
    ask(server, "start_recording_metrics")
    time.sleep(0.05)  # an answer can be read a moment before its request has ended
    ask(server, "request_metrics")
    time.sleep(0.05)
    return server


@pytest.mark.compat("MOD-metrics", "METRIC-start")
def test_nothing_is_told_until_it_is_recorded(server):
    """And then to whichever interpreter of the process asks."""
    assert ask(server, "request_metrics", "process_metrics") == [None, None]
    assert ask(server, "start_recording_metrics") == [None]
    time.sleep(0.05)
    requests, process = ask(server, "request_metrics", "process_metrics", script="other")
    assert requests["request_count"] == process["request_count"] == 0, "it has begun before"
    assert process["active_requests"] == 1
    assert ask(server, "start_recording_metrics") == [None], "again: no effect"
    assert ask(server, "process_metrics")[0]["request_count"] >= 1


@pytest.mark.compat("METRIC-request")
def test_what_requests_took(recording, mode):
    server = recording
    begun = time.time()
    for _ in range(3):
        assert server.post("/scripts/work.py?0.02", b"x" * 2500).status == 404
    time.sleep(0.05)
    found = ask(server, "request_metrics")[0]
    assert set(found) == REQUEST_KEYS
    assert found["request_count"] == 4
    assert [found[f"status_{digit}xx"] for digit in range(1, 6)] == [0, 1, 0, 3, 0]
    assert (found["input_bytes"], found["output_bytes"] > 60) == (7500, True)
    assert found["input_reads"] >= 9 and found["output_writes"] >= 6
    assert 3 * 0.02 / 4 <= found["application_time"] <= found["request_time"] < 1
    assert found["application_time_min_us"] < 20000 <= found["application_time_max_us"]
    assert found["gil_wait_count"] >= 3 * 5
    for phase in PHASES:
        buckets = found[f"{phase}_time_buckets"]
        is_none = mode == "embedded" and phase in ("queue", "daemon")
        assert (len(buckets), sum(buckets)) == (65, 0 if is_none else 4), phase
        assert (found[f"{phase}_time"] is None) == is_none
        assert (found[f"{phase}_time_min_us"] is None) == is_none
    parts = [found[f"{phase}_time"] or 0 for phase in ("server", "queue", "daemon", "application")]
    assert sum(parts) <= found["request_time"] + 0.001
    assert begun - 1 < found["start_time"] < begun < found["stop_time"]
    assert found["sample_period"] == pytest.approx(found["stop_time"] - found["start_time"], abs=1e-5)
    assert found["request_throughput"] == pytest.approx(4 / found["sample_period"], rel=0.01)


@pytest.mark.compat("METRIC-request")
def test_threads_and_the_process(recording, mode):
    server = recording
    if env.MPM == "prefork":
        pytest.skip("a child has one thread, and another one cannot be asked of it")
    worker = threading.Thread(target=server.get, args=("/scripts/work.py?0.4",))
    worker.start()
    wait_until(lambda: ask(server, "process_metrics")[0]["active_requests"] == 2, "a request")
    time.sleep(0.1)
    busy = ask(server, "request_metrics")[0]
    worker.join()
    time.sleep(0.05)
    found, process = ask(server, "request_metrics", "process_metrics")
    threads = busy["request_threads_maximum"]
    assert threads == {"daemon": 3}.get(mode, 1 if env.MPM == "prefork" else 32)
    for name in THREAD_LISTS:
        assert len(busy[f"request_threads_{name}"]) == threads
    assert max(busy["request_threads_current_elapsed"]) > 0.09
    assert busy["request_threads_active"] >= 2
    assert sum(busy["request_threads_completed"]) == busy["request_count"]
    assert busy["request_threads_completed"] == busy["request_threads_buckets"]
    assert 0.1 < sum(busy["request_threads_busy_time"]) + sum(found["request_threads_busy_time"]) < 2
    assert max(found["request_threads_max_duration"]) >= 0.4
    assert 0 < found["capacity_utilization"] < 1
    assert len(process["threads"]) == process["request_threads"] >= 2
    assert process["threads"][0]["thread_id"] == 1



@pytest.mark.compat("METRIC-interval")
def test_each_reading_begins_anew(recording):
    server = recording
    first = ask(server, "request_metrics")[0]
    second = ask(server, "request_metrics", "request_metrics")
    assert second[0]["start_time"] == pytest.approx(first["stop_time"])
    assert second[1]["start_time"] == pytest.approx(second[0]["stop_time"])
    assert second[1]["request_count"] == 0
    for phase in PHASES:
        assert second[1][f"{phase}_time_min_us"] is None
        assert sum(second[1][f"{phase}_time_buckets"]) == 0


@pytest.mark.compat("METRIC-request")
def test_a_request_without_an_answer_is_a_5xx(recording):
    server = recording
    server.expect("WSGI0175")
    assert server.get("/scripts/fail.py").status == 500
    time.sleep(0.05)
    found = ask(server, "request_metrics")[0]
    assert (found["status_2xx"], found["status_5xx"], found["request_count"]) == (1, 1, 2)


@pytest.mark.compat("METRIC-process")
def test_process(recording):
    server = recording
    before = ask(server, "process_metrics")[0]
    server.get("/scripts/work.py?0.02")
    time.sleep(0.05)
    after = ask(server, "process_metrics", "request_metrics", "process_metrics")
    assert set(before) == PROCESS_KEYS
    assert set(before["threads"][0]) == {"thread_id", "request_count"}
    for found in (after[0], after[2]):  # a reading of the other kind changes nothing here
        assert found["request_count"] == before["request_count"] + 2
        assert sum(each["request_count"] for each in found["threads"]) == found["request_count"]
        assert found["request_busy_time"] >= before["request_busy_time"] + 0.02
        assert found["active_requests"] == 1
    assert before["pid"] in server.family()
    assert before["restart_time"] < before["current_time"] <= time.time()
    assert isinstance(before["running_time"], int)
    assert 0 < before["cpu_time"] == pytest.approx(before["cpu_user_time"] +
                                                   before["cpu_system_time"])
    assert 1e6 < before["memory_rss"] <= before["memory_max_rss"]


def own_worker(board):
    """The worker that passes this very request on, or None where the picture is older."""
    for process in board["processes"]:
        for worker in process["workers"]:
            if worker["status"] == "W" and "/scripts/ask.py?server_metrics" in worker["request"]:
                return process, worker
    return None


@pytest.mark.compat("METRIC-server", "DIR-servermetrics", "OPT-server-metrics")
def test_scoreboard(server):
    board = wait_until(lambda: [board for board in ask(server, "server_metrics")
                                if board and own_worker(board)], "a picture with this request")[0]
    assert set(board) == SERVER_KEYS
    assert len(board["processes"]) == board["server_limit"]
    process, worker = own_worker(board)
    assert set(process) == SERVER_PROCESS_KEYS and set(worker) == SERVER_WORKER_KEYS
    assert len(process["workers"]) == board["thread_limit"]
    assert process["pid"] in server.httpd_children()
    assert (process["quiescing"], process["generation"]) == (False, board["running_generation"])
    assert worker["client"] == "127.0.0.1"
    assert worker["vhost"].startswith("localhost")
    assert abs(board["current_time"] - time.time()) < 30
    assert board["restart_time"] < board["current_time"]
    assert board["running_time"] == int(board["current_time"] - board["restart_time"])
    assert {worker["status"] for process in board["processes"] for worker in process["workers"]} \
        <= set("._SRWKLDCGI")


@pytest.mark.compat("METRIC-server")
def test_scoreboard_of_the_next_generation(server):
    before = ask(server, "server_metrics")[0]["running_generation"]
    server.restart("graceful")
    board = wait_until(lambda: [board for board in ask(server, "server_metrics")
                                if board and own_worker(board)], "a picture with this request")[0]
    assert board["running_generation"] == before + 1


@pytest.mark.compat("DIR-servermetrics", "OPT-server-metrics")
def test_scoreboard_is_not_told_unless_it_is_allowed(launch_once, mode):
    """Each directive speaks for its own mode."""
    config = "WSGIServerMetrics On" if mode == "daemon" else \
        "WSGIDaemonProcess other server-metrics=On"
    server = launch_once(mode, config=config)
    server.script("ask.py", ASK)
    assert ask(server, "server_metrics") == [None]
