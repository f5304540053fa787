"""What modules mod_wsgi and apache hold; installed packages of their names."""

import env
import pytest
from processes import wait_until

CONFIG = """
WSGIScriptAlias /looking "${scripts}/looking.py" application-group=%{GLOBAL}
"""

# Evaluates what the test sends, and answers with it as JSON.
LOOKING = '''
import json, os, threading, time
import mod_wsgi, apache

ATTRIBUTES = set(dir(mod_wsgi))
HAD = set(vars(mod_wsgi))

def in_thread(action):
    """What action() gives in a thread of the application, or its exception's name."""
    results = []
    def run():
        try:
            results.append(action())
        except Exception as error:
            results.append(type(error).__name__)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]

def outside():
    try:
        return mod_wsgi.request_data()
    except RuntimeError as error:
        return "RuntimeError"

AT_LOAD = in_thread(outside)

def callback(name, **payload):
    pass

def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)

def application(environ, start_response):
    source = environ["wsgi.input"].read().decode()
    try:
        result = eval(source, globals(), {"environ": environ})
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    body = json.dumps(result).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
'''

PACKAGE = "raise AssertionError('it is not run itself')\n"


@pytest.fixture(scope="module")
def server(launch, mode):
    library = "python-path=${root}/library" if mode == "daemon" else ""
    server = launch(mode, daemon=f"processes=1 threads=4 {library}", single_child=True, start=False,
                    config=CONFIG + ('WSGIPythonPath "${root}/library"\n' if not library else ""))
    for name in ("mod_wsgi", "apache"):
        package = server.directory / "library" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(PACKAGE)
        (package / "inside.py").write_text(f"import {name}\nname = __name__\n"
                                           f"version = {name}.version\n")
    server.script("looking.py", LOOKING)
    return server.start()


def evaluate(server, source, **options):
    reply = server.post("/looking", source.encode(), **options)
    assert reply.status == 200, reply
    return reply.json()


# ---- modules

@pytest.mark.compat("MOD-mod-wsgi-package")
def test_an_installed_package(server):
    assert evaluate(server, "__import__('mod_wsgi.inside').inside.name") == "mod_wsgi.inside"
    assert evaluate(server, "mod_wsgi.inside.version") == [6, 0, 5]


@pytest.mark.compat("MOD-apache-package")
def test_an_installed_package_called_apache(server, mode):
    found = evaluate(server, "__import__('apache.inside').inside.version")
    if mode == "embedded":
        assert found[0] == 2
    else:
        assert found.startswith("ModuleNotFoundError")


@pytest.mark.compat("MOD-apache-more")
def test_apache(server, mode):
    date, name, processes, threads = evaluate(
        server, "[apache.build_date, apache.mpm_name, apache.maximum_processes,"
                " apache.threads_per_process]")
    assert date[:2] == "20" and "T" in date
    assert name == env.MPM
    assert (processes, threads) == (1, 1 if env.MPM == "prefork" else 32)
    if mode == "daemon":
        assert evaluate(server, "mod_wsgi.threads_per_process") == 4


# ---- attributes

@pytest.mark.compat("MOD-file-wrapper")
def test_file_wrapper(server):
    assert evaluate(server, "environ['wsgi.file_wrapper'] is mod_wsgi.FileWrapper")
    assert evaluate(server, "[c.decode() for c in"
                            " mod_wsgi.FileWrapper(__import__('io').BytesIO(b'abcde'), 2)]") == \
        ["ab", "cd", "e"]


@pytest.mark.compat("MOD-request-timeout")
def test_request_timeout(server):
    assert evaluate(server, "[c.__name__ for c in mod_wsgi.RequestTimeout.__mro__]") == \
        ["RequestTimeout", "BaseException", "object"]


@pytest.mark.compat("MOD-log-handler")
def test_log_handler(server):
    assert evaluate(server, "'LogHandler' in ATTRIBUTES and 'LogHandler' not in HAD"), \
        "made for whoever asks"
    assert evaluate(server, "issubclass(mod_wsgi.LogHandler, __import__('logging').Handler)")
    assert evaluate(server, "mod_wsgi.LogHandler is mod_wsgi.LogHandler")
    assert evaluate(server, "mod_wsgi.no_such_thing").startswith("AttributeError: module 'mod_wsgi'")


@pytest.mark.compat("MOD-subscribe", "MOD-callbacks")
@pytest.mark.parametrize("kind", ["event", "shutdown", "signal"])
def test_subscribing(server, kind):
    subscribe = f"mod_wsgi.subscribe_{kind}{'' if kind == 'shutdown' else 's'}"
    registry = f"mod_wsgi.{kind}_callbacks"
    assert evaluate(server, f"{subscribe}(callback) is callback and {registry} == [callback]")
    assert evaluate(server, f"({registry}.clear(), {registry})[1]") == []


@pytest.mark.compat("MOD-request-data")
def test_request_data(server):
    assert evaluate(server, "AT_LOAD") == "RuntimeError"
    assert evaluate(server, "in_thread(mod_wsgi.request_data)") == "RuntimeError"
    for _ in range(2):
        assert evaluate(server, "(mod_wsgi.request_data().setdefault('n', []).append(1),"
                                " mod_wsgi.request_data())[1]") == {"n": [1]}


@pytest.mark.compat("MOD-active-requests")
def test_active_requests(server):
    """That one request runs already when it is asked for the first time is no reason to leave it
    out."""
    others = []
    gate = server.note("gate")
    if env.MPM != "prefork":  # which has one request at a time
        source = (f"(mod_wsgi.request_data().update(other=environ['mod_wsgi.request_id']),"
                  f" open({str(server.note('inside'))!r}, 'w').close(), wait_for({str(gate)!r}))")
        others.append(server.raw(60 * env.PATIENCE))
        others[0].request("POST /looking", f"Content-Length: {len(source)}", "Connection: close")
        others[0].send(source)
        wait_until(server.note("inside").exists, "the other is inside")
    found = evaluate(server, "mod_wsgi.request_data().update(mine=1),"
                             " mod_wsgi.active_requests, environ['mod_wsgi.request_id']")
    _, active, mine = found
    assert active.pop(mine) == {"mine": 1}
    assert [{"other": name} for name in active] == list(active.values())
    assert len(active) == len(others)
    gate.touch()
    for other in others:
        assert other.read_head()[0] == 200
        other.read_to_end()
        other.close()

    def only_mine():
        active, mine = evaluate(server,
                                "mod_wsgi.active_requests, environ['mod_wsgi.request_id']")
        return active == {mine: {}}

    wait_until(only_mine, "the others have been removed")
    assert evaluate(server, "mod_wsgi.active_requests is mod_wsgi.active_requests and"
                            " mod_wsgi.request_data() is"
                            " mod_wsgi.active_requests[environ['mod_wsgi.request_id']]")
