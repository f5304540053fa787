"""The suites, in the order they run. Each has SETUP, CASES and, where it needs them, FILES."""

from . import (answers, bodies, environ, files, groups, hooks, options, proxies, python, scripts,
               syntax)

SUITES = [environ, answers, bodies, files, scripts, groups, hooks, proxies, options, python, syntax]
