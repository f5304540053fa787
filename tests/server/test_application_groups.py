"""Interpreters: the main one, one per script by default, and shared ones by name."""

import pytest

CONFIG = """
WSGIScriptAlias /main-one "${scripts}/one.py" application-group=%{GLOBAL}
WSGIScriptAlias /main-two "${scripts}/two.py" application-group=%{GLOBAL}
WSGIScriptAlias /server-one "${scripts}/one.py" application-group=%{SERVER}
WSGIScriptAlias /named-one "${scripts}/one.py"
WSGIScriptAlias /named-two "${scripts}/two.py"
<Location ~ "^/named-">
    WSGIApplicationGroup shared
</Location>
"""

# Counts in an imported module, so that scripts of one interpreter share the count.
SCRIPT = '''
import string
import mod_wsgi

def application(environ, start_response):
    string.count = getattr(string, "count", 0) + 1
    body = f"{mod_wsgi.application_group}\\n{string.count}".encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    assert environ["mod_wsgi.application_group"] == mod_wsgi.application_group
    return [body]
'''


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, config=CONFIG, single_child=True)
    for name in ("one.py", "two.py", "three.py"):
        server.script(name, SCRIPT)
    return server


def ask(server, path):
    name, count = server.get(path).body.decode().split("\n")
    return name, int(count)


@pytest.mark.compat("NAME-resource", "DIR-applicationgroup", "INTERP-apart", "INTERP-lives",
                    "MOD-groups")
def test_default_isolates_scripts(server):
    origin = f"localhost:{server.port}"
    assert ask(server, "/scripts/one.py") == (f"{origin}|/scripts/one.py", 1)
    assert ask(server, "/scripts/two.py") == (f"{origin}|/scripts/two.py", 1)
    assert ask(server, "/scripts/one.py") == (f"{origin}|/scripts/one.py", 2)
    assert ask(server, "/scripts/one.py/path/info") == (f"{origin}|/scripts/one.py", 3)


@pytest.mark.compat("NAME-global", "MOD-groups")
def test_main_interpreter_is_shared(server):
    assert ask(server, "/main-one") == ("", 1)
    assert ask(server, "/main-two") == ("", 2)


@pytest.mark.compat("DIR-applicationgroup", "INTERP-lives")
def test_named_interpreter_is_shared(server):
    assert ask(server, "/named-one") == ("shared", 1)
    assert ask(server, "/named-two") == ("shared", 2)


@pytest.mark.compat("NAME-server")
def test_server(server):
    assert ask(server, "/server-one") == (f"localhost:{server.port}", 1)


@pytest.mark.compat("INTERP-legacy")
def test_extension_modules_work_in_sub_interpreters(server):
    url = server.script("extensions.py", '''
import decimal, json, hashlib, sqlite3, threading, zlib

def application(environ, start_response):
    connection = sqlite3.connect(":memory:")
    (value,) = connection.execute("select 6 * 7").fetchone()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(decimal.Decimal(value)).encode()]
''')
    assert server.get(url).body == b"42"


def test_ports_of_the_clients_cannot_make_interpreters_without_end(launch_once, mode):
    """Without UseCanonicalName the default name has the port of the Host field."""
    server = launch_once(mode, single_child=True, daemon="threads=1")
    if mode == "daemon":
        server.expect_output("clients have chosen 64 names of interpreters")
    else:
        server.expect("WSGI0210", "clients have chosen 64 names of interpreters", count=3)
    with server.keep_alive() as session:
        for port in range(1000, 1067):
            status = session.request("GET", "/hello", headers={"Host": f"localhost:{port}"}).status
            assert status == (200 if port < 1064 else 500)
        for host in (f"localhost:{server.port}", "localhost", "other:80", "localhost:443"):
            assert session.request("GET", "/hello", headers={"Host": host}).status == 200
