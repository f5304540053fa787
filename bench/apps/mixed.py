"""Hello, and below …/slow 50 ms of waiting and 5 ms of Python code."""

import time


def application(environ, start_response):
    if environ["PATH_INFO"].endswith("/slow"):
        time.sleep(0.05)
        sum(number * number for number in range(60000))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "12")])
    return [b"Hello world\n"]
