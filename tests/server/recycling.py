"""What tests about the lives of workers share.

SPDX-License-Identifier: Apache-2.0
"""

import re
import struct
import threading
from pathlib import Path

import env
import processes
from processes import wait_until

# Tells its process, and what it hears of that process's end.
APP = '''
import os, time
import mod_wsgi

def tell(name, text):
    path = f"NOTES/{name}"
    with open(path + ".part", "w") as file:
        file.write(text)
    os.rename(path + ".part", path)

@mod_wsgi.subscribe_shutdown
def stopping(name, **payload):
    tell(f"end-{os.getpid()}", f"{name} {payload}")

BODY
'''

ANSWER = '''
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]
'''


# Every interpreter of a process but its first waits while the note "slow" is there.
SLOW_INTERPRETERS = '''
import os, time
is_first = os.environ.get("FIRST_MADE_IN") != str(os.getpid())
os.environ["FIRST_MADE_IN"] = str(os.getpid())
while not is_first and os.path.exists("NOTES/slow"):
    open("NOTES/waits", "w").close()
    time.sleep(0.01)
'''


def make_interpreters_slow(server):
    """Until the note "slow" is removed. Before its start."""
    library = server.directory / "library"
    library.mkdir()
    (library / "sitecustomize.py").write_text(
        SLOW_INTERPRETERS.replace("NOTES", str(server.directory / "notes")))
    server.extra_environment["PYTHONPATH"] = str(library)
    server.note("slow").touch()


def write(server, name, body=ANSWER, **options):
    source = APP.replace("BODY", body).replace("NOTES", str(server.directory / "notes"))
    return server.script(f"{name}.py", source, **options)


def ask(server, url, timeout=None):
    reply = server.get(url, timeout=timeout or 40 * env.PATIENCE)
    assert reply.status == 200, reply
    return int(reply.body)


def reasons():
    """The names of enum wsgi_reason, in its order."""
    text = (env.ROOT / "include" / "wsgi_metrics.h").read_text()
    return re.findall(r'^ +REASON\(\w+, "(\w*)"\)', text, re.M)


def restarts(server):
    """The group's counters of restarts by reason, from the memory of its supervisor."""
    (supervisor,) = server.supervisors()
    for line in Path(f"/proc/{supervisor}/maps").read_text().splitlines():
        if "memfd:wsgi-counters" in line:
            begin = int(line.split("-")[0], 16)
            with open(f"/proc/{supervisor}/mem", "rb") as memory:
                memory.seek(begin + 72)
                figures = struct.unpack("30I", memory.read(120))
            return {name: count for name, count in zip(reasons(), figures) if count}
    raise AssertionError("the supervisor has no counters")


def assert_restarts(server, expected):
    """A client may see the end of a worker before the supervisor does."""
    try:
        wait_until(lambda: restarts(server) == expected, "the counters", 10 * env.PATIENCE)
    except AssertionError:
        assert restarts(server) == expected


def handed_over(server):
    """The group's numbers as its supervisor was given them, defaults included: {member: value}."""
    (supervisor,) = server.supervisors()
    source = (env.ROOT / "include" / "wsgi_group.def").read_text()
    members = re.findall(r"^(TEXT|NUMBER)\((\w+)\)", source, re.M)
    blob = _find_in_memory(supervisor, struct.pack("=3I", 0x514C5A51, 1, len(members)))
    numbers, at = {}, 12
    for kind, name in members:
        if kind == "TEXT":
            at += 9 + struct.unpack_from("=I", blob, at + 4)[0]
        else:
            (numbers[name],) = struct.unpack_from("=q", blob, at + 4)
            at += 12
    return numbers


def _find_in_memory(pid, beginning):
    """What a process has in its private memory from these bytes on."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, rights, *_ = line.split()
        begin, end = (int(number, 16) for number in span.split("-"))
        if rights.startswith("rw") and end - begin < 1 << 28:  # not a sanitizer's shadow
            with open(f"/proc/{pid}/mem", "rb") as memory:
                memory.seek(begin)
                _, _, behind = memory.read(end - begin).partition(beginning)
            if behind:
                return beginning + behind
    raise AssertionError("not in its memory")


def expect_end(server, pid, reason):
    """The worker ends in order, and everybody is told why."""
    expected = "process_stopping " + str({"shutdown_reason": reason})
    assert server.wait_for_note(f"end-{pid}") == expected
    wait_until(lambda: not processes.is_alive(pid), f"worker {pid} has ended", 20 * env.PATIENCE)
    wait_until(lambda: f"worker {pid} ended in order: {reason}" in server.log.text(),
               "the supervisor names the reason", 5 * env.PATIENCE)
    assert restarts(server).get(reason, 0) >= 1


class Load:
    """Clients that ask all the time; what was not answered well is kept."""

    def __init__(self, server, url, clients=8):
        self.server, self.url = server, url
        self.pids, self.wrong, self.count = set(), [], 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._keep_asking) for _ in range(clients)]

    def _keep_asking(self):
        while not self.stop.is_set():
            try:
                reply = self.server.get(self.url, timeout=60 * env.PATIENCE)
                if reply.status != 200:
                    self.wrong.append(reply)
                else:
                    self.pids.add(int(reply.body))
            except OSError as error:
                self.wrong.append(error)
            self.count += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        assert self.wrong == []
