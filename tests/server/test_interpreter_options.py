"""<WSGIInterpreterOptions>: which interpreters a block chooses, and which of several blocks holds."""

import env
import pytest

REPORT = '''
import json, os, signal, sys

def application(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps({
        "path": [os.path.basename(entry) for entry in sys.path],
        "interval": sys.getswitchinterval(),
        "restricted": [name for name in ("stdin", "stdout")
                       if type(getattr(sys, name)).__name__ == "RestrictedStream"],
        "signals": "server's" in signal.signal.__doc__,
    }).encode()]
'''

# ${group} is "tests" or embedded; the groups of the scripts are chosen below.
CONFIG = """
Define group "%(group)s"
WSGISwitchInterval 0.02
<WSGIInterpreterOptions application-group=both process-group=${group}>
    WSGIPythonPath "${root}/most"
    WSGIRestrictStdout Off
</WSGIInterpreterOptions>
<WSGIInterpreterOptions>
    WSGIPythonPath "${root}/any1:${root}/any2"
    WSGIRestrictStdin On
    WSGIRestrictStdout On
    <IfModule wsgi_module>
        WSGISwitchInterval 0.03
    </IfModule>
</WSGIInterpreterOptions>
<WSGIInterpreterOptions>
    WSGIRestrictStdin Off
</WSGIInterpreterOptions>
<WSGIInterpreterOptions Process-Group=${group}>
    WSGIPythonPath "${root}/process"
    WSGIRestrictStdin On
    WSGISwitchInterval 0.04
    WSGIFreeThreading On
</WSGIInterpreterOptions>
<WSGIInterpreterOptions 'application-group=both'>
    wsgipythonpath "${root}/application"
    WSGIRestrictStdin Off
    WSGIRestrictSignal Off
</WSGIInterpreterOptions>
<WSGIInterpreterOptions application-group=%%{GLOBAL}>
    WSGIPythonPath "${root}/main"
</WSGIInterpreterOptions>
<WSGIInterpreterOptions application-group=%%{SERVER}>
    WSGIPythonPath "${root}/token"
</WSGIInterpreterOptions>
<WSGIInterpreterOptions process-group=%(other)s>
    WSGIPythonPath "${root}/nobody"
    WSGIRestrictSignal Off
</WSGIInterpreterOptions>
%(group_of_its_own)s
<Location /scripts/both.py>
    WSGIApplicationGroup both
</Location>
<Location /scripts/main.py>
    WSGIApplicationGroup %%{GLOBAL}
</Location>
<Location /scripts/server.py>
    WSGIApplicationGroup %%{SERVER}
</Location>
<Location /scripts/other.py>
    WSGIApplicationGroup elsewhere
</Location>
"""
DIRECTORIES = ("home", "base", "most", "any1", "any2", "process", "application", "main", "token",
               "nobody")


@pytest.fixture(scope="module")
def server(launch, mode):
    is_embedded = mode == "embedded"
    server = launch(
        mode, start=False, single_child=True,
        daemon="home=${root}/home python-path=${root}/base",
        config=CONFIG % {
            "group": "%{GLOBAL}" if is_embedded else "tests",
            "other": "spare" if is_embedded else "%{GLOBAL}",
            "group_of_its_own": 'WSGIDaemonProcess spare\nWSGIPythonPath "${root}/base"'
            if is_embedded else ""})
    server.expect("WSGI1102")  # once: by the process that the block names, not by that of others
    for name in DIRECTORIES:
        (server.directory / name).mkdir()
        (server.directory / name).chmod(0o755)
    for name in ("both", "main", "server", "other"):
        server.script(f"{name}.py", REPORT)
    return server.start()


def ask(server, name):
    found = server.get(f"/scripts/{name}.py").json()
    found["path"] = [each for each in found["path"] if each in DIRECTORIES]
    return found


@pytest.mark.compat("DIR-interpreteroptions", "INTOPT-path", "INTOPT-freethreading",
                    "OPT-path-order")
def test_paths_add_up(server, mode):
    home = ["home"] if mode == "daemon" else []
    least = ["any1", "any2", "base"]
    assert ask(server, "both")["path"] == [*home, "most", "application", "process", *least]
    assert ask(server, "main")["path"] == [*home, "main", "process", *least]
    assert ask(server, "other")["path"] == [*home, "process", *least]


@pytest.mark.compat("INTOPT-names")
def test_names_are_texts(server):
    """%{GLOBAL} is understood, see above; other tokens stay as they are written."""
    assert "token" not in ask(server, "server")["path"]


