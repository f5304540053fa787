"""Reads the body in pieces after ?SECONDS and answers with its length."""

import time


def application(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"] or 0))
    pieces = iter(lambda: environ["wsgi.input"].read(65536), b"")
    body = b"%d" % sum(map(len, pieces))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
