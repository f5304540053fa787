"""Private servers: a directory, a configuration, processes, and their end.

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = ROOT / "build" / "bench"

# Root measures as an ordinary user: then no process changes its user, which would end valgrind's
# ear for commands.
IDENTITY = ({"user": "www-data", "group": "www-data", "extra_groups": []} if os.geteuid() == 0
            else {})
ENVIRONMENT = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
               "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


class NotMeasured(Exception):
    """One sentence why a figure is missing."""


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    if done.returncode != 0:
        raise NotMeasured(f"{' '.join(map(str, command))}: {done.stdout.strip()[-600:]}")
    return done.stdout


def wait_until(condition, what, timeout):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise NotMeasured(f"{what}: not within {timeout} s")
        time.sleep(0.005)


def family(pid):
    """pid and all its descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = pathlib.Path("/proc", entry, "stat").read_text()
                parent = int(stat.rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def workshop():
    """A directory that the servers' user can enter, whatever the mode of the checkout."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="quetzal-bench-", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Server:
    """What one setup (kinds.Setup) describes, on request below a tool such as valgrind."""

    def __init__(self, directory, setup, tool=()):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="server-", dir=directory))
        self.root.chmod(0o755)
        self.port = free_port()
        self.tool = tool
        self._write(setup)
        if IDENTITY:
            shutil.chown(self.root, IDENTITY["user"], IDENTITY["group"])
        self.output = open(self.root / "output", "wb")
        self.started = time.monotonic()
        self.processes = []
        for command in setup.commands[:-1]:
            self.processes.append(self._popen(command))
            self._await_socket()
        self.processes.append(self._popen(setup.commands[-1]))

    def _write(self, setup):
        for path, content in setup.files.items():
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, int):  # so many zero bytes, without room on the disk
                with open(target, "wb") as file:
                    file.truncate(content)
            else:
                target.write_text(self._filled(content))
            target.chmod(0o644)

    def _filled(self, text):
        return text.replace("@root@", str(self.root)).replace("@port@", str(self.port))

    def _popen(self, command):
        # A session of its own: prefork ends its children by a signal to the process group.
        return subprocess.Popen(
            [*map(self._filled, self.tool), *map(self._filled, command)],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, cwd="/",
            env=ENVIRONMENT, start_new_session=True, **IDENTITY)

    def _await_socket(self):
        """httpd asks what is behind it only once that listens: else it leaves it alone for long."""
        path = self.root / "app.sock"
        wait_until(lambda: path.exists() or self.processes[-1].poll() is not None,
                   "what is behind httpd has started", 120)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pids = self.pids()
        self.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                # Children that do not end by themselves, as some of the peer's, cost 10 s.
                kill(family(process.pid)[1:])
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                kill([process.pid])
                process.wait()
        kill(pids)
        self.output.close()

    def terminate(self):
        """Tells it to end, without waiting for that."""
        for process in self.processes:
            process.terminate()

    def pids(self):
        """All processes, those of httpd first."""
        return [pid for process in reversed(self.processes) for pid in family(process.pid)]

    def log(self):
        texts = [(self.root / name).read_text(errors="replace")
                 for name in ("output", "error.log") if (self.root / name).exists()]
        return "\n".join(texts)[-2000:]

    def graceful(self):
        """A graceful restart of what listens; an error where it has none."""
        self.processes[-1].send_signal(signal.SIGUSR1)

    def touch(self, script):
        os.utime(self.root / script)

    def wait(self, timeout=120):
        """Until it listens."""
        wait_until(self._listens, "the server has started", timeout)
        return self

    def _listens(self):
        for process in self.processes:
            if process.poll() is not None:
                raise NotMeasured(f"the server has ended: {self.log()}")
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True
