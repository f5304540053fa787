"""What the servers are asked for, as a table: an application, the requests, the load.

SPDX-License-Identifier: Apache-2.0
"""

import dataclasses
import random

from kinds import ALIAS, Application

HELLO_FIELDS = ("User-Agent: bench/1", "Accept: */*", "Accept-Language: en",
                "Accept-Encoding: gzip")
FAST, SLOW = 0, 1  # classes of requests whose latencies are kept apart

FLOOR_HANDLER = "<Location /hello>\n    SetHandler floor\n</Location>\n"
STATIC_FILE = "# the file of that name, from the disk\n"


def request(target, *fields, method="GET", body=b"", host="localhost"):
    """The bytes of one request."""
    if body:
        fields += ("Content-Type: application/octet-stream", f"Content-Length: {len(body)}")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def without_keep_alive(data):
    head, _, body = data.partition(b"\r\n\r\n")
    return head + b"\r\nConnection: close\r\n\r\n" + body


def fields(count):
    return [f"X-Header-{number}: value number {number}" for number in range(count)]


CHANCE = random.Random(7)


def word(length):
    return "".join(CHANCE.choices("abcdefghijklmnopqrstuvwxyz", k=length))


# Below the script, a path would cost httpd itself 10,000 instructions, for PATH_TRANSLATED.
SECOND_MOUNTS = [f"/{word(5)}" for _ in range(16)]


def second_hello():
    """64 requests that differ in path, query, names and number of header fields; in the middle they
    have as many as the first hello."""
    requests = []
    for number in range(64):
        names = [f"X-{word(8).title()}: {word(CHANCE.randint(1, 12))}"
                 for _ in range(1 + number % 7)]
        mount = SECOND_MOUNTS[number % len(SECOND_MOUNTS)]
        requests.append(request(f"{mount}?{word(1)}={word(1)}", *names))
    return requests


def at_mounts(text, mounts):
    """Configuration for each of several URLs."""
    return "".join(text.replace("{mount}", mount).replace("/hello", mount) for mount in mounts)


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    requests: list = dataclasses.field(repr=False)  # bytes, or (bytes, class)
    application: Application = Application()
    body: int | None = 12     # bytes of each answer; None: they differ
    counted: int = 1000       # requests per count of instructions and of system calls
    clients: tuple = (1, 16, 128)
    is_quick: bool = False

    def classes(self):
        return [each if isinstance(each, tuple) else (each, FAST) for each in self.requests]


def of(script, mount, **options):
    return Application(script=script, mount=mount, **options)


HELLO = Application(floor=FLOOR_HANDLER)
SECOND_HELLO = Application(
    floor=at_mounts(FLOOR_HANDLER, SECOND_MOUNTS), alias=at_mounts(ALIAS, SECOND_MOUNTS),
    wsgi_config="WSGIApplicationGroup bench\n", proxied=SECOND_MOUNTS,
    files={mount.strip("/"): 0 for mount in SECOND_MOUNTS})
HELLO_REQUEST = request("/hello?a=1", *HELLO_FIELDS)
SENDFILE = dict(config="EnableSendfile On\n", wsgi_config="WSGIEnableSendfile On\n")

SCENARIOS = {scenario.name: scenario for scenario in (
    Scenario("hello", "12 bytes", [HELLO_REQUEST], HELLO, is_quick=True),
    Scenario("hello20", "12 bytes, 20 more request headers",
             [request("/hello?a=1", *HELLO_FIELDS, *fields(20))], HELLO),
    Scenario("second", "12 bytes, other path, header names and count in each request",
             second_hello(), SECOND_HELLO),
    Scenario("stream", "100 × 1 KB, each yielded", [request("/stream", *HELLO_FIELDS)],
             of("stream.py", "/stream"), body=102400, counted=100, is_quick=True),
    Scenario("large", "1 MiB of bytes in one piece", [request("/large", *HELLO_FIELDS)],
             of("large.py", "/large"), body=1 << 20, counted=100),
    Scenario("post64k", "a request body of 64 KiB",
             [request("/post", *HELLO_FIELDS, method="POST", body=b"x" * (64 << 10))],
             of("post.py", "/post"), body=None, counted=100),
    Scenario("post1m", "a request body of 1 MiB",
             [request("/post", *HELLO_FIELDS, method="POST", body=b"x" * (1 << 20))],
             of("post.py", "/post"), body=None, counted=50),
    Scenario("file", "a file of 10 MiB through wsgi.file_wrapper, by sendfile",
             [request("/file", *HELLO_FIELDS)],
             of("file.py", "/file", files={"file": 10 << 20}, floor=STATIC_FILE, **SENDFILE),
             body=10 << 20, counted=50),
    Scenario("cpu", "a millisecond of Python code", [request("/cpu", *HELLO_FIELDS)],
             of("cpu.py", "/cpu"), body=None, counted=20),
    Scenario("sleep", "a wait of 20 ms", [request("/sleep", *HELLO_FIELDS)],
             of("sleep.py", "/sleep"), counted=100),
    Scenario("django", "a Django page with template and session",
             [request("/page", *HELLO_FIELDS)], of("page.py", "/page"), body=None, counted=50),
    Scenario("mixed", "hello, one in 20 of them 50 ms of waiting and 5 ms of Python code; "
             "latencies are those of the fast ones",
             [(request("/mixed/slow" if number == 7 else "/mixed/fast", *HELLO_FIELDS),
               SLOW if number == 7 else FAST) for number in range(20)],
             of("mixed.py", "/mixed"), counted=100),
)}
