"""Tells of its groups and its interpreter."""

import json
import sys

import mod_wsgi


def answer(environ, start_response, name):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({
        "called": name,
        "callable": environ["mod_wsgi.callable_object"],
        "process_group": environ["mod_wsgi.process_group"],
        "application_group": environ["mod_wsgi.application_group"],
        "module": [mod_wsgi.process_group, mod_wsgi.application_group],
        "processes": mod_wsgi.maximum_processes,
        "threads": mod_wsgi.threads_per_process,
        "argv": sys.argv,
        "script_name": environ["SCRIPT_NAME"],
    }).encode()]


def application(environ, start_response):
    return answer(environ, start_response, "application")


def other(environ, start_response):
    return answer(environ, start_response, "other")
