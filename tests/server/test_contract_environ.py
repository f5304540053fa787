"""Keys of the environ that depend on other modules of httpd: users, TLS, proxies, redirects."""

import json
import re
import ssl
import urllib.request

import env
import pytest

CONFIG = """
DocumentRoot "${scripts}"
LogFormat "%L %{c}L" ids
CustomLog "${root}/notes/ids.log" ids
SetEnvIf X-Secure (.*) HTTPS=$1
SetEnv HTTP_X_FIELD from-SetEnv
SetEnv mod_wsgi.process_group forged
SetEnv wsgi.url_scheme gopher
SetEnv SCRIPT_NAME /forged
RemoteIPHeader X-Client
<Location /current>
    CGIVar REQUEST_URI current-uri
</Location>
WSGIScriptAlias /current "${apps}/environ.py"
RewriteEngine On
RewriteRule ^/rewritten /current/inside [PT]
<Location /passed>
    CGIPassAuth On
</Location>
WSGIScriptAlias /passed "${apps}/environ.py"
<Location /members>
    AuthType Basic
    AuthName members
    AuthUserFile "${root}/users"
    AuthBasicProvider file
    Require valid-user
</Location>
WSGIScriptAlias /members "${apps}/environ.py"
<Location /moved>
    AuthType Basic
    AuthName members
    AuthUserFile "${root}/users"
    AuthBasicProvider file
    Require valid-user
    ErrorDocument 410 /environ/after
    Redirect gone /moved
</Location>
<Location /qualified>
    QualifyRedirectURL On
</Location>
WSGIScriptAlias /qualified "${apps}/environ.py"
ErrorDocument 404 /qualified/not-found
<VirtualHost *:${port}>
    ServerName localhost
    RewriteEngine On
    RewriteOptions Inherit
</VirtualHost>
<VirtualHost *:${port}>
    ServerName canonical.example
    ServerAlias alias.example
    UseCanonicalName On
</VirtualHost>
"""

MODULES = ("alias", "auth_basic", "authn_core", "authn_file", "authz_user", "env", "remoteip",
           "rewrite", "setenvif")

# The Basic credentials of user:secret.
USER = {"Authorization": "Basic dXNlcjpzZWNyZXQ="}


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, config=CONFIG, modules=MODULES, start=False)
    server.tolerate("AH01626")
    users = server.directory / "users"
    users.write_text("user:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")  # secret
    users.chmod(0o644)
    return server.start()


def ask(server, path="/environ", headers=()):
    reply = server.get(path, headers)
    assert reply.status == 200, reply
    return {key: value for key, (_, value) in reply.json().items()}


@pytest.mark.compat("ENV-https", "ENV-scheme")
@pytest.mark.parametrize("value, scheme", [
    ("on", "https"), ("ON", "https"), ("1", "https"), ("off", "http"), ("yes", "http"),
])
def test_https_variable(server, value, scheme):
    found = ask(server, headers={"X-Secure": value})
    assert found["wsgi.url_scheme"] == scheme
    assert "HTTPS" not in found


@pytest.mark.compat("ENV-forged", "ENV-last")
def test_set_env_forges_nothing(server, mode):
    found = ask(server, headers={"X-Field": "from the field"})
    assert found["mod_wsgi.process_group"] == ("" if mode == "embedded" else "tests")
    assert found["wsgi.url_scheme"] == "http"
    assert found["SCRIPT_NAME"] == "/environ"
    assert found["HTTP_X_FIELD"] == "from the field"


@pytest.mark.compat("ENV-server-name")
def test_server_name(server):
    assert ask(server, headers={"Host": "alias.example"})["SERVER_NAME"] == "canonical.example"
    assert ask(server, headers={"Host": "other.example"})["SERVER_NAME"] == "other.example"


@pytest.mark.compat("ENV-remote-addr")
def test_address_of_mod_remoteip(server):
    assert ask(server, headers={"X-Client": "192.0.2.7"})["REMOTE_ADDR"] == "192.0.2.7"
    assert ask(server)["REMOTE_ADDR"] == "127.0.0.1"


