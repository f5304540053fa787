"""WSGIAccessScript: who is let in, by a function in httpd's children; and what is common to all hook
scripts: their environ, their interpreters, their loading and its failures."""

import json
import ssl
import subprocess
import urllib.request
from urllib.parse import quote

import env
import pytest
from conftest import needs_root

# Evaluates the query, and notes what it was called with.
SCRIPT = '''
import json, os, sys, threading, urllib.parse
import mod_wsgi
NOTES = os.path.join(os.path.dirname(os.path.dirname(__file__)), "notes")
VERSION = 1
kept = []

def raise_it(what):
    raise what

def fork():
    pid = os.fork()
    if pid == 0:
        return True
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

def show(key, value):
    if key == "mod_ssl.is_https":
        return value()
    if key == "mod_ssl.var_lookup":
        return value("SSL_SERVER_S_DN_CN")
    return value if isinstance(value, (str, list, tuple)) else type(value).__name__

def note(environ, host):
    seen = {key: show(key, value) for key, value in environ.items()}
    seen["host"], seen["pid"], seen["version"] = host, os.getpid(), VERSION
    seen["interpreter"], seen["parent"] = mod_wsgi.application_group, os.getppid()
    with open(NOTES + "/seen", "w") as file:
        json.dump(seen, file)

def later(environ):
    """An environ that outlives its hook: what still works of it."""
    if not kept:
        kept.append(environ)
        return "kept"
    for use in (lambda: kept[0]["mod_ssl.is_https"](),
                lambda: kept[0]["mod_ssl.var_lookup"]("HTTPS"),
                lambda: print("late", file=kept[0]["wsgi.errors"])):
        try:
            use()
        except RuntimeError:
            continue
        return "it works"
    return True

def allow_access(environ, host):
    note(environ, host)
    return eval(urllib.parse.unquote(environ["QUERY_STRING"] or "True"))
'''

GUARDS = {
    "missing": "none.py", "unreadable": "unreadable.py", "directory": "folder",
    "syntax": "syntax.py", "raises": "raises.py", "exits": "exits.py", "other": "other.py",
    "nofunction": "nofunction.py",
}

CONFIG = """
SetEnv BY_SETENV here
SetEnvIf Request_URI . BY_SETENVIF=here
<Location /hello>
    WSGIAccessScript "${scripts}/access.py"
</Location>
<Location /hello/looked-up>
    HostnameLookups On
</Location>
<Location /hello/named>
    WSGIAccessScript "${scripts}/access.py" application-group=a-guard
</Location>
<Location /hello/server>
    WSGIAccessScript "${scripts}/access.py" application-group=%{SERVER}
</Location>
<Location /hello/host>
    WSGIAccessScript "${scripts}/access.py" application-group=%{HOST}
</Location>
<Location /hello/global>
    WSGIAccessScript "${scripts}/access.py" 'application-group=%{GLOBAL}'
</Location>
<Location /hello/resource>
    WSGIAccessScript "${scripts}/access.py" application-group=%{RESOURCE}
</Location>
<Location /hello/variable>
    WSGIAccessScript "${scripts}/access.py" application-group=%{ENV:BY_SETENV}
</Location>
<Location /hello/native>
    WSGIPassApacheRequest On
</Location>
<Location /hello/credentials>
    WSGIPassAuthorization On
    CGIPassAuth On
</Location>
<Location /hello/closed>
    Require all denied
</Location>
<Location /hello/elsewhere>
    Require ip 10.1.2.3
</Location>
<Location /hello/old-rules>
    Deny from all
</Location>
<Location /hello/tls-only>
    SSLRequireSSL
</Location>
<Location /hello/fixed>
    WSGIAccessScript "${scripts}/fixed.py"
    WSGIScriptReloading Off
</Location>
<Location /hello/reloaded>
    WSGIAccessScript "${scripts}/reloaded.py"
</Location>
<Directory "${scripts}">
    AllowOverride AuthConfig
</Directory>
<Location /hello/page>
    WSGIAccessScript "${scripts}/access.py"
</Location>
<Location /inside>
    WSGIApplicationGroup %{GLOBAL}
    SetOutputFilter INCLUDES
    Options +Includes
</Location>
WSGIScriptAlias /inside "${scripts}/inside.py"
""" + "".join(f"""
<Location /hello/{name}>
    WSGIAccessScript "${{scripts}}/{script}"
</Location>""" for name, script in GUARDS.items())

