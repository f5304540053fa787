"""Reads the request body in the way that ?how= names and tells what it got."""

import hashlib
import json


def read_all(stream):
    return [stream.read()]



def read_in_chunks(stream):
    return list(iter(lambda: stream.read(8192), b""))


def read_by_one_byte(stream):
    return list(iter(lambda: stream.read(1), b""))


def read_line_by_line(stream):
    return list(iter(stream.readline, b""))


def read_short_lines(stream):
    return list(iter(lambda: stream.readline(10), b""))


def read_mixed(stream):
    first = [stream.read(3), stream.readline(), stream.read(0)]
    return first + stream.readlines(100) + list(stream)


READERS = {
    "all": read_all,
    "chunks": read_in_chunks,
    "bytes": read_by_one_byte,
    "readline": read_line_by_line,
    "short-lines": read_short_lines,
    "readlines": lambda stream: stream.readlines(),
    "iterate": list,
    "mixed": read_mixed,
    "none": lambda stream: [],
    "some": lambda stream: [stream.read(10)],
}


def application(environ, start_response):
    how = environ["QUERY_STRING"].removeprefix("how=")
    stream = environ["wsgi.input"]
    if how == "return":
        body = stream.read()
    else:
        pieces = READERS[how](stream)
        data = b"".join(pieces)
        body = json.dumps({
            "length": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "pieces": len(pieces),
            "longest": max(map(len, pieces), default=0),
            "at_end": how in ("none", "some") or stream.read(1) == b"" == stream.readline(),
            "CONTENT_LENGTH": environ.get("CONTENT_LENGTH"),
        }).encode()
    start_response("200 OK", [("Content-Type", "application/octet-stream"),
                              ("Content-Length", str(len(body)))])
    return [body]
