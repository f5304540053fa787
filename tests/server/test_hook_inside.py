"""Hook scripts judge by the URL: they are asked again wherever httpd goes on with another one."""

import base64

import pytest

pytestmark = pytest.mark.compat("AUTH-again")

ACCESS = """
def allow_access(environ, host):
    return "secret" not in environ["SCRIPT_NAME"]
"""
USERS = """
def check_password(environ, user, password):
    return True
"""
GROUPS = """
def groups_for_user(environ, user):
    return [] if "secret" in environ["SCRIPT_NAME"] else ["staff"]
"""
APP = """
def application(environ, start_response):
    fields = [("Location", environ["QUERY_STRING"])] if environ["QUERY_STRING"] else []
    start_response("200 OK", [("Content-Type", "text/plain"), *fields])
    return [environ["SCRIPT_NAME"].encode()]
"""

CONFIG = """
DocumentRoot "${root}/site"
<Directory "${root}/site">
    Options +Includes
    SetOutputFilter INCLUDES
    DirectoryIndex none secret.html
    RewriteEngine On
    RewriteRule ^rewritten$ /secret.html
</Directory>
WSGIScriptAlias /open "${scripts}/app.py"
WSGIScriptAlias /secret "${scripts}/app.py"
WSGIScriptAlias /group/open "${scripts}/app.py"
WSGIScriptAlias /group/secret "${scripts}/app.py"
<Location />
    WSGIAccessScript "${scripts}/access.py"
</Location>
<Location /group>
    WSGIAccessScript "${scripts}/everybody.py"
    AuthType Basic
    AuthName "the realm"
    AuthBasicProvider wsgi
    WSGIAuthUserScript "${scripts}/users.py"
    WSGIAuthGroupScript "${scripts}/groups.py"
    Require wsgi-group staff
</Location>
"""
USER = {"Authorization": "Basic " + base64.b64encode(b"anna:x").decode()}


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, start=False, config=CONFIG, modules=[
        "dir", "include", "rewrite", "auth_basic", "authn_core", "authz_user"])
    for name, text in (("access", ACCESS), ("users", USERS), ("groups", GROUPS), ("app", APP),
                       ("everybody", ACCESS.replace('"secret" not in environ["SCRIPT_NAME"]',
                                                    "True"))):
        server.script(f"{name}.py", text)
    site = server.directory / "site"
    site.mkdir(mode=0o755)
    (site / "page.shtml").write_text('[<!--#include virtual="/secret.html" -->]')
    (site / "secret.html").write_text("SECRET")
    return server.start()


def test_asked_for_itself(server):
    assert server.get("/open").status == 200
    assert server.get("/secret.html").status == server.get("/secret").status == 403
    assert server.get("/group/open", USER).status == 200
    server.expect("AH01631", "authorization failure")
    assert server.get("/group/secret", USER).status == 401


@pytest.mark.parametrize("path", ["/", "/rewritten"])
def test_by_an_internal_redirect(server, path):
    reply = server.get(path)
    assert reply.status in (403, 404) and b"SECRET" not in reply.body


def test_by_an_included_page(server):
    server.expect_output("unable to include")  # mod_include says so
    reply = server.get("/page.shtml")
    assert reply.status == 200
    assert reply.body.startswith(b"[") and b"SECRET" not in reply.body


def test_by_the_location_of_an_application(server, mode):
    if mode == "embedded":
        reply = server.get("/open?/secret")  # the client is told, and would be refused there
        assert (reply.status, reply.header("Location")) == (200, "/secret")
        return
    assert server.get("/open?/secret").status == 403
    server.expect("AH01631", "authorization failure")
    assert server.get("/group/open?/group/secret", USER).status == 401
