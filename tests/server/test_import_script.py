"""Scripts that are loaded before any request: WSGIImportScript, and aliases whose groups are known."""

import env
import pytest
from processes import wait_until

SCRIPT = '''
import os, pathlib, mod_wsgi

with open("NOTES/NAME", "a") as note:
    note.write(f"{mod_wsgi.process_group!r} {mod_wsgi.application_group!r}\\n")
loads = pathlib.Path("NOTES/NAME").read_text().count("\\n")

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{loads} {mod_wsgi.application_group!r}".encode()]
'''


def write(server, name):
    return server.script(f"{name}.py", SCRIPT.replace("NOTES", str(server.directory / "notes"))
                         .replace("NAME", name))


@pytest.fixture(scope="module")
def server(launch, mode):
    group = "tests" if mode == "daemon" else "%{GLOBAL}"
    server = launch(mode, single_child=True, start=False, config=f"""
WSGIImportScript "${{scripts}}/imported.py" process-group={group} application-group=%{{GLOBAL}}
WSGIImportScript "${{scripts}}/imported.py" process-group={group} application-group=sub
WSGIScriptAlias /imported "${{scripts}}/imported.py" application-group=sub
WSGIScriptAlias /preloaded "${{scripts}}/preloaded.py" process-group={group} application-group=sub
WSGIScriptAliasMatch ^/match "${{scripts}}/match.py" process-group={group} application-group=sub
WSGIScriptAliasMatch ^/later(.*) "${{scripts}}/later$1.py" process-group={group} \
application-group=sub
WSGIScriptAlias /lazy "${{scripts}}/lazy.py" process-group={group}
WSGIScriptAlias /directory/ "${{scripts}}/" process-group={group} application-group=sub
""")
    for name in ("imported", "preloaded", "match", "later", "lazy"):
        write(server, name)
    return server.start()


@pytest.mark.compat("IMPORT-alias", "IMPORT-alias-match", "IMPORT-directive", "IMPORT-once",
                    "IMPORT-embedded", "DIR-importscript", "INTERP-ahead")
def test_is_loaded_before_any_request(server, mode):
    group = "tests" if mode == "daemon" else ""
    if env.MPM == "prefork":
        pytest.skip("each child of prefork loads them: counts differ")
    wait_until(lambda: server.note("match").exists(), "the last import", 15 * env.PATIENCE)
    assert sorted(server.note("imported").read_text().split("\n"))[1:] == \
        [f"{group!r} ''", f"{group!r} 'sub'"]
    for name in ("preloaded", "match"):
        assert server.wait_for_note(name) == f"{group!r} 'sub'\n"
    for name in ("later", "lazy"):
        assert not server.note(name).exists(), "a request is needed to know"


@pytest.mark.compat("IMPORT-same-module")
def test_a_request_uses_what_was_loaded(server):
    if env.MPM == "prefork":
        pytest.skip("each child of prefork loads them: counts differ")
    assert server.get("/preloaded").body == b"1 'sub'"
    assert server.get("/imported").body.endswith(b" 'sub'")
    assert server.note("imported").read_text().count("\n") == 2


@pytest.mark.compat("IMPORT-failure")
def test_a_script_that_fails_does_not_stop_the_process(launch_once, mode):
    group = "tests" if mode == "daemon" else "%{GLOBAL}"
    server = launch_once(mode, single_child=True, start=False, config=f"""
WSGIImportScript "${{scripts}}/broken.py" process-group={group} application-group=%{{GLOBAL}}
WSGIImportScript "${{scripts}}/none.py" process-group={group} application-group=%{{GLOBAL}}
""")
    server.script("broken.py", "1 / 0\n")
    server.expect("WSGI0174", "broken.py", count=None)
    server.expect_output("ZeroDivisionError")
    server.expect("WSGI1512|WSGI1411", "none.py", count=None)
    server.start()
    assert server.get("/hello").status == 200
    server.log.allow_anything()


@pytest.mark.compat("IMPORT-group", "DIR-importscript")
@pytest.mark.parametrize("config, words", [
    ("WSGIImportScript /x.py process-group=tests", "both process-group= and application-group="),
    ("WSGIImportScript /x.py application-group=a", "both process-group= and application-group="),
    ("WSGIImportScript /x.py process-group=nowhere application-group=a", "nowhere"),
    ("WSGIImportScript /x.py process-group=%{ENV:A} application-group=a", "before any request"),
    ("WSGIImportScript /x.py process-group=%{GLOBAL} application-group=%{SERVER}",
     "before any request"),
    ("WSGIImportScript /x.py process-group=%{GLOBAL} application-group=a callable-object=b",
     "callable-object"),
    ("WSGIImportScript", "wants"),
    ("""<VirtualHost *:1>
ServerName one
WSGIDaemonProcess of-one
</VirtualHost>
WSGIImportScript /x.py process-group=of-one application-group=a""", "WSGI1509"),
])
def test_wrong_configurations(launch_once, config, words):
    status, output = launch_once("daemon", start=False, config=config).configtest()
    assert status == 1
    assert words in output
