"""Directives for Python itself, as code sees them in both modes."""

import env
import pytest

REPORT = '''
import json, os, sys, warnings

def application(environ, start_response):
    body = json.dumps({
        "optimize": sys.flags.optimize,
        "debug": __debug__,
        "dont_write_bytecode": sys.dont_write_bytecode,
        "switch_interval": sys.getswitchinterval(),
        "hash": hash("a text"),
        "warnoptions": sys.warnoptions,
        "filters": [[each[0], each[2].__name__] for each in warnings.filters[:3]],
        "eggs": os.environ.get("PYTHON_EGG_CACHE"),
        "path": sys.path,
        "argv": sys.argv,
    }).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
'''

STREAMS = '''
import sys

def application(environ, start_response):
    name, _, what = environ["QUERY_STRING"].partition(".")
    stream = getattr(sys, name)
    try:
        if what == "write":
            stream.write("written\\\\n")
        elif what == "read":
            stream.readline()
        else:
            stream.encoding
        said = "works"
    except OSError as error:
        said = f"OSError: {error}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [said.encode()]
'''.replace("\\\\", "\\")

SIGNALS = '''
import signal

def application(environ, start_response):
    def handler(number, frame):
        pass
    given = signal.signal(signal.SIGUSR2, handler)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ignored" if given is handler else b"taken"]
'''


@pytest.fixture(scope="module")
def plain(launch, mode):
    return launch(mode)


@pytest.fixture(scope="module")
def changed(launch, mode):
    server = launch(mode, start=False, config="""
WSGIPythonOptimize 2
WSGIPythonWarnings error::DeprecationWarning
WSGIPythonWarnings ignore::UserWarning
WSGIPythonHashSeed 42
WSGIDontWriteBytecode On
WSGISwitchInterval 0.25
WSGIPythonEggs /tmp/eggs
WSGIPythonPath "${root}/one:${root}/two"
WSGIRestrictStdin On
WSGIRestrictStdout On
""")
    for name in ("one", "two"):
        (server.directory / name).mkdir()
    (server.directory / "two" / "extra.pth").write_text(f"{server.directory}/notes\n")
    return server.start()


def ask(server, source=REPORT, query=""):
    reply = server.get(server.script("report.py", source) + query)
    assert reply.status == 200, reply
    return reply


@pytest.mark.compat("PROC-argv")
def test_defaults(plain):
    found = ask(plain).json()
    assert (found["optimize"], found["debug"]) == (0, True)
    assert not found["dont_write_bytecode"]
    assert found["switch_interval"] == pytest.approx(0.005)
    assert found["warnoptions"] == []
    assert found["argv"] == ["mod_wsgi"]
    assert found["eggs"] is None


@pytest.mark.compat("DIR-pythonoptimize", "DIR-pythonwarnings", "DIR-dontwritebytecode",
                    "DIR-switchinterval")
def test_changed(changed):
    found = ask(changed).json()
    assert (found["optimize"], found["debug"]) == (2, False)
    assert found["dont_write_bytecode"]
    assert found["switch_interval"] == pytest.approx(0.25)
    assert found["warnoptions"] == ["error::DeprecationWarning", "ignore::UserWarning"]
    assert found["filters"][:2] == [["ignore", "UserWarning"], ["error", "DeprecationWarning"]]


@pytest.mark.compat("DIR-pythonpath", "DIR-pythoneggs", "PROC-egg-cache")
def test_path_and_eggs_are_for_embedded_only(changed, mode):
    found = ask(changed).json()
    root = str(changed.directory)
    if mode == "embedded":
        assert found["path"][:2] == [f"{root}/one", f"{root}/two"]
        assert f"{root}/notes" in found["path"], ".pth files count"
        assert found["eggs"] == "/tmp/eggs"
    else:
        assert f"{root}/one" not in found["path"]
        assert found["eggs"] is None


@pytest.mark.compat("DIR-pythonhashseed")
def test_hash_seed(changed, launch_once, mode):
    other = launch_once(mode, config="WSGIPythonHashSeed 42")
    assert ask(other).json()["hash"] == ask(changed).json()["hash"]


