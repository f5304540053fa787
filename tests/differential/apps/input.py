"""wsgi.input and wsgi.errors, looked at in the way that PATH_INFO names."""

import json

kept = []


def shape(environ):
    names = ("read", "readline", "readlines", "close", "seek", "tell", "fileno", "readinto",
             "__iter__", "__next__", "__enter__")
    return {name: hasattr(environ["wsgi.input"], name) for name in names}


def read(environ):
    return [environ["wsgi.input"].read().decode()]


def negative(environ):
    return [environ["wsgi.input"].read(-5).decode()]


def zero(environ):
    stream = environ["wsgi.input"]
    return [stream.read(0).decode(), stream.readline(0).decode(), stream.read().decode()]


def over(environ):
    return [environ["wsgi.input"].read(1000).decode()]


def line(environ):
    stream = environ["wsgi.input"]
    return [stream.readline(3).decode(), stream.readline().decode(), stream.readline(-1).decode()]


def lines_hint(environ):
    return [part.decode() for part in environ["wsgi.input"].readlines(2)]


def text(environ):
    return [environ["wsgi.input"].read("5")]


def close(environ):
    stream = environ["wsgi.input"]
    return [repr(stream.close()), stream.read(2).decode()]


def after_end(environ):
    stream = environ["wsgi.input"]
    stream.read()
    return [repr(stream.read()), repr(stream.readline()), repr(stream.readlines()),
            repr(list(stream))]


def errors(environ):
    stream = environ["wsgi.errors"]
    stream.write("one line\n")
    stream.write("two\nlines\n")
    stream.writelines(["a", "b\n", "c"])
    stream.flush()
    stream.write("caf\u00e9 \u20ac\n")
    print("printed", file=stream)
    stream.write("without an end")
    return [type(stream).__name__, stream.encoding, stream.errors, stream.name, stream.isatty()]


def late(environ):
    """The input of the request before is no longer to be used."""
    kept.append(environ["wsgi.input"])
    return [outcome(kept[0].read) if len(kept) > 1 else "first"]


def outcome(call):
    try:
        return repr(call())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/").replace("-", "_")
    try:
        told = globals()[name](environ)
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"told": told}).encode()]
