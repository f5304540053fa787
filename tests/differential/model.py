"""What the tables of cases/ are made of.

SPDX-License-Identifier: Apache-2.0
"""

from dataclasses import dataclass

BOTH = ("embedded", "daemon")


@dataclass
class Setup:
    """A configuration of httpd, run once per module and mode. `text` may use ${root}, ${apps},
    ${scripts} and ${port}; `daemon` are the options of the process group that all applications
    run in in daemon mode."""

    name: str
    text: str = ""
    modules: tuple = ()
    modes: tuple = BOTH
    daemon: str = "threads=4"
    environment: tuple = ()
    is_run: bool = True  # False: only its syntax is looked at


@dataclass
class Request:
    """Bytes to send. `head` goes first; `body` at once, or, where `waits`, after 100 (Continue), or
    not at all where the final answer comes before. `closes`: then the client sends no more."""

    head: str
    body: bytes = b""
    waits: bool = False
    closes: bool = False


@dataclass
class Script:
    """A step that writes a script to ${scripts}, later than all before."""

    name: str
    source: str


@dataclass
class Case:
    """Steps on one server, one after the other: Request, Script, or a text, which is a Request
    without a body."""

    name: str
    steps: tuple
    modes: tuple = BOTH


@dataclass
class Syntax:
    """Directives that httpd accepts or not (configtest), by themselves."""

    name: str
    text: str
    modes: tuple = BOTH


def ask(target, *fields, method="GET", host="localhost", version="HTTP/1.1", body=b"", **options):
    """A request that is the last of its connection. `host` None: no such field."""
    lines = [f"{method} {target} {version}"]
    lines += [f"Host: {host}"] if host is not None else []
    lines += ["Connection: close", *fields]
    if body and not any(field.lower().startswith(("content-length:", "transfer-encoding:"))
                        for field in fields):
        lines.append(f"Content-Length: {len(body)}")
    return Request("\r\n".join([*lines, "", ""]), body, **options)


def case(name, *steps, modes=BOTH):
    return Case(name, tuple(Request(step) if isinstance(step, str) else step for step in steps),
                modes)


def chunked(*parts):
    """The body in chunks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])
