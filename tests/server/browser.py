"""A client as people use it: cookies, forms, uploads.

SPDX-License-Identifier: Apache-2.0
"""

from http.cookies import SimpleCookie

import env


class Browser:
    """Keeps cookies and follows nothing."""

    def __init__(self, server):
        self.server, self.cookies = server, SimpleCookie()

    def request(self, method, path, body=None, headers=()):
        reply = self.server.request(method, path, body, {**self.cookie(), **dict(headers)},
                                    timeout=60 * env.PATIENCE)
        for line in reply.header_all("Set-Cookie"):
            self.cookies.load(line)
        return reply

    def cookie(self):
        """The header field."""
        value = "; ".join(f"{key}={morsel.coded_value}" for key, morsel in self.cookies.items())
        return {"Cookie": value} if value else {}

    def get(self, path, headers=()):
        return self.request("GET", path, headers=headers)

    def post(self, path, fields, file=None):
        """A form as multipart/form-data."""
        parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
                 for name, value in fields.items()]
        if file is not None:
            parts.append(b'Content-Disposition: form-data; name="file"; filename="data.bin"\r\n'
                         b"Content-Type: application/octet-stream\r\n\r\n" + file)
        body = b"".join(b"--limit\r\n" + part + b"\r\n" for part in parts) + b"--limit--\r\n"
        return self.request("POST", path, body,
                            {"Content-Type": "multipart/form-data; boundary=limit"})