MODULES = ["env", "setenvif", "access_compat", "authn_core", "authz_host", "include",
           "socache_shmcb", "ssl"]


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, single_child=True, modules=MODULES, start=False)
    server.tls_port = server.run.ports.reserve()
    server.config = CONFIG + f"""
Listen 127.0.0.1:{server.tls_port}
<VirtualHost *:{server.tls_port}>
    ServerName localhost
    SSLEngine On
    SSLCertificateFile "{server.directory}/tls.crt"
    SSLCertificateKeyFile "{server.directory}/tls.key"
</VirtualHost>
"""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-keyout", server.directory / "tls.key", "-out", server.directory / "tls.crt"],
        check=True, stderr=subprocess.DEVNULL)
    server.tolerate("AH019(06|09)|AH01873|AH01882")
    server.script("access.py", SCRIPT)
    server.script("unreadable.py", SCRIPT, mode=0)
    server.script("syntax.py", "def allow_access(:\n")
    server.script("raises.py", "raise LookupError('while loading')\n")
    server.script("exits.py", "import sys\nsys.exit('while loading')\n")
    server.script("nofunction.py", "def allow_acces(environ, host):\n    return True\n")
    server.script("other.py", "allow_access = True\n")
    (server.directory / "scripts" / "folder").mkdir()
    server.write_configuration()
    return server.start()


def seen(server):
    return json.loads(server.note("seen").read_text())


def ask(server, path="/hello", answer="True", headers=()):
    return server.get(f"{path}?{quote(answer)}", headers=headers).status


# ---- answers

@pytest.mark.compat("AUTH-access", "DIR-accessscript")
@pytest.mark.parametrize("answer, status", [("True", 200), ("None", 200), ("False", 403)])
def test_answer(server, answer, status):
    assert ask(server, answer=answer) == status


@pytest.mark.compat("AUTH-access")
@pytest.mark.parametrize("answer", ["1", "0", "''", "'True'", "b''", "[]", "object()"])
def test_other_answers_refuse(server, answer):
    server.expect("WSGI1223", "allow_access.*True, False or None")
    assert ask(server, answer=answer) == 403


@pytest.mark.compat("AUTH-access")
@pytest.mark.parametrize("answer, id", [
    ("1 / 0", "WSGI0174"), ("raise_it(KeyboardInterrupt)", "WSGI0174"), ("sys.exit(0)", "WSGI0175"),
    ("raise_it(SystemExit(True))", "WSGI0175"),
])
def test_exceptions_refuse(server, answer, id):
    server.expect(id, "access.py")
    server.expect_output("", count=None) if id == "WSGI0174" else None
    assert ask(server, answer=answer) == 403
    assert ask(server) == 200, "the child lives"


@pytest.mark.compat("AUTH-access")
@pytest.mark.parametrize("name, id", [
    ("missing", "WSGI1220"), ("directory", "WSGI1220"), ("nofunction", "WSGI1222"),
    ("other", "WSGI1222"),
    pytest.param("unreadable", "WSGI1220", marks=needs_root),
])
def test_scripts_that_cannot_be_asked_refuse(server, name, id):
    server.expect(id, count=2)
    assert ask(server, f"/hello/{name}") == 403
    assert ask(server, f"/hello/{name}") == 403


@pytest.mark.compat("AUTH-access")
@pytest.mark.parametrize("name, id", [("syntax", "WSGI0174"), ("raises", "WSGI0174"),
                                      ("exits", "WSGI0175")])
