"""Applications beside httpd's modules for content: pages that include them, error documents,
rewritten URLs, indexes of directories, compressed answers."""

import zlib

import env
import pytest

TELL = '''
KEYS = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_URI",
        "CONTENT_LENGTH", "REDIRECT_STATUS", "REDIRECT_URL", "REDIRECT_QUERY_STRING",
        "REDIRECT_REQUEST_METHOD", "FOUND", "REDIRECT_FOUND")

def application(environ, start_response):
    body = environ["wsgi.input"].read()
    told = {key: environ[key] for key in KEYS if key in environ}
    start_response(environ.get("HTTP_X_STATUS", "200 OK"),
                   [("Content-Type", "text/html"), ("X-Own", "yes"), ("Set-Cookie", "a=b")])
    return [repr({**told, "body": body.decode()}).encode()]
'''

PAGE = '''
def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/html")])
    yield b"<" + body + b">"
    yield b"<!--#include virtual='/tell/one?a=b' -->"
    yield b"|<!--#include virtual='/tell/two' -->|end"
'''

STATUS = '''
def application(environ, start_response):
    status, _, how = environ["QUERY_STRING"].partition("&")
    if how == "read":
        environ["wsgi.input"].read()
    if status == "raise":
        raise ValueError("on purpose")
    start_response(status + " Own", [("Content-Type", "text/plain")])
    return [b"the application's own"]
'''

SLOW = '''
import time, os

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first "
    while not os.path.exists("PATH"):
        time.sleep(0.01)
    yield b"second"
'''

CONFIG = """
WSGIScriptAlias /tell "${scripts}/tell.py"
WSGIScriptAlias /page "${scripts}/page.py"
WSGIScriptAlias /status "${scripts}/status.py"
WSGIScriptAlias /overridden "${scripts}/status.py"
WSGIScriptAlias /failing "${scripts}/status.py"
WSGIScriptAlias /slow "${scripts}/slow.py"
WSGIScriptAlias /many "${apps}/response.py"
DocumentRoot "${root}/site"
TypesConfig /dev/null

# mod_include
<Directory "${root}/site">
    AllowOverride All
    Options +Includes +ExecCGI
    AddHandler wsgi-script .wsgi
    AddType text/html .shtml
    AddOutputFilter INCLUDES .shtml
</Directory>
<Location /page>
    Options +Includes
    SetOutputFilter INCLUDES
</Location>

# ErrorDocument
ErrorDocument 404 /tell/not-found?from=httpd
<LocationMatch "^/(status|overridden|failing)">
    ErrorDocument 404 /tell/of-the-application
    ErrorDocument 410 "a text of httpd"
</LocationMatch>
<Location /overridden>
    WSGIErrorOverride On
</Location>
<Location /failing>
    ErrorDocument 500 /failing/document?raise
</Location>

# mod_rewrite
RewriteEngine On
RewriteRule ^/pretty/(.*)$ /tell/$1?b=$1 [PT,QSA,E=FOUND:$1]
RewriteRule ^/by-handler$ "${scripts}/tell.py" [H=wsgi-script]
<Directory "${scripts}">
    Options +ExecCGI
</Directory>

# mod_dir
<Location /site-of-files/>
    DirectoryIndex missing.html index.wsgi
</Location>
<Location /site-of-mounts/>
    DirectoryIndex /tell/index
</Location>
WSGIScriptAlias /mount-of-files/ "${root}/site/site-of-files/"
<Location /fallback/>
    FallbackResource /tell
</Location>

# mod_deflate
<LocationMatch "^/(slow|many)">
    SetOutputFilter DEFLATE
</LocationMatch>
"""

MODULES = ["alias", "deflate", "dir", "filter", "include", "mime", "rewrite"]

