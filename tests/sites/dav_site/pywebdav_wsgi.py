"""PyWebDAV, which has COPY and MOVE: a handler of http.server, to which this WSGI application gives
each request as the bytes that it would have read from a socket. (Debian 12's has no PROPPATCH, and
its LOCK fails with Python 3.)"""

import io
import os
from types import SimpleNamespace
from urllib.parse import quote

from pywebdav.server.fileauth import DAVAuthHandler
from pywebdav.server.fshandler import FilesystemHandler
from pywebdav.server.server import setupDummyConfig

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "files")


class Handler(DAVAuthHandler):
    DO_AUTH = False
    _config = setupDummyConfig(
        verbose=False, directory=DATA, noauth=True, user="", password="", lockemulation=True,
        mimecheck=True, chunked_http_response=0, http_request_use_iterator=0,
        http_response_use_iterator=0, baseurl="")

    def setup(self):
        self.rfile, self.wfile = self.request

    def finish(self):
        pass

    def log_message(self, format, *arguments):
        pass


def head_of(environ):
    path = quote((environ["SCRIPT_NAME"] + environ["PATH_INFO"]).encode("latin-1"))
    lines = [f"{environ['REQUEST_METHOD']} {path} HTTP/1.0"]
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            lines.append(f"{name.replace('_', '-')}: {environ[name]}")
    lines += [f"{name[5:].replace('_', '-')}: {value}" for name, value in environ.items()
              if name.startswith("HTTP_")]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def application(environ, start_response):
    os.makedirs(DATA, exist_ok=True)
    files = FilesystemHandler(DATA, f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}/")
    files.mimecheck, files.baseurl = True, ""
    Handler.IFACE_CLASS = files
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = io.BytesIO()
    Handler((io.BytesIO(head_of(environ) + body), answer), ("127.0.0.1", 0), SimpleNamespace())
    head, _, body = answer.getvalue().partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    start_response(status.partition(" ")[2], [
        tuple(field.split(": ", 1)) for field in fields if not field.startswith("Connection:")])
    return [body]
