"""What can be seen of one request from outside: answer, environ, log, as a flat dictionary.

SPDX-License-Identifier: Apache-2.0
"""

import json
import re
import socket

import errorlog

TIMEOUT_S = 20
LOG_LEVELS = ("emerg", "alert", "crit", "error", "warn", "unformatted")


class Stream:
    """A connection that is read to its end."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self.pending = b""

    def fill(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.pending += data
        return bool(data)

    def read_until(self, mark):
        while mark not in self.pending:
            if not self.fill():
                return None
        found, _, self.pending = self.pending.partition(mark)
        return found

    def read(self, count):
        """count bytes, or fewer at the end; None: all."""
        while (count is None or len(self.pending) < count) and self.fill():
            pass
        data, self.pending = self.pending[:count], self.pending[len(self.pending[:count]):]
        return data

    def read_chunked(self):
        """(data, whether the last chunk came)"""
        data = b""
        while True:
            line = self.read_until(b"\r\n")
            if line is None:
                return data, False
            size = int(line.split(b";")[0], 16)
            part = self.read(size + 2)
            if len(part) < size + 2:
                return data + part, False
            if size == 0:
                return data, True
            data += part[:-2]


def read_head(stream):
    """(first line, [(name, value)]), or None where there is none."""
    if not stream.pending.startswith(b"HTTP/"[:len(stream.pending)]):
        return None
    head = stream.read_until(b"\r\n\r\n")
    if head is None or not re.match(rb"HTTP/\d\.\d \d{3}", head):
        stream.pending = (head or b"") + stream.pending
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    return first, [tuple(re.split(r":[ \t]*", line, maxsplit=1)) for line in lines]


def read_body(stream, method, status, fields):
    """(body, how its end is told, whether it is whole)"""
    known = {name.lower(): value for name, value in fields}
    if method == "HEAD" or status in (204, 304):
        return stream.read(None), "none", True
    if "transfer-encoding" in known:
        body, is_whole = stream.read_chunked()
        return body, "chunked", is_whole
    if "content-length" in known:
        length = int(known["content-length"])
        body = stream.read(length)
        return body, "length", len(body) == length
    return stream.read(None), "close", True


def send(stream, request):
    """Sends a request; the interim answers that came before the body, and the head that ends them."""
    interim = []
    stream.socket.sendall(request.head.encode("latin-1"))
    head = None
    if request.waits:
        head = read_head(stream)
        if head and head[0].split()[1] == "100":
            interim.append(head[0])
            head = None
    if request.body and head is None:
        try:
            stream.socket.sendall(request.body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # an answer came before the end
    if request.closes:
        stream.socket.shutdown(socket.SHUT_WR)
    return interim, head


def ask(port, request):
    """The answer, as {item: text}."""
    stream = Stream(port)
    try:
        interim, head = send(stream, request)
        head = head or read_head(stream)
        while head and head[0].split()[1].startswith("1"):
            interim.append(head[0])
            head = read_head(stream)
        if head is None:
            seen = {"answer": "no head"} | ({"interim": ", ".join(interim)} if interim else {})
            return seen | seen_of_body(seen, stream.read(None))
        return seen_of_answer(stream, request.head.partition(" ")[0], interim, head)
    finally:
        stream.socket.close()


def seen_of_answer(stream, method, interim, head):
    first, fields = head
    protocol, _, status = first.partition(" ")
    body, framing, is_whole = read_body(stream, method, int(status[:3]), fields)
    seen = {"protocol": protocol, "status": status, "framing": framing,
            "end": "whole" if is_whole else "cut"}
    if interim:
        seen["interim"] = ", ".join(interim)
    for name, value in fields:
        item = f"field {name}"
        seen[item] = f"{seen[item]} + {value}" if item in seen else value
    return seen | seen_of_body(seen, body)


def seen_of_body(seen, body):
    """JSON is looked at key by key, so its length is no matter; nor is that of boundaries, which
    httpd makes of the time."""
    told = as_json(body)
    if seen.get("field Content-Type", "").startswith("multipart/"):
        seen["field Content-Length"] = "of a multipart body"
    if isinstance(told, dict):
        seen.pop("field Content-Length", None)
        if "type of environ" in told:
            del told["now"]
            return {f"environ {key}": f"{kind} {value}" for key, (kind, value) in told.items()}
        return {f"body {key}": value if isinstance(value, str) else json.dumps(value)
                for key, value in told.items()}
    return {"body": body.decode("latin-1")} if body else {}


def as_json(body):
    """None for what is none, as a part of it."""
    try:
        return json.loads(body)
    except ValueError:
        return None


class LogReader:
    """The lines of level warning and above since the last look."""

    def __init__(self, path):
        self.path = path
        self.offset = 0

    def _complete_lines(self):
        if not self.path.exists():
            return b""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read().rpartition(b"\n")[0]

    def look(self):
        """Without going on."""
        lines = [errorlog.parse(raw.decode(errors="backslashreplace"))
                 for raw in self._complete_lines().split(b"\n") if raw]
        return [f"{line.module}:{line.level} {line.text}" for line in lines
                if line.level in LOG_LEVELS]

    def go_on(self):
        size = len(self._complete_lines())
        self.offset += size + 1 if size else 0
