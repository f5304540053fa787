"""A worker that breaks the protocol, frame by frame. What the client gets, what the log says, and
that httpd goes on as if nothing had been.

SPDX-License-Identifier: Apache-2.0
"""

import random
import struct

import pytest
from standin import (ANSWER, CUT, DIED, ENDED, GOOD, HEAD, HELLO, ILLEGAL, KEPT_ANSWER,
                     NOBODY_TOOK_IT, NOISE, NOT_CARRIED, SENT, SILENCE, TOO_LATE, Outcome, Stage,
                     frames)

TIMES = 50
SOME = 5  # of what is waited for


@pytest.fixture(scope="module")
def stage(launch):
    return Stage(launch)


@pytest.fixture(autouse=True)
def calm(stage):
    stage.begin()
    yield
    stage.end()


def repeat(stage, expected, *steps, times=TIMES, log=None, words="", kept=False):
    """The same misdeed again and again: `log` is the line that each must leave."""
    repeat_all(stage, expected, [steps], times, log, words, kept)


def repeat_all(stage, expected, plays, times=2, log=None, words="", kept=False):
    """The same of several misdeeds."""
    plays = times * list(plays)
    if log:
        stage.expect(log, words, len(plays))
    for steps in plays:
        if kept:
            stage.keep_one()
        found = stage.ask(*steps)
        assert found == expected, (steps, found)


def cases(table):
    return pytest.mark.parametrize("name", list(table))


# ---- leaving


@pytest.mark.compat("FAIL-refused")
def test_closes_at_once(stage):
    repeat(stage, 503, log=NOBODY_TOOK_IT, words="3 workers in a row")


def test_closes_unread(stage):
    repeat(stage, 503, ("unread",), log=NOBODY_TOOK_IT, words="3 workers in a row")


def test_closes_unread_what_it_had_kept(stage):
    """Then the request goes on with a fresh pair."""
    repeat(stage, 503, ("unread",), log=NOBODY_TOOK_IT, words="3 workers in a row", kept=True)


@pytest.mark.compat("FAIL-died")
@pytest.mark.parametrize("kept", [False, True])
def test_closes_after_hello(stage, kept):
    repeat(stage, 502, HELLO, log=DIED, kept=kept)


def test_closes_after_the_head(stage):
    repeat(stage, 502, HELLO, HEAD, log=DIED)


def test_closes_in_its_answer(stage):
    repeat(stage, CUT, HELLO, HEAD, SENT, log=DIED, words="in the middle")


def test_shuts_its_side_down(stage):
    repeat(stage, 502, HELLO, ("shutdown", 1), ("sleep", 0.05), log=DIED)


def test_shuts_the_other_side_down(stage):
    """It reads no more, and there is nothing more to read."""
    repeat(stage, GOOD, HELLO, ("shutdown", 0), ANSWER)


# ---- silence


HALF_HELLO = ("send", frames.hello()[:13])
HALF_HEAD = ("send", frames.head()[:9])
HALF_DATA = ("send", frames.data(b"x" * 100)[:50])
GREAT_HEAD = ("send", frames.frame(frames.HEAD, b"x" * 999, length=1 << 20))

SILENT = {
    "nothing": (503, NOBODY_TOOK_IT, []),
    "half a hello": (503, NOBODY_TOOK_IT, [HALF_HELLO]),
    "a byte": (503, NOBODY_TOOK_IT, [("send", b"\x0c")]),
    "after hello": (504, TOO_LATE, [HELLO]),
    "half a head": (504, TOO_LATE, [HELLO, HALF_HEAD]),
    "a part of a great head": (504, TOO_LATE, [HELLO, GREAT_HEAD]),
    "after the head": (504, TOO_LATE, [HELLO, HEAD]),
    "half of data": (CUT, TOO_LATE, [HELLO, HEAD, SENT, HALF_DATA]),
    "after data": (CUT, TOO_LATE, [HELLO, HEAD, SENT]),
    "only lines for the log": (504, TOO_LATE, [HELLO] + 30 * [
        ("send", frames.log(9, b"still there")), ("sleep", 0.1)]),
}


