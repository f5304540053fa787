"""NumPy: solves the equations that are sent, and says how large the error is."""

import json

import numpy


def application(environ, start_response):
    size = int(environ["QUERY_STRING"] or 50)
    matrix = numpy.random.default_rng(size).random((size, size)) + size * numpy.eye(size)
    right = numpy.frombuffer(environ["wsgi.input"].read(), dtype="<f8")
    right = numpy.resize(right if right.size else numpy.ones(1), size)
    solution = numpy.linalg.solve(matrix, right)
    body = json.dumps({"sum": float(right.sum()),
                       "error": float(abs(matrix @ solution - right).max())}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