SITE = {
    "page.shtml": "<!--#set var='FOUND' value='here' -->"
                  "begin|<!--#include virtual='/tell/one?a=b' -->|"
                  "<!--#include virtual='hello.wsgi/two' -->|end",
    "broken.shtml": "begin|<!--#include virtual='/failing?raise' -->|end",
    "big.shtml": "<!--#include virtual='/response/many?chunks=40' -->",
    "hello.wsgi": TELL,
    "site-of-files/index.wsgi": TELL,
    "site-of-files/plain.html": "plain",
    "site-of-mounts/plain.html": "plain",
    "fallback/plain.html": "plain",
    "front/front.wsgi": TELL,
    "front/.htaccess": "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\n"
                       "RewriteRule ^(.*)$ front.wsgi/$1 [QSA,PT,L,E=FOUND:$1]\n",
    "front/plain.html": "plain",
}


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, config=CONFIG, modules=MODULES, single_child=True, start=False)
    for name, source in (("tell.py", TELL), ("page.py", PAGE), ("status.py", STATUS),
                         ("slow.py", SLOW.replace("PATH", str(server.note("go-on"))))):
        server.script(name, source)
    for name, text in SITE.items():
        path = server.directory / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return server.start()


def told(text):
    """What tell.py says."""
    return eval(text)


def ask(server, path, method="GET", body=None, headers=(), status=200):
    reply = server.request(method, path, body, headers)
    assert reply.status == status, reply
    return told(reply.body.decode())


# ---- mod_include: sub-requests

def test_a_page_includes_applications(server):
    parts = server.get("/page.shtml").body.decode().split("|")
    assert (parts[0], parts[3]) == ("begin", "end")
    one, two = told(parts[1]), told(parts[2])
    assert (one["SCRIPT_NAME"], one["PATH_INFO"], one["QUERY_STRING"]) == ("/tell", "/one", "a=b")
    assert (two["SCRIPT_NAME"], two["PATH_INFO"]) == ("/hello.wsgi", "/two")
    assert one["REQUEST_URI"] == "/page.shtml", "the client's"
    assert one["FOUND"] == "here"


def test_an_application_includes_others(server):
    """The body is the first one's alone."""
    reply = server.post("/page", b"body")
    head, one, two, end = reply.body.decode().replace("{", "|{", 1).split("|")
    assert (head, end) == ("<body>", "end")
    for text, path in ((one, "/one"), (two, "/two")):
        inner = told(text)
        assert (inner["REQUEST_METHOD"], inner["PATH_INFO"], inner["body"]) == ("GET", path, "")
        assert "CONTENT_LENGTH" not in inner
    assert reply.header_all("Set-Cookie") == []
    assert server.get("/hello").body == b"Hello world\n"


def test_a_big_included_answer(server):
    assert len(server.get("/big.shtml").body) == 40 * 65536


def test_an_included_application_fails(server):
    server.expect("WSGI0174")
    server.expect_output("ValueError: on purpose")
    server.expect("", "unable to include \"/failing\\?raise\"")
    parts = server.get("/broken.shtml").body.decode().split("|")
    assert (parts[0], parts[2]) == ("begin", "end")
    assert "an error occurred" in parts[1]


# ---- ErrorDocument

@pytest.mark.parametrize("method, body", [("GET", None), ("POST", b"some body")])
def test_an_application_is_the_error_document(server, method, body):
    """What it answers is its own affair, the status too."""
    found = ask(server, "/nothing/here?c=d", method, body)
    assert (found["SCRIPT_NAME"], found["PATH_INFO"], found["QUERY_STRING"]) == (
        "/tell", "/not-found", "from=httpd")
    assert (found["REDIRECT_STATUS"], found["REDIRECT_URL"], found["REDIRECT_QUERY_STRING"]) == (
        "404", "/nothing/here", "c=d")
    assert found["REQUEST_URI"] == "/nothing/here?c=d"
    assert (found["REQUEST_METHOD"], found["body"]) == ("GET", "")
    found = ask(server, "/nothing", headers={"X-Status": "404 Not Here"}, status=404)
    assert found["REDIRECT_STATUS"] == "404"


def test_an_applications_error_without_override(server):
    reply = server.get("/status?404")
    assert (reply.status, reply.reason, reply.body) == (404, "Own", b"the application's own")