@pytest.mark.compat("ENV-user")
def test_user(server):
    assert server.get("/members").status == 401
    found = ask(server, "/members", USER)
    assert (found["REMOTE_USER"], found["AUTH_TYPE"]) == ("user", "Basic")
    found = ask(server)
    assert "REMOTE_USER" not in found and "AUTH_TYPE" not in found


@pytest.mark.compat("ENV-user-redirect", "ENV-redirect")
def test_user_before_a_redirect(server):
    found = ask(server, "/moved/here?a=b", USER)
    assert found["REDIRECT_REMOTE_USER"] == "user"
    assert found["REDIRECT_URL"] == "/moved/here"
    assert found["REDIRECT_QUERY_STRING"] == "a=b"


@pytest.mark.compat("FIELD-proxy-authorization", "FIELD-authorization")
def test_cgi_pass_auth(server):
    headers = {"Proxy-Authorization": "Basic eDp5", **USER}
    found = ask(server, "/passed", headers)
    assert found["HTTP_PROXY_AUTHORIZATION"] == "Basic eDp5"
    assert found["HTTP_AUTHORIZATION"] == USER["Authorization"]
    assert "HTTP_PROXY_AUTHORIZATION" not in ask(server, headers=headers)


@pytest.mark.compat("ENV-request-uri-current")
def test_current_uri(server):
    assert ask(server, "/rewritten?a=b")["REQUEST_URI"] == "/current/inside"
    assert ask(server, "/environ/%41?a=b")["REQUEST_URI"] == "/environ/%41?a=b"


@pytest.mark.compat("ENV-redirect-qualified")
def test_qualified_redirect_url(server):
    found = ask(server, "/nothing/here")
    assert found["REDIRECT_URL"] == f"http://127.0.0.1:{server.port}/nothing/here"


@pytest.mark.compat("ENV-ids")
def test_ids_are_those_of_the_log(server):
    found = ask(server, "/environ/ids")
    wanted = f"{found['mod_wsgi.request_id']} {found['mod_wsgi.connection_id']}\n"
    env.wait_until(lambda: wanted in server.note("ids.log").read_text(), wanted, 5 * env.PATIENCE)


# ---- TLS

@pytest.fixture(scope="module")
def secure(launch, mode):
    """A server with a second port, which speaks TLS; gives a function that asks it."""
    server = launch(mode, modules=("socache_shmcb", "ssl"), start=False)
    port = server.run.ports.reserve()
    server.config = f"""
Listen 127.0.0.1:{port}
<VirtualHost *:{port}>
    ServerName localhost
    {server.make_certificate()}
    WSGIScriptAlias /with-variables "${{apps}}/environ.py"
    <Location /with-variables>
        SSLOptions +StdEnvVars
    </Location>
</VirtualHost>
"""
    server.write_configuration()
    server.start()
    context = ssl._create_unverified_context()

    def ask_by_tls(path):
        with urllib.request.urlopen(f"https://127.0.0.1:{port}{path}", context=context,
                                    timeout=20 * env.PATIENCE) as reply:
            return {key: value for key, (_, value) in json.load(reply).items()}

    return ask_by_tls


@pytest.mark.compat("ENV-scheme", "ENV-https")
def test_tls_is_https(secure):
    found = secure("/environ")
    assert found["wsgi.url_scheme"] == "https"
    assert found["REQUEST_SCHEME"] == "https"
    assert "HTTPS" not in found and "SSL_PROTOCOL" not in found


@pytest.mark.compat("ENV-ssl")
def test_variables_of_tls(secure):
    found = secure("/with-variables")
    assert re.match(r"TLSv1\.[23]$", found["SSL_PROTOCOL"])
    assert found["SSL_SERVER_S_DN_CN"] == "localhost"
    assert found["wsgi.url_scheme"] == "https"
    assert "HTTPS" not in found
