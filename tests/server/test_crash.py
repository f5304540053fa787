"""Processes are killed: whose request was in it gets an answer, all others are served, and what
died is replaced."""

import os
import signal
import time

import env
import processes
import pytest
from processes import wait_until

WORKER_DIED = "WSGI1409"      # the supervisor names the worker and its end
NO_ANSWER = "WSGI0146"        # the child answers 502, or cuts the answer


@pytest.fixture
def server(launch_once):
    return launch_once("daemon", daemon="processes=2 threads=4")


@pytest.fixture
def single(launch_once):
    """A group of one process."""
    return launch_once("daemon")


def busy_worker(server, client, name="busy", path="/waiting"):
    """Begins a request that stays in the middle; returns its worker and the directory of gates."""
    gates = server.directory / "notes" / name
    gates.mkdir()
    client.request(f"GET {path}?directory={gates}")
    _, fields = client.read_head()
    assert client.read_chunk() == b"part 0\n"
    return int(fields["x-pid"]), gates


@pytest.mark.compat("FAIL-died")
def test_before_the_head_it_is_502_within_a_second(single):
    url = single.script("stuck.py", '''
import os, time

def application(environ, start_response):
    path = environ["QUERY_STRING"]
    with open(path + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".part", path)
    time.sleep(30)
''')
    single.expect(WORKER_DIED, "SIGKILL|signal 9|Killed")
    single.expect(NO_ANSWER)
    with single.raw() as client:
        client.request(f"GET {url}?{single.note('stuck')}")
        pid = int(single.wait_for_note("stuck"))
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        status, _ = client.read_head()
        assert time.monotonic() - killed < 1.0 * env.PATIENCE
        assert status == 502
    assert single.get("/process").json()["pid"] != pid


@pytest.mark.compat("RESP-truncated-daemon")
def test_after_the_head_the_truncation_is_visible(single):
    single.expect(WORKER_DIED, "SIGKILL|signal 9|Killed")
    single.expect(NO_ANSWER, "in the middle of its answer")
    with single.raw() as client:
        pid, _ = busy_worker(single, client)
        os.kill(pid, signal.SIGKILL)
        assert client.read_to_end() == b""
    assert single.get("/hello").status == 200


def test_others_are_not_affected(server):
    server.expect(WORKER_DIED, "SIGKILL|signal 9|Killed")
    server.expect(NO_ANSWER, "in the middle of its answer", count=4)
    clients = [server.raw() for _ in range(8)]
    begun = [busy_worker(server, client, f"busy-{number}")
             for number, client in enumerate(clients)]
    workers = {pid for pid, _ in begun}
    assert len(workers) == 2
    victim = begun[0][0]
    os.kill(victim, signal.SIGKILL)
    for client, (pid, gates) in zip(clients, begun):
        if pid == victim:
            assert client.read_to_end() == b""
        else:
            for number in range(4):
                (gates / str(number)).touch()
            assert [client.read_chunk() for _ in range(4)][-1] == b""
        client.close()
    assert server.get("/hello").status == 200


@pytest.mark.compat("LIFE-replaced")
def test_idle_worker_is_replaced(single):
    pid = single.get("/process").json()["pid"]
    single.expect(WORKER_DIED, "SIGKILL|signal 9|Killed")
    os.kill(pid, signal.SIGKILL)
    reply = single.get("/process")
    assert reply.status == 200
    assert reply.json()["pid"] != pid
    assert wait_until(single.workers, "a new worker") == [reply.json()["pid"]]


def test_five_in_a_row(single):
    single.expect(WORKER_DIED, "SIGKILL|signal 9|Killed", count=5)
    for _ in range(5):
        pid = single.get("/process", timeout=40 * env.PATIENCE).json()["pid"]
        os.kill(pid, signal.SIGKILL)
    assert single.get("/hello", timeout=40 * env.PATIENCE).status == 200


@pytest.mark.compat("PROC-os-exit", "FAIL-died", "LIFE-replaced")
@pytest.mark.parametrize("status", [0, 67, 68, 69])
def test_an_exit_in_a_request_is_named_whatever_its_status(launch_once, status):
    server = launch_once("daemon")
    url = server.script("leaving.py", f"""
import os
def application(environ, start_response):
    os._exit({status})
""")
    server.expect(WORKER_DIED, f"exited with status {status} in the middle of a request")
    server.expect(NO_ANSWER)
    assert server.get(url).status == 502
    assert server.get("/hello", timeout=30 * env.PATIENCE).status == 200


@pytest.mark.parametrize("fault, words", [
    ("crashes", "SIGSEGV|signal 11|Segmentation"),
    ("dies", "exit.*3|status 3"),
])
def test_an_application_that_ends_its_process(single, fault, words):
    single.expect(WORKER_DIED, words)
    single.expect(NO_ANSWER)
    assert single.get(f"/faults/{fault}").status == 502
    assert single.get("/hello").status == 200


def test_supervisor_killed(single):
    """Its workers go with it, and httpd's parent starts another."""
    (supervisor,) = single.supervisors()
    single.get("/hello")
    workers = single.workers()
    single.expect("WSGI1601", "SIGKILL|signal 9|Killed")
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not any(map(processes.is_alive, workers)), "its workers have ended",
               10 * env.PATIENCE)
    wait_until(lambda: single.supervisors() and single.workers(), "a new family", 30 * env.PATIENCE)
    assert single.get("/hello", timeout=30 * env.PATIENCE).status == 200


def test_a_group_that_cannot_be_started_is_tried_again(single):
    """By httpd's monitor hook, every ten seconds."""
    program = next(single.run.module.parent.glob("wsgi-daemon-*"))
    (supervisor,) = single.supervisors()
    single.expect("WSGI1601", "SIGKILL|signal 9|Killed")
    single.expect("WSGI1602", "tests", count=None)
    program.chmod(0o644)
    try:
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: "WSGI1602" in single.log.text(), "the parent says so",
                   15 * env.PATIENCE)
        single.expect("WSGI0116", "503|cannot start|FAILED|'tests'")
        assert single.get("/hello").status == 503
    finally:
        program.chmod(0o755)
    wait_until(single.workers, "a new family", 40 * env.PATIENCE)
    assert single.get("/hello", timeout=30 * env.PATIENCE).status == 200


def test_parent_killed(server):
    """Nobody is left to ask for it, but the process groups end by themselves."""
    server.get("/hello")
    family = server.family()
    groups = server.supervisors() + server.workers()
    assert len(groups) == 3
    children = server.httpd_children()
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()
    for child in children:
        os.kill(child, signal.SIGKILL)
    wait_until(lambda: not any(map(processes.is_alive, groups)), "the groups have ended",
               12 * env.PATIENCE)
    wait_until(lambda: server.leftovers() == [], f"all of {family} have ended", 5)


def test_embedded_child_killed(launch_once):
    server = launch_once("embedded", single_child=True)
    with server.raw() as client:
        pid, _ = busy_worker(server, client)
        os.kill(pid, signal.SIGKILL)
        assert client.read_to_end() == b""
    assert server.get("/hello", timeout=20).status == 200
