"""The servers that are compared: for each the files and commands that serve one application.

SPDX-License-Identifier: Apache-2.0
"""

import dataclasses
import os
import pathlib
import shutil
import sys

from servers import HERE, ROOT, NotMeasured, run

sys.path.append(str(ROOT / "tools"))
import peer  # noqa: E402

HTTPD = "/usr/sbin/apache2"
HTTPD_MODULES = "/usr/lib/apache2/modules"
OURS = pathlib.Path(os.environ.get("WSGI_MODULE", ROOT / "build" / "mod_wsgi.so"))

FLOOR = "C handler"
PEER_EMBEDDED, PEER_DAEMON = "Debian's mod_wsgi, embedded", "Debian's mod_wsgi, daemon"
OURS_EMBEDDED, OURS_DAEMON = "ours, embedded", "ours, daemon"
# To what the ratios of a server refer: embedded to embedded, all else to the daemon.
REFERENCE = {PEER_EMBEDDED: PEER_EMBEDDED, OURS_EMBEDDED: PEER_EMBEDDED}

CONFIGURATION = """\
ServerRoot "@root@"
ServerName localhost
Listen 127.0.0.1:@port@
PidFile "@root@/httpd.pid"
DefaultRuntimeDir "@root@"
ErrorLog "@root@/error.log"
LogLevel error
LoadModule mpm_event_module "{modules}/mod_mpm_event.so"
LoadModule authz_core_module "{modules}/mod_authz_core.so"
StartServers {children}
ServerLimit {slots}
ThreadLimit {threads}
ThreadsPerChild {threads}
MaxRequestWorkers {all_threads}
MinSpareThreads 1
MaxSpareThreads {all_threads}
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
Timeout 60
DocumentRoot "@root@"
<Directory />
    AllowOverride None
</Directory>
<Directory "@root@">
    Require all granted
</Directory>
{config}
"""

# Its name is the URL that the requests of a scenario begin with.
ALIAS = 'WSGIScriptAlias {mount} "@root@/{script}"\n'
GROUP = ('WSGIDaemonProcess bench {processes}threads={threads} display-name=%{{GROUP}} '
         'home="@root@"\nWSGIProcessGroup bench\n')


@dataclasses.dataclass(frozen=True)
class Shape:
    """Processes and threads. Counted servers are small, so that each request goes the same way."""

    children: int = 1
    threads: int = 4
    workers: int = 0  # of a daemon group; 0: one, by default
    worker_threads: int = 4

    def httpd(self, config, modules=()):
        loads = "".join(f'LoadModule {name}_module "{HTTPD_MODULES}/mod_{name}.so"\n'
                        for name in modules)
        return CONFIGURATION.format(modules=HTTPD_MODULES, children=self.children,
                                    threads=self.threads, config=loads + config,
                                    all_threads=self.children * self.threads,
                                    slots=self.children * 2 if self.children > 1 else 1)

    def group(self):
        processes = f"processes={self.workers} " if self.workers else ""
        return GROUP.format(processes=processes, threads=self.worker_threads)


COUNTED = Shape()
LOADED = Shape(children=2, threads=75, workers=2, worker_threads=15)


@dataclasses.dataclass(frozen=True)
class Setup:
    """files: path below the server's directory → its text, or how many zero bytes."""

    files: dict
    commands: list


@dataclasses.dataclass(frozen=True)
class Application:
    """A script of apps/, and what else a server needs to serve it."""

    script: str = "hello.py"
    mount: str = "/hello"
    config: str = ""        # of httpd
    wsgi_config: str = ""   # of both mod_wsgi
    alias: str = ALIAS      # how both find the script
    floor: str = ""         # configuration of httpd alone that answers the same; "": none can
    proxied: tuple = ()     # URLs that are passed on; none: mount
    files: dict = dataclasses.field(default_factory=dict)

    def aliases(self):
        return self.alias.replace("{mount}", self.mount).replace("{script}", self.script)

    def all_files(self, configuration=None):
        files = {self.mount.strip("/"): 0, self.script: (HERE / "apps" / self.script).read_text(),
                 **self.files}
        if configuration is not None:
            files["httpd.conf"] = configuration
        return files


# ---- modules ------------------------------------------------------------------------------------

def peer_module():
    """Debian's, unpacked."""
    try:
        return peer.module()
    except peer.NotAvailable as reason:
        raise NotMeasured(str(reason)) from None


