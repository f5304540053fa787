"""The cost of work that grows: each row at a quarter, a half and the whole of its size.

SPDX-License-Identifier: Apache-2.0
"""

import dataclasses
import subprocess
import threading
import time

import counters
import load
from figures import percentile
from kinds import Application, Shape
from results import Table
from scenarios import FAST, HELLO_FIELDS, fields, request
from servers import NotMeasured, Server

GLOBAL = "application-group=%{GLOBAL}"


def lines(text, size):
    return "".join(text.replace("#", str(number)) + "\n" for number in range(size))


def hello_at(aliases, config="", **options):
    """hello.py by other aliases than usual."""
    return Application(alias=aliases, config=config, **options)


@dataclasses.dataclass
class Row:
    """What grows. application and shape: of a size and of whether there is a daemon group;
    requests: of a size."""

    name: str
    title: str
    size: int
    application: object
    requests: object
    shape: object = lambda size: Shape()
    count: int = 10000        # requests that are timed
    counted: int = 100        # and whose instructions are counted; 0: too much for valgrind
    is_concurrent: bool = False  # as many clients as the size, of 128 at most
    body: int = 0             # bytes of a request's body for each unit of the size

    def sizes(self, scale):
        whole = max(4, int(self.size * scale))
        return whole // 4, whole // 2, whole

    def clients(self, size):
        return min(size, 128) if self.is_concurrent else 1


def hello(target="/hello", *more, host="localhost"):
    return request(target, *HELLO_FIELDS, *more, host=host)


