"""Process, threads and environment, as an application may use them."""

import json
import os
import subprocess
import threading

import mod_wsgi


def outcome(call):
    try:
        return repr(call())
    except BaseException as error:
        return type(error).__name__


def of_a_thread():
    told = []
    thread = threading.Thread(target=lambda: told.append("ran"))
    thread.start()
    thread.join()
    return told


def application(environ, start_response):
    told = {
        "thread": of_a_thread(),
        "program": outcome(lambda: subprocess.run(["/bin/echo", "x"], capture_output=True).stdout),
        "environ": sorted(name for name in os.environ if name.startswith(("LANG", "hash", "WSGI"))),
        "request_data": outcome(lambda: type(mod_wsgi.request_data())),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]

