"""Scripts: loading, faults while loading, reloading by touch, callables, handlers.

SPDX-License-Identifier: Apache-2.0
"""

from model import Script, Setup, ask, case

SETUP = Setup("scripts", modules=("mime", "dir", "actions", "rewrite", "alias"), daemon="threads=4 shutdown-timeout=1",
              text="""\
TypesConfig /dev/null
<Location /scripts/kept.py>
    WSGIScriptReloading Off
</Location>
<LocationMatch "^/scripts/second">
    WSGICallableObject second
</LocationMatch>
DocumentRoot "${scripts}/site"
<Directory "${scripts}/site">
    AllowOverride FileInfo Options
    AddHandler wsgi-script .wsgi
    Options +ExecCGI
    DirectoryIndex index.wsgi
</Directory>
<Directory "${scripts}/site/no-exec">
    Options -ExecCGI
</Directory>
<Directory "${scripts}/site/no-path-info">
    AcceptPathInfo Off
</Directory>
WSGIHandlerScript of-pages "${scripts}/handler.py"
WSGIHandlerScript of-none "${scripts}/no-handler.py"
<Directory "${scripts}/site/pages">
    AddHandler of-pages .page
    AddHandler of-none .none
</Directory>
RewriteEngine On
RewriteRule ^/handled - [H=of-pages]
RewriteRule ^/led/(.*) /index.wsgi/$1 [PT,QSA]
WSGIScriptAliasMatch ^/match/([a-z]+)/x "${scripts}/$1.py"
WSGIScriptAlias /files/ "${scripts}/"
Alias /shadow/alias "${scripts}/site"
WSGIScriptAlias /shadow "${apps}/environ.py"
<Location /closed>
    Require all denied
</Location>
WSGIScriptAlias /closed "${apps}/environ.py"
WSGIScriptAlias /outside /etc/hostname
<Location /not-here>
    WSGIRestrictProcess elsewhere
</Location>
WSGIScriptAlias /not-here "${apps}/environ.py"
""")

SHOW = """import json
count = 0
def application(environ, start_response):
    global count
    count += 1
    names = ("SCRIPT_NAME", "PATH_INFO", "SCRIPT_FILENAME", "REQUEST_URI", "REDIRECT_URL",
             "REDIRECT_HANDLER", "mod_wsgi.request_handler",
             "mod_wsgi.handler_script")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({name: environ.get(name) for name in names} | {
        "file": __file__} | COUNT).encode()]
handle_request = application
"""

# A script that cannot be loaded has its process replaced, sooner or later, and what others count
# begins anew: those that count come first.
SHOW_COUNT = SHOW.replace("COUNT", '{"count": count}')
SHOW = SHOW.replace("COUNT", "{}")


def saying(text, more=""):
    return (f"{more}\ndef application(environ, start_response):\n"
            f"    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
            f"    return [b'{text}']\n")


SCRIPT_FACTS = """import json, sys
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    names = sorted(name for name in globals() if name.startswith("__") and name != "__builtins__")
    return [json.dumps({"name": __name__[:10] + "md5" if len(__name__) == 42 else __name__, "names": names, "file": __file__,
        "registered": sys.modules.get(__name__) is not None and
                      sys.modules[__name__].__dict__ is globals(),
        "mtime": globals().get("__mtime__"), "here": __file__.rpartition("/")[0] in sys.path,
        "first": sys.path[0], "argv": sys.argv, "doc": __doc__}).encode()]
"""

MAIN_THREAD = """import json, threading
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    is_main = threading.current_thread() is threading.main_thread()
    return [json.dumps({"is main thread": is_main}).encode()]
"""

FILES = {
    "site/index.wsgi": SHOW, "site/no-exec/a.wsgi": SHOW, "site/no-path-info/a.wsgi": SHOW,
    "site/pages/a.page": "a page", "site/pages/a.none": "x", "handler.py": SHOW,
    "no-handler.py": "x = 1\n", "show.py": SHOW_COUNT, "name.with.dots": saying("dots"),
}

