"""Directives that hold for a whole process and its Python.

SPDX-License-Identifier: Apache-2.0
"""

from model import Setup, ask, case

TEXT = """\
WSGIPythonOptimize 2
WSGIPythonHashSeed 5
WSGIDontWriteBytecode On
WSGIRestrictStdin On
WSGIRestrictStdout On
WSGIRestrictSignal Off
WSGIPythonPath "${scripts}/first:${scripts}/second"
WSGIPythonEggs "${scripts}/eggs"
WSGIPythonWarnings ignore::DeprecationWarning
WSGIPythonWarnings error::ImportWarning
WSGIDestroyInterpreter Off
WSGICaseSensitivity Off
DocumentRoot "${scripts}"
SetEnv hash yes
WSGIScriptAlias /Facts "${scripts}/facts.py"
WSGIScriptAlias /main "${scripts}/facts.py" application-group=%{GLOBAL}
WSGIImportScript "${scripts}/ahead.py" process-group=%{GLOBAL} application-group=%{GLOBAL}
WSGIScriptAlias /ahead "${scripts}/ahead.py" application-group=%{GLOBAL}
"""

SETUP = Setup("python", TEXT, modules=("env",), environment={"LANG": "C.UTF-8"}.items())

AHEAD = """def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Name", __name__[:10])])
    return [b"ahead"]
"""

FILES = {"ahead.py": AHEAD, "first/of-path.pth": "../of-pth\n", "second/empty": "",
         "of-pth/empty": "", "eggs/empty": ""}

CASES = [
    case("python-facts", ask("/Facts")),
    case("python-facts-main", ask("/main")),
    case("python-ahead", ask("/ahead")),
    case("python-imports", ask("/scripts/imports.py")),
    case("python-signals", ask("/scripts/signals.py")),
]