@pytest.mark.compat("FAIL-silent")
@cases(SILENT)
def test_falls_silent(stage, name):
    status, log, steps = SILENT[name]
    repeat(stage, status, *steps, SILENCE, log=log, times=2)


@cases(SILENT)
def test_closes_instead(stage, name):
    status, log, steps = SILENT[name]
    status, log = {503: (503, NOBODY_TOOK_IT), 504: (502, DIED)}.get(status, (CUT, DIED))
    repeat(stage, status, *steps[:6], log=log, times=SOME)


# ---- every type in every state

TYPES = list(range(16)) + [16, 31, 32, 128, 255]

PAYLOADS = {
    frames.HELLO: struct.pack("<III", 2, 0, 1),
    frames.REQUEST: b"\0" * 94,
    frames.BODY_END: b"\0" * 4,
    frames.HEAD: struct.pack("<HHI", 200, 0, 0),
    frames.FILE: b"\0" * 16,
    frames.LOG: struct.pack("<III", frames.INFO, 0, 0) + b"\0x\0",
    frames.HINT: struct.pack("<HHI", 103, 0, 0),
    frames.ABORT: b"\0" * 4,
}

STATES = {
    "fresh": ([], {
        frames.HELLO: (200, None, [HEAD, ENDED]),
        frames.GOAWAY: (503, NOBODY_TOOK_IT, []),
    }),
    "begun": ([HELLO], {
        frames.HEAD: (200, None, [ENDED]),
        frames.LOG: (200, None, [HEAD, ENDED]),
        frames.ABORT: (500, None, []),
        frames.GOAWAY: (503, NOBODY_TOOK_IT, []),
    }),
    "kept": ([], {
        frames.HEAD: (200, None, [ENDED]),
        frames.LOG: (200, None, [HEAD, ENDED]),
        frames.ABORT: (500, None, []),
        frames.GOAWAY: (503, NOBODY_TOOK_IT, []),
    }),
    "head": ([HELLO, HEAD], {
        frames.DATA: (200, None, [ENDED]),
        frames.LOG: (200, None, [ENDED]),
        frames.END: (200, None, []),
        frames.ABORT: (500, None, []),
    }),
    "data": ([HELLO, HEAD, SENT], {
        frames.DATA: (200, None, [ENDED]),
        frames.LOG: (200, None, [ENDED]),
        frames.END: (200, None, []),
        frames.ABORT: (CUT, None, []),
    }),
    "end": ([HELLO, HEAD, SENT, ENDED], {type: (200, None, []) for type in TYPES}),
}


@pytest.mark.compat("FAIL-protocol")
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("state", list(STATES))
def test_type(stage, state, type):
    before, legal = STATES[state]
    refused = (CUT if state == "data" else 502, ILLEGAL, [])
    status, log, after = legal.get(type, refused)
    content = frames.frame(type, PAYLOADS.get(type, b""))
    repeat(stage, status, *before, ("send", content), *after, ("sleep", 0.002), log=log,
           times=SOME, kept=state == "kept")


@pytest.mark.parametrize("type", [type for type in TYPES if type != frames.GOAWAY])
def test_type_on_an_idle_connection(stage, type):
    """One line, the connection is closed, and the next request does not notice."""
    stage.expect(NOISE, "spoke on it without a request", SOME)
    content = frames.frame(type, PAYLOADS.get(type, b""))
    for _ in range(SOME):
        assert stage.ask(HELLO, HEAD, ("send", frames.data(b"good\n") + frames.END_KEEP + content),
                         ("sleep", 0.1)) == GOOD
        assert stage.is_good()


def test_speaks_later_on_an_idle_connection(stage):
    """What came after the answer was read is found at the next use."""
    stage.expect(NOISE, "spoke on it without a request", SOME)
    for number in range(SOME):
        noted = f"spoken{number}"
        assert stage.ask(HELLO, KEPT_ANSWER, ("sleep", 0.02), ("send", frames.head()),
                         ("note", noted), SILENCE) == GOOD
        stage.server.wait_for_note(noted)
        assert stage.is_good()


@pytest.mark.parametrize("content", [b"", frames.frame(frames.GOAWAY)])
def test_takes_a_kept_connection_back(stage, content):
    for number in range(TIMES):
        assert stage.ask(HELLO, KEPT_ANSWER, ("send", content)) == GOOD
    assert stage.is_good()


