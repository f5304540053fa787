"""WSGIDispatchScript: Python in httpd's children chooses who serves a request."""

import json

import pytest

# Each function evaluates a field of the request; without one it keeps what the configuration says.
DISPATCH = '''
import json, os, sys
import mod_wsgi
NOTES = os.path.join(os.path.dirname(os.path.dirname(__file__)), "notes")
calls = []

def note(environ, name):
    calls.append((name, id(environ)))
    with open(NOTES + "/seen", "w") as file:
        json.dump({"keys": {key: type(value).__name__ for key, value in environ.items()},
                   "environ": {key: value for key, value in environ.items()
                               if isinstance(value, (str, tuple))},
                   "calls": [name for name, _ in calls[-3:]],
                   "is_one": len({environ for _, environ in calls[-3:]}) == 1,
                   "interpreter": mod_wsgi.application_group, "pid": os.getpid()}, file)

def choose(environ, name):
    note(environ, name)
    return eval(environ.get("HTTP_X_" + name.upper(), "None"))

def process_group(environ):
    return choose(environ, "process")

def application_group(environ):
    return choose(environ, "interpreter")

def callable_object(environ):
    return choose(environ, "callable")
'''

APPLICATION = '''
import json
import mod_wsgi

def answer(name):
    def application(environ, start_response):
        body = json.dumps([mod_wsgi.process_group, mod_wsgi.application_group, name]).encode()
        start_response("200 OK", [])
        return [body]
    return application

application, other, handle_request = answer("application"), answer("other"), answer("handler")
'''

CONFIG = """
DocumentRoot "${root}/scripts"
WSGIDaemonProcess blue threads=2
WSGIDaemonProcess red threads=2
WSGIHandlerScript handled "${scripts}/app.py"
SetEnv GROUP blue
SetEnv TOKEN %{SERVER}
SetEnv NAME other
SetEnv mod_wsgi.callable_object forged
<Location /scripts/app.py>
    WSGIDispatchScript "${scripts}/dispatch.py"
    WSGIApplicationGroup configured
</Location>
<Location /scripts/app.py/named>
    WSGIDispatchScript "${scripts}/dispatch.py" application-group=a-dispatcher
</Location>
<Location /scripts/app.py/server>
    WSGIDispatchScript "${scripts}/dispatch.py" application-group=%{SERVER}
</Location>
<Location /scripts/app.py/native>
    WSGIPassApacheRequest On
    WSGIPassAuthorization On
</Location>
<Location /scripts/app.py/restricted>
    WSGIRestrictProcess red
</Location>
<Location /handled>
    SetHandler handled
    WSGIDispatchScript "${scripts}/dispatch.py"
</Location>
WSGIScriptAlias /by-alias "${scripts}/app.py" process-group=red application-group=of-alias
<Location /by-alias>
    WSGIDispatchScript "${scripts}/dispatch.py"
</Location>
<Location /few>
    WSGIDispatchScript "${scripts}/few.py"
</Location>
WSGIScriptAlias /few "${scripts}/app.py"
""" + "".join(f"""
<Location /scripts/app.py/{name}>
    WSGIDispatchScript "${{scripts}}/{name}.py"
</Location>""" for name in ("missing", "syntax", "exits", "uncallable")) + """
<VirtualHost *:${port}>
    ServerName localhost
</VirtualHost>
<VirtualHost *:${port}>
    ServerName other.example
    WSGIDaemonProcess foreign threads=1
</VirtualHost>
"""


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, single_child=True, modules=["env"], start=False, config=CONFIG)
    server.script("dispatch.py", DISPATCH)
    server.script("app.py", APPLICATION)
    server.script("few.py", "def callable_object(environ):\n    return 'other'\n")
    server.script("syntax.py", "def process_group(:\n")
    server.script("exits.py", "import sys\nsys.exit(0)\n")
    server.script("uncallable.py", "process_group = 'blue'\n")
    return server.start()


def own(server):
    """The process group of the configuration."""
    return "tests" if server.mode == "daemon" else ""


def ask(server, path="/scripts/app.py", status=200, **choices):
    headers = {f"X-{name}": repr(value) if not isinstance(value, Expression) else value
               for name, value in choices.items()}
    reply = server.get(path, headers)
    assert reply.status == status, reply
    return reply.json() if status == 200 else None