def test_scripts_that_cannot_be_loaded_refuse(server, name, id):
    """And are not run for each request."""
    server.expect(id)
    server.expect("WSGI1221", "next try in")
    server.expect_output("Error|SystemExit")
    assert ask(server, f"/hello/{name}") == 403
    assert ask(server, f"/hello/{name}") == 403


@pytest.mark.compat("AUTH-access-host")
def test_host(server):
    assert ask(server) == 200
    assert (seen(server)["host"], "REMOTE_HOST" in seen(server)) == ("127.0.0.1", False)
    assert ask(server, "/hello/looked-up") == 200
    assert seen(server)["host"] == seen(server)["REMOTE_HOST"] == "localhost"


# ---- others who have a say

@pytest.mark.compat("AUTH-access-order")
@pytest.mark.parametrize("place, is_asked", [
    ("tls-only", False), ("closed", True), ("elsewhere", True), ("old-rules", True)])
def test_order(server, place, is_asked):
    """mod_ssl has refused before the script is asked; the others do so after it has let us in."""
    server.note("seen").unlink(missing_ok=True)
    server.tolerate("AH01630|AH01797|AH02219")
    assert ask(server, f"/hello/{place}") == 403
    assert server.note("seen").exists() == is_asked


# ---- where it runs

@pytest.mark.compat("AUTH-place", "NAME-scripts")
@pytest.mark.parametrize("place, name", [
    ("plain", ""), ("global", ""), ("named", "a-guard"), ("server", "localhost:{port}"),
    ("host", "a.client:{port}"), ("resource", "%{{RESOURCE}}"), ("variable", "%{{ENV:BY_SETENV}}"),
])
def test_interpreter(server, place, name):
    assert ask(server, f"/hello/{place}", headers={"Host": f"a.client:{server.port}"}) == 200
    expected = name.format(port=server.port)
    assert seen(server)["interpreter"] == seen(server)["mod_wsgi.application_group"] == expected
    assert seen(server)["pid"] in server.httpd_children()


def test_names_of_clients_are_bounded(server):
    if server.mode == "embedded":
        pytest.skip("the same code in the same process; 64 interpreters take their time")
    server.expect("WSGI1700", "64", count=None)
    statuses = {ask(server, "/hello/host", headers={"Host": f"h{number}.example"})
                for number in range(66)}
    assert statuses == {200, 403}
    assert ask(server) == 200, "and nobody else is refused"


def test_inside_another_request(server):
    """The answer of an application passes a filter that makes a sub-request, whose guard runs in the
    interpreter of the application, by its thread."""
    server.script("inside.py", '''
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html")])
    print("before", file=environ["wsgi.errors"])
    yield b'[<!--#include virtual="/hello/page" -->]'
    print("after")
''')
    server.expect_output(r"inside\.py\] before")
    server.expect_output(r"inside\.py\] after")
    if server.mode == "embedded":
        assert b"Hello world" in server.get("/inside").body
    assert server.get("/inside").status == 200


# ---- the environ

KEYS = """
    HTTP_HOST HTTP_X_FIELD CONTENT_TYPE SERVER_SIGNATURE SERVER_SOFTWARE SERVER_NAME SERVER_ADDR
    SERVER_PORT REMOTE_ADDR REMOTE_PORT DOCUMENT_ROOT SERVER_ADMIN SERVER_PROTOCOL REQUEST_METHOD
    QUERY_STRING REQUEST_URI SCRIPT_NAME PATH_INFO apache.version mod_wsgi.version
    mod_wsgi.process_group mod_wsgi.application_group wsgi.errors mod_ssl.is_https
    mod_ssl.var_lookup
""".split()


