"""Notes each call in the file that the variable RECORD names, and shows the environ:
{key: value or its repr}."""

import json
import os


def application(environ, start_response):
    line = json.dumps([environ["REQUEST_METHOD"], environ["REQUEST_URI"]]) + "\n"
    with open(environ["RECORD"], "a") as file:
        file.write(line)
    shown = {key: value if isinstance(value, str) else repr(value)
             for key, value in environ.items()}
    shown["the body"] = environ["wsgi.input"].read().decode("latin-1")
    shown["pid"] = os.getpid()
    body = json.dumps(shown).encode()
    start_response("200 OK", [("Content-Type", "application/json"),
                              ("Content-Length", str(len(body)))])
    return [body]
