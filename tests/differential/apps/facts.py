"""Tells what a process, its Python and its limits look like: what options and directives change."""

import json
import locale
import os
import resource
import signal
import sys
import threading

import mod_wsgi


def outcome(call):
    try:
        return repr(call())
    except BaseException as error:
        return type(error).__name__


def title():
    with open("/proc/self/cmdline") as file:
        return file.read().split("\0")[0].rstrip()


def status(name):
    with open("/proc/self/status") as file:
        return file.read().split(f"{name}:")[1].split("\n")[0].split()


def restore_signal():
    return signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def facts(environ):
    own = os.path.dirname(os.path.dirname(__file__))
    return {
        "optimize": sys.flags.optimize, "hash": hash("text") if "hash" in environ else None,
        "randomized": sys.flags.hash_randomization, "dont_write": sys.dont_write_bytecode,
        "warnoptions": sys.warnoptions, "interval": sys.getswitchinterval(),
        "own path": [path for path in sys.path if path.startswith(own)],
        "first path": sys.path[0].startswith(own), "argv": sys.argv,
        "prefix": sys.prefix, "executable": sys.executable, "utf8": sys.flags.utf8_mode,
        "encodings": [sys.getfilesystemencoding(), sys.getdefaultencoding(),
                      sys.stdout.encoding, sys.stderr.encoding],
        "names": [sys.stdout.name, sys.stderr.name, sys.stdin.name],
        "stdin": outcome(lambda: sys.stdin.read()),
        "stdout": outcome(lambda: sys.stdout.write("to stdout\n")),
        "stderr": outcome(lambda: sys.stderr.write("to stderr\n")),
        "input": outcome(lambda: input()),
        "signal": outcome(restore_signal) if "hash" in environ else None,
        "eggs": os.environ.get("PYTHON_EGG_CACHE"), "lang": os.environ.get("LANG"),
        "lc_all": os.environ.get("LC_ALL"), "home": os.environ.get("HOME"),
        "locale": locale.setlocale(locale.LC_ALL), "cwd": os.getcwd(),
        "umask": status("Umask"), "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "data": resource.getrlimit(resource.RLIMIT_DATA),
        "space": resource.getrlimit(resource.RLIMIT_AS),
        "cpu": resource.getrlimit(resource.RLIMIT_CPU),
        "uids": os.getresuid(), "gids": os.getresgid(), "groups": sorted(os.getgroups()),
        "title": title(), "processes": mod_wsgi.maximum_processes,
        "threads": mod_wsgi.threads_per_process,
        "flags": [environ[f"wsgi.{name}"] for name in ("multithread", "multiprocess", "run_once")],
        "group": environ["mod_wsgi.process_group"],
        "application": environ["mod_wsgi.application_group"],
        "thread": type(threading.current_thread()).__name__,
        "root": environ.get("DOCUMENT_ROOT"), "script": environ["SCRIPT_FILENAME"],
    }


def application(environ, start_response):
    body = json.dumps(facts(environ)).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