@pytest.mark.compat("AUTH-environ", "AUTH-environ-proxy")
@pytest.mark.parametrize("place", ["environ", "credentials"])
def test_environ(server, place):
    headers = {"X-Field": "value", "Content-Type": "text/x", "Authorization": "Basic eDp5",
               "Proxy-Authorization": "Basic eDp5", "Proxy": "http://evil.example", "X_Odd": "1"}
    status = server.request("HEAD", f"/hello/{place}?True", headers=headers).status
    assert status == 200
    found = seen(server)
    assert set(KEYS) <= set(found)
    others = set(found) - set(KEYS) - {"host", "pid", "version", "interpreter", "parent"}
    assert others <= {"HTTP_ACCEPT_ENCODING", "HTTP_CONNECTION"}, "no credentials, nor SetEnv's"
    assert found["HTTP_X_FIELD"] == "value"
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/hello", f"/{place}")
    assert found["REQUEST_METHOD"] == "HEAD"
    assert found["REQUEST_URI"] == f"/hello/{place}?True"
    assert found["mod_wsgi.process_group"] == ""
    assert found["apache.version"][:2] == [2, 4] and found["mod_wsgi.version"] == [6, 0, 5]
    assert found["wsgi.errors"] == "TextIOWrapper"
    assert (found["mod_ssl.is_https"], found["mod_ssl.var_lookup"]) == (0, "")


def test_native_request(server):
    assert ask(server, "/hello/native") == 200
    assert seen(server)["apache.request_rec"] == "PyCapsule"


@pytest.mark.compat("AUTH-environ-tls")
def test_tls(server):
    context = ssl._create_unverified_context()
    for answer, port in [("environ['mod_ssl.is_https']() == 1 or 'not 1'", server.tls_port),
                         ("environ['mod_ssl.var_lookup']('SSL_PROTOCOL')[:4] == 'TLSv'",
                          server.tls_port),
                         ("environ['mod_ssl.var_lookup'](b'SSL_SERVER_S_DN_CN') == 'localhost'",
                          server.tls_port)]:
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/hello?{quote(answer)}",
                                    context=context, timeout=20 * env.PATIENCE) as reply:
            assert reply.status == 200
    assert ask(server, "/hello/tls-only/", "environ['mod_ssl.is_https']() == 0") == 403
    assert ask(server, answer="environ['mod_ssl.is_https']() == 0") == 200
    assert ask(server, answer="environ['mod_ssl.var_lookup']('NO_SUCH_VARIABLE') == ''") == 200


def test_errors_and_print_go_to_the_log(server):
    server.expect_output(r"\[.*/access.py\] to errors", count=1)
    server.expect_output(r"\[.*/access.py\] to stdout", count=1)
    answer = "[print('to errors', file=environ['wsgi.errors']), print('to stdout', end='')] and None"
    assert ask(server, answer=answer) == 200


def test_a_kept_environ_is_out_of_use(server):
    server.expect("WSGI1223", "str")
    assert ask(server, answer="later(environ)") == 403
    assert ask(server, answer="later(environ)") == 200


# ---- reloading

@pytest.mark.compat("RELOAD-hooks")
def test_changed_script_is_loaded_again_in_place(server):
    for version, mtime in (1, 1_000_000), (2, 2_000_000), (3, 500_000):
        source = SCRIPT.replace("VERSION = 1", f"VERSION = {version}")
        server.script("reloaded.py", source, mtime=mtime)
        server.script("fixed.py", source, mtime=mtime)
        assert ask(server, "/hello/reloaded") == 200
        assert (seen(server)["version"], seen(server)["parent"]) == (version, server.pid)
        assert ask(server, "/hello/fixed") == 200
        assert seen(server)["version"] == 1, "WSGIScriptReloading Off"
    pid = seen(server)["pid"]
    server.script("reloaded.py", "raise LookupError('new code')\n")
    server.expect("WSGI0174")
    server.expect_output("LookupError: new code")
    assert ask(server, "/hello/reloaded") == 403, "the old code must not go on letting people in"
    server.script("reloaded.py", SCRIPT, mtime=3_000_000)
    assert ask(server, "/hello/reloaded") == 200, "at once, since the file has changed"
    assert seen(server)["pid"] == pid
    (server.directory / "scripts" / "reloaded.py").unlink()
    server.expect("WSGI1220")
    assert ask(server, "/hello/reloaded") == 403