# ---- illegal as such

BEGUN_TYPES = [frames.CONTINUE, frames.HEAD, frames.LOG, frames.ABORT, frames.GOAWAY]
LIMITS = {  # least and most bytes of payload, legal flags; docs/wire.md
    frames.HELLO: (12, 12, 0), frames.CONTINUE: (0, 0, 0), frames.HEAD: (8, 1 << 20, 0),
    frames.DATA: (0, 1 << 16, frames.FLUSH), frames.FILE: (16, 16, frames.FLUSH),
    frames.LOG: (14, 1 << 16, 0), frames.END: (0, 0, frames.CLOSE), frames.ABORT: (4, 4, 0),
    frames.GOAWAY: (0, 0, 0),
}


def steps_before(type):
    if type == frames.HELLO:
        return []
    return [HELLO] if type in BEGUN_TYPES else [HELLO, HEAD]


def broken_headers(type):
    least, most, flags = LIMITS[type]
    lengths = [length for length in (least - 1, most + 1, 1 << 31, (1 << 32) - 1) if length >= 0]
    yield from (frames.frame(type, length=length) for length in lengths)
    payload = b"\0" * least
    yield from (frames.frame(type, payload, flags=1 << bit)
                for bit in range(8) if not flags & 1 << bit)
    yield from (frames.frame(type, payload, zero=1 << bit) for bit in (0, 7, 15))


@pytest.mark.compat("FAIL-protocol")
@pytest.mark.parametrize("type", list(LIMITS))
def test_header(stage, type):
    repeat_all(stage, 502, log=ILLEGAL, words="illegal frame",
               plays=[[*steps_before(type), ("send", content)]
                      for content in broken_headers(type)])


def random_bytes(seed):
    return random.Random(seed).randbytes(64)


