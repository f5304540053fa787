"""./bootstrap serve: a page in both modes, as root and as an ordinary user, and nothing left behind.

SPDX-License-Identifier: Apache-2.0
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import ROOT

IS_ROOT = os.geteuid() == 0
START_LIMIT_S = 300  # it may have to build first
ECHO = """
import os
def application(environ, start_response):
    body = f"{os.geteuid()} {__file__} {environ['mod_wsgi.process_group']}".encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(*arguments, checkout=ROOT):
    return [checkout / "bootstrap", "serve", *map(str, arguments)]


def descendants(pid):
    """All processes below one, and those that a supervisor moved into a session of its own."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found, queue = set(), [pid]
    while queue:
        parent = queue.pop()
        children = {child for child, its_parent in parents.items() if its_parent == parent}
        queue += children - found
        found |= children
    return found


class Serving:
    """Runs the command until it announces its page; ends it by a signal."""

    def __init__(self, *arguments, checkout=ROOT, preexec_fn=None):
        self.port = free_port()
        self.output = ""
        self.directory = Path(tempfile.mkdtemp(prefix="quetzal-test-serve-", dir="/var/tmp"))
        if preexec_fn:
            self.directory.chmod(0o777)
        self.process = subprocess.Popen(
            command("--port", self.port, "--dir", self.directory / "run", *arguments,
                    checkout=checkout),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
            cwd="/", preexec_fn=preexec_fn)

    def __enter__(self):
        for line in self.process.stdout:
            self.output += line
            if line.startswith("Ctrl-C"):
                return self
        self.__exit__()
        raise AssertionError(f"it did not announce a page:\n{self.output}")

    def get(self, path="/"):
        end = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
                    return answer.read().decode()
            except urllib.error.HTTPError as error:
                raise AssertionError(self.log()) from error
            except OSError:
                assert time.monotonic() < end, self.log()
                time.sleep(0.1)

    def log(self):
        return (self.directory / "run" / "error.log").read_text()

    def end(self, number):
        family = descendants(self.process.pid)
        assert len(family) > 1
        self.process.send_signal(number)
        self.output += self.process.stdout.read()
        assert self.process.wait(30) == 0, self.output
        assert "Stopped." in self.output
        left = [pid for pid in family if Path(f"/proc/{pid}").exists()]
        assert not left, self.output

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        self.process.stdout.close()
        shutil.rmtree(self.directory)


@pytest.mark.parametrize("mode, number", [("daemon", signal.SIGINT), ("embedded", signal.SIGTERM)])
def test_the_example_is_served_and_ends_cleanly(mode, number):
    with Serving("--mode", mode) as serving:
        page = serving.get("/some/path?x=<y>")
        assert f"in {mode} mode" in page
        assert "/some/path" in page and "x=&lt;y&gt;" in page
        assert f"http://127.0.0.1:{serving.port}/" in serving.output
        for name in ("httpd.conf", "error.log"):
            assert str(serving.directory / "run" / name) in serving.output
            assert (serving.directory / "run" / name).exists()
        serving.end(number)
        assert not (serving.directory / "run" / "httpd.pid").exists()


@pytest.mark.parametrize("mpm", ["worker", "prefork"])
def test_other_mpms(mpm):
    with Serving("--mpm", mpm) as serving:
        assert "It serves." in serving.get()
        serving.end(signal.SIGINT)


def test_a_script_of_ones_own(tmp_path):
    package = tmp_path / "project" / "site"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "settings.py").write_text("WORD = 'imported from above the package'")
    script = package / "wsgi.py"
    script.write_text("import site as _\n" + ECHO)
    with Serving(script) as serving:
        user, path, group = serving.get().split()
        assert group == "serve"
        assert path.endswith("/site/wsgi.py")
        if IS_ROOT:  # pytest's directories are for their owner only
            assert int(user) == pwd.getpwnam("www-data").pw_uid
            assert path.startswith("/var/tmp/quetzal-serve.")
            assert f"Copied {tmp_path}/project to /var/tmp/quetzal-serve." in serving.output
        serving.end(signal.SIGINT)
        assert not Path(path).exists() or path == str(script)


@pytest.fixture(scope="module")
def nobodys_checkout():
    """The tree and its build as an ordinary user would have them."""
    subprocess.run([ROOT / "bootstrap", "build"], check=True, stdout=subprocess.DEVNULL)
    top = Path(tempfile.mkdtemp(prefix="quetzal-test-checkout-", dir="/var/tmp"))
    top.chmod(0o755)
    target = top / "quetzal"
    left_out = {ROOT: {".git"}, ROOT / "build": {"check", "serve", "roots", "fuzz", "bench"}}
    shutil.copytree(ROOT, target, symlinks=True,
                    ignore=lambda path, names: left_out.get(Path(path), set()))
    nobody = pwd.getpwnam("nobody")
    for path in [target, *target.rglob("*")]:
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o600)
    yield target
    shutil.rmtree(top)


def become_nobody():
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setresgid(nobody.pw_gid, nobody.pw_gid, nobody.pw_gid)
    os.setresuid(nobody.pw_uid, nobody.pw_uid, nobody.pw_uid)


@pytest.mark.parametrize("delay", [0, 0.3, 0.6])
def test_ctrl_c_at_any_moment_of_the_start_ends_it_in_order(tmp_path, delay):
    """`delay` 0: as soon as the port answers, which is before the announcement."""
    port = free_port()
    process = subprocess.Popen(command("--port", port, "--dir", tmp_path / "serve"),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, start_new_session=True)
    end = time.monotonic() + START_LIMIT_S
    while delay == 0 and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.005)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    if "Serving" in output or delay == 0:
        assert (process.returncode, output.splitlines()[-1]) == (0, "Stopped.")
    assert not (tmp_path / "serve" / "httpd.pid").exists(), "httpd runs on"


@pytest.mark.parametrize("mode", ["daemon", "embedded"])
def test_as_an_ordinary_user(nobodys_checkout, mode):
    script = nobodys_checkout / "own.wsgi"
    script.write_text(ECHO)
    with Serving(script, "--mode", mode, checkout=nobodys_checkout,
                 preexec_fn=become_nobody if IS_ROOT else None) as serving:
        user, path, *_ = serving.get().split()
        assert path == str(script)
        assert int(user) == (pwd.getpwnam("nobody").pw_uid if IS_ROOT else os.geteuid())
        assert "User " not in (serving.directory / "run" / "httpd.conf").read_text()
        serving.end(signal.SIGINT)


def refuse(*arguments):
    done = subprocess.run(command(*arguments), capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=START_LIMIT_S)
    assert done.returncode == 1
    return done.stderr


@pytest.mark.parametrize("arguments, sentence", [
    (["/nowhere/wsgi.py"], "serve: /nowhere/wsgi.py does not exist: give the path of a WSGI script"),
    (["/tmp"], "serve: /tmp is not a file: give the path of a WSGI script"),
    (["--port", "0"], "serve: '0' is no port: give a number from 1 to 65535"),
    (["--port", "65536"], "serve: '65536' is no port: give a number from 1 to 65535"),
    (["--port", "http"], "serve: 'http' is no port: give a number from 1 to 65535"),
    (["--port"], "serve: --port needs a value: see ./bootstrap help"),
    (["--mode", "cgi"], "serve: 'cgi' is no mode: give daemon or embedded"),
    (["--mpm", "itk"], "serve: 'itk' is no MPM: give event, worker or prefork"),
    (["--frob"], "serve: there is no option --frob: see ./bootstrap help"),
])
def test_a_wrong_command_line_is_one_sentence(arguments, sentence):
    assert refuse(*arguments) == sentence + "\n"


def test_a_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        error = refuse("--port", port, "--dir", tmp_path)
    assert f"serve: port {port} cannot be used (Address already in use): " in error
    assert error.count("\n") == 1


def test_a_directory_with_anothers_configuration_is_left_alone(tmp_path):
    (tmp_path / "httpd.conf").write_text("Listen 80\n")
    assert "is not of ./bootstrap serve" in refuse("--dir", tmp_path)
    assert (tmp_path / "httpd.conf").read_text() == "Listen 80\n"