# ---- places

@pytest.mark.compat("CONF-authcfg")
def test_htaccess(server):
    """A user who may override AuthConfig may have a guard of his own."""
    url = server.script("hello.py", (env.APPS / "hello.py").read_text())
    server.script(".htaccess", f"""
WSGIAccessScript "{server.directory}/scripts/access.py" application-group=of-a-user
WSGIAuthUserScript "/x"
WSGIAuthGroupScript "/x"
WSGIGroupAuthoritative Off
""")
    try:
        assert ask(server, url) == 200
        assert seen(server)["interpreter"] == "of-a-user"
        assert ask(server, url, "False") == 403
    finally:
        (server.directory / "scripts" / ".htaccess").unlink()


@pytest.mark.compat("DIR-restrictembedded-hooks", "DIR-hook-python")
@pytest.mark.parametrize("config", [
    None,
    *(f'<Location /x>\n{name} "${{scripts}}/x.py"\n</Location>' for name in (
        "WSGIAccessScript", "WSGIAuthUserScript", "WSGIAuthGroupScript", "WSGIDispatchScript")),
    '<AuthnProviderAlias wsgi mine>\nWSGIAuthUserScript "${scripts}/x.py"\n</AuthnProviderAlias>',
])
def test_children_start_python_for_hooks(launch_once, mode, config):
    """Though WSGIRestrictEmbedded is on. A .pth file tells that Python has started."""
    server = launch_once(mode, start=False, modules=["authn_core"], config=f"""
WSGIRestrictEmbedded On
WSGIPythonPath "${{root}}/path"
{config or ''}
""")
    path = server.directory / "path"
    path.mkdir(mode=0o755)
    (path / "note.pth").write_text(f"import os; open('{server.directory}/notes/started', 'w')\n")
    server.start()
    if mode == "embedded":
        server.expect("WSGI0143")
    assert server.get("/hello").status == (500 if mode == "embedded" else 200)
    assert server.note("started").exists() == (config is not None)


def test_a_fork_that_comes_back_is_no_second_child(launch_once):
    """Without another interpreter beside the main one: Python allows no fork there."""
    server = launch_once("daemon", config="""
<Location /hello>
    WSGIAccessScript "${scripts}/access.py"
</Location>""")
    server.script("access.py", SCRIPT)
    assert ask(server, answer="fork()") == 200
    assert seen(server)["pid"] in server.httpd_children()


def test_python_that_cannot_start(launch_once):
    server = launch_once("daemon", daemon="threads=4 python-home=/usr", config="""
WSGIPythonHome /nowhere/at/all
<Location /hello>
    WSGIAccessScript "${scripts}/access.py"
</Location>
<Location /echo>
    WSGIDispatchScript "${scripts}/access.py"
</Location>
""")
    server.tolerate("WSGI1506|WSGI1511")
    server.expect("WSGI1700", "/nowhere/at/all", count=2)
    assert server.get("/hello").status == 403
    assert server.get("/echo").status == 500


def test_only_htaccess_where_children_have_no_python(launch_once):
    """Nothing can be asked, so nobody is let in, and the log says what to do."""
    server = launch_once("daemon", config="""
WSGIRestrictEmbedded On
<Directory "${scripts}">
    AllowOverride AuthConfig
</Directory>
""")
    url = server.script("hello.py", (env.APPS / "hello.py").read_text())
    assert server.get(url).status == 200
    server.script(".htaccess", 'WSGIAccessScript "/x.py"\n')
    server.expect("WSGI1700", "htaccess")
    assert server.get(url).status == 403
