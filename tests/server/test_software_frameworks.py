"""Pyramid, Bottle, Falcon and CherryPy as Debian has them, each through features of its own: four
sites in one httpd, each in its own application group."""

import base64
import gzip
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from browser import Browser

SITES = ["pyramid", "bottle", "falcon", "cherrypy"]
DATA = bytes(range(256)) * 12288  # 3 MiB
STATIC = b"A static file of this site.\n0123456789\n"


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, start=False, daemon="processes=2 threads=4", config="".join(
        f'WSGIScriptAlias /{site} "${{root}}/{site}_site/wsgi.py"\n' for site in SITES)
        + "WSGIPassAuthorization On\nWSGIChunkedRequest Buffer\n")
    for site in SITES:
        server.site(f"{site}_site")
    return server.start()


@pytest.fixture
def browser(server):
    return Browser(server)


def count(browser, site):
    found = browser.get(f"/{site}/counter").json()
    return found["count"] if isinstance(found, dict) else found


def basic(user, password):
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


# ---- what all of them can do

@pytest.mark.parametrize("site", SITES)
def test_cookies_or_session_count(browser, site):
    assert [count(browser, site) for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("site", SITES)
def test_upload(browser, site):
    """3 MiB: into a temporary file where the framework has them."""
    found = browser.post(f"/{site}/upload", {"note": "n"}, DATA).json()
    assert found == {"name": "data.bin", "size": len(DATA), "note": "n",
                     "sha256": hashlib.sha256(DATA).hexdigest()}


@pytest.mark.parametrize("site", SITES)
def test_stream(browser, site):
    reply = browser.get(f"/{site}/stream")
    assert reply.header("Content-Length") is None
    assert reply.body == b"".join(b"row %d\n" % number for number in range(1000))


@pytest.mark.parametrize("site", ["pyramid", "falcon", "cherrypy"])
def test_download(server, browser, site):
    path = server.directory / f"{site}_site" / "wsgi.py"
    reply = browser.get(f"/{site}/download")
    assert reply.body == path.read_bytes()
    assert reply.header("Content-Length") == str(path.stat().st_size)


@pytest.mark.parametrize("site, path", [
    ("pyramid", "static/file.txt"), ("pyramid", "download"), ("bottle", "static/file.txt"),
    ("falcon", "static/file.txt"), ("cherrypy", "static/file.txt")])
def test_static_file(server, browser, site, path):
    """Whole, a part, its head, and again only where it has changed."""
    url = f"/{site}/{path}"
    whole = browser.get(url)
    expected = STATIC if path == "static/file.txt" else (
        server.directory / f"{site}_site" / "wsgi.py").read_bytes()
    assert (whole.status, whole.body) == (200, expected)
    with server.keep_alive() as session:
        head = session.request("HEAD", url)
        assert (head.status, head.header("Content-Length")) == (200, str(len(expected)))
        if (site, path) != ("pyramid", "static/file.txt"):
            part = session.get(url, {"Range": "bytes=2-7"})
            assert (part.status, part.body) == (206, expected[2:8])
            assert part.header("Content-Range") == f"bytes 2-7/{len(expected)}"
        if site != "falcon":
            again = session.get(url, {"If-Modified-Since": whole.header("Last-Modified")})
            assert (again.status, again.body) == (304, b"")
        assert session.get(url).body == expected


@pytest.mark.parametrize("site", SITES)
def test_error_is_500_and_in_the_log(server, browser, site):
    server.expect_output("ZeroDivisionError: on purpose", count=1)
    if site == "pyramid":  # it leaves to us what no view of its takes
        server.expect("WSGI0174")
    assert browser.get(f"/{site}/error").status == 500
    assert browser.get(f"/{site}/stream").status == 200


@pytest.mark.parametrize("site", SITES)
def test_unknown_path_is_404(browser, site):
    assert browser.get(f"/{site}/no/such/thing").status == 404


@pytest.mark.parametrize("site, body", [
    ("pyramid", b'{"missing": "\\u20ac"}'), ("falcon", b'{"missing": "\xe2\x82\xac"}')])
def test_exceptions_with_an_answer_of_their_own(browser, site, body):
    reply = browser.get(f"/{site}/order/%E2%82%AC")
    assert (reply.status, reply.body) == (409, body)


# ---- Pyramid

def test_pyramid_makes_urls_below_its_mount_point(server, browser):
    reply = browser.get("/pyramid/counter")
    assert reply.json()["at"] == f"http://127.0.0.1:{server.port}/pyramid/counter"
    assert reply.header("X-Tween") == "/pyramid/counter"


def test_pyramid_predicates_choose_the_view(browser):
    assert browser.get("/pyramid/items/K%C3%A4se/a/b").body.decode() == "K\u00e4se and a/b"
    assert browser.get("/pyramid/items/x/a/b?json").json() == {"name": "x", "rest": ["a", "b"]}
    assert browser.request("DELETE", "/pyramid/items/x/a/b").status == 404


def test_pyramid_lets_members_in(browser):
    reply = browser.get("/pyramid/members")
    assert reply.status == 302
    assert reply.header("Location").endswith("/pyramid/login?next=%2Fpyramid%2Fmembers")
    login = "/pyramid/login?next=/pyramid/members"
    token = browser.get(login).body.decode()
    assert browser.post(login, {"user": "Zo\u00eb", "csrf_token": "forged"}).status == 400
    assert browser.get("/pyramid/members").status == 302
    reply = browser.post(login, {"user": "Zo\u00eb", "csrf_token": token})
    assert reply.status == 303
    assert browser.get("/pyramid/members").body.decode() == "only for Zo\u00eb"


# ---- Bottle

def test_bottle_routes_and_templates(browser):
    reply = browser.get("/bottle/items/12/a/b")
    assert reply.json() == {"number": 12, "rest": "a/b", "script": "/bottle/"}
    assert reply.header("X-Hook") == "/items/12/a/b"
    assert browser.get("/bottle/items/twelve/a").status == 404
    assert browser.get("/bottle/hello/Zo%C3%AB%20%3Cb%3E").body.decode() == \
        "Gr\u00fc\u00dfe an Zo\u00eb &lt;b&gt;"


def test_bottle_mounts_an_application(browser):
    assert browser.get("/bottle/inner/where").body == b"/bottle/inner/ /where"


def test_bottle_redirects_below_its_mount_point(server, browser):
    reply = browser.get("/bottle/go")
    assert reply.status == 303
    assert reply.header("Location") == f"http://127.0.0.1:{server.port}/bottle/counter"


def test_bottle_error_page(browser):
    reply = browser.get("/bottle/gone")
    assert (reply.status, reply.body) == (410, b"the site says: It was here")


# ---- Falcon

def test_falcon_converts_and_lists(browser):
    reply = browser.get("/falcon/items/12?size=1&size=2")
    assert reply.json()["sizes"] == [1, 2]
    assert (reply.json()["number"], reply.json()["path"]) == (12, "/items/12")
    assert reply.json()["prefix"].endswith("/falcon")
    assert reply.header("X-Middleware") == "Item True"
    assert browser.get("/falcon/items/twelve").status == 404


def test_falcon_media_and_methods(server, browser):
    reply = browser.request("PUT", "/falcon/items/3", b'{"a": "\\u00e4"}',
                            {"Content-Type": "application/json"})
    assert (reply.status, reply.json()) == (201, {"number": 3, "was": {"a": "\u00e4"}})
    assert reply.header("Location") == f"http://127.0.0.1:{server.port}/falcon/items/3"
    reply = browser.request("DELETE", "/falcon/items/3")
    assert (reply.status, reply.header("Allow")) == (405, "GET, PUT, OPTIONS")
    assert browser.request("OPTIONS", "/falcon/items/3").header("Allow") == "GET, PUT"
    reply = browser.request("PUT", "/falcon/items/3", b"{", {"Content-Type": "application/json"})
    assert (reply.status, reply.json()["title"]) == (400, "Invalid JSON")
    reply = browser.request("PUT", "/falcon/items/3", b"<a/>", {"Content-Type": "text/xml"})
    assert reply.status == 415


def test_falcon_knows_what_the_client_has(browser):
    etag = browser.get("/falcon/items/3/etag").header("ETag")
    assert etag == '"item-3"'
    reply = browser.get("/falcon/items/3/etag", {"If-None-Match": etag})
    assert (reply.status, reply.body) == (304, b"")


def test_falcon_hook_asks_who_it_is(browser):
    reply = browser.get("/falcon/private")
    assert (reply.status, reply.header("WWW-Authenticate")) == (401, "Token")
    assert reply.json()["title"] == "Who is there?"
    assert browser.get("/falcon/private", {"X-User": "me"}).body == b"only for me"


def test_falcon_sink(browser):
    assert browser.request("PATCH", "/falcon/sink/a/b").body == b"down the sink: a/b"


def test_falcon_reads_a_body(browser):
    reply = browser.request("POST", "/falcon/raw", DATA)
    assert reply.json() == {"size": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest()}


# ---- CherryPy

def test_cherrypy_method_dispatcher_and_json(server, browser):
    assert browser.get("/cherrypy/item/12?size=big").json() == {
        "number": "12", "size": "big", "at": f"http://127.0.0.1:{server.port}/cherrypy/item/12"}
    reply = browser.request("PUT", "/cherrypy/item/3", b'{"a": "\\u00e4"}',
                            {"Content-Type": "application/json"})
    assert (reply.status, reply.json()) == (201, {"number": "3", "was": {"a": "\u00e4"}})
    assert browser.request("DELETE", "/cherrypy/item/3").status == 405
    assert browser.request("PUT", "/cherrypy/item/3", b"{",
                           {"Content-Type": "application/json"}).status == 400


def test_cherrypy_gzip(browser):
    reply = browser.get("/cherrypy/packed", {"Accept-Encoding": "gzip"})
    assert reply.header("Content-Encoding") == "gzip"
    assert gzip.decompress(reply.body) == b"often " * 10000
    assert browser.get("/cherrypy/packed").body == b"often " * 10000


def test_cherrypy_etag(browser):
    etag = browser.get("/cherrypy/static/file.txt").header("ETag")
    reply = browser.get("/cherrypy/static/file.txt", {"If-None-Match": etag})
    assert (reply.status, reply.body) == (304, b"")


def test_cherrypy_redirects_below_its_mount_point(server, browser):
    reply = browser.get("/cherrypy/go")
    assert reply.status == 303
    assert reply.header("Location") == f"http://127.0.0.1:{server.port}/cherrypy/counter"


def test_cherrypy_error_page(browser):
    reply = browser.get("/cherrypy/nothing")
    assert reply.status == 404
    assert reply.body.strip() == b"the site says: The path '/cherrypy/nothing' was not found."


@pytest.mark.parametrize("site, user", [("bottle", "us\u00e9r"), ("cherrypy", "user")])
def test_basic_authentication_by_the_application(browser, site, user):
    url = f"/{site}/private"
    reply = browser.get(url)
    assert (reply.status, reply.header("WWW-Authenticate").split()[0]) == (401, "Basic")
    assert browser.get(url, basic(user, "wrong")).status == 401
    reply = browser.get(url, basic(user, "secret"))
    assert (reply.status, reply.body.decode()) == (200, f"only for {user}")


# ---- all at once

def test_all_at_once(server):
    """Two clients per site, each with its own session."""
    def visit(site):
        browser = Browser(server)
        return [count(browser, site) for _ in range(10)]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(visit, SITES * 2)) == [list(range(1, 11))] * 8


# ---- a chunked body: Bottle would read the chunks itself, and Falcon nothing without a length

def chunks(data, size=8192):
    return (data[at:at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("method, path", [
    ("PUT", "/falcon/items/3"), ("PUT", "/cherrypy/item/3"), ("PUT", "/bottle/json")])
def test_chunked_body(browser, method, path):
    value = {"a": "b" * 100000}
    reply = browser.request(method, path, chunks(json.dumps(value).encode()),
                            {"Content-Type": "application/json"})
    assert reply.json() in (value, {"number": "3", "was": value}, {"number": 3, "was": value})
