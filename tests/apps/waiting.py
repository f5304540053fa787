"""Sends a part, waits until the client has made a file in ?directory=, sends the next: for tests
that need a request to be in the middle."""

import os
import time


def wait_for(path):
    deadline = time.monotonic() + 20
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.005)


def parts(directory):
    for number in range(4):
        yield b"part %d\n" % number
        wait_for(f"{directory}/{number}")


def application(environ, start_response):
    directory = environ["QUERY_STRING"].removeprefix("directory=")
    write = start_response("200 OK", [("Content-Type", "text/plain"), ("X-Pid", str(os.getpid()))])
    if environ["PATH_INFO"] != "/write":
        return parts(directory)
    for part in parts(directory):
        write(part)
    return [b"end\n"]
