"""Applications that break the rules, one for each name in PATH_INFO."""

import os
import sys


def good_head(start_response):
    return start_response("200 OK", [("Content-Type", "text/plain")])


def with_head(status="200 OK", fields=(("Content-Type", "text/plain"),)):
    def application(start_response):
        start_response(status, list(fields) if type(fields) is tuple else fields)
        return [b"sent in spite of all"]
    return application


def returning(value):
    def application(start_response):
        good_head(start_response)
        return value
    return application


def raises(start_response):
    raise ZeroDivisionError("on purpose")


def raises_after_start_response(start_response):
    good_head(start_response)
    raise ZeroDivisionError("on purpose")


def raises_at_first_part(start_response):
    good_head(start_response)
    raise ZeroDivisionError("on purpose")
    yield b""


def exits(start_response):
    sys.exit("on purpose")


def interrupts(start_response):
    raise KeyboardInterrupt("on purpose")


def endless_recursion(start_response):
    return endless_recursion(start_response)


def writes_text(start_response):
    good_head(start_response)("text")
    return []


def never_starts(start_response):
    return [b"sent in spite of all"]


def never_starts_and_is_empty(start_response):
    return []


def never_starts_lazily(start_response):
    yield b"sent in spite of all"


def starts_twice_after_an_error_it_hides(start_response):
    """A bad head replaced by a good one is no fault any more."""
    try:
        start_response("nonsense", [])
    except ValueError:
        return with_head()(start_response)
    return [b"nonsense was accepted"]


def raises_later(start_response):
    good_head(start_response)
    yield b"first"
    raise ZeroDivisionError("on purpose")


def raises_later_announced(start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
    yield b"first"
    raise ZeroDivisionError("on purpose")


def yields_text_later(start_response):
    good_head(start_response)
    yield b"first"
    yield "text"


def restarts_later(start_response):
    good_head(start_response)
    yield b"first"
    start_response("500 Oops", [])


def restarts_later_with_exc_info(start_response):
    good_head(start_response)
    yield b"first"
    try:
        raise ZeroDivisionError("on purpose")
    except ZeroDivisionError:
        start_response("500 Oops", [], sys.exc_info())
    yield b"never reached"


def is_too_short(start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
    return [b"short"]


class Unclosable:
    def __iter__(self):
        return iter([b"complete"])

    def close(self):
        raise ZeroDivisionError("on purpose")


def dies(start_response):
    good_head(start_response)
    os._exit(3)


def dies_later(start_response):
    good_head(start_response)
    yield b"first"
    os._exit(3)


def crashes(start_response):
    import ctypes
    good_head(start_response)
    ctypes.string_at(0)


text = ("Content-Type", "text/plain")

FAULTS = {
    "status-bytes": with_head(b"200 OK"),
    "status-number": with_head(200),
    "status-none": with_head(None),
    "status-empty": with_head(""),
    "status-text": with_head("OK"),
    "status-two-digits": with_head("20 OK"),
    "status-four-digits": with_head("2000 OK"),
    "status-crlf": with_head("200 OK\r\nX-Injected: yes"),
    "status-not-latin-1": with_head("200 \u20ac"),
    "fields-tuple": lambda start_response: start_response("200 OK", (text,)),
    "fields-none": lambda start_response: start_response("200 OK", None),
    "fields-of-lists": with_head(fields=(["X-A", "b"],)),
    "fields-of-three": with_head(fields=(("X-A", "b", "c"),)),
    "field-name-bytes": with_head(fields=((b"X-A", "b"),)),
    "field-name-empty": with_head(fields=(("", "b"),)),
    "field-name-blank": with_head(fields=(("X A", "b"),)),
    "field-name-crlf": with_head(fields=(("X-A\r\nX-Injected", "b"),)),
    "field-name-not-latin-1": with_head(fields=(("X-\u20ac", "b"),)),
    "field-value-number": with_head(fields=(("X-A", 1),)),
    "field-value-cr": with_head(fields=(("X-A", "b\rX-Injected: yes"),)),
    "field-value-lf": with_head(fields=(("X-A", "b\nX-Injected: yes"),)),
    "field-value-not-latin-1": with_head(fields=(("X-A", "\u20ac"),)),
    "length-text": with_head(fields=(("Content-Length", "abc"),)),
    "length-negative": with_head(fields=(("Content-Length", "-1"),)),
    "exc-info-text": lambda start_response: start_response("200 OK", [text], "exc_info"),
    "returns-none": returning(None),
    "returns-number": returning(1),
    "returns-text": returning("text"),
    "yields-text": returning(["text"]),
    "yields-bytearray": returning([bytearray(b"sent in spite of all")]),
    "yields-none": returning([None]),
    "close-raises": returning(Unclosable()),
}


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    fault = FAULTS.get(name) or globals()[name.replace("-", "_")]
    return fault(start_response)
