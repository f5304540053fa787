"""From a URL to a script, and from a script to who serves it: aliases in their order, handlers,
.htaccess, virtual hosts, and what stands in front of Python."""

import base64
import subprocess

import env
import pytest

ENVIRON = "${apps}/environ.py"

CONFIG = f"""
TypesConfig /dev/null
DocumentRoot "${{root}}/site"
DirectoryIndex index.wsgi
Alias /static "${{root}}/site"
WSGIScriptAlias /static/never {ENVIRON}
WSGIScriptAlias /first/deeper {ENVIRON} callable-object=never
WSGIScriptAlias /first {ENVIRON}
WSGIScriptAlias /first/shadowed {ENVIRON} callable-object=never
WSGIScriptAlias /directory/ "${{apps}}/"
WSGIScriptAliasMatch ^/match/([a-z]+)\\.do "${{apps}}/$1.py"
WSGIScriptAlias /main {ENVIRON} application-group=%{{GLOBAL}}
WSGIScriptAlias /site-wide {ENVIRON} application-group=%{{SERVER}}
WSGIScriptAlias /named {ENVIRON} "application-group=a name"
WSGIScriptAlias /other-callable "${{scripts}}/callables.py" callable-object=second
WSGIScriptAlias /limited {ENVIRON}
ErrorDocument 410 /first/gone
Redirect gone /was-here
<Location /limited>
    LimitRequestBody 10
</Location>
<Location /with-authorization>
    WSGIPassAuthorization On
</Location>
WSGIScriptAlias /with-authorization {ENVIRON}
<Directory "${{root}}/site">
    AllowOverride FileInfo
    <Files *.wsgi>
        Options +ExecCGI
    </Files>
    AddHandler wsgi-script .wsgi .closed
    <Files *.closed>
        Options -ExecCGI
    </Files>
</Directory>
<Directory "${{root}}/site/indexed">
    DirectoryIndex /main/index
</Directory>
<Directory "${{root}}/site/typed">
    Options +ExecCGI
    AddType application/x-httpd-wsgi .page
</Directory>
"""

SHOW = """
import json

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({key: value for key, value in environ.items()
                        if isinstance(value, str)}).encode()]
"""

