"""Files that a worker passes: what they are, what they claim to be, and what becomes of them while
they are sent.

SPDX-License-Identifier: Apache-2.0
"""

import os
import shutil
import time

import env
import processes
import pytest
from standin import (CUT, DIED, ENDED, HEAD, HELLO, ILLEGAL, NOT_CARRIED, SENT,
                     Outcome, Stage, frames)

TIMES = 50
BIG = 64 << 20

CONFIG = """
WSGIEnableSendfile On
EnableSendfile On
LogLevel core:crit
"""


@pytest.fixture(scope="module", params=["copied", "sendfile", "deflated"])
def stage(launch, request):
    if request.param == "sendfile":
        return Stage(launch, config=CONFIG)
    if request.param == "deflated":
        return Stage(launch, config="SetOutputFilter DEFLATE\n", modules=["filter", "deflate"])
    return Stage(launch)


@pytest.fixture(autouse=True)
def calm(stage):
    stage.begin()
    yield
    stage.end()


@pytest.fixture
def path(stage):
    """Ten bytes that the worker may read."""
    return write(stage, "ten", b"0123456789")


def write(stage, name, content):
    path = stage.server.directory / "notes" / name
    path.write_bytes(content)
    path.chmod(0o644)
    if env.IS_ROOT:
        shutil.chown(path, env.USER)
    return str(path)


def passing(what, offset=0, length=10):
    return [HELLO, HEAD, ("pass", frames.file(offset, length), [what]), ENDED]


def repeat(stage, expected, steps, log=None, words="", times=TIMES):
    if log:
        stage.expect(log, words, times)
    for _ in range(times):
        found = stage.ask(*steps)
        assert found == expected, (steps, found)


# ---- what it is


def test_a_file(stage, path):
    repeat(stage, Outcome(200, b"0123456789"), passing((path, os.O_RDONLY)))
    repeat(stage, Outcome(200, b"0123456789"), passing((path, os.O_RDWR)))
    repeat(stage, Outcome(200, b"345"), passing((path, os.O_RDONLY), 3, 3))
    repeat(stage, Outcome(200, b"\0" * 10), passing(("memory",)))


@pytest.mark.compat("FAIL-protocol")
@pytest.mark.parametrize("what", [
    ("pipe",), ("socket",), ("rendezvous",), ("/dev/zero", os.O_RDONLY), ("/", os.O_RDONLY),
    ("/dev/zero", os.O_PATH), ("/", os.O_PATH), ("/proc/self/stat", os.O_RDONLY),
], ids=str)
def test_no_file(stage, what):
    repeat(stage, 502, passing(what), ILLEGAL, "not regular")


def test_no_descriptor(stage):
    repeat(stage, 502, [HELLO, HEAD, ("send", frames.file(0, 10)), ENDED], ILLEGAL,
           "without a descriptor")


def test_two_descriptors(stage, path):
    """There is room for one, the kernel drops the other."""
    steps = [HELLO, HEAD, ("pass", frames.file(0, 10), [(path, os.O_RDONLY)] * 2), ENDED]
    repeat(stage, Outcome(200, b"0123456789"), steps)


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_PATH, os.O_WRONLY | os.O_APPEND])
def test_a_descriptor_that_its_owner_could_not_read(stage, path, flags):
    """httpd has rights of its own: what the worker could not read must not be read for it."""
    repeat(stage, 502, passing((path, flags)), ILLEGAL, "not open for reading")


@pytest.mark.skipif(not env.IS_ROOT, reason="needs files of two users")
def test_the_path_of_a_secret(stage):
    """By O_PATH a worker gets a descriptor of what it may not open at all."""
    secret = stage.server.directory / "httpd.conf"
    mode = secret.stat().st_mode
    secret.chmod(0o600)
    try:
        repeat(stage, 502, passing((str(secret), os.O_PATH)), ILLEGAL, times=1)
    finally:
        secret.chmod(mode)


# ---- what it claims


@pytest.mark.compat("FAIL-protocol")
@pytest.mark.parametrize("offset, length", [
    (-1, 5), (0, -1), (-5, 10), (-2 ** 63, 0), (0, -2 ** 63), (2 ** 63 - 1, 1), (1, 2 ** 63 - 1),
    (2 ** 63 - 1, 2 ** 63 - 1), (0, 11), (11, 0), (10, 1), (5, 6), (0, 2 ** 62), (2 ** 40, 1),
])
def test_wild_numbers(stage, path, offset, length):
    repeat(stage, 502, passing((path, os.O_RDONLY), offset, length), ILLEGAL)


@pytest.mark.parametrize("offset", [0, 10])
def test_nothing_of_a_file(stage, path, offset):
    repeat(stage, Outcome(200, b""), passing((path, os.O_RDONLY), offset, 0))


