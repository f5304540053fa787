"""Tells in which process and interpreter it runs."""

import json
import os
import sys

import mod_wsgi

requests = 0


def application(environ, start_response):
    global requests
    requests += 1
    body = json.dumps({
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "uids": os.getresuid(),
        "gids": os.getresgid(),
        "groups": os.getgroups(),
        "cwd": os.getcwd(),
        "home": os.environ.get("HOME"),
        "umask": open("/proc/self/status").read().split("Umask:")[1].split()[0],
        "prefix": sys.prefix,
        "path": sys.path,
        "version": sys.version_info[:2],
        "module": __name__,
        "file": __file__,
        "requests": requests,
        "process_group": mod_wsgi.process_group,
        "application_group": mod_wsgi.application_group,
        "maximum_processes": mod_wsgi.maximum_processes,
        "threads_per_process": mod_wsgi.threads_per_process,
        "multithread": environ["wsgi.multithread"],
        "multiprocess": environ["wsgi.multiprocess"],
    }).encode()
    start_response("200 OK", [("Content-Type", "application/json"),
                              ("Content-Length", str(len(body)))])
    return [body]