@pytest.mark.compat("DIR-pythonhashseed-random")
def test_hash_is_random_by_default_and_where_it_is_asked_for(plain, launch_once, mode):
    seen = {ask(plain).json()["hash"]}
    for _ in range(2):
        seen.add(ask(launch_once(mode, config="WSGIPythonHashSeed random")).json()["hash"])
    assert len(seen) == 3


@pytest.mark.compat("DIR-restrictstdin", "DIR-restrictstdout", "STREAM-restricted")
@pytest.mark.parametrize("use", ["stdin.read", "stdout.write", "stdout.encoding"])
def test_restricted_streams(changed, use):
    name = use.partition(".")[0]
    assert f"OSError: sys.{name}" in ask(changed, STREAMS, "?" + use).body.decode() or \
        name in ask(changed, STREAMS, "?" + use).body.decode()
    assert ask(changed, STREAMS, "?" + use).body.startswith(b"OSError")


@pytest.mark.compat("DIR-restrictstdout")
def test_streams_are_free_by_default(plain):
    plain.expect_output("written")
    assert ask(plain, STREAMS, "?stdout.write").body == b"works"


def test_stderr_is_never_restricted(changed):
    changed.expect_output("written")
    assert ask(changed, STREAMS, "?stderr.write").body == b"works"


@pytest.mark.compat("SIGNAL-restricted", "DIR-restrictsignal")
def test_signals_are_the_servers(plain):
    assert ask(plain, SIGNALS).body == b"ignored"
    assert "signal.signal()" in plain.log.text()


@pytest.mark.compat("DIR-restrictsignal")
def test_signals_can_be_given_free(launch_once, mode):
    """Python's own rule holds then: only the main thread may, which serves under prefork."""
    server = launch_once(mode, config="WSGIRestrictSignal Off\nWSGIApplicationGroup %{GLOBAL}")
    if env.MPM == "prefork" and mode == "embedded":
        assert ask(server, SIGNALS).body == b"taken"
        return
    server.expect("WSGI0174", "report.py")
    server.expect_output("signal only works in main thread")
    url = server.script("report.py", SIGNALS)
    assert server.get(url).status == 500


EXIT = '''
import atexit, pathlib
atexit.register(pathlib.Path("NOTE").touch)

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ready"]
'''


@pytest.mark.compat("DIR-destroyinterpreter", "INTERP-end", "INTERP-end-off")
@pytest.mark.parametrize("setting, expected", [("On", True), ("Off", False)])
@pytest.mark.parametrize("group", ["%{GLOBAL}", "sub"])
def test_destroy_interpreter(launch_once, mode, setting, expected, group):
    server = launch_once(mode, single_child=True, config=f"""
WSGIDestroyInterpreter {setting}
WSGIApplicationGroup {group}
""")
    url = server.script("exit.py", EXIT.replace("NOTE", str(server.note("exit"))))
    assert server.get(url).body == b"ready"
    server.stop()
    assert server.note("exit").exists() == expected


@pytest.mark.compat("DIR-perinterpretergil-warning", "DIR-freethreading-warning")
@pytest.mark.parametrize("directive", ["WSGIPerInterpreterGIL On", "WSGIFreeThreading On"])
def test_what_this_python_cannot_do_is_a_warning(launch_once, mode, directive):
    server = launch_once(mode, single_child=True, config=directive, start=False)
    server.log.allow_anything()
    server.start()
    assert server.get("/hello").status == 200
    assert "WSGI11" in server.log.text()


@pytest.mark.compat("STREAM-debug")
@pytest.mark.skipif(env.MPM == "prefork", reason="the same for each MPM")
def test_interactive_server_keeps_stdout(launch_once):
    """httpd -X, for a debugger: what an application prints goes to the terminal."""
    import signal
    import subprocess
    import time
    server = launch_once("embedded", start=False, single_child=True)
    server.script("report.py", STREAMS)
    process = subprocess.Popen(server.command("-X"), env=server.environment(), cwd="/",
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        end = time.monotonic() + 20 * env.PATIENCE
        while not server.is_listening() and time.monotonic() < end:
            time.sleep(0.05)
        assert server.get("/scripts/report.py?stdout.write").body == b"works"
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20 * env.PATIENCE)
    assert b"written" in output