def test_more_than_the_content_length(stage, path):
    head = ("send", frames.head(fields=((b"Content-Length", b"4"),)))
    steps = [HELLO, head, ("pass", frames.file(0, 10), [(path, os.O_RDONLY)]), ENDED]
    stage.expect(ILLEGAL, "more than the Content-Length", TIMES)
    for _ in range(TIMES):
        assert stage.ask(*steps).status == 200


def test_many_files(stage, path):
    """A descriptor each, closed when its frame is done; the answer is one."""
    one = ("pass", frames.file(0, 10), [(path, os.O_RDONLY)])
    assert stage.ask(HELLO, HEAD, *[one] * 500, ENDED) == Outcome(200, b"0123456789" * 500)


def test_files_and_no_end(stage, path):
    one = ("pass", frames.file(0, 10), [(path, os.O_RDONLY)])
    repeat(stage, CUT, [HELLO, HEAD, SENT, *[one] * 5], DIED)


# ---- what becomes of it


def slow_client(stage, *steps):
    """A request whose client reads the head and no more."""
    client = stage.server.raw()
    client.request("GET " + stage.url(*steps), "Connection: close")
    assert client.read_head()[0] == 200
    return client


def read_all(client):
    """Much, without joining it at each step."""
    parts = [client.pending]
    while data := client.socket.recv(1 << 20):
        parts.append(data)
    return b"".join(parts)


def tolerate_what_httpd_says(stage):
    """Where it is httpd that reads, it is httpd that complains, if at all."""
    stage.server.tolerate("AH\\d+")
    stage.server.tolerate(NOT_CARRIED)
    stage.server.tolerate("")


@pytest.mark.parametrize("left", [0, 1, BIG // 2])
def test_shrinks_while_it_is_sent(stage, left):
    path = write(stage, "shrinking", b"")
    os.truncate(path, BIG)
    tolerate_what_httpd_says(stage)
    length = ("send", frames.head(fields=((b"Content-Length", b"%d" % BIG),)))
    with slow_client(stage, HELLO, length,
                     ("pass", frames.file(0, BIG), [(path, os.O_RDONLY)]), ENDED) as client:
        os.truncate(path, left)
        began = time.monotonic()
        assert len(read_all(client)) < BIG
        assert time.monotonic() - began < 5 * env.PATIENCE


def test_shrinks_behind_the_check(stage):
    """Or before it: between the look at its size and the first read."""
    stage.server.tolerate(ILLEGAL)
    tolerate_what_httpd_says(stage)
    size = 1 << 20
    for _ in range(20):
        found = stage.ask(HELLO, HEAD, ("shrink_behind", frames.file(0, size), size), ENDED)
        assert found.status in (200, 500, 502)


def test_is_replaced(stage):
    """The file is what was passed, not what has its name now."""
    path = write(stage, "replaced", b"old" * (BIG // 3))
    with slow_client(stage, HELLO, HEAD,
                     ("pass", frames.file(0, 3 * (BIG // 3)), [(path, os.O_RDONLY)]),
                     ENDED) as client:
        write(stage, "new", b"new")
        os.rename(stage.server.note("new"), path)
        content = read_all(client)
        assert b"new" not in content
    os.unlink(path)


def test_grows_while_it_is_sent(stage, path):
    for _ in range(10):
        with slow_client(stage, *passing((path, os.O_RDONLY))) as client:
            with open(path, "ab") as file:
                file.write(b"more")
            assert b"more" not in client.read_to_end()


@pytest.mark.skipif(not env.IS_ROOT, reason="a lease is given to the owner of the file only")
def test_a_lease(stage):
    """Who holds one makes others wait who open the file, for 45 s: we do not."""
    path = write(stage, "leased", b"0123456789")
    began = time.monotonic()
    assert stage.ask(HELLO, HEAD, ("lease", frames.file(0, 10), path), ENDED) == \
        Outcome(200, b"0123456789")
    assert time.monotonic() - began < 3 * env.PATIENCE


def test_memory_stays_bounded(stage):
    """A file is never mapped, and never in memory as a whole."""
    path = write(stage, "sparse", b"")
    os.truncate(path, BIG)
    before = processes.status_kib(stage.child[0], "VmRSS")
    found = stage.ask(*passing((path, os.O_RDONLY), 0, BIG))
    assert found.status == 200 and found.is_whole
    assert processes.status_kib(stage.child[0], "VmHWM") < before + (8 << 10) * env.PATIENCE


def test_client_leaves(stage):
    path = write(stage, "left", b"")
    os.truncate(path, BIG)
    for _ in range(10):
        slow_client(stage, *passing((path, os.O_RDONLY), 0, BIG)).close()
    stage.server.tolerate("WSGI1531")
