"""A worker that dies is named with the cause and with what it was serving, in one line."""

import os
import re
import signal

import env
import processes
import pytest
from processes import wait_until
from recycling import assert_restarts, make_interpreters_slow

DIED = "WSGI1409"
NO_ANSWER = "WSGI0146"


@pytest.fixture
def server(launch_once):
    return launch_once("daemon", daemon="threads=4 deadlock-timeout=0 shutdown-timeout=1 "
                                        "cpu-time-limit=0")


DEADLY = '''
import ctypes, os, resource, signal, time

def application(environ, start_response):
    DEED
    time.sleep(60)
'''


@pytest.mark.parametrize("deed, cause, reason", [
    ("os.kill(os.getpid(), signal.SIGKILL)", r"signal 9 \(SIGKILL\), from outside", "signal"),
    ("ctypes.string_at(0)", r"signal 11 \(SIGSEGV\)", "signal"),
    ("os.abort()", r"signal 6 \(SIGABRT\)", "signal"),
    ("os._exit(3)", "exited with status 3", "exit"),
    ("resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\n    while True: pass",
     r"signal 9 \(SIGKILL\), by the kernel: resource limit of CPU time", "cpu_time_limit"),
], ids=["SIGKILL", "SIGSEGV", "abort", "exit", "RLIMIT_CPU"])
def test_each_cause_is_named(server, deed, cause, reason):
    url = server.script("deadly.py", DEADLY.replace("DEED", deed))
    server.expect(DIED, rf'\[tests\] worker \d+ .*{cause}.*serving "GET /scripts/deadly\.py\?a=b" '
                        r'\(request [\w@+/-]+\)')
    server.expect(NO_ANSWER)
    assert server.get(url + "?a=b", timeout=60 * env.PATIENCE).status == 502
    assert server.get("/hello").status == 200
    assert_restarts(server, {reason: 1})


def test_all_of_its_requests(server):
    """Three are quoted, the rest is counted; requests that are over are not there."""
    gates = server.directory / "notes" / "gates"
    gates.mkdir()
    server.get("/hello?over=1")
    clients = [server.raw() for _ in range(4)]
    pids = set()
    for number, client in enumerate(clients):
        client.request(f"GET /waiting?directory={gates}&number={number}")
        pids.add(int(client.read_head()[1]["x-pid"]))
    (pid,) = pids
    quoted = "".join(rf'(?=.*number={number}")' for number in range(3))  # in whatever order
    server.expect(DIED, rf"worker {pid} was ended by signal 9.*4 of them running{quoted}.* and 1 more")
    server.expect(NO_ANSWER, count=4)
    os.kill(pid, signal.SIGKILL)
    for client in clients:
        client.read_to_end()
        client.close()
    line = re.search("WSGI1409.*", wait_until(
        lambda: "WSGI1409" in server.log.text() and server.log.text(), "its death is told",
        5 * env.PATIENCE)).group()
    assert "over=1" not in line


def test_an_idle_one(server):
    pid = server.get("/process").json()["pid"]
    server.expect(DIED, r"signal 9 \(SIGKILL\).* after [\d.]+ s and 1 requests, none of them "
                        r"running; another is started$")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: server.workers() not in ([], [pid]), "another", 10 * env.PATIENCE)


def test_while_an_interpreter_is_made(launch_once):
    """The request that it is made for is named."""
    server = launch_once("daemon", daemon="threads=2", start=False, config="""
WSGIScriptAlias /made "${apps}/hello.py" application-group=made""")
    make_interpreters_slow(server)
    server.start()
    (pid,) = wait_until(server.workers, "a worker")
    server.expect(DIED, rf'worker {pid} was ended by signal 9.*serving "GET /made\?x=1"')
    server.expect(NO_ANSWER)
    with server.raw() as client:
        client.request("GET /made?x=1", "Connection: close")
        wait_until(server.note("waits").exists, "it is being made", 20 * env.PATIENCE)
        os.kill(pid, signal.SIGKILL)
        assert client.read_head()[0] == 502
    server.note("slow").unlink()


def test_a_worker_that_hangs_in_a_preload_does_not_outlive_its_supervisor(launch_once):
    """Nobody reads its signals there."""
    server = launch_once("daemon", daemon="threads=1 shutdown-timeout=1", start=False, config="""
WSGIImportScript "${scripts}/hanging.py" process-group=tests application-group=%{GLOBAL}""")
    server.script("hanging.py", f"""
import os, time
if not os.path.exists("{server.note('first')}"):
    open("{server.note('first')}", "w").write(str(os.getpid()))
    while True:
        time.sleep(0.1)
""")
    server.start()
    pid = int(server.wait_for_note("first"))
    (supervisor,) = server.supervisors()
    server.expect("WSGI1601", f"supervisor {supervisor} .*signal 9")
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not processes.is_alive(pid), "it has ended", 15 * env.PATIENCE)
    assert server.get("/hello").status == 200