def copied(module, directory):
    """Where the server's user can reach it, whatever the mode of the checkout."""
    if not module.exists():
        raise NotMeasured(f"{module} does not exist: run ./bootstrap build")
    directory.mkdir()
    for source in [module, *module.parent.glob("wsgi-daemon-*")]:
        shutil.copy(source, directory)
        (directory / source.name).chmod(0o755)
    return directory / module.name


def program(*names):
    """A server that is compared where it is installed."""
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    raise NotMeasured(f"{' or '.join(names)} is not installed")


# ---- kinds --------------------------------------------------------------------------------------

class Kinds:
    """Name → setup(application, shape). Modules are found when a server that needs them is set up,
    so that one that fails spoils no other."""

    def __init__(self, directory):
        self.directory = directory
        self.modules = {}
        self.table = {
            FLOOR: self._floor,
            PEER_EMBEDDED: lambda *how: self._wsgi("peer", peer_module, False, *how),
            PEER_DAEMON: lambda *how: self._wsgi("peer", peer_module, True, *how),
            OURS_EMBEDDED: lambda *how: self._wsgi("ours", lambda: OURS, False, *how),
            OURS_DAEMON: lambda *how: self._wsgi("ours", lambda: OURS, True, *how),
            "gunicorn behind mod_proxy": self._gunicorn,
            "uwsgi behind mod_proxy_uwsgi": self._uwsgi_behind,
            "uwsgi alone": self._uwsgi_alone,
        }

    def names(self, word=""):
        return [name for name in self.table if word in name]

    def setup(self, name, application, shape):
        return self.table[name](application, shape)

    def _module(self, name, find):
        if name not in self.modules:
            self.modules[name] = copied(find(), self.directory / name)
        return self.modules[name]

    def _floor_module(self):
        source = shutil.copy(HERE / "floor" / "mod_floor.c", self.directory)
        run(["apxs", "-c", source], cwd=self.directory)
        return self.directory / ".libs" / "mod_floor.so"

    def _floor(self, application, shape):
        if not application.floor:
            raise NotMeasured("no handler in C answers this")
        config = application.config + application.floor
        if "floor" in application.floor:
            module = self._module("floor", self._floor_module)
            config = f'LoadModule floor_module "{module}"\n' + config
        return self._httpd(application, shape.httpd(config))

    def _httpd(self, application, configuration, *commands):
        httpd = [HTTPD, "-f", "@root@/httpd.conf", "-DFOREGROUND"]
        return Setup(application.all_files(configuration), [*commands, httpd])

    def _wsgi(self, name, find, is_daemon, application, shape):
        config = f'LoadModule wsgi_module "{self._module(name, find)}"\n'
        if is_daemon and name == "peer":
            config += 'WSGISocketPrefix "@root@/wsgi"\n'
        if is_daemon:
            config += shape.group()
        config += application.config + application.wsgi_config
        config += application.aliases()
        return self._httpd(application, shape.httpd(config))

    def _gunicorn(self, application, shape):
        command = [program("gunicorn", "gunicorn3"), "--chdir", "@root@", "--worker-class",
                   "gthread", "--workers", str(max(shape.workers, 1)), "--threads",
                   str(shape.worker_threads), "--keep-alive", "60", "--bind",
                   "unix:@root@/app.sock", "--log-level", "error",
                   f"{application.script.removesuffix('.py')}:application"]
        return self._behind(application, shape, "proxy_http", "http", command)

    def _uwsgi(self, application, shape):
        return [program("uwsgi_python3", "uwsgi"), "--plugin", "python3", "--master",
                "--enable-threads", "--processes", str(max(shape.workers, 1)), "--threads",
                str(shape.worker_threads), "--disable-logging", "--die-on-term",
                "--listen", "100", "--chdir", "@root@", "--wsgi-file",
                f"@root@/{application.script}"]

    def _uwsgi_behind(self, application, shape):
        command = [*self._uwsgi(application, shape), "--socket", "@root@/app.sock"]
        return self._behind(application, shape, "proxy_uwsgi", "uwsgi", command)

    def _uwsgi_alone(self, application, shape):
        command = [*self._uwsgi(application, shape), "--http11-socket", "127.0.0.1:@port@"]
        return Setup(application.all_files(), [command])

    def _behind(self, application, shape, module, scheme, command):
        config = application.config + "".join(
            f'ProxyPass "{mount}" "unix:@root@/app.sock|{scheme}://bench{mount}" retry=0\n'
            for mount in application.proxied or [application.mount])
        return self._httpd(application, shape.httpd(config, ("proxy", module)), command)
