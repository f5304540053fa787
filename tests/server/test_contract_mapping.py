"""The way from a URL to a script together with other modules of httpd, and what an answer meets on
its way back through their filters."""

import gzip

import pytest

ENVIRON = "${apps}/environ.py"
MODULES = ("alias", "deflate", "filter", "headers", "mime", "negotiation", "rewrite", "userdir",
           "vhost_alias")

CONFIG = f"""
TypesConfig /dev/null
DocumentRoot "${{root}}/site"
WSGIScriptAlias /mounted "{ENVIRON}"
WSGIScriptAliasMatch /anywhere/([a-z]+) "${{apps}}/$1.py"
WSGIScriptAlias /~somebody "{ENVIRON}"
UserDir "${{root}}/nowhere"
RewriteEngine On
RewriteRule ^/short/(.*) /mounted/long/$1 [PT]
RewriteRule ^/flagged - [E=BY_REWRITE:yes]
WSGIScriptAlias /flagged "{ENVIRON}"
WSGIHandlerScript ruled "${{scripts}}/handler.py"
RewriteRule ^/ruled - [H=ruled]
RewriteRule ^/page$ "${{root}}/site/page.wsgi"
RewriteRule ^/tree(/.*) "${{root}}/site/page.wsgi$1"
<Directory "${{root}}/site">
    Options +ExecCGI +MultiViews
    MultiviewsMatch Handlers
    AddHandler wsgi-script .wsgi
</Directory>
Alias /site "${{root}}/site"
<Location /compressed>
    SetOutputFilter DEFLATE
    Header set X-By-Headers yes
</Location>
WSGIScriptAlias /compressed "${{apps}}/response.py"
<VirtualHost *:${{port}}>
    ServerName localhost
    RewriteEngine On
    RewriteOptions Inherit
</VirtualHost>
<VirtualHost *:${{port}}>
    ServerName mass.example
    VirtualDocumentRoot "${{root}}/nowhere/%0"
    WSGIScriptAlias /mounted "{ENVIRON}"
</VirtualHost>
"""


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, config=CONFIG, modules=MODULES, start=False)
    site = server.directory / "site"
    site.mkdir()
    (site / "page.wsgi").write_text((server.directory / "apps" / "environ.py").read_text())
    return server.start()


def environ_of(server, url, headers=()):
    reply = server.get(url, headers)
    assert reply.status == 200, reply
    return {key: value for key, (_, value) in reply.json().items()}


def split(environ):
    return environ["SCRIPT_NAME"], environ["PATH_INFO"]


# ---- aliases

@pytest.mark.compat("MAP-before-userdir")
@pytest.mark.parametrize("host, url", [("localhost", "/~somebody"), ("mass.example", "/mounted")])
def test_alias_before_directories_by_name(server, host, url):
    assert split(environ_of(server, f"{url}/x", {"Host": host})) == (url, "/x")


@pytest.mark.compat("MAP-rewrite")
def test_rewritten_url(server):
    found = environ_of(server, "/short/way?a=b")
    assert split(found) == ("/mounted", "/long/way")
    assert found["REQUEST_URI"] == "/short/way?a=b"
    assert found["QUERY_STRING"] == "a=b"


@pytest.mark.compat("MAP-match-anywhere", "MAP-match-rest", "DIR-scriptaliasmatch")
def test_expression_in_the_middle_of_a_url(server):
    found = environ_of(server, "/some/where/anywhere/environ/and/more")
    assert split(found) == ("/some/where/anywhere/environ", "/and/more")
    assert found["SCRIPT_FILENAME"] == f"{server.directory}/apps/environ.py"


# ---- handlers

@pytest.mark.compat("HANDLER-multiviews")
def test_multiviews(server):
    assert split(environ_of(server, "/site/page"))[1] == ""
    assert environ_of(server, "/site/page")["SCRIPT_FILENAME"].endswith("/site/page.wsgi")


@pytest.mark.compat("HANDLER-rewrite")
def test_rewrite_to_the_file_of_a_script(server):
    """Values as mod_cgi has them: the URL as sent in REQUEST_URI; the script's name is all of the
    URL but the path info."""
    found = environ_of(server, "/page?a=b")
    assert found["REQUEST_URI"] == "/page?a=b"
    assert split(found) == ("/page", "")
    found = environ_of(server, "/tree/branch")
    assert found["REQUEST_URI"] == "/tree/branch"
    assert split(found) == ("/tree", "/branch")


@pytest.mark.compat("HSCRIPT-use")
def test_rewrite_to_a_handler(server):
    server.script("handler.py", """
def handle_request(environ, start_response):
    start_response("200 OK", [])
    return [environ["mod_wsgi.request_handler"].encode()]
""")
    assert server.get("/ruled/by/name").body == b"ruled"


# ---- environment

@pytest.mark.compat("ENV-httpd")
def test_variable_of_a_rewrite_rule(server):
    assert environ_of(server, "/flagged")["BY_REWRITE"] == "yes"


# ---- bodies that httpd judges

@pytest.mark.compat("CHECK-chunked-length")
def test_chunked_and_length_together(server):
    """httpd drops the length (RFC 9112), so the body is a chunked one; or refuses the request."""
    server.log.tolerate("WSGI0139|AH\\d+")
    with server.raw() as raw:
        raw.request("POST /mounted", "Transfer-Encoding: chunked", "Content-Length: 3",
                    "Connection: close")
        raw.send("3\r\nabc\r\n0\r\n\r\n")
        assert raw.read_head()[0] in (400, 411)


def assert_inflated(server):
    body = b"".join(b"%032x" % (number * number) for number in range(3000))
    packed = gzip.compress(body)
    found = server.post("/echo?how=chunks", packed, {"Content-Encoding": "gzip"}).json()
    assert found["CONTENT_LENGTH"] in (None, str(len(packed)))
    assert found["length"] == len(body)


INFLATE = {"modules": ("deflate",), "config": """
<Location /echo>
    SetInputFilter DEFLATE
</Location>
"""}


@pytest.mark.compat("BODY-filtered")
def test_an_input_filter_changes_the_length(launch_once):
    assert_inflated(launch_once("embedded", **INFLATE))


@pytest.mark.compat("BODY-filtered-daemon")
def test_an_input_filter_changes_the_length_for_a_daemon(launch_once):
    assert_inflated(launch_once("daemon", **INFLATE))


@pytest.mark.compat("BODY-limit-midway")
def test_a_chunked_body_over_the_limit(launch_once, mode):
    server = launch_once(mode, config="""
<Location /echo>
    WSGIChunkedRequest On
    LimitRequestBody 1000
</Location>
""")
    server.expect("WSGI0174")
    server.expect_output("OSError: mod_wsgi request data read error", count=1)
    server.tolerate("AH01588")  # httpd's own line about the limit
    with server.raw() as raw:
        raw.request("POST /echo?how=all", "Transfer-Encoding: chunked", "Connection: close")
        raw.send(b"5dc\r\n", b"x" * 1500, b"\r\n0\r\n\r\n")
        assert raw.read_head()[0] == 413


# ---- output

@pytest.mark.compat("REDIRECT-filters")
def test_answers_pass_filters(server):
    reply = server.get("/compressed/list-of-many", {"Accept-Encoding": "gzip"})
    assert reply.header("Content-Encoding") == "gzip"
    assert gzip.decompress(reply.body) == b"one two three"
    assert reply.header("X-By-Headers") == "yes"