@pytest.mark.parametrize("method, how, size, left", [
    ("GET", "", 0, 0), ("POST", "", 200_000, 200_000), ("POST", "read", 200_000, 0),
    ("POST", "read", 9, 0),
])
def test_an_applications_error_with_override(server, mode, method, how, size, left):
    """In daemon mode only; embedded the answer is the application's own. The document can read
    what is left of the body."""
    with server.keep_alive() as session:
        reply = session.request(method, f"/overridden?404&{how}", b"x" * size or None)
        if mode == "embedded":
            assert (reply.status, reply.body) == (404, b"the application's own")
        else:
            found = told(reply.body.decode())
            assert (found["PATH_INFO"], found["REDIRECT_STATUS"], found["REDIRECT_URL"]) == (
                "/of-the-application", "404", "/overridden")
            assert (found["REQUEST_METHOD"], len(found["body"])) == ("GET", left)
        reply = session.get("/overridden?410")
        wanted = b"a text of httpd" if mode == "daemon" else b"the application's own"
        assert (reply.status, reply.body) == (410, wanted)
        assert session.get("/hello").body == b"Hello world\n"


def test_an_error_document_that_fails(server):
    server.expect("WSGI0174", count=2)
    server.expect_output("ValueError: on purpose")
    reply = server.get("/failing?raise")
    assert reply.status == 500
    assert b"Internal Server Error" in reply.body


# ---- mod_rewrite

def test_pass_through(server):
    found = ask(server, "/pretty/name?a=1")
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/tell", "/name")
    assert (found["QUERY_STRING"], found["FOUND"]) == ("b=name&a=1", "name")
    assert found["REQUEST_URI"] == "/pretty/name?a=1"


def test_a_handler_by_rewriting(server):
    assert ask(server, "/by-handler", "POST", b"body")["body"] == "body"


@pytest.mark.parametrize("method, body", [("GET", None), ("POST", b"body")])
def test_a_front_controller_in_htaccess(server, method, body):
    found = ask(server, "/front/some/path?a=1", method, body)
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/front/front.wsgi", "/some/path")
    assert (found["QUERY_STRING"], found["REDIRECT_URL"]) == ("a=1", "/front/some/path")
    assert "some/path" in (found.get("FOUND"), found.get("REDIRECT_FOUND"))
    assert (found["REQUEST_METHOD"], found["body"]) == (method, (body or b"").decode())
    assert server.get("/front/plain.html").body == b"plain"


# ---- mod_dir

def test_index_by_a_script(server):
    found = ask(server, "/site-of-files/?a=b")
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/site-of-files/index.wsgi", "")
    assert found["QUERY_STRING"] == "a=b"
    reply = server.get("/site-of-files?a=b")
    assert reply.status == 301 and reply.header("Location").endswith("/site-of-files/?a=b")


def test_index_by_a_mount(server):
    """DirectoryIndex may name a URL."""
    found = ask(server, "/site-of-mounts/?a=b")
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/tell", "/index")
    assert found["REQUEST_URI"] == "/site-of-mounts/?a=b"
    assert server.get("/site-of-mounts/plain.html").body == b"plain"


def test_a_mount_has_no_index(server):
    """Below a WSGIScriptAlias each file is a script, and the directory none."""
    assert ask(server, "/mount-of-files/index.wsgi/a")["PATH_INFO"] == "/a"
    server.expect("WSGI0136")
    assert server.get("/mount-of-files/").status == 403


def test_fallback_to_a_mount(server):
    found = ask(server, "/fallback/some/path?a=b")
    assert (found["SCRIPT_NAME"], found["QUERY_STRING"]) == ("/tell", "a=b")
    assert found["REQUEST_URI"] == "/fallback/some/path?a=b"
    assert server.get("/fallback/plain.html").body == b"plain"


# ---- mod_deflate

def test_compressed(server):
    reply = server.get("/many/many?chunks=20", {"Accept-Encoding": "gzip"})
    assert reply.header("Content-Encoding") == "gzip"
    assert len(reply.body) < 65536
    assert zlib.decompress(reply.body, 31) == b"0123456789abcdef" * 4096 * 20
    assert len(server.get("/many/many?chunks=20").body) == 20 * 65536


def test_a_compressed_answer_flows(server):
    """Each part reaches the client when the application has made it."""
    unpacker = zlib.decompressobj(31)
    with server.raw(10 * env.PATIENCE) as raw:
        raw.request("GET /slow", "Accept-Encoding: gzip")
        status, fields = raw.read_head()
        assert (status, fields["content-encoding"]) == (200, "gzip")
        text = b""
        while text != b"first ":
            text += unpacker.decompress(raw.read_chunk())
        server.note("go-on").touch()
        while not unpacker.eof:
            text += unpacker.decompress(raw.read_chunk())
    assert text == b"first second"
