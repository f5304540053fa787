"""Figures of a server: instructions, system calls, CPU time and memory of all its processes.

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import os
import pathlib
import re
import signal
import subprocess

import load
from kinds import COUNTED
from servers import IDENTITY, NotMeasured, Server, run, wait_until

CALLGRIND = ("valgrind", "--quiet", "--tool=callgrind", "--trace-children=yes", "--fair-sched=yes",
             "--vgdb-prefix=@root@/vgdb", "--callgrind-out-file=@root@/callgrind.%p")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")

# The client pauses before each request, so that the server has gone back to sleep: else chance
# decides which requests are taken without waiting.
PAUSE_S = 0.005
WARMUP = 200
FEW = 20


def ask(client, server, requests, pause=PAUSE_S):
    return load.check(client.run(server.port, count=requests, pause=pause))


# ---- instructions -------------------------------------------------------------------------------

def dump(root, pids, turn):
    """Lets each process write what it has counted since the last dump, and count anew."""
    for pid in pids:
        run(["vgdb", f"--vgdb-prefix={root}/vgdb", f"--pid={pid}", "dump", turn],
            timeout=60, **IDENTITY)


def counted(root, pid):
    """Instructions in the newest dump of a process."""
    path = max(root.glob(f"callgrind.{pid}.*"), key=lambda path: int(path.suffix[1:]))
    totals = re.search(r"^totals: (\d+)", path.read_text(), re.M)
    if totals is None:
        raise NotMeasured(f"{path} has no totals")
    return int(totals.group(1)), path


def instructions(directory, setup, clients, requests, warmup=WARMUP, few=FEW):
    """Per client: user instructions per request, and the profiles of the processes, the busiest
    first. What a connection costs is taken off, by a run of few requests."""
    with Server(directory, setup, CALLGRIND) as server:
        server.wait()
        for client in clients:
            ask(client, server, warmup)
        pids = server.pids()
        results = []
        for client in clients:
            dump(server.root, pids, "before")
            less = sum(count for count, _ in count_run(server, pids, client, few))
            found = count_run(server, pids, client, requests + few)
            results.append(((sum(count for count, _ in found) - less) / requests, found))
    return results


def count_run(server, pids, client, requests):
    """What a run costs each process, with the profile, the busiest first."""
    ask(client, server, requests)
    dump(server.root, pids, "requests")
    return sorted((counted(server.root, pid) for pid in pids), reverse=True)


# ---- system calls -------------------------------------------------------------------------------

def system_calls(directory, setup, client, requests, warmup=WARMUP):
    """System calls per request, as strace counts them in all processes and threads."""
    with Server(directory, setup) as server:
        server.wait()
        ask(client, server, warmup)
        pids = server.pids()
        summary, messages = server.root / "strace", server.root / "strace.messages"
        with open(messages, "wb") as file:
            strace = subprocess.Popen(
                ["strace", "-f", "-c", "-o", str(summary), "-p", ",".join(map(str, pids))],
                stdout=file, stderr=file)
        try:
            wait_until(lambda: messages.read_text().count(" attached") >= len(pids)
                       or strace.poll() is not None, "strace has attached", 30)
            ask(client, server, requests)
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait(30)
    total = re.search(r"^ *100\.00 .* total$", summary.read_text(), re.M)
    if total is None:
        raise NotMeasured(f"strace: {messages.read_text()} {summary.read_text()}")
    return int(total.group().split()[3]) / requests  # % time, seconds, usecs/call, calls


# ---- CPU time and memory ------------------------------------------------------------------------

def cpu_s(pids):
    """User and system time so far, children that have ended included."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, stat[11:15]))
    return ticks * TICK_S


def own_pss_kib(pid):
    """Memory without files, whose cost depends on who else on the machine maps them; what is
    shared with others is divided by their number."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        return sum(int(re.search(rf"^{kind}:\s+(\d+) kB", text, re.M).group(1))
                   for kind in ("Pss_Anon", "Pss_Shmem"))
    return 0


def is_daemon(pid):
    """A process of a daemon group, its supervisor included."""
    with contextlib.suppress(OSError):
        return b"(wsgi:" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def memory_kib(pids):
    return sum(own_pss_kib(pid) for pid in pids)


# ---- one row of counts --------------------------------------------------------------------------

def count(directory, kinds, name, scenario, requests, warmup=WARMUP):
    """One row: figures and what went wrong."""
    row = {"server": name, "scenario": scenario.name, "instructions": None, "system_calls": None,
           "error": None, "profiles": []}
    try:
        setup = kinds.setup(name, scenario.application, COUNTED)
        client = load.Client.of(directory, scenario.name, scenario.classes())
        [(row["instructions"], row["profiles"])] = instructions(directory, setup, [client],
                                                                requests, warmup)
        row["system_calls"] = system_calls(directory, setup, client, requests, warmup)
    except (NotMeasured, OSError, subprocess.SubprocessError) as error:
        row["error"] = str(error)
    return row
