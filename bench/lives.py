"""What a server costs beside its requests: memory, silence over reloads, the time that starts take.

SPDX-License-Identifier: Apache-2.0
"""

import dataclasses
import http.client
import os
import signal
import subprocess
import time

import counters
import kinds
import load
from figures import median
from measuring import running, wanted
from results import Table
from scenarios import HELLO, SCENARIOS
from servers import NotMeasured, Server

HELLO_CLASSES = SCENARIOS["hello"].classes()


def guarded(names, measure, remarks):
    """Rows of the servers that could be measured."""
    rows = []
    for name in names:
        try:
            rows += measure(name)
        except (NotMeasured, OSError, subprocess.SubprocessError) as error:
            remarks.append(f"{name}: {error}")
    return rows


def get(port, path, timeout=60):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def seconds_to_answer(port, path="/hello", timeout=60):
    """From now until path is answered by 200, however often it has to be asked."""
    begun = time.monotonic()
    while time.monotonic() - begun < timeout:
        try:
            if get(port, path, timeout) == 200:
                return time.monotonic() - begun
        except (OSError, http.client.HTTPException):
            time.sleep(0.0005)
    raise NotMeasured(f"{path} is not answered within {timeout} s")


# ---- memory -------------------------------------------------------------------------------------

MEMORY_COLUMNS = [("server", ""), ("idle MB", ".1f"), ("ratio", ".2f"), ("loaded MB", ".1f"),
                  ("ratio", ".2f"), ("workers, loaded MB", ".1f"), ("processes", "d")]


def memory_of(server, client, seconds):
    """Once all processes have had a request: before and after much load, in MiB."""
    client.run(server.port, connections=4, count=200)
    time.sleep(0.2)
    pids = server.pids()
    idle = counters.memory_kib(pids) / 1024
    load.check(client.run(server.port, connections=16, seconds=seconds))
    pids = server.pids()
    workers = [pid for pid in pids if counters.is_daemon(pid)]
    return [idle, counters.memory_kib(pids) / 1024, counters.memory_kib(workers) / 1024,
            len(pids)]


def memory(directory, table, report, names, seconds):
    remarks, found = [], {}
    with running(directory, table, names, HELLO, kinds.LOADED) as (servers, missing):
        client = load.Client.of(directory, "memory", HELLO_CLASSES)

        def measure(name):
            found[name] = memory_of(servers[name], client, seconds)
            return []

        guarded(servers, measure, remarks)
    rows = []
    for name, (idle, loaded, workers, count) in found.items():
        reference = found.get(kinds.REFERENCE.get(name, kinds.PEER_DAEMON))
        rows.append([name, idle, reference and idle / reference[0], loaded,
                     reference and loaded / reference[1], workers or None, count])
        report.note(kind="memory", server=name, idle=idle, loaded=loaded, workers=workers)
    report.add(Table("memory", "Memory without files (PSS) of all processes: httpd 2 × 75 threads, "
                     "daemon 2 × 15, hello", MEMORY_COLUMNS, rows, [*missing, *remarks]))


# ---- silence ------------------------------------------------------------------------------------

SILENCE_COLUMNS = [("server", ""), ("over", ""), ("longest silence ms", ",.0f"),
                   ("beside it ms", ",.0f"), ("not answered", "d"), ("dropped and repeated", "d"),
                   ("refused", "d")]
BEFORE_S = 0.5
SLOW_IMPORT_S = 1
SLOW_HELLO = f"import time\n\ntime.sleep({SLOW_IMPORT_S})\n"


def touch(server):
    server.touch("hello.py")


def graceful(server):
    server.graceful()


def silent_row(server, client, name, what, act, seconds, remarks):
    """16 kept connections ask all the time; in the midst of it the server is told to change. What
    the longest wait is without a change stands beside."""
    rest = client.run(server.port, connections=16, seconds=min(seconds / 2, 2),
                      warmup=0.2)
    process = client.start(server.port, connections=16, seconds=seconds, timeout=60)
    time.sleep(BEFORE_S)
    act(server)
    result = client.finish(process)
    if result["longest_gap_ms"] > (seconds - BEFORE_S) * 990:
        remarks.append(f"{name}, {what}: the end of the silence, it is longer than was measured")
    bad = result["failed"] + result["answers"] - result["status"][2]
    return [name, what, result["longest_gap_ms"], rest["longest_gap_ms"], bad, result["dropped"],
            result["refused"]]


