"""WSGIHandlerScript: a script that serves resources of a handler's name."""

import env
import pytest

HANDLER = '''
import json, os, uuid
VERSION = 1
LOAD = uuid.uuid4().hex

def handle_request(environ, start_response):
    body = json.dumps({
        "resource": environ["SCRIPT_FILENAME"],
        "handler": environ["mod_wsgi.request_handler"],
        "script": environ["mod_wsgi.handler_script"],
        "callable": environ["mod_wsgi.callable_object"],
        "group": environ["mod_wsgi.process_group"],
        "interpreter": environ["mod_wsgi.application_group"],
        "script_name": environ["SCRIPT_NAME"], "path_info": environ["PATH_INFO"],
        "authorization": environ.get("HTTP_AUTHORIZATION"),
        "version": VERSION, "pid": os.getpid(), "load": LOAD,
    }).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
'''

CONFIG = """
TypesConfig /dev/null
DocumentRoot "${root}/documents"
WSGIHandlerScript plain "${scripts}/handler.py"
WSGIHandlerScript options "${scripts}/handler.py" application-group=%{GLOBAL} pass-authorization=On
WSGIHandlerScript missing "${scripts}/none.py"
WSGIHandlerScript asks "${scripts}/asks.py" application-group=%{GLOBAL}
AddHandler plain .plain
AddHandler options .options
AddHandler asks .asks
AddHandler missing .missing
<Location /everything>
    SetHandler plain
</Location>
<Directory "${root}/documents/inner">
    WSGIHandlerScript plain "${scripts}/inner.py"
</Directory>
"""


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, config=CONFIG, modules=["mime"], single_child=True, start=False)
    for name in ("a.plain", "a.options", "a.asks", "a.missing", "inner/b.plain", "inner/b.options"):
        path = server.directory / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a resource\n")
    for path in [server.directory / "documents", *(server.directory / "documents").rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    server.script("handler.py", HANDLER)
    server.script("inner.py", HANDLER.replace("VERSION = 1", "VERSION = 'inner'"))
    server.script("asks.py", HANDLER + '''
import pathlib
def reload_required(resource):
    """The load that the resource names is to be replaced."""
    return pathlib.Path(resource).read_text() == LOAD
''')
    return server.start()


def ask(server, path, timeout=None, **headers):
    reply = server.get(path, headers=headers, timeout=timeout)
    assert reply.status == 200, reply
    return reply.json()


@pytest.mark.compat("HSCRIPT-environ", "HSCRIPT-entry", "HSCRIPT-use", "ENV-handler")
def test_environ(server, mode):
    found = ask(server, "/a.plain/more/info")
    assert found["resource"] == f"{server.directory}/documents/a.plain"
    assert found["script"] == f"{server.directory}/scripts/handler.py"
    assert found["handler"] == "plain"
    assert found["callable"] == "handle_request"
    assert (found["script_name"], found["path_info"]) == ("/a.plain", "/more/info")
    assert found["group"] == ("tests" if mode == "daemon" else "")


@pytest.mark.compat("DIR-handlerscript")
def test_options(server):
    found = ask(server, "/a.options", Authorization="Basic eDp5")
    assert found["interpreter"] == ""
    assert found["authorization"] == "Basic eDp5"
    assert ask(server, "/a.plain", Authorization="Basic eDp5")["authorization"] is None


@pytest.mark.compat("HSCRIPT-resource", "HSCRIPT-use")
def test_the_resource_need_not_exist(server):
    found = ask(server, "/everything/at/all")
    assert found["handler"] == "plain"
    assert found["script_name"] + found["path_info"] == "/everything/at/all"


@pytest.mark.compat("MERGE-handlerscript")
def test_names_merge_one_by_one(server):
    assert ask(server, "/inner/b.plain")["version"] == "inner"
    assert ask(server, "/inner/b.options")["version"] == 1


def test_missing_handler_script(server):
    server.expect("WSGI1201", "none.py")
    assert server.get("/a.missing").status == 404


def test_change_of_the_handler_script_is_seen(server):
    assert ask(server, "/a.plain")["version"] == 1
    server.script("handler.py", HANDLER.replace("VERSION = 1", "VERSION = 2"), mtime=1_700_000_000)
    assert ask(server, "/a.plain")["version"] == 2
    server.script("handler.py", HANDLER, mtime=1_700_000_100)
    assert ask(server, "/a.plain")["version"] == 1


@pytest.mark.compat("HSCRIPT-reload")
def test_reload_required(server, mode):
    """Embedded the module is loaded again, in daemon mode the process is replaced."""
    resource = server.directory / "documents" / "a.asks"
    before = ask(server, "/a.asks")
    again = ask(server, "/a.asks")
    assert (again["pid"], again["load"]) == (before["pid"], before["load"])
    resource.write_text(before["load"])
    after = ask(server, "/a.asks", timeout=30 * env.PATIENCE)
    assert after["load"] != before["load"]
    assert (after["pid"] == before["pid"]) == (mode == "embedded")
