"""Tells what surrounds it: environment, locale, limits, priority, the stack of its thread."""

import ctypes
import json
import locale
import os
import resource
import sys
import threading

import mod_wsgi

libc = ctypes.CDLL(None)


def stack_bytes():
    """Of the calling thread."""
    attributes = ctypes.create_string_buffer(64)
    address, size = ctypes.c_void_p(), ctypes.c_size_t()
    libc.pthread_self.restype = ctypes.c_void_p
    libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attributes)
    libc.pthread_attr_getstack(attributes, ctypes.byref(address), ctypes.byref(size))
    return size.value


def facts():
    return {
        "pid": os.getpid(),
        "process_group": mod_wsgi.process_group,
        "environment": {name: os.environ.get(name)
                        for name in ("LANG", "LC_ALL", "PYTHON_EGG_CACHE", "HOME")},
        "locale": locale.setlocale(locale.LC_ALL),
        "encoding": sys.getfilesystemencoding(),
        "umask": open("/proc/self/status").read().split("Umask:")[1].split()[0],
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "data": resource.getrlimit(resource.RLIMIT_DATA),
        "space": resource.getrlimit(resource.RLIMIT_AS),
        "groups": os.getgroups(),
        "switch_interval": sys.getswitchinterval(),
        "stack": stack_bytes(),
        "thread": threading.current_thread() is threading.main_thread(),
        "root": os.listdir("/"),
        "cwd": os.getcwd(),
        "executable": sys.executable,
        "program": os.readlink("/proc/self/exe"),
    }


def application(environ, start_response):
    body = json.dumps({
        **facts(),
        "paths": {name: environ.get(name) for name in ("SCRIPT_FILENAME", "DOCUMENT_ROOT")},
    }).encode()
    start_response("200 OK", [("Content-Type", "application/json"),
                              ("Content-Length", str(len(body)))])
    return [body]
