"""Which setting holds where several say something, and what names of groups expand to."""

import pytest

CONFIG = """
WSGICallableObject of_the_server
WSGIScriptAlias /plain "${scripts}/callables.py"
WSGIScriptAlias /outer "${scripts}/callables.py"
WSGIScriptAlias /outer/inner "${scripts}/never.py"
WSGIScriptAlias /alias "${scripts}/callables.py" callable-object=of_the_alias
WSGIScriptAlias /token "${scripts}/callables.py" callable-object=%{GLOBAL}
WSGIScriptAlias /dots "${scripts}/callables.py" callable-object=holder.method
<Location /outer>
    WSGICallableObject of_the_outer
    WSGIApplicationGroup outer
</Location>
<Location /outer/inner>
    WSGICallableObject of_the_inner
</Location>
<Location /alias>
    WSGICallableObject of_the_outer
    WSGIApplicationGroup of-the-place
    WSGIPassAuthorization Off
</Location>
WSGIScriptAlias /alias-beats-place "${apps}/environ.py" callable-object=application \\
    application-group=of-the-alias pass-authorization=On
<Location /alias-beats-place>
    WSGIApplicationGroup of-the-place
    WSGIPassAuthorization Off
</Location>
WSGIScriptAlias /embedded "${apps}/environ.py" callable-object=application process-group=%{GLOBAL}
WSGIScriptAlias /inside "${apps}/environ.py" callable-object=application \\
    application-group=x%{GLOBAL}
WSGIScriptAlias /servers "${apps}/environ.py" callable-object=application \\
    application-group=%{SERVER}
WSGIScriptAlias /resource "${apps}/environ.py" callable-object=application
WSGIDaemonProcess named.example:${port}
WSGIDaemonProcess canonical.example:8001
WSGIScriptAlias /by-name "${apps}/environ.py" callable-object=application
<Location /by-name>
    WSGIProcessGroup %{SERVER}
</Location>
<VirtualHost *:${port}>
    ServerName plain.example
    WSGIScriptAlias /main "${scripts}/callables.py"
</VirtualHost>
<VirtualHost *:${port}>
    ServerName named.example
    WSGICallableObject of_the_host
</VirtualHost>
<VirtualHost *:${port}>
    ServerName canonical.example:8001
    UseCanonicalName On
</VirtualHost>
"""

CALLABLES = """
class holder:
    @staticmethod
    def method(environ, start_response):
        raise AssertionError("dots were followed")

def answering(name):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{name} in {environ['mod_wsgi.application_group']}".encode()]
    return application

for name in ("application", "of_the_server", "of_the_host", "of_the_outer", "of_the_inner",
             "of_the_alias", "%{GLOBAL}"):
    globals()[name] = answering(name)
"""

PLAIN = {"Host": "plain.example"}
NAMED = {"Host": "named.example"}


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, config=CONFIG)
    for name in ("callables.py", "never.py"):
        server.script(name, CALLABLES)
    return server


def callable_of(server, url, headers=PLAIN):
    reply = server.get(url, headers)
    assert reply.status == 200, reply
    name, _, group = reply.body.decode().partition(" in ")
    return name, group


def environ_of(server, url, headers=PLAIN):
    return {key: value for key, (_, value) in server.get(url, headers).json().items()}


# ---- merging

@pytest.mark.compat("MERGE-vhost", "DIR-callableobject")
def test_host_before_main_server(server):
    assert callable_of(server, "/plain")[0] == "of_the_server"
    assert callable_of(server, "/plain", NAMED)[0] == "of_the_host"
    assert callable_of(server, "/outer", NAMED)[0] == "of_the_outer"


@pytest.mark.compat("MERGE-inner")
def test_inner_before_outer_and_the_rest_inherited(server):
    assert callable_of(server, "/outer") == ("of_the_outer", "outer")
    assert callable_of(server, "/outer/inner") == ("of_the_inner", "outer")


@pytest.mark.compat("MAP-options", "DIR-scriptalias-options")
def test_alias_before_place(server):
    assert callable_of(server, "/alias") == ("of_the_alias", "of-the-place")
    found = environ_of(server, "/alias-beats-place", {**PLAIN, "Authorization": "Basic eDp5"})
    assert found["mod_wsgi.application_group"] == "of-the-alias"
    assert found["HTTP_AUTHORIZATION"] == "Basic eDp5"
    assert environ_of(server, "/embedded")["mod_wsgi.process_group"] == ""


# ---- names

@pytest.mark.compat("NAME-whole")
def test_a_token_is_the_whole_value(server):
    assert environ_of(server, "/inside")["mod_wsgi.application_group"] == "x%{GLOBAL}"


