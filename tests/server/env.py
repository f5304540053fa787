"""A private httpd with the module under test: its directory, configuration, life and end.

Settings come from the environment, see tests/README.md: WSGI_MODULE, MPM, MODE, WSGI_SANITIZED,
WSGI_LIBASAN, WSGI_DEBUG_PYTHON, WSGI_PEER, KEEP.

SPDX-License-Identifier: Apache-2.0
"""

import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import processes
import pytest
from client import Raw, Session
from errorlog import ErrorLog
from processes import wait_until

ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "tests" / "apps"
SITES = ROOT / "tests" / "sites"
HTTPD = "/usr/sbin/apache2"
HTTPD_MODULES = Path("/usr/lib/apache2/modules")

MODULE = Path(os.environ.get("WSGI_MODULE", ROOT / "build" / "mod_wsgi.so"))
MPM = os.environ.get("MPM", "event")
IS_PEER = os.environ.get("WSGI_PEER") == "1"
IS_SANITIZED = os.environ.get("WSGI_SANITIZED") == "1"
IS_DEBUG_PYTHON = os.environ.get("WSGI_DEBUG_PYTHON") == "1"
IS_ROOT = os.geteuid() == 0
USER = "www-data" if IS_ROOT else pwd.getpwuid(os.geteuid()).pw_name

# Sanitizers make all of it slower; limits of time are multiplied by this.
PATIENCE = 4 if IS_SANITIZED else 1

MPM_LIMITS = {
    "threads": "StartServers 1\nServerLimit {children}\nThreadsPerChild 32\nThreadLimit 32\n"
               "MaxRequestWorkers {workers}\nMinSpareThreads 1\nMaxSpareThreads {workers}\n",
    "prefork": "StartServers {start}\nServerLimit {workers}\nMaxRequestWorkers {workers}\n"
               "MinSpareServers 1\nMaxSpareServers 16\n",
}

CONFIGURATION = """\
Define root "{root}"
Define apps "{root}/apps"
Define scripts "{root}/scripts"
Define port {port}
ServerRoot "{root}"
ServerName localhost
Listen 127.0.0.1:{port}
PidFile "{root}/run/httpd.pid"
DefaultRuntimeDir "{root}/run"
ErrorLog "{root}/error.log"
LogLevel warn wsgi:info
{identity}LoadModule mpm_{mpm}_module "{modules}/mod_mpm_{mpm}.so"
LoadModule authz_core_module "{modules}/mod_authz_core.so"
{extra_modules}LoadModule wsgi_module "{module}"
{mpm_limits}Timeout {timeout_s}
KeepAliveTimeout 3
<Directory />
    Require all denied
</Directory>
<Directory "{root}">
    Require all granted
</Directory>
{peer}{group}WSGIScriptAlias /scripts/ "{root}/scripts/"
{aliases}
{config}
"""


def is_listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class StartFailed(AssertionError):
    pass


def _runtime_directory():
    """A directory that the server's user can enter, whatever the mode of the checkout; removed
    at the end of the session."""
    path = Path(tempfile.mkdtemp(prefix="quetzal-tests-", dir="/tmp"))
    path.chmod(0o755)
    return path


class TestRun:
    """What all servers of one pytest process share, or all of one module in tools/differential."""

    def __init__(self, module=MODULE, is_peer=IS_PEER):
        if not module.exists():
            pytest.exit(f"{module} does not exist: build it first (make), or name another one "
                        "by WSGI_MODULE", returncode=2)
        self.is_peer = is_peer
        self.directory = _runtime_directory()
        self.module = self._copy_module(module)
        self.ports = Ports()
        self.count = 0

    def _copy_module(self, module):
        target = self.directory / "module"
        target.mkdir()
        for source in [module, *module.parent.glob("wsgi-daemon-*")]:
            shutil.copy(source, target)
            (target / source.name).chmod(0o755)
        return target / module.name

    def next_directory(self, name):
        self.count += 1
        return self.directory / f"{self.count:03}-{name}"

    def close(self):
        if os.environ.get("KEEP") == "1":
            print(f"\nkept: {self.directory}")
        else:
            shutil.rmtree(self.directory)


