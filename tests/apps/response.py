"""Answers in the way that PATH_INFO names."""

import os
import sys
from urllib.parse import parse_qs

CHUNK = b"0123456789abcdef" * 4096  # 64 KiB


class Closing:
    """An iterable that leaves a note about its end."""

    def __init__(self, items, note):
        self.items, self.note, self.count = iter(items), note, 0

    def __iter__(self):
        return self

    def __next__(self):
        item = next(self.items)
        self.count += 1
        return item

    def close(self):
        leave_note(self.note, f"closed after {self.count}")


def leave_note(path, text):
    with open(path + ".part", "w") as file:
        file.write(text)
    os.rename(path + ".part", path)


def list_of_many(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"one ", b"", b"two ", b"three"]


def tuple_of_one(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (b"only",)


def nothing(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return []


def empty_parts(environ, start_response, query):
    """The head may still be replaced while only empty parts were made."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Head", "first")])

    def parts():
        yield b""
        yield b""
        yield b"body"

    return parts()


def many(environ, start_response, query):
    count = int(query["chunks"][0])
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (CHUNK for _ in range(count))


def many_announced(environ, start_response, query):
    count = int(query["chunks"][0])
    start_response("200 OK", [("Content-Type", "application/octet-stream"),
                              ("Content-Length", str(count * len(CHUNK)))])
    return (CHUNK for _ in range(count))


def one_big(environ, start_response, query):
    """One bytes object of some megabytes."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [CHUNK * int(query["chunks"][0])]


def closing(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return Closing((CHUNK for _ in range(int(query["chunks"][0]))), query["note"][0])


def status(environ, start_response, query):
    start_response(query["status"][0], [("Content-Type", "text/plain")])
    return [] if query["status"][0][:3] in ("204", "304") else [b"the application's own body\n"]


def head_fields(environ, start_response, query):
    start_response("200 OK", [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Set-Cookie", "first=1; Path=/"),
        ("Set-Cookie", "second=2; Path=/"),
        ("X-Repeated", "one"),
        ("X-Repeated", "two"),
        ("X-Latin", "caf\u00e9"),
        ("X-Empty", ""),
        ("x-Case-KEPT", "yes"),
        ("Cache-Control", "no-store"),
    ])
    return [b"fields\n"]


def long_fields(environ, start_response, query):
    """Many and long fields: far more than any one buffer."""
    fields = [(f"X-Number-{number}", "v" * 1000) for number in range(100)]
    start_response("200 OK", [("Content-Type", "text/plain"), *fields])
    return [b"long\n"]


def too_long(environ, start_response, query):
    """More than Content-Length announces: the rest is dropped."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"123", b"4567", b"89"]


def replaced(environ, start_response, query):
    """start_response may be called again until something was sent."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Head", "first")])
    try:
        raise ValueError("handled by the application")
    except ValueError:
        start_response("503 Busy", [("Content-Type", "text/plain"), ("X-Head", "second")],
                       sys.exc_info())
    return [b"replaced\n"]


def lazy(environ, start_response, query):
    """A generator function: start_response is called at the first iteration."""
    def run():
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"lazy"
    return run()


def application(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    name = environ["PATH_INFO"].strip("/").replace("-", "_")
    return globals()[name](environ, start_response, query)
