"""A worker that floods, stops reading, takes requests back without end, or spoils what it shares
with httpd: its own requests fail within their limits, and nothing else does.

SPDX-License-Identifier: Apache-2.0
"""

import concurrent.futures
import errno
import json
import socket
import threading
import time

import env
import processes
import pytest
from processes import wait_until
from standin import (ANSWER, CUT, DIED, ENDED, GOOD, HEAD, HELLO, ILLEGAL, KEPT_ANSWER,
                     NOBODY_TOOK_IT, SENT, SILENCE, TOO_LATE, Outcome, Stage, frames)

TIMES = 50
BODY = b"b" * (10 << 20)
CONTINUE = ("send", frames.frame(frames.CONTINUE))
GOAWAY = ("send", frames.frame(frames.GOAWAY))
LIMIT_S = 2.5 * env.PATIENCE  # connect-timeout and socket-timeout are a second


@pytest.fixture(scope="module")
def stage(launch):
    return Stage(launch)


@pytest.fixture(autouse=True)
def calm(request):
    if "stage" not in request.fixturenames:
        yield
        return
    stage = request.getfixturevalue("stage")
    stage.begin()
    yield
    stage.end()


@pytest.fixture
def own_stage(launch_once):
    """One that a test may spoil for good."""
    return Stage(launch_once)


def repeat(stage, expected, *steps, log=None, words="", times=TIMES):
    if log:
        stage.expect(log, words, times)
    for _ in range(times):
        found = stage.ask(*steps)
        assert found == expected, (steps, found)


def post(stage, *steps):
    """A client that uploads, whatever comes back; gives status and seconds."""
    began = time.monotonic()
    with stage.server.raw() as client:
        head = f"POST {stage.url(*steps)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        sender = threading.Thread(target=send_all, args=(
            client.socket, f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY))
        sender.start()
        status, _ = client.read_head()
        seconds = time.monotonic() - began
        client.read_to_end()
        sender.join()
    return status, seconds


def send_all(sock, data):
    try:
        sock.sendall(data)
    except OSError:
        pass  # the answer tells


# ---- the request's body


def test_continue_where_nothing_is_to_come(stage):
    stage.expect(ILLEGAL, "request body that it has", 3 * TIMES)
    repeat(stage, 502, HELLO, CONTINUE)
    repeat(stage, 502, HELLO, HEAD, CONTINUE)
    url = stage.url(HELLO, CONTINUE)
    for _ in range(TIMES):
        with stage.server.raw() as client:  # the body travels with the head
            client.send(f"POST {url} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
                        "Content-Length: 5\r\n\r\nsmall")
            assert client.read_head()[0] == 502


@pytest.mark.compat("FAIL-protocol")
def test_continue_twice(stage):
    stage.expect(ILLEGAL, r"illegal frame of type 6 \(CONTINUE\)", 5)
    for _ in range(5):
        assert post(stage, HELLO, CONTINUE, CONTINUE, ("sleep", 0.1))[0] == 502


def test_stops_reading(stage):
    """At once, after a part, and after its head: silence is measured all the same."""
    stage.expect(TOO_LATE, "silent for 1 s", 3)
    for steps in [HELLO, CONTINUE], [HELLO, CONTINUE, ("read", 1 << 20)]:
        status, seconds = post(stage, *steps, SILENCE)
        assert status == 504 and 0.9 < seconds < LIMIT_S
    status, seconds = post(stage, HELLO, CONTINUE, HEAD, SENT, SILENCE)
    assert status == 200 and seconds < LIMIT_S


def test_answers_and_does_not_read(stage):
    for steps in [HELLO, ANSWER], [HELLO, CONTINUE, ANSWER], [HELLO, CONTINUE, ("read", 999), ANSWER]:
        assert post(stage, *steps)[0] == 200


def test_closes_while_the_client_uploads(stage):
    stage.expect(DIED, count=10)
    for _ in range(10):
        assert post(stage, HELLO, CONTINUE, ("read", 100_000))[0] == 502


def test_shuts_down_while_the_client_uploads(stage):
    stage.expect(DIED, count=10)
    for how in 5 * [socket.SHUT_WR, socket.SHUT_RDWR]:
        assert post(stage, HELLO, CONTINUE, ("read", 10_000), ("shutdown", how),
                    ("sleep", 0.1))[0] == 502


def test_answers_without_end_while_the_client_uploads(stage):
    """The client does not read before it has sent all: neither side waits for the other."""
    steps = [HELLO, CONTINUE, HEAD, ("repeat", frames.data(b"x" * 65536), 300)]
    stage.server.tolerate(DIED)
    assert post(stage, *steps)[0] == 200


# ---- taken back