# Embedded, a failed load is not tried again at once, and the log says so, see LOAD-again: each
# case has a script of its own.
FAILING = {
    "raises": "1 / 0\n",
    "syntax": "def application(:\n",
    "exits": "import sys\nsys.exit('on purpose')\n",
    "import": "import no_such_module\n",
    "empty": "",
    "no-callable": "other = 1\n",
    "not-callable": "application = 5\n",
    "bad-coding": "# -*- coding: nonsense -*-\n",
    "not-utf-8": "# \xe9\n".encode("latin-1").decode("latin-1"),
    "deep": "def f():\n    1 / 0\n\nf()\n",
    "interrupts": "raise KeyboardInterrupt\n",
    "none": "application = None\n",
}


def get(name):
    return ask(f"/scripts/{name}")


CASES = [
    case("script-facts", Script("facts.py", '"""About."""\n' + SCRIPT_FACTS), get("facts.py")),
    case("script-coding", Script("coding.py", "# coding: latin-1\n" + saying("x")), get("coding.py")),
    case("script-name", get("name.with.dots")),
    case("script-state", get("show.py"), get("show.py"), ask("/files/show.py")),
    case("reload", Script("again.py", saying("one")), get("again.py"), get("again.py"),
         Script("again.py", saying("two")), get("again.py"), get("again.py")),
    case("reload-off", Script("kept.py", saying("one")), get("kept.py"),
         Script("kept.py", saying("two")), get("kept.py")),
    case("reload-state", Script("state.py", SHOW_COUNT), get("state.py"), get("state.py"),
         Script("state.py", SHOW_COUNT), get("state.py")),
    *[case(f"script-{name}", Script(f"{name}.py", text), get(f"{name}.py"))
      for name, text in FAILING.items()],
    case("script-main-thread", Script("thread.py", MAIN_THREAD), get("thread.py")),
    case("script-second", Script("second.py", saying("x") + "second = application\n"),
         get("second.py")),
    case("script-second-missing", Script("second-missing.py", saying("x")), get("second-missing.py")),
    case("script-missing", get("not-there.py")),
    case("script-directory", ask("/files/site")),
    case("script-directory-slash", ask("/files/site/")),
    case("script-directory-none", ask("/files/")),
    case("script-outside", ask("/outside")),
    case("script-closed", ask("/closed")),
    case("script-restricted", ask("/not-here")),
    case("script-match", ask("/match/show/x/y//z")),
    case("script-match-inside", ask("/a/match/show/x")),
    case("script-match-missing", ask("/match/missing/x")),
    case("script-shadowed", ask("/shadow/alias/index.wsgi")),
    case("script-not-shadowed", ask("/shadow/aliases")),
    case("handler-file", ask("/index.wsgi/a//b?c")),
    case("handler-index", ask("/")),
    case("handler-no-exec", ask("/no-exec/a.wsgi")),
    case("handler-missing", ask("/missing.wsgi")),
    case("handler-missing-directory", ask("/missing/missing.wsgi/x")),
    case("handler-no-path-info", ask("/no-path-info/a.wsgi/x")),
    case("handler-path-info", ask("/no-path-info/a.wsgi")),
    case("handler-rewritten", ask("/led/a//b?c=d")),
    case("handler-script", ask("/pages/a.page/x?y")),
    case("handler-script-missing", ask("/pages/missing.page")),
    case("handler-script-rewritten", ask("/handled/x")),
    case("handler-script-none", ask("/pages/a.none")),
    case("reload-failed", Script("broken.py", saying("one")), get("broken.py"),
         Script("broken.py", "1 / 0\n"), get("broken.py"),
         Script("broken.py", saying("three")), get("broken.py")),
    case("reload-post", Script("posted.py", saying("one")), get("posted.py"),
         Script("posted.py", saying("two")),
         ask("/scripts/posted.py", method="POST", body=b"x" * 70000)),
]
