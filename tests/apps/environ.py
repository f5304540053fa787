"""Shows the environ it was called with: {key: [type, value or its repr]}."""

import json
import time


def show(value):
    if type(value) in (str, int, float, bool) or value is None:
        return value
    return list(value) if type(value) is tuple else repr(value)


def application(environ, start_response):
    shown = {key: [type(value).__name__, show(value)] for key, value in environ.items()}
    shown["type of environ"] = [type(environ).__name__, None]
    shown["now"] = ["float", time.time()]
    body = json.dumps(shown).encode()
    start_response("200 OK", [("Content-Type", "application/json"),
                              ("Content-Length", str(len(body)))])
    return [body]