class Ports:
    """Free ports below the ephemeral range. One is reserved among all test processes of this
    machine by an abstract socket of its name, which ends with the process that holds it."""

    FIRST, LAST = 10000, 32000

    def __init__(self):
        self.next = self.FIRST + os.getpid() * 37 % (self.LAST - self.FIRST)
        self.reservations = []

    def reserve(self):
        while True:
            self.next = self.FIRST + (self.next + 1 - self.FIRST) % (self.LAST - self.FIRST)
            if self._take(self.next):
                return self.next

    def _take(self, port):
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0quetzal-test-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            return False
        self.reservations.append(reservation)
        return True


def _sanitizer_environment(directory):
    libasan = os.environ.get("WSGI_LIBASAN") or subprocess.check_output(
        ["gcc", "-print-file-name=libasan.so"], text=True).strip()
    options = f"log_path={directory}/report:abort_on_error=0:halt_on_error=1"
    return {
        "LD_PRELOAD": libasan,
        "ASAN_OPTIONS": f"detect_leaks=0:quarantine_size_mb=8:handle_segv=1:{options}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:{options}",
        "PYTHONMALLOC": "malloc",
    }


class Server:
    """One httpd. `mode` is embedded or daemon; in daemon mode all applications run in the process
    group "tests", made with the options `daemon`. `config` is more configuration, where ${root},
    ${apps}, ${scripts} and ${port} can be used."""

    def __init__(self, run, name, mode, *, daemon="threads=4", config="", modules=(),
                 single_child=False, timeout_s=20, environment=(), limits=(),
                 run_as=None, own_module=False):
        self.run = run
        self.mode = mode
        self.directory = run.next_directory(f"{name}-{mode}")
        self.daemon, self.config, self.modules = daemon, config, modules
        self.single_child, self.timeout_s = single_child, timeout_s
        self.extra_environment = dict(environment)
        self.run_as = run_as  # user and group id of httpd's parent; None: ours
        self.limits = dict(limits)  # resource.RLIMIT_…: value, of httpd's parent
        self.port = run.ports.reserve()
        self.process = None
        self.known = set()  # every process of the family that was ever seen
        self.log = ErrorLog(self.directory / "error.log")
        if run.is_peer:
            self.log.allow_anything()
        if MPM == "prefork" and single_child:
            self.tolerate("AH00161")  # MaxRequestWorkers is reached
        self.module = run.module
        if own_module:  # a copy of its own, with wsgi-daemon-X.Y beside it, that a test may change
            self.module = self.directory / "module" / run.module.name
        self._make_directory()

    # ---- files

    def _make_directory(self):
        for name, mode in (("run", 0o755), ("scripts", 0o755), ("notes", 0o1777),
                           ("sanitizer", 0o1777)):
            path = self.directory / name
            path.mkdir(parents=True)
            path.chmod(mode)
        self._copy_readable(APPS, self.directory / "apps")
        if self.module != self.run.module:
            shutil.copytree(self.run.module.parent, self.module.parent)
        self.write_configuration()

    @staticmethod
    def _copy_readable(source, target):
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        for path in [target, *target.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)

    def site(self, name):
        """Copies a site of tests/sites into the server's directory, where its user may write."""
        target = self.directory / name
        self._copy_readable(SITES / name, target)
        if IS_ROOT:
            for path in [target, *target.rglob("*")]:
                shutil.chown(path, USER)
        return target

    def script(self, name, source, mode=0o644, mtime=None):
        """Writes a script, in one step as far as the server can see, and gives its URL."""
        path = self.directory / "scripts" / name
        part = path.with_name(f".{name}.part")
        part.write_text(source)
        part.chmod(mode)
        if mtime is not None:
            os.utime(part, (mtime, mtime))
        part.rename(path)
        return f"/scripts/{name}"

    def make_certificate(self):
        """tls.crt and tls.key of localhost, for a while; tells how to use them."""
        files = [self.directory / name for name in ("tls.crt", "tls.key")]
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-out", files[0], "-keyout", files[1]],
            check=True, stderr=subprocess.DEVNULL)
        # The certificate is nobody's; without a session cache; OpenSSL may be another version.
        self.tolerate("AH019(06|09)|AH01873|AH01882")
        return (f'SSLEngine On\nSSLCertificateFile "{files[0]}"\n'
                f'SSLCertificateKeyFile "{files[1]}"\n')

    def note(self, name):
        """A file that an application writes to tell what it has seen."""
        return self.directory / "notes" / name

    def wait_for_note(self, name):
        path = self.note(name)
        return wait_until(lambda: path.exists() and path.read_text(), f"note {name}",
                          15 * PATIENCE)

    # ---- configuration

    def write_configuration(self):
        (self.directory / "httpd.conf").write_text(self.configuration())

    def configuration(self):
        is_prefork = MPM == "prefork"
        children = 1 if self.single_child else 2
        workers = (children if self.single_child else 16) if is_prefork else 32 * children
        return CONFIGURATION.format(
            root=self.directory, port=self.port, mpm=MPM, module=self.module,
            modules=HTTPD_MODULES, timeout_s=self.timeout_s,
            identity=f"User {USER}\nGroup {USER}\n" if IS_ROOT else "",
            extra_modules="".join(
                f'LoadModule {name}_module "{HTTPD_MODULES}/mod_{name}.so"\n'
                for name in self.modules),
            mpm_limits=MPM_LIMITS["prefork" if is_prefork else "threads"].format(
                children=children, workers=workers, start=min(2, workers)),
            peer=f'WSGISocketPrefix "{self.directory}/run/wsgi"\n' if self.run.is_peer
            else "",
            group=self._group(),
            aliases="\n".join(
                f'WSGIScriptAlias /{path.stem} "{self.directory}/apps/{path.name}"'
                for path in sorted(APPS.glob("*.py"))),
            config=self.config,
        )

    def _group(self):
        if self.mode == "embedded":
            return ""
        return f"WSGIDaemonProcess tests {self.daemon}\nWSGIProcessGroup tests\n"

    def command(self, *arguments):
        return [HTTPD, "-f", str(self.directory / "httpd.conf"), *arguments]

    def environment(self):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        if IS_SANITIZED:
            environment |= _sanitizer_environment(self.directory / "sanitizer")
        return environment | self.extra_environment

    def configtest(self):
        """`apache2 -t`: exit status and what it says."""
        done = subprocess.run(self.command("-t"), env=self.environment(), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=30 * PATIENCE)
        return done.returncode, done.stdout

    # ---- life

    def start(self):
        for _ in range(5):
            if self._try_start():
                return self
            self.port = self.run.ports.reserve()
            self.write_configuration()
        raise StartFailed("five ports in a row were taken by others")

    def _try_start(self):
        """False where somebody else was faster to bind the port."""
        output = self.directory / "output"
        with open(output, "wb") as file:
            # A session of its own: prefork ends its children by a signal to the process group.
            self.process = subprocess.Popen(
                self.command("-DFOREGROUND"), env=self.environment(), stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, cwd="/", start_new_session=True,
                preexec_fn=self._before_exec)
        try:
            wait_until(lambda: self.process.poll() is not None
                       or (self._times_ready() and self.is_listening() and self.httpd_children()),
                       "httpd listens and has a child", 20 * PATIENCE)
        except AssertionError:
            self.kill()
            raise
        if self.process.poll() is None:
            self.family()
            return True
        text = output.read_text(errors="replace")
        self.process = None
        if "Address already in use" in text:
            return False
        raise StartFailed(f"httpd did not start:\n{text}\n{self.log.text()}")

    def _before_exec(self):
        processes.end_with_parent()
        for which, value in self.limits.items():
            resource.setrlimit(which, (value, value))
        if self.run_as is not None:
            os.setgroups([])
            os.setgid(self.run_as)
            os.setuid(self.run_as)
            processes.end_with_parent()

    def _times_ready(self):
        """How often httpd has come to where it handles signals and requests."""
        return self.log.text().count("resuming normal operations")

    def is_listening(self):
        return is_listening(self.port)

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number):
        self.family()
        os.kill(self.pid, number)

    def restart(self, kind):
        """Restarts, and waits until no process of before is left, nor busy. `kind` is "restart" or
        "graceful"."""
        self._let_connections_end()
        before, times = set(self.family()), self._times_ready()
        self.signal({"restart": signal.SIGHUP, "graceful": signal.SIGUSR1}[kind])
        wait_until(lambda: self._times_ready() > times and not before & set(self.family())
                   and self.httpd_children(),
                   f"the processes before the {kind} have ended: {sorted(before)}",
                   30 * PATIENCE)
        wait_until(self.is_listening, "httpd listens again", 10 * PATIENCE)

    # ---- processes

    def family(self):
        """Living processes below the parent."""
        found = processes.descendants(self.pid)
        self.known.update(found)
        return [pid for pid in found if processes.is_alive(pid)]

    def httpd_children(self):
        return [pid for pid in processes.children(self.pid)
                if processes.program(pid) == os.path.basename(HTTPD)]

    def supervisors(self):
        return [pid for pid in processes.children(self.pid)
                if processes.program(pid).startswith("wsgi-daemon")]

    def workers(self):
        return [worker for pid in self.supervisors() for worker in processes.children(pid)]

    def leftovers(self):
        """Processes of the family that outlived the parent."""
        processes.reap(self.known)
        return [f"{pid} {processes.title(pid)}" for pid in sorted(self.known)
                if processes.is_alive(pid)]

    # ---- requests

    def keep_alive(self, timeout=None):
        return Session(self.port, timeout or 20 * PATIENCE)

    def request(self, method, path, body=None, headers=(), timeout=None):
        with self.keep_alive(timeout) as session:
            return session.request(method, path, body, {"Connection": "close", **dict(headers)})

    def get(self, path, headers=(), timeout=None):
        return self.request("GET", path, headers=headers, timeout=timeout)

    def post(self, path, body, headers=(), timeout=None):
        return self.request("POST", path, body, headers, timeout)

    def raw(self, timeout=None):
        return Raw(self.port, timeout or 20 * PATIENCE)

    # ---- the oracle

    def expect(self, id, pattern="", count=1):
        """Announces log lines of this message id: exactly `count` of them (None: one or more)."""
        self.log.expect(id, pattern, count)

    def expect_output(self, pattern, count=None):
        """Announces text that the application, or the traceback of its exception, logs."""
        self.log.expect_output(pattern, count)

    def tolerate(self, id):
        """Allows log lines of this message id that may come or not."""
        self.log.tolerate(id)

    def check(self):
        """What must hold after each test."""
        deadline = time.monotonic() + 3 * PATIENCE
        while not self.log.is_complete() and time.monotonic() < deadline:
            time.sleep(0.02)
        reports = self.take_sanitizer_reports()
        try:
            self.log.verify()
        finally:
            assert not reports, "sanitizer:\n" + "\n".join(reports)

    def take_sanitizer_reports(self):
        paths = sorted((self.directory / "sanitizer").iterdir())
        texts = [path.read_text(errors="replace")[:6000] for path in paths]
        for path in paths:
            path.unlink()
        return texts

    # ---- the end

    def retire(self):
        """Ends the server as an administrator would, and looks what it leaves behind."""
        if self.process is None:
            return
        try:
            self.check()
            if self.process.poll() is None:
                self.stop()
                self.check()
        finally:
            self.kill()

    def _let_connections_end(self):
        """mpm_event 2.4.71 may crash where it is told to stop while a worker closes a connection:
        both close it. For a second at most: a test may have left one open on purpose."""
        end = time.monotonic() + 1
        while processes.has_connections(self.port) and time.monotonic() < end:
            time.sleep(0.01)

    def stop(self):
        """SIGTERM, and nothing may be left when the parent has gone."""
        self._let_connections_end()
        self.signal(signal.SIGTERM)
        status = self.process.wait(timeout=20 * PATIENCE)
        if status == -signal.SIGTERM:
            # It listened, but had no handler yet: its family finds out by itself.
            wait_until(lambda: not self.leftovers(), "the family ends", 8 * PATIENCE)
        else:
            assert status == 0, "how httpd's parent ended"
        self.check_gone()

    def check_gone(self):
        assert self.leftovers() == [], "processes outlived httpd"
        assert not self.is_listening(), "somebody still listens"
        segments = processes.shared_segments(self.known | {self.pid})
        assert segments == [], "System V shared memory is left"
        files = sorted(path.name for path in (self.directory / "run").iterdir())
        assert files == [], "files are left in the run-time directory"

    def kill(self):
        """Ends whatever is left, so that one failure does not cause others."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.family()
            self.process.kill()
            self.process.wait()
        for pid in self.known:
            if processes.is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.leftovers(), "killed processes have ended", 5 * PATIENCE)
        self.process = None