CALLABLES = """
def second(environ, start_response):
    start_response("200 OK", [])
    return [b"second"]
"""


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, config=CONFIG, modules=("alias", "dir", "mime"), start=False)
    site = server.directory / "site"
    for path, text in {"index.wsgi": SHOW, "locked.closed": SHOW, "typed/show.page": SHOW,
                       "indexed/empty": "",
                       "plain.txt": "plain", "lower/index.wsgi": CALLABLES,
                       "lower/.htaccess": "WSGICallableObject second\n",
                       "forbidden/.htaccess": "WSGIProcessGroup x\n",
                       "forbidden/index.wsgi": SHOW}.items():
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    for path in [site, *site.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    server.script("callables.py", CALLABLES)
    return server.start()


def shown(reply):
    """The environ, by key; whichever of the two applications showed it."""
    assert reply.status == 200, reply
    return {key: value[1] if isinstance(value, list) else value
            for key, value in reply.json().items()}


def split(environ):
    return environ["SCRIPT_NAME"], environ["PATH_INFO"]


# ---- aliases

@pytest.mark.compat("DIR-scriptalias", "DIR-scriptaliasmatch", "MAP-slashes", "MAP-rest",
                    "MAP-directory", "MAP-match-rest", "MAP-handler", "MERGE-alias-order",
                    "ENV-script-name")
@pytest.mark.parametrize("url, script_name, path_info", [
    ("/first", "/first", ""),
    ("/first/", "/first", "/"),
    ("/first/a/b", "/first", "/a/b"),
    ("//first//a//b", "/first", "/a/b"),
    ("/first/shadowed/x", "/first", "/shadowed/x"),
    ("/directory/environ.py/more", "/directory/environ.py", "/more"),
    ("/match/environ.do/more", "/match/environ.do", "/more"),
])
def test_alias(server, url, script_name, path_info):
    assert split(shown(server.get(url))) == (script_name, path_info)


@pytest.mark.compat("MAP-prefix")
@pytest.mark.parametrize("url", ["/firstly", "/First", "/match/environ"])
def test_no_alias(server, url):
    assert server.get(url).status == 404


@pytest.mark.compat("MAP-after-alias")
def test_alias_of_the_core_wins(server):
    assert server.get("/static/plain.txt").body == b"plain"
    assert server.get("/static/never").status == 404


@pytest.mark.compat("MERGE-alias-order")
def test_earlier_and_deeper_alias_wins(server):
    server.expect("WSGI0089", "'never'")
    assert server.get("/first/deeper").status == 500


@pytest.mark.compat("DIR-scriptalias-options")
def test_callable_of_the_alias(server):
    assert server.get("/other-callable").body == b"second"


@pytest.mark.compat("NAME-global", "NAME-server", "NAME-resource", "DIR-scriptalias-options",
                    "DIR-applicationgroup", "CONF-option-quotes")
def test_application_groups(server):
    here = f"localhost:{server.port}"
    for url, name in [("/main", ""), ("/site-wide", here), ("/named", "a name"),
                      ("/first/x", f"{here}|/first")]:
        assert shown(server.get(url))["mod_wsgi.application_group"] == name


@pytest.mark.compat("DIR-passauthorization", "FIELD-authorization")
def test_authorization_is_passed_where_asked_for(server):
    words = {"Authorization": "Basic " + base64.b64encode(b"user:secret").decode()}
    assert "HTTP_AUTHORIZATION" not in shown(server.get("/first", words))
    environ = shown(server.get("/with-authorization", words))
    assert environ["HTTP_AUTHORIZATION"] == words["Authorization"]


@pytest.mark.compat("ENV-redirect", "ENV-request-uri")
def test_error_document_knows_the_first_request(server):
    environ = shown(server.get("/was-here?a=b"))
    assert environ["REQUEST_URI"] == "/was-here?a=b"
    assert split(environ) == ("/first", "/gone")
    assert environ["REDIRECT_URL"] == "/was-here"
    assert environ["REDIRECT_QUERY_STRING"] == "a=b"
    assert environ["REDIRECT_STATUS"] == "410"


# ---- handlers

@pytest.mark.compat("HANDLER-names", "HANDLER-index", "HANDLER-pathinfo", "ENV-handler")
def test_add_handler_and_directory_index(server):
    for url in ("/index.wsgi", "/"):
        environ = shown(server.get(url))
        assert split(environ) == ("/index.wsgi", "")
        assert environ["mod_wsgi.request_handler"] == "wsgi-script"
    assert split(shown(server.get("/index.wsgi/more"))) == ("/index.wsgi", "/more")


@pytest.mark.compat("HANDLER-index")
def test_directory_index_by_an_alias(server):
    """mod_dir tries it by a sub-request and goes on with that; the alias's options hold."""
    environ = shown(server.get("/indexed/?a=b"))
    assert split(environ) == ("/main", "/index")
    assert environ["mod_wsgi.application_group"] == ""


@pytest.mark.compat("HANDLER-names")
def test_media_type(server):
    environ = shown(server.get("/typed/show.page"))
    assert environ["mod_wsgi.request_handler"] == "application/x-httpd-wsgi"


@pytest.mark.compat("HANDLER-execcgi", "CHECK-execcgi")
def test_handler_needs_exec_cgi(server):
    server.expect("WSGI0134", "ExecCGI.*locked.closed")
    assert server.get("/locked.closed").status == 403


@pytest.mark.compat("CONF-fileinfo", "DIR-callableobject")
def test_htaccess(server):
    assert server.get("/lower/index.wsgi").body == b"second"


@pytest.mark.compat("CONF-dir", "CONF-misplaced")
def test_htaccess_cannot_choose_the_process_group(server):
    server.expect(".*", "WSGIProcessGroup not allowed here")
    assert server.get("/forbidden/index.wsgi").status == 500


# ---- request bodies that no application sees

@pytest.mark.compat("CHECK-limit")
def test_body_over_the_limit(server):
    server.expect("WSGI1520", "11 bytes is over LimitRequestBody 10")
    assert server.post("/limited", b"x" * 10).status == 200
    assert server.post("/limited", b"x" * 11).status == 413


@pytest.mark.compat("CHECK-chunked")
def test_chunked_body(server):
    server.expect("WSGI0139")
    raw = server.raw()
    raw.request("POST /first", "Transfer-Encoding: chunked", "Connection: close")
    raw.send("3\r\nabc\r\n0\r\n\r\n")
    assert raw.read_head()[0] == 411
    raw.close()


# ---- virtual hosts and process groups

HOSTS = """
WSGIDaemonProcess everybody
<VirtualHost *:${port}>
    ServerName one.example
    WSGIDaemonProcess of-one
    WSGIScriptAlias /own "${apps}/environ.py" process-group=of-one
    WSGIScriptAlias /shared "${apps}/environ.py" process-group=everybody
    WSGIScriptAlias /foreign "${apps}/environ.py" process-group=of-two
    WSGIScriptAlias /hello "${apps}/environ.py" process-group=everybody
    <Location /expanded>
        WSGIProcessGroup %{SERVER}
    </Location>
    WSGIScriptAlias /expanded "${apps}/environ.py"
</VirtualHost>
<VirtualHost *:${port}>
    ServerName two.example
    WSGIDaemonProcess of-two
    WSGIProcessGroup of-two
    <Location /environ>
        WSGIProcessGroup %{GLOBAL}
    </Location>
</VirtualHost>
<VirtualHost *:${port}>
    ServerName two.example
    ServerAlias twin.example
</VirtualHost>
"""


@pytest.fixture(scope="module")
def hosts(launch):
    return launch("embedded", config=HOSTS)


def group_of(server, host, url):
    return shown(server.get(url, {"Host": host}))["mod_wsgi.process_group"]


@pytest.mark.compat("GROUP-share", "DIR-processgroup", "GROUP-place")
def test_group_of_a_virtual_host(hosts):
    assert group_of(hosts, "one.example", "/own") == "of-one"
    assert group_of(hosts, "one.example", "/shared") == "everybody"


@pytest.mark.compat("MERGE-alias-order")
def test_alias_of_the_virtual_host_comes_before_the_main_servers(hosts):
    assert group_of(hosts, "one.example", "/hello") == "everybody"


@pytest.mark.compat("MERGE-alias-order")
def test_alias_of_the_main_server_holds_in_a_virtual_host(hosts):
    assert group_of(hosts, "one.example", "/environ") == ""
    assert hosts.get("/hello", {"Host": "two.example"}).status == 200


@pytest.mark.compat("MERGE-vhost")
def test_directory_setting_beats_the_servers(hosts):
    assert group_of(hosts, "two.example", "/environ") == ""


@pytest.mark.compat("GROUP-share", "CHECK-group-foreign")
def test_group_of_another_virtual_host(hosts):
    hosts.expect("WSGI0151", "'of-two'")
    assert hosts.get("/foreign", {"Host": "one.example"}).status == 500


@pytest.mark.compat("CHECK-group-unknown")
def test_expanded_name_of_no_group(hosts):
    hosts.expect("WSGI0150", f"'one.example:{hosts.port}'")
    assert hosts.get("/expanded", {"Host": f"one.example:{hosts.port}"}).status == 500


# ---- what costs nothing where it is not needed

@pytest.mark.compat("LIFE-children", "LOG-life")
def test_children_start_python_only_where_an_application_may_run(launch_once, mode):
    server = launch_once(mode, single_child=True)
    children = server.httpd_children()
    server.get("/hello")
    server.stop()
    ended = [line for line in server.log.text().splitlines() if "Python has ended" in line]
    is_in_child = any(f"[pid {pid}:" in line for pid in children for line in ended)
    assert is_in_child == (mode == "embedded")


# ---- ways out

# mod_http2 refuses to work under prefork; the same answer is cut by HTTP/1.1 there.
IS_HTTP2 = env.MPM != "prefork"
CURL = ["--http2-prior-knowledge"] if IS_HTTP2 else ["--http1.1"]
STREAM_ERROR, PARTIAL_FILE = 92, 18


@pytest.mark.compat("RESP-truncated", "RESP-truncated-daemon")
def test_a_cut_answer_is_seen_as_such(launch_once, mode):
    server = launch_once(mode, modules=["http2"] if IS_HTTP2 else [],
                         config="Protocols h2c http/1.1")
    server.expect("WSGI0174")
    server.expect_output("late")
    url = server.script("late.py", """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"early"
    raise ValueError("late")
""")
    done = subprocess.run(["curl", "-s", "-m", "20", *CURL,
                           f"http://127.0.0.1:{server.port}{url}"], stdout=subprocess.PIPE)
    assert done.returncode == (STREAM_ERROR if IS_HTTP2 else PARTIAL_FILE), done


@pytest.mark.compat("FILE-position")
def test_file_by_sendfile(launch_once, mode):
    server = launch_once(mode, config="EnableSendfile On\nEnableMMAP On")
    content = bytes(range(256)) * 5000
    path = server.directory / "notes" / "content"
    path.write_bytes(content)
    url = server.script("send.py", f"""
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    file = open({str(path)!r}, "rb")
    file.seek(1000)
    return environ["wsgi.file_wrapper"](file)
""")
    assert server.get(url).body == content[1000:]
