"""What /proc tells about the processes of a server under test.

This process makes itself the reaper of orphans, so whatever a killed httpd leaves behind becomes
our child and cannot hide.

SPDX-License-Identifier: Apache-2.0
"""

import ctypes
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option, value):
    if libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def adopt_orphans():
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent():
    """For a new process: SIGTERM when its parent ends, so that a killed test run leaves no server."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_until(condition, what, timeout=15.0):
    """The first true value of condition(), or a failure that names `what` was waited for."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.02)


def _stat(pid):
    """(parent, state) of a process, or None where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = text.rpartition(")")[2].split()[:2]
    return int(parent), state


def is_alive(pid):
    """Is it there and not a zombie?"""
    found = _stat(pid)
    return found is not None and found[1] not in "ZX"


def parent_of(pid):
    return _stat(pid)[0]


def _family_table():
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            found = _stat(entry)
            if found:
                table.setdefault(found[0], []).append(int(entry))
    return table


def descendants(pid):
    """All processes below pid, zombies included."""
    table = _family_table()
    below, queue = [], [pid]
    while queue:
        children = table.get(queue.pop(), [])
        below += children
        queue += children
    return sorted(below)


def children(pid):
    return sorted(child for child in _family_table().get(pid, []) if is_alive(child))


def reap(pids):
    """Collects those of pids that are our own children by adoption, and dead."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass


def program(pid):
    """The file a process runs, without the directory: apache2, wsgi-daemon-3.11, …"""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)")
    except OSError:
        return ""


def title(pid):
    """The command line as ps shows it."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()


def status_kib(pid, field):
    """A memory figure of /proc/PID/status: VmRSS (now), VmHWM (the highest so far)."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M).group(1))


def pss_kib(pid, kind="Pss"):
    """Its memory, what it shares with others divided by their number."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(rf"^{kind}:\s+(\d+) kB", text, re.M).group(1))


def own_pss_kib(pid):
    """As pss_kib() without files: what these cost depends on who else on the machine maps them."""
    return pss_kib(pid, "Pss_Anon") + pss_kib(pid, "Pss_Shmem")


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def uids(pid):
    """Real, effective, saved and file-system user id."""
    text = Path(f"/proc/{pid}/status").read_text()
    return tuple(map(int, re.search(r"^Uid:\s+(.*)$", text, re.M).group(1).split()))


def descriptors(pid):
    """How many descriptors of each kind a process has open; sockets, pipes and memory by kind,
    files by path."""
    kinds = Counter()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(entry.path)
        except FileNotFoundError:
            continue
        kinds[re.sub(r":\[\d+\]$", "", target)] += 1
    return kinds


def shared_segments(pids):
    """System V segments that one of pids has created."""
    rows = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return [row.split()[1] for row in rows if int(row.split()[4]) in pids]


def has_connections(port):
    """Does a process hold a connection that it accepted at this port?"""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if int(local.split(":")[1], 16) == port and state != "0A" and inode != "0":
            return True
    return False


def umask(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^Umask:\s+(\d+)$", text, re.M).group(1), 8)


def groups(pid):
    """Supplementary groups."""
    text = Path(f"/proc/{pid}/status").read_text()
    return {int(gid) for gid in re.search(r"^Groups:[ \t]*(.*)$", text, re.M).group(1).split()}


def gids(pid):
    """Real, effective, saved and file-system group id."""
    text = Path(f"/proc/{pid}/status").read_text()
    return tuple(map(int, re.search(r"^Gid:\s+(.*)$", text, re.M).group(1).split()))
