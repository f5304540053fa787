"""HTTP clients: one that knows HTTP, one that knows only bytes. Neither waits for ever.

SPDX-License-Identifier: Apache-2.0
"""

import http.client
import json
import socket
from dataclasses import dataclass

TIMEOUT_S = 20.0


@dataclass
class Reply:
    status: int
    reason: str
    headers: list  # pairs, as received
    body: bytes

    def header(self, name):
        """The value of a field that may stand there once; None where it does not."""
        values = self.header_all(name)
        assert len(values) <= 1, f"{name} is repeated: {values}"
        return values[0] if values else None

    def header_all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self):
        return json.loads(self.body)


class Session:
    """One keep-alive connection."""

    def __init__(self, port, timeout=TIMEOUT_S):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def request(self, method, path, body=None, headers=()):
        self.connection.request(method, path, body=body, headers=dict(headers))
        response = self.connection.getresponse()
        return Reply(response.status, response.reason, response.getheaders(), response.read())

    def get(self, path, headers=()):
        return self.request("GET", path, headers=headers)

    @property
    def local_port(self):
        """Tells whether two requests travelled by the same connection."""
        return self.connection.sock.getsockname()[1] if self.connection.sock else None

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


class Raw:
    """A socket: what is sent is what the test wrote, what is read is what came."""

    def __init__(self, port, timeout=TIMEOUT_S):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.pending = b""

    def send(self, *parts):
        self.socket.sendall(b"".join(part.encode() if isinstance(part, str) else part
                                     for part in parts))

    def request(self, first_line, *fields):
        """Sends a request head; Host is added."""
        self.send("\r\n".join([f"{first_line} HTTP/1.1", "Host: localhost", *fields, "", ""]))

    def finish_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def _fill(self):
        data = self.socket.recv(65536)
        self.pending += data
        return bool(data)

    def read_until(self, mark):
        """Everything up to and with mark."""
        while mark not in self.pending:
            assert self._fill(), f"connection ended before {mark!r}: {self.pending[-200:]!r}"
        head, found, self.pending = self.pending.partition(mark)
        return head + found

    def read_exactly(self, count):
        while len(self.pending) < count:
            assert self._fill(), f"connection ended after {len(self.pending)} of {count} bytes"
        data, self.pending = self.pending[:count], self.pending[count:]
        return data

    def read_head(self):
        """Status and the fields (a dictionary with lower-case names)."""
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), {key.lower(): value for key, value in fields.items()}

    def read_chunk(self):
        """One chunk of a chunked body; b"" is its proper end."""
        size = int(self.read_until(b"\r\n"), 16)
        data = self.read_exactly(size)
        assert self.read_exactly(2) == b"\r\n"
        return data

    def read_to_end(self):
        """Everything until the server closes the connection."""
        while self._fill():
            pass
        data, self.pending = self.pending, b""
        return data

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()
