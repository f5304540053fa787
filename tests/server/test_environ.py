"""The environ, key by key."""

import re

import env
import pytest

CONFIG = """
ServerAdmin admin@example.com
SetEnv SET_ENV "value of SetEnv"
SetEnv EMPTY ""
PassEnv PASSED
SetEnvIf X-Secure yes HTTPS=on
SetEnv PATH /must/not/be/seen
WSGIScriptAlias /deep/mount "${apps}/environ.py"
WSGIScriptAlias /dir/ "${apps}/"
<VirtualHost 127.0.0.1:${port}>
    ServerName localhost
    DocumentRoot "${scripts}"
</VirtualHost>
<VirtualHost 127.0.0.1:${port}>
    ServerName rooted.example
    DocumentRoot "${scripts}"
    WSGIScriptAlias / "${apps}/environ.py"
</VirtualHost>
<Location /authorized>
    SetEnv LOCATION authorized
</Location>
WSGIScriptAlias /authorized "${apps}/environ.py"
WSGIScriptAlias /with-group "${apps}/environ.py" application-group=%{GLOBAL}
<Location /pass-authorization>
    CGIPassAuth On
</Location>
WSGIScriptAlias /pass-authorization "${apps}/environ.py"
"""


@pytest.fixture(scope="module")
def server(launch, mode):
    return launch(mode, config=CONFIG, modules=("env", "setenvif", "unique_id"),
                  environment={"PASSED": "value of PassEnv"})


def values(server, path="/environ", headers=(), method="GET", body=None):
    """The environ as {key: value}; types are looked at in one test only."""
    reply = server.request(method, path, body, headers)
    assert reply.status == 200
    return {key: value for key, (_, value) in reply.json().items()}


@pytest.mark.compat("ENV-fresh", "ENV-latin1", "ENV-server-pid", "ENV-times",
                    "ENV-times-daemon", "ENV-thread-id")
def test_it_is_a_plain_dictionary_of_plain_types(server):
    shown = server.get("/environ?a=b", {"X-Field": "1"}).json()
    assert shown.pop("type of environ")[0] == "dict"
    types = {
        "wsgi.version": "tuple", "wsgi.multithread": "bool", "wsgi.multiprocess": "bool",
        "wsgi.run_once": "bool", "wsgi.input_terminated": "bool", "apache.version": "tuple",
        "mod_wsgi.version": "tuple", "mod_wsgi.thread_id": "int",
        "mod_wsgi.request_start": "float", "mod_wsgi.queue_start": "float",
        "mod_wsgi.daemon_start": "float", "mod_wsgi.application_start": "float", "now": "float",
    }
    objects = ("wsgi.input", "wsgi.errors", "wsgi.file_wrapper")
    for key, (name, _) in shown.items():
        if key not in objects:
            assert (key, name) == (key, types.get(key, "str"))


@pytest.mark.compat("ENV-request", "ENV-request-uri", "ENV-context", "ENV-server",
                    "ENV-remote-port", "ENV-files", "ENV-script-name")