def spread(size, text):
    """Requests to 64 of the aliases (or to all), the last among them."""
    step = max(1, size // 64)
    return [hello(text.replace("#", str(number))) for number in range(size - 1, -1, -step)]


def groups(size, is_daemon):
    """One process per group in daemon mode, else one sub-interpreter per group."""
    if is_daemon:
        return hello_at(lines('WSGIScriptAlias /group-# "@root@/hello.py" process-group=g# '
                              f"{GLOBAL}", size),
                        wsgi_config=lines('WSGIDaemonProcess g# threads=1 '
                                          'display-name=%{GROUP} home="@root@"', size))
    return hello_at(lines('WSGIScriptAlias /group-# "@root@/hello.py" application-group=g#', size))


def virtual_hosts(size, is_daemon):
    """Of one address, so that httpd itself looks for the name."""
    return hello_at('WSGIApplicationGroup %{GLOBAL}\n' + lines(
        '<VirtualHost 127.0.0.1:@port@>\nServerName h#.test\n'
        'WSGIScriptAlias /hello "@root@/hello.py"\n</VirtualHost>', size))


def plain(script, mount):
    return lambda size, is_daemon: Application(script=script, mount=mount)


ROWS = {row.name: row for row in (
    Row("aliases", "script aliases, requests to 64 of them", 1000,
        lambda size, is_daemon: hello_at(lines(
            f'WSGIScriptAlias /alias-# "@root@/hello.py" {GLOBAL}', size)),
        lambda size: spread(size, "/alias-#")),
    Row("groups", "process groups (embedded: application groups), requests to 64 of them", 200,
        groups, lambda size: spread(size, "/group-#"), counted=0),
    Row("vhosts", "virtual hosts, requests to 64 of them", 100, virtual_hosts,
        lambda size: [hello(host=f"h{number}.test") for number in
                      range(size - 1, -1, -max(1, size // 64))]),
    Row("request-fields", "request header fields", 100,
        lambda size, is_daemon: Application(config="LimitRequestFields 500\n"),
        lambda size: [hello("/hello", *fields(size))]),
    Row("answer-fields", "header fields of the answer", 1000, plain("fields.py", "/fields"),
        lambda size: [hello(f"/fields?{size}")], count=5000, counted=50),
    Row("pieces", "pieces of 10 bytes, each yielded", 10000, plain("stream.py", "/stream"),
        lambda size: [hello(f"/stream?{size}")], count=60, counted=3),
    Row("answer-body", "MiB of answer", 1024, plain("large.py", "/large"),
        lambda size: [hello(f"/large?{size << 20}")], count=2, counted=0),
    Row("request-body", "MiB of request body", 1024, plain("post.py", "/post"),
        lambda size: [], count=2, counted=0, body=1 << 20),
    Row("threads", "threads of one worker (embedded: of httpd's child), as many clients", 128,
        lambda size, is_daemon: Application(), lambda size: [hello()],
        shape=lambda size: Shape(threads=max(size, 8) + 4, worker_threads=size),
        counted=0, is_concurrent=True),
    Row("workers", "workers of one thread (embedded: httpd's children of 4), as many clients", 20,
        lambda size, is_daemon: Application(), lambda size: [hello()],
        shape=lambda size: Shape(children=size, workers=size, worker_threads=1),
        counted=0, is_concurrent=True),
)}


class Peak:
    """The highest sum of memory while something runs."""

    def __init__(self, server):
        self.server, self.kib = server, 0
        self.has_ended = threading.Event()
        self.thread = threading.Thread(target=self._sample)

    def _sample(self):
        while not self.has_ended.wait(0.1):
            self.kib = max(self.kib, counters.memory_kib(self.server.pids()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc_info):
        self.has_ended.set()
        self.thread.join()


def client_of(directory, row, size):
    if row.body:
        length = row.body * size
        head = request("/post", f"Content-Length: {length}", method="POST")
        return load.Client(load.build(), load.write_hole(directory / "hole.requests", head, length))
    return load.Client.of(directory, f"growth-{row.name}",
                          [(data, FAST) for data in row.requests(size)])


def timed(directory, setup, row, size, client, share):
    """Median latency, CPU time per request and the highest memory while it runs."""
    with Server(directory, setup) as server:
        server.wait()
        clients = row.clients(size)
        distinct = max(1, len(row.requests(size)))
        load.check(client.run(server.port, connections=clients,
                              count=1 if row.body else max(2 * distinct, 2 * clients)))
        count = max(2, int(row.count * share))
        pids = server.pids()
        before = counters.cpu_s(pids)
        with Peak(server) as peak:
            result = load.check(client.run(server.port, connections=clients, count=count))
            time.sleep(0.11)
        cpu_us = (counters.cpu_s(pids) - before) / count * 1e6
        memory = max(peak.kib, counters.memory_kib(server.pids()))
        return percentile(result["latencies_us"][FAST], 0.5), cpu_us, memory / 1024


def measure(directory, table, name, row, size, share, is_counting):
    is_daemon = "daemon" in name
    setup = table.setup(name, row.application(size, is_daemon), row.shape(size))
    client = client_of(directory, row, size)
    latency, cpu_us, memory = timed(directory, setup, row, size, client, share)
    instructions = None
    if is_counting and row.counted:
        [(instructions, _)] = counters.instructions(
            directory, setup, [client], row.counted, warmup=max(row.counted, 2) + 64 *
            (len(row.requests(size)) > 1), few=max(1, row.counted // 5))
    return {"size": size, "latency_us": latency, "cpu_us": cpu_us, "memory": memory,
            "instructions": instructions}


COLUMNS = [("server", ""), ("size", ",d"), ("p50 µs", ",.0f"), ("CPU µs", ",.1f"),
           ("instructions", ",.0f"), ("memory MB", ",.1f"), ("p50 ×", ".2f"), ("CPU ×", ".2f"),
           ("instr. ×", ".2f"), ("memory ×", ".2f")]


def table_rows(name, found):
    """What each figure has become, beside that of the first size."""
    rows = []
    for each in found:
        def times(key, each=each):
            first = found[0][key]
            return each[key] / first if each[key] and first else None

        rows.append([name, each["size"], each["latency_us"], each["cpu_us"], each["instructions"],
                     each["memory"], times("latency_us"), times("cpu_us"), times("instructions"),
                     times("memory")])
    return rows


def growth(directory, table, report, rows, names, scale=1, share=1, is_counting=True):
    for row in rows:
        body, remarks = [], []
        for name in names:
            found = []
            try:
                for size in row.sizes(scale):
                    found.append(measure(directory, table, name, row, size, share, is_counting))
                    report.note(kind="growth", row=row.name, server=name, **found[-1])
            except (NotMeasured, OSError, subprocess.SubprocessError) as error:
                remarks.append(f"{name}: {error}")
            body += table_rows(name, found)
        report.add(Table(f"growth-{row.name}", f"{row.name}: {row.title}", COLUMNS, body, remarks))