@pytest.mark.compat("NAME-server", "NAME-resource", "NAME-port", "NAME-port-self")
@pytest.mark.parametrize("host, name", [
    ("plain.example:{port}", "plain.example:{port}"),
    ("plain.example", "plain.example"),  # no port in the Host field: 80
    ("plain.example:443", "plain.example"),
    ("canonical.example:{port}", "canonical.example:8001"),
])
def test_names_by_server_and_port(server, host, name):
    """The port is the one that httpd would put into a reference to itself."""
    host, name = (text.format(port=server.port) for text in (host, name))
    found = environ_of(server, "/servers", {"Host": host})
    assert found["mod_wsgi.application_group"] == name
    found = environ_of(server, "//resource//path/info", {"Host": host})
    assert found["mod_wsgi.application_group"] == f"{name}|/resource"


@pytest.mark.compat("NAME-server", "DIR-processgroup")
@pytest.mark.parametrize("host, name", [
    ("named.example:{port}", "named.example:{port}"),
    ("canonical.example", "canonical.example:8001"),
])
def test_process_group_by_the_servers_name(server, host, name):
    host, name = (text.format(port=server.port) for text in (host, name))
    found = environ_of(server, "/by-name", {"Host": host})
    assert found["mod_wsgi.process_group"] == name


@pytest.mark.compat("NAME-callable-alias")
def test_callable_of_an_alias_is_no_token(server):
    assert callable_of(server, "/token")[0] == "%{GLOBAL}"


@pytest.mark.compat("DIR-callableobject-dots", "LOAD-no-callable")
def test_dots_in_a_callable(server):
    server.expect("WSGI0089", "'holder.method'")
    assert server.get("/dots", PLAIN).status == 500


@pytest.mark.compat("NAME-env")
def test_variable_of_httpd_itself(launch_once, mode):
    """It counts where the request has none of the name."""
    server = launch_once(mode, modules=("setenvif",), environment={"PLACE": "of-httpd"}, config="""
WSGIScriptAlias /here "${apps}/environ.py" application-group=%{ENV:PLACE}
SetEnvIf X-Place (.+) PLACE=$1
""")
    for headers, name in (({}, "of-httpd"), ({"X-Place": "of-the-request"}, "of-the-request")):
        assert environ_of(server, "/here", headers)["mod_wsgi.application_group"] == name


@pytest.mark.compat("MERGE-restrict")
def test_the_last_restriction_holds(launch_once):
    server = launch_once("embedded", config="""
WSGIScriptAlias /outer "${apps}/hello.py"
WSGIScriptAlias /inner "${apps}/hello.py"
WSGIRestrictProcess %{GLOBAL}
<Location /outer>
    WSGIRestrictProcess %{GLOBAL}
    WSGIRestrictProcess others
</Location>
<Location /inner>
    WSGIRestrictProcess others
    WSGIRestrictProcess %{GLOBAL}
</Location>
""")
    server.expect("WSGI0149")
    assert server.get("/outer").status == 500
    assert server.get("/inner").status == 200
    assert server.get("/hello").status == 200


@pytest.mark.compat("NAME-resource-case", "DIR-casesensitivity")
@pytest.mark.parametrize("setting, name", [("On", "/Mixed"), ("Off", "/mixed")])
def test_letter_case(launch_once, mode, setting, name):
    server = launch_once(mode, config=f"""
WSGICaseSensitivity {setting}
WSGIScriptAlias /Mixed "${{apps}}/environ.py"
""")
    found = environ_of(server, "/Mixed", {"Host": f"localhost:{server.port}"})
    assert found["mod_wsgi.application_group"] == f"localhost:{server.port}|{name}"


@pytest.mark.compat("MERGE-process-wide")
def test_process_wide_settings_are_the_main_servers(launch_once):
    """In a virtual host they would be an error; what its applications find is the main server's."""
    server = launch_once("embedded", config="""
WSGIPythonPath "${scripts}"
<VirtualHost *:${port}>
    ServerName other.example
</VirtualHost>
""")
    found = server.get("/process", {"Host": "other.example"}).json()
    assert f"{server.directory}/scripts" in found["path"]


@pytest.mark.compat("CONF-script-path")
def test_a_script_path_is_not_below_server_root(launch_once, mode):
    """A relative one is taken as written; httpd then looks for it below / and not below
    ServerRoot, which has it."""
    server = launch_once(mode, config="WSGIScriptAlias /relative apps/hello.py")
    server.expect("AH01630", "client denied by server configuration: /apps")
    assert server.get("/relative").status == 403
