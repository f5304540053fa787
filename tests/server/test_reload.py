"""A changed script is served changed, from the first request on."""

import concurrent.futures
import threading

import env
import pytest

SCRIPT = '''
import os

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"VERSION %d" % os.getpid()]
'''


def write(server, version, seconds):
    """A new version, `seconds` younger than the first."""
    return server.script("changing.py", SCRIPT.replace("VERSION", version),
                         mtime=1_700_000_000 + seconds)


def ask(server, url):
    reply = server.get(url)
    assert reply.status == 200, reply
    version, pid = reply.body.decode().split()
    return version, int(pid)


@pytest.fixture(scope="module")
def server(launch, mode):
    return launch(mode, single_child=True)


@pytest.mark.compat("RELOAD-change", "RELOAD-embedded", "RELOAD-daemon", "RELOAD-touch",
                    "DIR-scriptreloading")
def test_change_is_seen_at_once(server, mode):
    pids = set()
    for version in range(4):
        url = write(server, f"v{version}", 10 * version)
        for _ in range(3):
            found, pid = ask(server, url)
            assert found == f"v{version}"
            pids.add(pid)
    assert len(pids) == (1 if mode == "embedded" else 4), "embedded reloads in place, a daemon " \
        "is replaced"


@pytest.mark.compat("RELOAD-daemon")
def test_changes_among_parallel_requests_lose_none(server):
    """A worker that hands a request back takes no more, with none of its threads."""
    for version in range(10):
        url = write(server, f"p{version}", 100 + version)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: ask(server, url)[0], range(16)))
        assert set(found) == {f"p{version}"}


@pytest.mark.compat("RELOAD-change")
def test_older_is_a_change_too(server):
    url = write(server, "new", 5000)
    assert ask(server, url)[0] == "new"
    write(server, "restored", 10)
    assert ask(server, url)[0] == "restored"


@pytest.mark.compat("RELOAD-own-script")
def test_only_the_changed_script_is_loaded_again(server, mode):
    if mode == "daemon":
        before = server.get("/process").json()["pid"]
        assert server.get("/process").json()["pid"] == before
    else:
        before = server.get("/process").json()["requests"]
        url = write(server, "changed", 7000)
        assert ask(server, url)[0] == "changed"
        assert server.get("/process").json()["requests"] == before + 1


@pytest.mark.compat("RELOAD-change", "CHECK-missing")
def test_deleted_and_written_again(server):
    url = write(server, "before", 8000)
    assert ask(server, url)[0] == "before"
    (server.directory / "scripts" / "changing.py").unlink()
    server.expect("WSGI0135", "changing.py")
    assert server.get(url).status == 404
    write(server, "after", 9000)
    assert ask(server, url)[0] == "after"


@pytest.mark.compat("RELOAD-daemon", "LIFE-queue")
def test_no_request_fails_and_none_sees_old_code(launch_once, mode):
    """Clients ask all the time while the script changes; after the first answer of new code none
    comes from old code that began later."""
    server = launch_once(mode, single_child=True, daemon="processes=2 threads=4")
    url = write(server, "0", 0)
    assert ask(server, url)[0] == "0"
    wrong, newest, stop = [], [0], threading.Event()

    def keep_asking():
        while not stop.is_set():
            expected = newest[0]
            reply = server.get(url, timeout=60 * env.PATIENCE)
            if reply.status != 200 or int(reply.body.split()[0]) < expected:
                wrong.append((expected, reply))
            else:
                newest[0] = max(newest[0], int(reply.body.split()[0]))

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for version in range(1, 4):
            write(server, str(version), 100 * version)
            env.wait_until(lambda: newest[0] >= version or wrong, f"version {version} answers",
                           30 * env.PATIENCE)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
