"""Restart and stop: requests go on, and nothing of before is left."""

import threading

import env
import processes
import pytest
from processes import wait_until

# httpd ends a child by force whose thread is still in a request; the supervisor ends its worker.
GIVEN_UP = "AH0004[56]|WSGI1402"


@pytest.fixture
def server(launch_once, mode):
    return launch_once(mode, daemon="processes=2 threads=4")


@pytest.mark.compat("LIFE-stop")
@pytest.mark.parametrize("kind", ["restart", "graceful"])
def test_a_new_family_serves_and_the_old_one_is_gone(server, kind):
    first = server.get("/process").json()["pid"]
    before = set(server.family())
    assert first in before
    for _ in range(3):
        server.restart(kind)
        found = server.get("/process").json()["pid"]
        assert found not in before
        assert not before & set(server.family())


@pytest.mark.compat("LIFE-graceful")
def test_graceful_lets_running_requests_end(server):
    gates = server.directory / "notes" / "running"
    gates.mkdir()
    with server.raw() as client:
        client.request(f"GET /waiting?directory={gates}")
        assert client.read_head()[0] == 200
        assert client.read_chunk() == b"part 0\n"
        old = set(server.family())
        server.signal(env.signal.SIGUSR1)
        wait_until(lambda: server.get("/process").json()["pid"] not in old,
                   "the new generation serves", 20 * env.PATIENCE)
        for number in range(4):
            (gates / str(number)).touch()
        assert [client.read_chunk() for _ in range(4)] == \
            [b"part 1\n", b"part 2\n", b"part 3\n", b""]
    wait_until(lambda: not old & set(server.family()), "the old generation has ended",
               20 * env.PATIENCE)


@pytest.mark.compat("LIFE-graceful", "LIFE-queue")
def test_no_request_is_lost_by_graceful(server):
    """Clients with fresh connections ask all the time."""
    server.get("/hello")
    wrong, count, stop = [], [0], threading.Event()

    def keep_asking():
        while not stop.is_set():
            try:
                reply = server.get("/hello", timeout=30 * env.PATIENCE)
                if (reply.status, reply.body) != (200, b"Hello world\n"):
                    wrong.append(reply)
            except OSError as error:
                wrong.append(error)
            count[0] += 1

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            server.restart("graceful")
            seen = count[0]
            wait_until(lambda: count[0] > seen + 8, "clients are answered", 20 * env.PATIENCE)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.compat("LIFE-stop")
def test_stop_with_a_request_inside(server):
    """An application that does not end is given up after shutdown-timeout."""
    url = server.script("stubborn.py", '''
import os, time

def application(environ, start_response):
    path = environ["QUERY_STRING"]
    with open(path + ".part", "w") as file:
        file.write("inside")
    os.rename(path + ".part", path)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
''')
    with server.raw() as client:
        client.request(f"GET {url}?{server.note('inside')}")
        server.wait_for_note("inside")
        server.tolerate(GIVEN_UP)
        server.stop()


@pytest.mark.compat("INTERP-end")
def test_exit_handlers_of_the_application_run(server):
    url = server.script("at_exit.py", '''
import atexit

def application(environ, start_response):
    path = environ["QUERY_STRING"]
    atexit.register(lambda: open(path, "w").write("ended"))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return []
''')
    assert server.get(f"{url}?{server.note('at-exit')}").status == 200
    server.stop()
    assert server.note("at-exit").read_text() == "ended"


def test_stop_right_after_start(launch_once, mode):
    for _ in range(3):
        server = launch_once(mode)
        server.stop()
        assert [pid for pid in server.known if processes.is_alive(pid)] == []


def test_changed_configuration_is_used_after_a_restart(server, mode):
    for number, kind in enumerate(("restart", "graceful")):
        server.config = f'WSGIScriptAlias /new{number} "${{apps}}/hello.py"'
        server.daemon = f"threads={number + 2}"
        server.write_configuration()
        server.restart(kind)
        assert server.get(f"/new{number}").body == b"Hello world\n"
        if mode == "daemon":
            assert server.get("/process").json()["threads_per_process"] == number + 2


def test_a_wrong_configuration_at_a_restart_keeps_httpd_as_it_was(server):
    server.config = "WSGIProcessGroup nowhere"
    server.write_configuration()
    status, output = server.configtest()
    assert (status, "nowhere" in output) == (1, True)
    assert server.get("/hello").status == 200