class Expression(str):
    """What the script is to evaluate, as it is."""


def seen(server):
    return json.loads(server.note("seen").read_text())


@pytest.mark.compat("DISPATCH-functions", "DISPATCH-result", "DIR-dispatchscript")
def test_none_keeps_the_configuration(server):
    assert ask(server) == [own(server), "configured", "application"]
    found = seen(server)
    assert found["calls"] == ["process", "interpreter", "callable"] and found["is_one"]
    assert found["pid"] in server.httpd_children()


@pytest.mark.compat("DISPATCH-result", "DIR-dispatchscript")
@pytest.mark.parametrize("make", [str, lambda text: text.encode()])
def test_text_replaces_the_configuration(server, make):
    assert ask(server, process=make("blue"), interpreter=make("mine"), callable=make("other")) == \
        ["blue", "mine", "other"]
    assert ask(server, process=make("red")) == ["red", "configured", "application"]
    assert ask(server, interpreter=make("r\xf6")) == [own(server), "r\xf6", "application"] \
        if make is str else True


@pytest.mark.compat("DISPATCH-result")
def test_text_is_expanded(server):
    place = f"localhost:{server.port}"
    assert ask(server, process="%{GLOBAL}", interpreter="%{GLOBAL}") == ["", "", "application"]
    assert ask(server, process="", interpreter="") == ["", "", "application"]
    assert ask(server, process="%{ENV:GROUP}", interpreter="%{ENV:TOKEN}",
               callable="%{ENV:NAME}") == ["blue", place, "other"]
    assert ask(server, interpreter="%{RESOURCE}")[1] == f"{place}|/scripts/app.py"
    assert ask(server, interpreter="%{SERVER}")[1] == place
    assert ask(server, callable="%{GLOBAL}")[2] == "application"


@pytest.mark.compat("DISPATCH-functions")
def test_over_the_options_of_an_alias(server):
    assert ask(server, "/by-alias") == ["red", "of-alias", "application"]
    assert ask(server, "/by-alias", process="blue", interpreter="mine") == \
        ["blue", "mine", "application"]


@pytest.mark.compat("DISPATCH-functions")
def test_functions_are_optional(server):
    assert ask(server, "/few")[2] == "other"


def test_handler_script(server):
    """Its entry point is always the same."""
    assert ask(server, "/handled", process="blue", interpreter="x", callable="other") == \
        ["blue", "x", "handler"]


@pytest.mark.compat("DISPATCH-interpreter", "NAME-scripts")
@pytest.mark.parametrize("path, name", [
    ("", ""), ("/named", "a-dispatcher"), ("/server", "localhost:{port}")])
def test_interpreter(server, path, name):
    ask(server, f"/scripts/app.py{path}")
    assert seen(server)["interpreter"] == name.format(port=server.port)
    assert seen(server)["environ"]["mod_wsgi.application_group"] == seen(server)["interpreter"]


@pytest.mark.compat("DISPATCH-environ", "DISPATCH-internal")
def test_environ(server):
    server.get("/scripts/app.py/native?a=b", {"Authorization": "Basic eDp5"})
    keys, environ = seen(server)["keys"], seen(server)["environ"]
    assert environ["SCRIPT_NAME"] == "/scripts/app.py" and environ["PATH_INFO"] == "/native"
    assert environ["SCRIPT_FILENAME"] == f"{server.directory}/scripts/app.py"
    assert environ["GROUP"] == "blue" and environ["QUERY_STRING"] == "a=b"
    assert environ["HTTP_AUTHORIZATION"] == "Basic eDp5"
    assert environ["mod_wsgi.process_group"] == "" and keys["wsgi.errors"] == "TextIOWrapper"
    assert environ["apache.version"][:2] == [2, 4] and environ["mod_wsgi.version"] == [6, 0, 5]
    assert keys["apache.request_rec"] == "PyCapsule"
    assert {key for key in keys if key.startswith("wsgi.")} == {"wsgi.errors"}, "no body"
    assert "mod_wsgi.callable_object" not in keys
    assert not [key for key in keys if "x-" in key or key.startswith("mod_ssl.")]
    ask(server)
    assert "apache.request_rec" not in seen(server)["keys"]
    assert "HTTP_AUTHORIZATION" not in seen(server)["keys"]