@pytest.mark.compat("FAIL-refused")
@pytest.mark.parametrize("before, expected, log, words", [
    ([], 503, NOBODY_TOOK_IT, "3 workers in a row"),
    ([HELLO], 503, NOBODY_TOOK_IT, "3 workers in a row"),
    ([HELLO, ("send", frames.log(9, b"x"))], 503, NOBODY_TOOK_IT, "3 workers in a row"),
    ([HELLO, HEAD], 502, ILLEGAL, "GOAWAY"),
    ([HELLO, HEAD, SENT], CUT, ILLEGAL, "GOAWAY"),
    ([HELLO, HEAD, ENDED], 200, None, ""),
])
def test_goaway(stage, before, expected, log, words):
    repeat(stage, expected, *before, GOAWAY, ("sleep", 0.002), log=log, words=words)


def test_goaway_after_continue(stage):
    stage.expect(ILLEGAL, "GOAWAY", 5)
    for _ in range(5):
        assert post(stage, HELLO, CONTINUE, GOAWAY, ("sleep", 0.1))[0] == 502


def test_slow_goaways(stage):
    """Not a try more because they come late, and connect-timeout is for all of them."""
    stage.expect(NOBODY_TOOK_IT)
    began = time.monotonic()
    assert stage.ask(HELLO, ("sleep", 0.45), GOAWAY) == 503
    assert time.monotonic() - began < LIMIT_S


def test_keeps_and_is_gone(stage):
    repeat(stage, GOOD, HELLO, KEPT_ANSWER)
    for number in range(10):
        assert stage.ask(HELLO, KEPT_ANSWER, ("shutdown", 2), ("note", f"shut{number}"),
                         SILENCE) == GOOD
        stage.server.wait_for_note(f"shut{number}")
        assert stage.ask(HELLO, ANSWER) == GOOD


def test_keeps_far_more_than_it_has_threads(stage):
    """Each of 16 clients at a time has left one behind; all of them are closed in time."""
    url = stage.url(HELLO, KEPT_ANSWER, ("keep",))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: stage.server.get(url).status, range(200)))
    assert set(found) == {200}
    stage.files = max(stage.files, 64)


# ---- floods


def test_endless_answer_that_nobody_reads(stage):
    before = processes.status_kib(stage.child[0], "VmRSS")
    url = stage.url(HELLO, HEAD, ("repeat", frames.data(b"x" * 65536), 1 << 20))
    with stage.server.raw() as client:
        client.request(f"GET {url}")
        assert client.read_head()[0] == 200
        time.sleep(2)
        assert processes.status_kib(stage.child[0], "VmHWM") < before + (8 << 10) * env.PATIENCE
    stage.expect("WSGI1531", count=None)


def test_small_frames_without_end(stage):
    """Thousands a read: they are taken, and the answer is bounded by its length."""
    many = b"".join([frames.data(b"x"), frames.data(b"")] * 1000)
    found = stage.ask(HELLO, HEAD, ("repeat", many, 50), ENDED)
    assert found == Outcome(200, b"x" * 50_000)


@pytest.mark.parametrize("content", [
    frames.log(9, b"flood"), frames.data(b""), frames.data(b"", frames.FLUSH),
], ids=["LOG", "DATA", "FLUSH"])
def test_a_flood_of_nothing_is_silence(stage, content):
    """Who sends only that does not work: socket-timeout ends it."""
    stage.expect(TOO_LATE, "silent for 1 s", 2)
    began = time.monotonic()
    assert stage.ask(HELLO, HEAD, ("repeat", content * 100, 1 << 30)) == 504
    assert stage.ask(HELLO, HEAD, SENT, ("sleep", 0.1), ("repeat", content * 100, 1 << 30)) == CUT
    assert time.monotonic() - began < 2 * LIMIT_S


def test_a_flood_of_empty_files_is_silence(stage):
    stage.expect(TOO_LATE, "silent for 1 s")
    began = time.monotonic()
    flood = ("pass_often", frames.file(0, 0), [("memory",)], 1 << 30)
    assert stage.ask(HELLO, HEAD, flood) == 504
    assert time.monotonic() - began < LIMIT_S


@pytest.mark.xfail(strict=True, reason="of the answer to HEAD no byte goes out, so nobody notices "
                   "that the client has left; each part is a sign of life")
def test_endless_answer_to_head(own_stage):
    url = own_stage.url(HELLO, HEAD, ("repeat", frames.data(b"x" * 65536), 1 << 30))
    own_stage.begin()
    with own_stage.server.raw() as client:
        client.request(f"HEAD {url}")
        time.sleep(0.5)
    own_stage.server.tolerate("WSGI1531|WSGI0145|WSGI0146")
    own_stage.end()