@pytest.mark.compat("INTOPT-selectors", "INTOPT-precedence")
@pytest.mark.parametrize("name, restricted, has_signals", [
    ("other", ["stdin", "stdout"], False), ("main", ["stdin", "stdout"], False), ("both", [], True)])
def test_more_selectors_win_then_the_later_block(server, name, restricted, has_signals):
    found = ask(server, name)
    assert found["restricted"] == restricted
    assert found["signals"] != has_signals
    assert found["interval"] == pytest.approx(0.04)


@pytest.mark.compat("INTOPT-switchinterval", "INTOPT-freethreading")
@pytest.mark.skipif(env.MPM == "prefork", reason="the same for each MPM")
def test_what_holds_for_a_process_cannot_be_said_of_one_interpreter(launch_once, mode):
    server = launch_once(mode, single_child=True, start=False, config="""
WSGIApplicationGroup mine
<WSGIInterpreterOptions application-group=mine>
    WSGISwitchInterval 0.5
    WSGIFreeThreading On
    WSGIPerInterpreterGIL Off
</WSGIInterpreterOptions>
""")
    server.expect("WSGI1730", "application-group")  # and none from a child or a worker
    server.expect("WSGI1130", '"mine"')
    server.start()
    assert server.get(server.script("report.py", REPORT)).json()["interval"] == 0.005


@pytest.mark.compat("INTOPT-switchinterval")
@pytest.mark.skipif(env.MPM == "prefork", reason="the same for each MPM")
def test_an_interpreter_of_its_own_gil(launch_once, mode):
    """Python 3.11 has none, which is told; later ones have, and their own interval."""
    server = launch_once(mode, single_child=True, start=False, config="""
WSGIApplicationGroup mine
<WSGIInterpreterOptions application-group=mine>
    WSGIPerInterpreterGIL On
    WSGISwitchInterval 0.5
</WSGIInterpreterOptions>
""")
    server.tolerate("WSGI1101")
    server.tolerate("WSGI1130")
    server.start()
    interval = server.get(server.script("report.py", REPORT)).json()["interval"]
    has_own = "WSGI1101" not in server.log.text()
    assert interval == (0.5 if has_own else 0.005)
    assert ("WSGI1130" in server.log.text()) != has_own


@pytest.mark.compat("INTOPT-selectors", "INTOPT-children", "DIR-interpreteroptions")
@pytest.mark.parametrize("selectors, inside, words", [
    ("process=a", "", ["'process'", "process-group application-group"]),
    ("process-group", "", ["'process-group'", "option=value"]),
    ("process-group=a PROCESS-GROUP=b", "", ["twice"]),
    ("application-group=a application-group=a", "", ["twice"]),
    ("", "WSGIPythonHome /usr", ["WSGIPythonHome", "WSGIPythonPath", "line 3 "]),
    ("", "WSGIScriptAlias /x /y", ["WSGIScriptAlias", "WSGIRestrictSignal"]),
    ("", "WSGIRestrictStdin maybe", ["WSGIRestrictStdin", "On or Off", "'maybe'", "line 3 "]),
    ("", "<WSGIInterpreterOptions>\n</WSGIInterpreterOptions>", ["not allowed inside"]),
    ("", "ServerName x", ["ServerName"]),
])
def test_errors(launch_once, selectors, inside, words):
    """One sentence, by the line in the file of its own."""
    server = launch_once("embedded", start=False, config='Include "${root}/block.conf"')
    (server.directory / "block.conf").write_text(
        f"# a block\n<WSGIInterpreterOptions {selectors}>\n{inside}\n</WSGIInterpreterOptions>\n")
    status, output = server.configtest()
    assert status == 1
    for word in ("block.conf", *words):
        assert word in output, output


@pytest.mark.parametrize("config, words", [
    ("<WSGIInterpreterOptions process-group=nowhere>\n</WSGIInterpreterOptions>", "WSGI1731"),
    ("<WSGIInterpreterOptions process-group=tests>\n</WSGIInterpreterOptions>\n"
     "WSGIDaemonProcess tests", "Syntax OK"),
])
def test_a_group_that_does_not_exist_is_warned_of(launch_once, config, words):
    status, output = launch_once("embedded", start=False, config=config).configtest()
    assert (status, "WSGI1731" in output) == (0, words == "WSGI1731")
    assert words in output