# ---- what must not pass

@pytest.mark.compat("DISPATCH-result", "CHECK-dispatch")
@pytest.mark.parametrize("function", ["process", "interpreter", "callable"])
@pytest.mark.parametrize("value, id", [
    ("1", "WSGI1223"), ("True", "WSGI1223"), ("['blue']", "WSGI1223"), ("'\\u20ac'", "WSGI1223"),
    ("'blue\\0'", "WSGI1223"), ("1 / 0", "WSGI0174"), ("sys.exit(0)", "WSGI0175")])
def test_wrong_results(server, function, value, id):
    server.expect(id)
    if id == "WSGI0174":
        server.expect_output("ZeroDivisionError")
    ask(server, status=500, **{function: Expression(value)})


@pytest.mark.compat("DISPATCH-unloadable")
@pytest.mark.parametrize("name, id", [
    ("missing", "WSGI1220"), ("syntax", "WSGI0174"), ("exits", "WSGI0175"),
    ("uncallable", "WSGI1222")])
def test_scripts_that_cannot_be_asked(server, name, id):
    """Never the configuration's own choice instead."""
    server.expect(id)
    if id == "WSGI0174":
        server.expect_output("SyntaxError")
    ask(server, f"/scripts/app.py/{name}", status=500)


@pytest.mark.compat("DISPATCH-restricted")
def test_choices_are_still_restricted(server):
    ask(server, "/scripts/app.py/restricted", process="red")
    server.expect("WSGI0149", "'blue'")
    ask(server, "/scripts/app.py/restricted", status=500, process="blue")
    server.expect("WSGI0151", "'foreign'")
    ask(server, status=500, process="foreign")
    server.expect("WSGI1704", "'nowhere'.*dispatch.py")
    ask(server, status=500, process="nowhere")
    server.expect("WSGI0149", "%{GLOBAL}")
    ask(server, "/scripts/app.py/restricted", status=500, process="")


def test_names_of_interpreters_are_bounded(server):
    """The script may have made them of what clients say."""
    if server.mode == "embedded":
        pytest.skip("the same code in the same process; 64 interpreters take their time")
    server.expect("WSGI0210", "64", count=None)
    statuses = {server.get("/scripts/app.py", {"X-Process": "''", "X-Interpreter": f"'i{number}'"})
                .status for number in range(66)}
    assert statuses == {200, 500}


@pytest.mark.compat("DISPATCH-restricted")
def test_embedded_stays_off(launch_once, mode):
    server = launch_once(mode, config="""
WSGIRestrictEmbedded On
WSGIDaemonProcess blue threads=2
<Location /scripts/app.py>
    WSGIDispatchScript "${scripts}/dispatch.py"
</Location>
""")
    server.script("dispatch.py", DISPATCH)
    server.script("app.py", APPLICATION)
    assert ask(server, process="blue")[0] == "blue"
    server.expect("WSGI0143")
    ask(server, status=500, process="%{GLOBAL}")


@pytest.mark.compat("RELOAD-hooks")
def test_changed_script_is_loaded_again(server):
    server.script("few.py", "def callable_object(environ):\n    return 'application'\n", mtime=10**9)
    assert ask(server, "/few")[2] == "application"
    server.script("few.py", "raise LookupError('new code')\n", mtime=10**9 + 1)
    server.expect("WSGI0174")
    server.expect_output("LookupError: new code")
    ask(server, "/few", status=500)
    server.script("few.py", "def callable_object(environ):\n    return 'other'\n", mtime=10**9)
    assert ask(server, "/few")[2] == "other"


@pytest.mark.compat("DIR-dispatchscript")
def test_no_htaccess(launch_once, mode):
    server = launch_once(mode, config="""
<Directory "${scripts}">
    AllowOverride All
</Directory>
""")
    url = server.script("app.py", APPLICATION)
    server.script(".htaccess", 'WSGIDispatchScript "/x.py"\n')
    server.log.expect("", "WSGIDispatchScript not allowed here")
    assert server.get(url).status == 500
