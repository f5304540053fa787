"""Answers as the request's body says in JSON: {"status", "headers": [[name, value, times]],
"body": [text]}; a value is repeated `times` times, a header with a fourth item that many times."""

import json


def fields_of(headers):
    for name, value, *more in headers:
        times, count = (*more, 1, 1)[:2]
        for _ in range(count):
            yield name, value * times


def application(environ, start_response):
    told = json.loads(environ["wsgi.input"].read())
    start_response(told.get("status", "200 OK"), list(fields_of(told.get("headers", []))))
    return [part.encode("latin-1") for part in told.get("body", ["body\n"])]