@pytest.mark.compat("FAIL-cannot-start", "LIFE-loop")
@pytest.mark.parametrize("deed, cause", [
    ("os.abort()", r"was ended by signal 6 \(SIGABRT\).*"),
    ("os._exit(3)", "exited with status 3"),
    ("os._exit(0)", "exited with status 0"),
], ids=["abort", "exit-3", "exit-0"])
def test_a_group_that_dies_as_it_starts(launch_once, deed, cause):
    server = launch_once("daemon", start=False, config='WSGIImportScript "${scripts}/deadly.py" '
                         "process-group=tests application-group=%{GLOBAL}")
    server.script("deadly.py", f"import os\n{deed}\n")
    server.expect(DIED, rf"\[tests\] worker \d+ {cause}, after [\d.]+ s, while it was starting, in "
                        r'the import of "\S+/deadly\.py"; another is started'
                        r"( in \d+ s, requests get 503)?$", count=None)
    server.expect("WSGI0116", "'tests': it cannot start", count=None)
    server.start()
    wait_until(lambda: "another is started in 1 s, requests get 503" in server.log.text(),
               "it has failed twice", 20 * env.PATIENCE)
    for _ in range(2):
        assert server.get("/hello", timeout=5 * env.PATIENCE).status == 503
    server.tolerate(DIED)
    server.script("deadly.py", "")
    wait_until(lambda: server.get("/hello").status == 200, "it is mended", 20 * env.PATIENCE)


def test_a_request_cannot_write_into_the_log(server):
    url = server.script("deadly.py", DEADLY.replace("DEED", "os._exit(3)"))
    server.expect(DIED, r'serving "GET /scripts/deadly\.py\?\?+%20\[error\]%20forged"')
    server.expect(NO_ANSWER)
    with server.raw() as client:
        client.send(b"GET " + url.encode() + b"?\xff\xc2\x85\xe2\x80\xa8%20[error]%20forged "
                    b"HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        client.read_to_end()


def test_a_long_uri_is_cut(server):
    url = server.script("deadly.py", DEADLY.replace("DEED", "os._exit(3)"))
    server.expect(DIED, r'serving "GET /scripts/deadly\.py\?x{100,200}" \(request [^)]+\); another')
    server.expect(NO_ANSWER)
    assert server.get(url + "?" + "x" * 4000).status == 502


def test_shutdown_timeout(server):
    """SIGTERM to a worker that does not end."""
    url = server.script("deadly.py", DEADLY.replace(
        "DEED", f"open('{server.note('inside')}', 'w').write(str(os.getpid()))"))
    server.expect("WSGI1402", r'shutdown-timeout=1 \(requests running: 1: "GET /scripts/deadly\.py"')
    server.expect(NO_ANSWER)
    with server.raw(60 * env.PATIENCE) as client:
        client.request(f"GET {url}", "Connection: close")
        os.kill(int(server.wait_for_note("inside")), signal.SIGTERM)
        assert client.read_head()[0] == 502
    assert_restarts(server, {"shutdown_signal": 1})


# A fault of an extension module may write anywhere, so into the memory that the family shares.
SCRIBBLER = '''
import ctypes

def application(environ, start_response):
    for line in open("/proc/self/maps"):
        if "wsgi-counters" in line:
            ctypes.memset(int(line.split("-")[0], 16), 0xEE, 192 + 4 * 64)
    start_response("200 OK", [])
    return [b""]
'''


def test_spoiled_counters_do_not_end_the_group(server):
    """The next supervisor finds them as the first one did."""
    (supervisor,) = server.supervisors()
    url = server.script("scribbler.py", SCRIBBLER)
    server.tolerate(f"{NO_ANSWER}|{DIED}|WSGI1406|WSGI0116")
    server.expect("WSGI1601", f"supervisor {supervisor} .*signal 9")
    assert server.get(url).status == 200
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: server.supervisors() not in ([], [supervisor])
               and server.get("/hello").status == 200, "another supervisor serves",
               20 * env.PATIENCE)


CLOSING = '''
import os

def application(environ, start_response):
    if environ["QUERY_STRING"]:
        os.closerange(3, 300)
    start_response("200 OK", [])
    return [b"%d" % os.getpid()]
'''


def test_closed_descriptors(server):
    """As code does that makes a daemon of its process. A worker that is deaf does not stay."""
    url = server.script("closing.py", CLOSING)
    first = server.get(url).body
    server.expect("WSGI1430", "the application has closed descriptors of the worker")
    server.expect(DIED, f"worker {first.decode()} ended by itself: the application had closed its "
                        "descriptors")
    server.tolerate(NO_ANSWER)
    server.get(f"{url}?close", timeout=20 * env.PATIENCE)
    wait_until(lambda: server.get(url, timeout=20 * env.PATIENCE).body not in (b"", first),
               "another worker serves", 20 * env.PATIENCE)
    assert_restarts(server, {"descriptors_closed": 1})
