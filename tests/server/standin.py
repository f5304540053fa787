"""Puts the stand-in of tests/standin in the place of wsgi-daemon, and asks for its plays.

SPDX-License-Identifier: Apache-2.0
"""

import hashlib
import http.client
import shutil
import sys
from dataclasses import dataclass

import env
import processes
from processes import wait_until

STANDIN = env.ROOT / "tests" / "standin"
sys.path.append(str(STANDIN))

import frames  # noqa: E402  (that of the stand-in)

NOBODY_TOOK_IT = "WSGI0116"  # 503
TOO_LATE = "WSGI0145"        # 504
DIED = "WSGI0146"            # 502
ILLEGAL = "WSGI0148"         # 502
NOT_CARRIED = "WSGI1530"     # 500
NOISE = "WSGI1301"           # on an idle connection
CLIENT_GONE = "WSGI1531"

HELLO = ("hello",)
HEAD = ("send", frames.head())
SENT = ("send", frames.data(b"begun\n", frames.FLUSH))
ENDED = ("send", frames.END_CLOSE)
KEPT = ("send", frames.END_KEEP)
SILENCE = ("sleep", 20)
ANSWER = ("send", frames.head() + frames.data(b"good\n") + frames.END_CLOSE)
KEPT_ANSWER = ("send", frames.head() + frames.data(b"good\n") + frames.END_KEEP)

CONFIG = """
WSGIScriptAlias /embedded "${apps}/hello.py" process-group=%{GLOBAL}
"""


@dataclass
class Outcome:
    """What the client saw. No status: the connection ended without an answer."""

    status: object
    body: bytes = b""
    is_whole: bool = True

    def __eq__(self, other):
        """A bare status stands for a whole answer; CUT for what ends visibly too early."""
        if other is CUT:
            return self.status == 200 and not self.is_whole
        if isinstance(other, int):
            return self.status == other and self.is_whole
        return (self.status, self.body, self.is_whole) == (other.status, other.body,
                                                           other.is_whole)


CUT = object()
GOOD = Outcome(200, b"good\n")


class Stage:
    """A server whose process group is the stand-in."""

    def __init__(self, launch, daemon="socket-timeout=1 connect-timeout=1", config="", **options):
        self.server = launch("daemon", start=False, own_module=True, single_child=True,
                             daemon=f"processes=1 threads=4 {daemon}", config=CONFIG + config,
                             **options)
        self._plant()
        self.plays = self.server.directory / "plays"
        self.plays.mkdir(mode=0o755)
        self.server.start()
        self.child = self.server.httpd_children()
        self.files = None

    def _plant(self):
        folder = self.server.module.parent
        for program in folder.glob("wsgi-daemon-*"):
            shutil.copy(STANDIN / "wsgi-daemon", program)
            program.chmod(0o755)
        shutil.copy(STANDIN / "frames.py", folder)
        (folder / "frames.py").chmod(0o644)

    # ---- asking

    def url(self, *steps):
        """Where these steps are what a worker does."""
        text = repr(list(steps))
        name = hashlib.sha256(text.encode()).hexdigest()[:20]
        path = self.plays / name
        if not path.exists():
            path.write_text(text)
            path.chmod(0o644)
        return f"/hello?play={name}"

    def ask(self, *steps):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port,
                                                timeout=20 * env.PATIENCE)
        try:
            connection.request("GET", self.url(*steps), headers={"Connection": "close"})
            answer = connection.getresponse()
            return Outcome(answer.status, answer.read())
        except http.client.IncompleteRead as cut:
            return Outcome(answer.status, cut.partial, False)
        except (http.client.RemoteDisconnected, ConnectionResetError):
            return Outcome(None, is_whole=False)
        finally:
            connection.close()

    def expect(self, id, pattern="", count=1):
        self.server.expect(id, pattern, count)

    def keep_one(self):
        """Leaves httpd's child with an idle connection; the next request is sent on it."""
        assert self.ask(HELLO, KEPT_ANSWER, ("keep",)) == GOOD

    # ---- what must hold afterwards

    def is_good(self):
        return self.ask(HELLO, ANSWER) == GOOD and \
            self.server.get("/embedded").body == b"Hello world\n"

    def begin(self):
        assert self.is_good()
        self.files = self._count_files()

    def end(self):
        """The same child is there, answers, and has no more files open than before."""
        assert self.is_good()
        assert self.server.httpd_children() == self.child, "the child of httpd is another one"
        wait_until(lambda: self._count_files() <= self.files,
                   f"no descriptor has leaked: {self.files} before", 5 * env.PATIENCE)
        failures = self.server.note("standin")
        if failures.exists():
            raise AssertionError(failures.rename(f"{failures}-seen").read_text()[:2000])

    def _count_files(self):
        return processes.descriptors(self.child[0]).total()