GARBAGE = {
    "zeros": b"\0" * 64, "ones": b"\xff" * 64, "HTTP": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 64,
    "a request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "text": b"Traceback (most recent",
    "a megabyte": b"\xa5" * (1 << 20),
} | {f"random {seed}": random_bytes(seed) for seed in range(40)}


@pytest.mark.compat("FAIL-protocol")
@pytest.mark.parametrize("place", ["fresh", "begun", "kept", "head"])
def test_garbage(stage, place):
    before = {"begun": [HELLO], "head": [HELLO, HEAD]}.get(place, [])
    repeat_all(stage, 502, log=ILLEGAL, words="illegal frame", kept=place == "kept",
               plays=[[*before, ("send", content)] for content in GARBAGE.values()])


# ---- HELLO


@pytest.mark.parametrize("version, index", [(0, 0), (1, 0), (0xffffffff, 0), (2, 8192),
                                            (2, 0x7fffffff), (2, 0xffffffff)])
def test_hello_that_cannot_be(stage, version, index):
    content = frames.hello(version, index)
    repeat(stage, 502, ("send", content), HEAD, ENDED, log=ILLEGAL, words="HELLO of another version")


@pytest.mark.parametrize("index, generation", [(1, 1), (8191, 0), (0, 0), (0, 0xffffffff),
                                               (8191, 0xffffffff)])
def test_hello_of_a_wild_row(stage, index, generation):
    """It is a hint: the answer counts, and what was kept is not used again."""
    hello = ("send", frames.hello(index=index, generation=generation))
    repeat(stage, GOOD, hello, KEPT_ANSWER)


# ---- HEAD

HEADS = {
    "status 0": frames.head(0), "status 99": frames.head(99), "status 100": frames.head(100),
    "status 101": frames.head(101), "status 103": frames.head(103), "status 199": frames.head(199),
    "status 1000": frames.head(1000), "status 65535": frames.head(65535),
    "reason with CR": frames.head(reason=b"OK\rX"), "reason with LF": frames.head(reason=b"O\nX: y"),
    "reason with NUL": frames.head(reason=b"O\0K"), "reason with DEL": frames.head(reason=b"\x7f"),
    "reason beyond": frames.head(reason_len=65535),
    "reason short": frames.head(reason_len=1),
    "no fields announced": frames.head(count=0), "one field less": frames.head(count=2),
    "too many fields": frames.head(fields=((b"X-A", b"b"),) * 4097),
    "too many fields announced": frames.head(count=0xffffffff),
    "bytes left over": frames.head(tail=b"\0"),
    "name empty": frames.head(fields=((b"", b"x"),)),
    "name with LF": frames.head(fields=((b"X\nY", b"x"),)),
    "name with CR": frames.head(fields=((b"X\r", b"x"),)),
    "name with NUL": frames.head(fields=((b"X\0", b"x"),)),
    "name with a colon": frames.head(fields=((b"X: y", b"x"),)),
    "name with a blank": frames.head(fields=((b"X y", b"x"),)),
    "value with LF": frames.head(fields=((b"X", b"a\nSet-Cookie: b"),)),
    "value with CR": frames.head(fields=((b"X", b"a\rb"),)),
    "value with NUL": frames.head(fields=((b"X", b"a\0b"),)),
    "a number for a name": frames.head(fields=((b"", b"x", 3),)),
    "a number and a name": frames.head(fields=((b"X", b"x", 3),)),
    "name beyond": frames.head(fields=((b"X", b"x", 0, 65535),)),
    "value beyond": frames.head(fields=((b"X", b"x", 0, None, 0xffffffff),)),
    "value a bit beyond": frames.head(fields=((b"X", b"x", 0, None, 2),)),
} | {f"length {text!r}": frames.head(fields=((b"Content-Length", text),))
     for text in (b"", b"-1", b"+1", b"1, 1", b"0x1", b"1 ", b" 1", b"9" * 19, b"9" * 100)}


@pytest.mark.compat("FAIL-protocol")
@cases(HEADS)
def test_head(stage, name):
    repeat(stage, 502, HELLO, ("send", HEADS[name]), SENT, ENDED, log=ILLEGAL,
           words="illegal head")


@pytest.mark.parametrize("status", [200, 404, 418, 599, 600, 999])
def test_head_of_any_final_status(stage, status):
    repeat(stage, Outcome(status, b"good\n"), HELLO,
           ("send", frames.head(status) + frames.data(b"good\n") + frames.END_CLOSE))


FRAMING = {
    "chunked": ((b"Transfer-Encoding", b"chunked"),),
    "chunked and a length": ((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"5")),
    "gzip, chunked": ((b"TRANSFER-ENCODING", b"gzip, chunked"),),
    "two lengths": ((b"Content-Length", b"900"), (b"content-length", b"5")),
}


@cases(FRAMING)
def test_fields_that_tell_how_the_body_travels(stage, name):
    """That is httpd's to say."""
    content = frames.head(fields=FRAMING[name]) + frames.data(b"good\n") + frames.END_CLOSE
    repeat(stage, GOOD, HELLO, ("send", content))


def test_latin1_in_a_value_is_only_bytes(stage):
    content = frames.head(fields=((b"X", bytes([9, *range(32, 127), *range(128, 256)])),))
    repeat(stage, GOOD, HELLO, ("send", content + frames.data(b"good\n") + frames.END_CLOSE))


def test_httpd_refuses_control_characters_in_a_value(stage):
    stage.expect("AH02430", "Response header 'X'", TIMES)
    stage.expect(NOT_CARRIED, count=TIMES)
    content = frames.head(fields=((b"X", b"a\x01\x1b[0m"),))
    for _ in range(TIMES):
        assert stage.ask(HELLO, ("send", content), SENT, ENDED).status == 500


# ---- DATA


def head_of_length(length):
    return ("send", frames.head(fields=((b"Content-Length", b"%d" % length),)))


BEYOND = {
    "a byte": [("send", frames.data(b"123456"))],
    "a frame": [("send", frames.data(b"12345") + frames.data(b"6"))],
    "a lot": [("send", frames.data(b"1234")), ("send", frames.data(b"5" * 65536))],
    "an answer": [("send", frames.data(b"12345HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"))],
}


@pytest.mark.compat("FAIL-protocol")
@cases(BEYOND)
def test_more_than_its_content_length(stage, name):
    """The client gets what was announced, and nothing behind it."""
    stage.expect(ILLEGAL, "more than the Content-Length", TIMES)
    for _ in range(TIMES):
        with stage.server.raw() as client:
            client.request("GET " + stage.url(HELLO, head_of_length(5), *BEYOND[name], ENDED))
            status, fields = client.read_head()
            assert (status, fields["content-length"]) == (200, "5")
            assert client.read_to_end() == b"12345"


@pytest.mark.compat("FAIL-protocol")
def test_less_than_its_content_length(stage):
    repeat(stage, Outcome(200, b"begun\n", False), HELLO, head_of_length(7), SENT, ENDED,
           log=ILLEGAL, words="less than the Content-Length")


def test_nothing_of_its_content_length(stage):
    repeat(stage, 502, HELLO, head_of_length(7), ENDED, log=ILLEGAL,
           words="less than the Content-Length")


def test_body_of_an_answer_that_has_none(stage):
    repeat(stage, Outcome(204), HELLO, ("send", frames.head(204)), SENT, ENDED)
    repeat(stage, Outcome(304), HELLO, ("send", frames.head(304)), SENT, ENDED)


# ---- ABORT


@pytest.mark.parametrize("status", [0, 1, -1, 99, 100, 200, 204, 304, 399, 600, 1000,
                                    2 ** 31 - 1, -2 ** 31])
def test_abort_with_an_odd_status(stage, status):
    repeat(stage, 500, HELLO, ("send", frames.abort(status)))
    repeat(stage, CUT, HELLO, HEAD, SENT, ("send", frames.abort(status)), times=SOME)


@pytest.mark.parametrize("status", [400, 401, 404, 408, 413, 499, 500, 503, 504, 599])
def test_abort_with_an_error(stage, status):
    found = stage.ask(HELLO, ("send", frames.abort(status)))
    assert found.is_whole and found.status in (status, 500)


# ---- descriptors where none belong

NULL = ("/dev/null", 0)

PASSED = {
    "with hello": (GOOD, None, [("pass", frames.hello(), [NULL] * 50), ANSWER]),
    "with the head": (GOOD, None, [HELLO, ("pass", frames.head(), [NULL] * 50),
                                   ("send", frames.data(b"good\n") + frames.END_CLOSE)]),
    "with the end": (GOOD, NOISE, [HELLO, HEAD, ("send", frames.data(b"good\n")),
                                  ("pass", frames.END_KEEP, [NULL] * 50), ("sleep", 0.01)]),
    "with abort": (500, None, [HELLO, ("pass", frames.abort(500), [NULL] * 50)]),
    "with goaway": (503, NOBODY_TOOK_IT, [("pass", frames.frame(frames.GOAWAY), [NULL] * 50)]),
    "one after the other": (502, ILLEGAL, [HELLO] + 50 * [
        ("pass", frames.log(9, b"x"), [NULL]), ("sleep", 0.001)]),
    "and then a file without": (500, NOT_CARRIED, [
        HELLO, ("pass", frames.head(), [("memory",)] * 50), ("send", frames.file(0, 0)),
        ("send", frames.file(0, 0))]),
    "its rendezvous": (GOOD, None, [("pass", frames.hello(), [("rendezvous",)]), ANSWER]),
    "half a frame": (502, DIED, [HELLO, ("pass", frames.head()[:5], [NULL] * 50)]),
}


@cases(PASSED)
def test_descriptors_that_nobody_asked_for(stage, name):
    status, log, steps = PASSED[name]
    repeat(stage, status, *steps, log=log)


def test_descriptors_on_an_idle_connection(stage):
    stage.server.tolerate(NOISE)
    for _ in range(SOME):
        assert stage.ask(HELLO, KEPT_ANSWER, ("sleep", 0.02),
                         ("pass", b"x", [NULL] * 50), SILENCE) == GOOD
        assert stage.is_good()


# ---- bytes out of band


def test_urgent_bytes(stage):
    """A stream of the kernel's has them too; they are noise, and silence goes on."""
    repeat(stage, GOOD, HELLO, ("urgent", b"!"), ANSWER, times=SOME)
    repeat(stage, 504, HELLO, ("urgent", b"!"), SILENCE, log=TOO_LATE, times=1)
