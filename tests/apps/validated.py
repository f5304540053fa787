"""Runs another application of this directory inside wsgiref.validate: /validated/NAME/… The
validator checks what the server gives to the application, and the reverse."""

import importlib.util
import os
from wsgiref.util import shift_path_info
from wsgiref.validate import validator

applications = {}


def find(name):
    if name not in applications:
        path = os.path.join(os.path.dirname(__file__), name + ".py")
        spec = importlib.util.spec_from_file_location("validated_" + name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        applications[name] = validator(module.application)
    return applications[name]


def application(environ, start_response):
    return find(shift_path_info(environ))(environ, start_response)