def test_cgi_keys(server):
    found = values(server, "/environ/some/path%20info?query=%20string", {"X-A": "b"})
    assert found["REQUEST_METHOD"] == "GET"
    assert found["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert found["QUERY_STRING"] == "query=%20string"
    assert found["REQUEST_URI"] == "/environ/some/path%20info?query=%20string"
    assert found["SCRIPT_NAME"] == "/environ"
    assert found["PATH_INFO"] == "/some/path info"
    assert found["REQUEST_SCHEME"] == "http"
    assert found["CONTEXT_PREFIX"] == ""
    assert found["CONTEXT_DOCUMENT_ROOT"] == found["DOCUMENT_ROOT"] == f"{server.directory}/scripts"
    assert found["SERVER_NAME"] == "127.0.0.1"
    assert found["SERVER_PORT"] == str(server.port)
    assert found["SERVER_ADDR"] == "127.0.0.1"
    assert found["SERVER_ADMIN"] == "admin@example.com"
    assert found["SERVER_SOFTWARE"].startswith("Apache/2.4")
    assert found["REMOTE_ADDR"] == "127.0.0.1"
    assert found["REMOTE_PORT"].isdigit()
    assert found["SCRIPT_FILENAME"] == f"{server.directory}/apps/environ.py"
    assert len(found["UNIQUE_ID"]) > 20


@pytest.mark.compat("ENV-script-name", "MAP-slashes", "ENV-latin1")
@pytest.mark.parametrize("path, script_name, path_info", [
    ("/environ", "/environ", ""),
    ("/environ/", "/environ", "/"),
    ("/environ//a///b", "/environ", "/a/b"),
    ("//environ/a", "/environ", "/a"),
    ("/deep/mount/x", "/deep/mount", "/x"),
    ("/deep//mount/x", "/deep/mount", "/x"),
    ("/dir/environ.py/p", "/dir/environ.py", "/p"),
    ("/environ/%C3%A9%FF", "/environ", "/\u00c3\u00a9\u00ff"),
])
def test_mount_point_and_path_info(server, path, script_name, path_info):
    found = values(server, path)
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == (script_name, path_info)


@pytest.mark.compat("ENV-script-name", "MAP-root", "ENV-server-name")
@pytest.mark.parametrize("path", ["/", "/a/b", "/environ.py"])
def test_root_mount(server, path):
    found = values(server, path, {"Host": "rooted.example"})
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("", path)
    assert found["SERVER_NAME"] == found["HTTP_HOST"] == "rooted.example"


@pytest.mark.compat("ENV-request")
def test_query_string_is_there_when_empty(server):
    assert values(server)["QUERY_STRING"] == ""


@pytest.mark.compat("FIELD-names", "FIELD-others", "FIELD-content-type", "ENV-latin1")
def test_request_fields(server):
    found = values(server, headers={
        "Host": "localhost", "User-Agent": "tests/1", "Accept": "text/plain",
        "Cookie": "a=b", "X-Made-Up": "value", "X-Empty": "", "X-Latin": "caf\u00e9",
        "Content-Type": "text/x-test",
    })
    assert found["HTTP_HOST"] == "localhost"
    assert found["HTTP_USER_AGENT"] == "tests/1"
    assert found["HTTP_ACCEPT"] == "text/plain"
    assert found["HTTP_COOKIE"] == "a=b"
    assert found["HTTP_X_MADE_UP"] == "value"
    assert found["HTTP_X_EMPTY"] == ""
    assert found["HTTP_X_LATIN"] == "caf\u00e9"
    assert found["HTTP_CONNECTION"] == "close"
    assert found["CONTENT_TYPE"] == "text/x-test"
    assert "HTTP_CONTENT_TYPE" not in found


@pytest.mark.compat("FIELD-names")
def test_every_well_known_field_arrives_under_its_own_name(server):
    """The well-known names travel as numbers: a wrong number would be another name."""
    names = re.findall(r"WSGI_META\(HTTP_(\w+)\)", (env.ROOT / "include/wsgi_meta.def").read_text())
    special = {"HOST", "CONNECTION", "AUTHORIZATION", "EXPECT", "TRANSFER_ENCODING", "UPGRADE",
               "TE", "PROXY", "RANGE", "IF_MATCH", "IF_MODIFIED_SINCE", "IF_NONE_MATCH",
               "IF_RANGE", "IF_UNMODIFIED_SINCE"}
    names = [name for name in names if name not in special]
    assert len(names) > 30
    found = values(server, headers={name.replace("_", "-").title(): f"value of {name}"
                                    for name in names})
    assert {name: found.get(f"HTTP_{name}") for name in names} == \
        {name: f"value of {name}" for name in names}


@pytest.mark.compat("FIELD-content-length")
def test_content_length(server):
    assert "CONTENT_LENGTH" not in values(server)
    found = values(server, method="POST", body=b"12345")
    assert found["CONTENT_LENGTH"] == "5"
    assert "HTTP_CONTENT_LENGTH" not in found


@pytest.mark.compat("FIELD-repeated")
def test_repeated_fields_are_merged(server):
    with server.raw() as raw:
        raw.request("GET /environ", "X-Many: one", "X-Many: two", "Connection: close")
        assert b'"one, two"' in raw.read_to_end()


@pytest.mark.compat("FIELD-odd-names", "FIELD-proxy", "FIELD-authorization",
                    "FIELD-proxy-authorization")
def test_fields_that_could_deceive_are_dropped(server):
    found = values(server, headers={
        "X_Under": "spoofed", "X.Dot": "spoofed", "Proxy": "http://evil.example",
        "Authorization": "Basic c2VjcmV0", "Proxy-Authorization": "Basic c2VjcmV0",
    })
    assert "spoofed" not in found.values()
    for key in ("HTTP_PROXY", "HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION"):
        assert key not in found


@pytest.mark.compat("FIELD-odd-names")
def test_underscore_does_not_pass_for_a_dash(server):
    found = values(server, headers={"X-User": "right", "X_User": "wrong"})
    assert found["HTTP_X_USER"] == "right"


@pytest.mark.compat("FIELD-authorization")
def test_authorization_is_passed_where_httpd_is_told_so(server):
    found = values(server, "/pass-authorization", {"Authorization": "Basic dXNlcjpwYXNz"})
    assert found["HTTP_AUTHORIZATION"] == "Basic dXNlcjpwYXNz"


@pytest.mark.compat("ENV-httpd", "ENV-path")
def test_environment_of_httpd(server):
    found = values(server)
    assert found["SET_ENV"] == "value of SetEnv"
    assert found["EMPTY"] == ""
    assert found["PASSED"] == "value of PassEnv"
    assert "PATH" not in found
    assert values(server, "/authorized")["LOCATION"] == "authorized"


@pytest.mark.compat("ENV-forged")
def test_clients_cannot_forge_keys(server):
    found = values(server, headers={"mod_wsgi.process_group": "forged", "wsgi.url_scheme": "gopher",
                                    "Mod-Wsgi-Script-Name": "forged"})
    assert found["mod_wsgi.process_group"] in ("", "tests")
    assert found["wsgi.url_scheme"] == "http"
    assert found["mod_wsgi.script_name"] == "/environ"


@pytest.mark.compat("ENV-https", "ENV-scheme")
def test_scheme_follows_the_https_variable(server):
    assert values(server)["wsgi.url_scheme"] == "http"
    found = values(server, headers={"X-Secure": "yes"})
    assert found["wsgi.url_scheme"] == "https"
    assert "HTTPS" not in found


@pytest.mark.compat("ENV-wsgi-version", "ENV-input-terminated", "ENV-run-once", "ENV-multithread",
                    "ENV-multiprocess", "ENV-file-wrapper")
def test_wsgi_keys(server, mode):
    found = values(server)
    assert found["wsgi.version"] == [1, 0]
    assert found["wsgi.input_terminated"] is True
    assert found["wsgi.run_once"] is False
    assert found["wsgi.multithread"] is (mode == "daemon" or env.MPM != "prefork")
    assert found["wsgi.multiprocess"] is (mode == "embedded")
    assert "FileWrapper" in found["wsgi.file_wrapper"]


@pytest.mark.compat("ENV-versions", "ENV-groups", "ENV-callable", "ENV-handler", "ENV-raw-path",
                    "ENV-listener", "ENV-server-pid", "ENV-thread-id", "NAME-resource",
                    "NAME-global")
def test_apache_and_mod_wsgi_keys(server, mode):
    reply = server.get("/environ/p").json()
    found = {key: value for key, (_, value) in reply.items()}
    assert found["apache.version"][:2] == [2, 4]
    assert found["mod_wsgi.version"] == [6, 0, 5]
    assert found["mod_wsgi.process_group"] == ("" if mode == "embedded" else "tests")
    assert found["mod_wsgi.application_group"] == f"localhost:{server.port}|/environ"
    assert found["mod_wsgi.callable_object"] == "application"
    assert found["mod_wsgi.request_handler"] == "wsgi-script"
    assert found["mod_wsgi.handler_script"] == ""
    assert found["mod_wsgi.script_name"] == "/environ"
    assert found["mod_wsgi.path_info"] == "/p"
    assert found["mod_wsgi.listener_host"] == "127.0.0.1"
    assert found["mod_wsgi.listener_port"] == str(server.port)
    assert int(found["mod_wsgi.server_pid"]) in server.httpd_children()
    assert found["mod_wsgi.thread_id"] >= 1
    assert found["mod_wsgi.request_id"] != ""
    assert found["mod_wsgi.connection_id"] != ""
    assert values(server, "/with-group")["mod_wsgi.application_group"] == ""


@pytest.mark.compat("ENV-times", "ENV-times-daemon")
def test_times_stand_in_order(server, mode):
    found = values(server)
    assert 0 < found["mod_wsgi.request_start"] <= found["mod_wsgi.application_start"]
    assert found["mod_wsgi.application_start"] <= found["now"]
    assert found["now"] - found["mod_wsgi.request_start"] < 10
    if mode == "embedded":
        assert found["mod_wsgi.queue_start"] == found["mod_wsgi.daemon_start"] == 0.0
    else:
        assert (found["mod_wsgi.request_start"] <= found["mod_wsgi.queue_start"]
                <= found["mod_wsgi.daemon_start"] <= found["mod_wsgi.application_start"])


@pytest.mark.compat("ENV-internal")
def test_nothing_internal_shows(server):
    assert [key for key in values(server) if key.startswith("mod_wsgi.x-")] == []


@pytest.mark.compat("ENV-fresh")
def test_every_request_has_its_own(server):
    assert "HTTP_X_ONCE" in values(server, headers={"X-Once": "1"})
    assert "HTTP_X_ONCE" not in values(server)


def test_many_and_long_fields(server):
    headers = {f"X-Field-{number}": "v" * 4000 for number in range(60)}
    found = values(server, "/environ?" + "q" * 4000, headers)
    assert all(found[f"HTTP_X_FIELD_{number}"] == "v" * 4000 for number in range(60))
    assert len(found["QUERY_STRING"]) == 4000