def test_a_hundred_thousand_lines(launch_once):
    stage = Stage(launch_once, daemon="socket-timeout=60 connect-timeout=5")
    line = frames.log(frames.INFO, b"line of a flood")
    assert stage.ask(HELLO, ("repeat", line * 100, 1000), ANSWER) == GOOD
    assert stage.server.log.text().count("line of a flood") == 100_000
    stage.begin()
    stage.end()


LINES = {
    "control bytes": (3, bytes(range(1, 256))),
    "forged line": (3, b"x\n[Tue Nov 24 23:00:00.000000 2026] [core:emerg] [pid 1] forged"),
    "64 KiB": (3, b"y" * 65522),
    "percent signs": (3, b"%s%n%d%s%s%s%s%n"),
    "nothing": (3, b""),
    "level 0": (0, b"text"), "level 1": (1, b"text"), "level 2": (2, b"text"),
    "level 255": (255, b"text"), "level -1": (0xffffffff, b"text"),
    "level of a request": (0x80000003, b"text"),
}


@pytest.mark.parametrize("name", list(LINES))
def test_odd_lines(stage, name):
    """Each is one line of the log, whatever is in it."""
    if LINES[name][0] <= frames.INFO:
        stage.server.expect_output("")
    before = stage.server.log.text().count("\n")
    repeat(stage, GOOD, HELLO, ("send", frames.log(*LINES[name])), ANSWER)
    assert stage.server.log.text().count("\n") <= before + TIMES
    for line in stage.server.log.recent():
        assert line.level != "emerg", line


@pytest.mark.compat("FAIL-protocol")
@pytest.mark.parametrize("content", [frames.log(3, b"a\0b"), frames.log(3, b"text", b"x"),
                                     frames.log(3, b"\0")])
def test_illegal_lines(stage, content):
    repeat(stage, 502, HELLO, ("send", content), log=ILLEGAL, words="illegal LOG")


# ---- what is shared


def test_shared_memory_cannot_be_resized(stage):
    """Nor sealed any further; and giving its pages back costs nobody a signal."""
    assert stage.ask(HELLO, ("tricks", "tricks"), ANSWER) == GOOD
    found = json.loads(stage.server.wait_for_note("tricks"))
    refused = {"to nothing", "shorter", "longer", "sealed"}
    for name, error in found.items():
        segment, what = name.split(" ", 1)
        if what in refused or segment == "settings" and what in ("written", "punched"):
            assert error == errno.EPERM, name
    assert found["counters written"] == found["counters punched"] == 0


def test_scribbles_over_the_counters(stage):
    """At full speed, while 16 clients go on: hints, and nothing but hints, are wrong."""
    for id in NOBODY_TOOK_IT, "WSGI1604", "WSGI1532":
        stage.server.tolerate(id)
    good = stage.url(HELLO, KEPT_ANSWER, ("keep",))
    end = time.monotonic() + 2
    found = []

    def go_on(_):
        while time.monotonic() < end + 0.5:
            began = time.monotonic()
            status = stage.server.get(good).status
            found.append((status, time.monotonic() - began))

    with concurrent.futures.ThreadPoolExecutor(17) as pool:
        scribbler = pool.submit(stage.ask, HELLO, ("scribble", 2), ANSWER)
        list(pool.map(go_on, range(16)))
        assert scribbler.result().status in (200, 504)
    stage.server.tolerate(TOO_LATE)
    assert {status for status, _ in found} <= {200, 503}
    assert max(seconds for _, seconds in found) < 2 * LIMIT_S
    stage.files = max(stage.files, 64)


def test_a_new_child_finds_the_counters_spoiled(own_stage):
    """It goes without hints."""
    assert own_stage.ask(HELLO, ("spoil",), ANSWER) == GOOD
    own_stage.expect("WSGI1606", "'tests'", count=None)
    own_stage.server.tolerate("AH00052")
    processes.os.kill(own_stage.child[0], processes.signal.SIGKILL)
    wait_until(lambda: set(own_stage.server.httpd_children()) - set(own_stage.child),
               "another child of httpd", 10 * env.PATIENCE)
    assert own_stage.is_good()


GROUP_STATES = {0: 200, 1: 200, 2: 503, 3: 503, 4: 503, 0xffffffff: 503}


@pytest.mark.parametrize("state", list(GROUP_STATES))
def test_wild_state_of_the_group(own_stage, state):
    assert own_stage.ask(HELLO, ("group_state", state), ANSWER) == GOOD
    expected = GROUP_STATES[state]
    if expected == 503:
        own_stage.expect(NOBODY_TOOK_IT, "cannot start")
    assert own_stage.ask(HELLO, ANSWER) == expected
    assert own_stage.server.get("/embedded").status == 200