def silence(directory, table, report, names, seconds):
    """Over a touch of a script that takes a second to import, and over a graceful restart."""
    source = HELLO.all_files()[HELLO.script]
    slow = dataclasses.replace(HELLO, files={HELLO.script: SLOW_HELLO + source})
    remarks, rows = [], []
    names = [name for name in names if "alone" not in name]
    client = load.Client.of(directory, "silence", HELLO_CLASSES)

    def measure(name):
        found = []
        for what, act, application in (("touch of the script, 1 s of import", touch, slow),
                                       ("graceful restart", graceful, HELLO)):
            if act is touch and "mod_wsgi" not in name and "ours" not in name:
                continue  # it does not look at the script again
            with Server(directory, table.setup(name, application, kinds.LOADED)) as server:
                server.wait()
                seconds_to_answer(server.port)
                # All workers, that of the restart is not mixed up with those of the start.
                client.run(server.port, connections=64,
                           seconds=1.5 * SLOW_IMPORT_S if act is touch else 0.3)
                found.append(silent_row(server, client, name, what, act, seconds,
                                        remarks))
        return found

    rows = guarded(names, measure, remarks)
    for row in rows:
        report.note(kind="silence", row=row)
    report.add(Table("silence", "Longest time without any answer to 16 clients, of "
                     f"{seconds:g} s", SILENCE_COLUMNS, rows, remarks))


# ---- starts -------------------------------------------------------------------------------------

START_COLUMNS = [("server", ""), ("start to first answer ms", ",.0f"),
                 ("worker killed to answer ms", ",.0f"), ("new interpreter ms", ",.1f"),
                 ("new script ms", ",.1f"), ("first after idle ms", ",.2f"),
                 ("next one ms", ",.2f")]
GROUPS = 8


def groups_of_scripts():
    """/group-N: each its own application group; /script-N: all of them in one that lives."""
    lines = []
    for number in range(GROUPS):
        lines += [f'WSGIScriptAlias /group-{number} "@root@/hello.py" '
                  f"application-group=new-{number}",
                  f'WSGIScriptAlias /script-{number} "@root@/script-{number}.py" '
                  "application-group=%{GLOBAL}"]
    source = HELLO.all_files()[HELLO.script]
    return dataclasses.replace(
        HELLO, wsgi_config="\n".join(lines) + "\nWSGIApplicationGroup %{GLOBAL}\n",
        files={f"script-{number}.py": source for number in range(GROUPS)})


def first_requests_ms(port, kind):
    """The first request to each of several URLs; the median."""
    return median(seconds_to_answer(port, f"/{kind}-{number}") * 1000 for number in range(GROUPS))


def after_idle_ms(port, idle_s, turns):
    """The first request on a kept connection after a pause, and the one after it."""
    first, second = [], []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(turns):
        connection.request("GET", "/hello")
        connection.getresponse().read()
        time.sleep(idle_s)
        for times in (first, second):
            begun = time.monotonic()
            connection.request("GET", "/hello")
            connection.getresponse().read()
            times.append((time.monotonic() - begun) * 1000)
    connection.close()
    return median(first), median(second)


def start_ms(directory, setup):
    """From exec of the server to the first answer of the application."""
    with Server(directory, setup) as server:
        seconds_to_answer(server.port)
        return (time.monotonic() - server.started) * 1000


def worker_start_ms(server, turns):
    """A worker that is killed while nobody asks: until a request is answered again."""
    times = []
    for _ in range(turns):
        workers = [pid for pid in server.pids() if counters.is_daemon(pid)]
        if not workers:
            return None
        os.kill(workers[-1], signal.SIGKILL)
        times.append(seconds_to_answer(server.port) * 1000)
    return median(times)


def start(directory, table, report, names, turns, idle_s):
    grouped = groups_of_scripts()

    def measure(name):
        is_wsgi = "ours" in name or "mod_wsgi" in name
        application = grouped if is_wsgi else HELLO
        shape = kinds.COUNTED
        setup = table.setup(name, application, shape)
        row = [name, median(start_ms(directory, setup) for _ in range(turns))]
        with Server(directory, setup) as server:
            seconds_to_answer(server.wait().port)
            row += [worker_start_ms(server, turns)]
            row += ([first_requests_ms(server.port, kind) for kind in ("group", "script")]
                    if is_wsgi else [None, None])
            row += after_idle_ms(server.port, idle_s, turns)
        report.note(kind="start", row=row)
        return [row]

    remarks = []
    rows = guarded(wanted(names, HELLO), measure, remarks)
    report.add(Table("start", f"Starts: one worker, median of {turns}; idle is {idle_s:g} s",
                     START_COLUMNS, rows, remarks))
