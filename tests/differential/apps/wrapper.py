"""mod_wsgi.FileWrapper, used in the way that PATH_INFO names."""

import io
import json


class Stream:
    def __init__(self, *parts):
        self.parts = list(parts)

    def read(self, size):
        return self.parts.pop(0) if self.parts else b""


class Unclosable(Stream):
    def close(self):
        raise ZeroDivisionError("on purpose")


def shape(wrapper):
    made = wrapper(io.BytesIO(b"x"), 5)
    names = ("filelike", "blksize", "close", "__iter__", "__next__", "__enter__")
    return {name: hasattr(made, name) for name in names} | {
        "blksize": getattr(made, "blksize", None), "name": wrapper.__name__,
        "module": wrapper.__module__, "default": getattr(wrapper(io.BytesIO(b"")), "blksize", None)}


def closed(wrapper):
    stream = io.BytesIO(b"x")
    made = wrapper(stream)
    return [repr(made.close()), stream.closed]


def no_arguments(wrapper):
    return wrapper()


def keywords(wrapper):
    return list(map(bytes.decode, wrapper(filelike=io.BytesIO(b"abcdef"), blksize=4)))


def default(wrapper):
    return [len(part) for part in wrapper(io.BytesIO(b"x" * 20000))]


def block_zero(wrapper):
    return [len(part) for part in wrapper(io.BytesIO(b"x" * 10), 0)]


def twice(wrapper):
    made = wrapper(io.BytesIO(b"x" * 10), 3)
    return [len(list(made)), len(list(made))]


ANSWERS = {
    "text-file": lambda wrapper: wrapper(io.StringIO("text")),
    "no-close": lambda wrapper: wrapper(Stream(b"a", b"b")),
    "close-raises": lambda wrapper: wrapper(Unclosable(b"a", b"b")),
}


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    wrapper = environ["wsgi.file_wrapper"]
    if name in ANSWERS:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return ANSWERS[name](wrapper)
    try:
        told = globals()[name.replace("-", "_")](wrapper)
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"told": told}).encode()]