@pytest.mark.parametrize("row", [
    (0, 0, 0, 0, 0, 0, 0), (2, 1, 0, 0xffffffff, 0, 0, 0xffffffff), (3, 1, 1, 0, 0, 0, 0),
    (0xffffffff,) * 4 + (2 ** 64 - 1,) * 2 + (0xffffffff,), (2, 7, 1, 0, 0, 0, 0),
])
def test_wild_row(stage, row):
    repeat(stage, GOOD, HELLO, ("row", *row), KEPT_ANSWER, ("keep",), times=20)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        url = stage.url(HELLO, KEPT_ANSWER, ("keep",))
        assert set(pool.map(lambda _: stage.server.get(url).status, range(100))) == {200}
    assert stage.ask(HELLO, ("row", 2, 1, 1, 0, 0, 0, 0), ANSWER) == GOOD
    stage.files = max(stage.files, 64)


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR])
def test_shuts_the_rendezvous_down(own_stage, how):
    """It ends what it has for itself, and nothing else: 503 at once, or nothing at all."""
    assert own_stage.ask(HELLO, ("rendezvous_shutdown", how), ANSWER) == GOOD
    expected = 200 if how == socket.SHUT_WR else 503
    if expected == 503:
        own_stage.expect(NOBODY_TOOK_IT, count=10)
    for _ in range(10):
        began = time.monotonic()
        assert own_stage.ask(HELLO, ANSWER) == expected
        assert time.monotonic() - began < LIMIT_S
    assert own_stage.server.get("/embedded").status == 200
    assert own_stage.server.httpd_children() == own_stage.child


def test_sends_to_httpd_at_the_rendezvous(stage):
    """And to its parent: nobody reads there, and what is full stays so."""
    assert stage.ask(HELLO, ("backwards", "backwards"), ANSWER) == GOOD
    assert [error for _, error in json.loads(stage.server.wait_for_note("backwards"))] == \
        [errno.EAGAIN] * 2
    repeat(stage, GOOD, HELLO, ANSWER)


def test_does_not_come_to_the_rendezvous(own_stage):
    """More wait than there is room for, and all of them are told within the limit."""
    own_stage.server.tolerate("AH00484")
    own_stage.server.tolerate("AH00161")
    own_stage.expect(NOBODY_TOOK_IT, count=None)
    (stand_in,) = [pid for pid in processes.children(own_stage.server.pid)
                   if pid not in own_stage.child]
    processes.os.kill(stand_in, processes.signal.SIGSTOP)
    began = time.monotonic()
    try:
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda _: own_stage.ask(HELLO, ANSWER).status, range(16)))
    finally:
        processes.os.kill(stand_in, processes.signal.SIGCONT)
    rounds = 16 if env.MPM == "prefork" else 1
    assert set(found) == {503}
    assert time.monotonic() - began < rounds * LIMIT_S
    wait_until(own_stage.is_good, "it serves again")


def test_floods_the_piped_log(launch_once):
    """Straight into the inherited end of it."""
    stage = Stage(launch_once, config='ErrorLog "|$/bin/cat >>${root}/error.log"\n')
    stage.server.expect_output(r"\[standin\]")
    for _ in range(5):
        assert stage.ask(HELLO, ("errors", 2000), ANSWER) == GOOD
    assert stage.is_good()
    wait_until(lambda: stage.server.log.text().count("[standin]") == 10_000, "all of it is there")


@pytest.mark.parametrize("status, words", [
    (0, None), (1, "signal 1 .*or exited with that status"), (7, "signal 7 "),
    (64, "exited with status 64"), (128, "exited with status 128"), (255, "exited with status 255"),
])
def test_exits(own_stage, status, words):
    """It is replaced; httpd's children do not notice."""
    if words:
        own_stage.expect("WSGI1601", words)
    own_stage.expect(DIED)
    own_stage.server.tolerate(NOBODY_TOOK_IT)  # until the next one has started
    assert own_stage.ask(HELLO, ("exit", status)) == 502
    wait_until(own_stage.is_good, "another one serves", 20 * env.PATIENCE)
    assert own_stage.server.httpd_children() == own_stage.child


@pytest.mark.xfail(strict=True, reason="a child of httpd's parent that exits with 15 "
                   "(APEXIT_CHILDFATAL) makes every MPM stop the server")
def test_exits_as_a_fatal_child_of_httpd(own_stage):
    own_stage.server.tolerate("AH.*|WSGI.*")
    own_stage.ask(HELLO, ("exit", 15))
    time.sleep(1)
    assert own_stage.server.process.poll() is None
    assert own_stage.is_good()
