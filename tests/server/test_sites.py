"""Two real sites, Django and Flask as Debian has them, side by side in one httpd."""

import hashlib
import http.client
import re
import subprocess
import threading
from http.cookies import SimpleCookie

import env
import pytest

DATA = bytes(range(256)) * 1024
SITES = """
WSGIScriptAlias /django "${{root}}/django_site/wsgi.py"{options}
WSGIScriptAlias /flask "${{root}}/flask_site/wsgi.py"{options}
"""
APPLICATION_GROUPS = ["", " application-group=%{GLOBAL}"]


@pytest.fixture(scope="module", params=APPLICATION_GROUPS, ids=["own-interpreters", "main"])
def server(launch, mode, request):
    config = SITES.format(options=request.param)
    path = "${root}/django_site"
    if mode == "embedded":
        config += f'WSGIPythonPath "{path}"\n'
    server = launch(mode, start=False, config=config,
                    daemon=f'processes=2 threads=4 "python-path={path}"')
    directory = server.site("django_site")
    server.site("flask_site")
    identity = dict(user=env.USER, group=env.USER, extra_groups=[]) if env.IS_ROOT else {}
    subprocess.run(["/usr/bin/python3", "-B", "manage.py", "migrate", "-v", "0"], cwd=directory,
                   check=True, **identity)
    return server.start()


class Browser:
    """Keeps cookies and follows nothing."""

    def __init__(self, server):
        self.server, self.cookies = server, SimpleCookie()

    def request(self, method, path, body=None, headers=()):
        headers = dict(headers)
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{key}={morsel.value}"
                                          for key, morsel in self.cookies.items())
        reply = self.server.request(method, path, body, headers, timeout=60 * env.PATIENCE)
        for line in reply.header_all("Set-Cookie"):
            self.cookies.load(line)
        return reply

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, fields, file=None):
        """A form as multipart/form-data."""
        parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
                 for name, value in fields.items()]
        if file is not None:
            parts.append(b'Content-Disposition: form-data; name="file"; filename="data.bin"\r\n'
                         b"Content-Type: application/octet-stream\r\n\r\n" + file)
        body = b"".join(b"--limit\r\n" + part + b"\r\n" for part in parts) + b"--limit--\r\n"
        return self.request("POST", path, body,
                            {"Content-Type": "multipart/form-data; boundary=limit"})


@pytest.fixture
def browser(server):
    return Browser(server)


def csrf_token(reply):
    return re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', reply.body).group(1).decode()


@pytest.mark.parametrize("site", ["django", "flask"])
def test_session_counts(browser, site):
    assert [browser.get(f"/{site}/counter").body for _ in range(3)] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("site", ["django", "flask"])
def test_error_is_500_and_in_the_log(server, browser, site):
    server.expect_output("ZeroDivisionError: on purpose", count=1)
    assert browser.get(f"/{site}/error").status == 500


def test_django_admin_login_page(browser):
    reply = browser.get("/django/admin/")
    assert reply.status == 302
    assert reply.header("Location") == "/django/admin/login/?next=/django/admin/"
    page = browser.get(reply.header("Location"))
    assert page.status == 200
    assert b"Django administration" in page.body
    assert b'name="password"' in page.body


def test_django_admin_login(server, browser):
    name = f"admin-{threading.get_ident()}-{server.port}"
    subprocess.run(
        ["/usr/bin/python3", "-B", "manage.py", "shell", "-c",
         "from django.contrib.auth.models import User; "
         f"User.objects.filter(username='{name}').exists() or "
         f"User.objects.create_superuser('{name}', password='secret')"],
        cwd=server.directory / "django_site", check=True,
        **(dict(user=env.USER, group=env.USER, extra_groups=[]) if env.IS_ROOT else {}))
    page = browser.get("/django/admin/login/")
    reply = browser.post("/django/admin/login/", {
        "csrfmiddlewaretoken": csrf_token(page), "username": name, "password": "secret",
        "next": "/django/admin/"})
    assert (reply.status, reply.header("Location")) == (302, "/django/admin/")
    page = browser.get("/django/admin/shop/item/")
    assert page.status == 200
    assert name.encode() in page.body


def test_django_form(server, browser):
    name = f"Stra\u00dfe {server.port}"
    token = csrf_token(browser.get("/django/items"))
    reply = browser.post("/django/items", {"csrfmiddlewaretoken": token, "name": name})
    assert reply.status == 302
    page = browser.get("/django/?a=b")
    assert f"<li>{name}</li>" in page.body.decode()
    assert "K\u00e4se &amp; Brot, over http at /django/?a=b" in page.body.decode()


def test_django_form_without_its_token_is_refused(browser):
    assert browser.post("/django/items", {"name": "forged"}).status == 403


def test_django_upload(browser):
    token = csrf_token(browser.get("/django/upload"))
    found = browser.post("/django/upload", {"csrfmiddlewaretoken": token, "note": "n"}, DATA).json()
    assert found == {"name": "data.bin", "size": len(DATA), "note": "n",
                     "sha256": hashlib.sha256(DATA).hexdigest()}


def test_django_stream_and_file(server, browser):
    assert browser.get("/django/stream").body == b"".join(b"row %d\n" % n for n in range(1000))
    reply = browser.get("/django/download")
    path = server.directory / "django_site" / "shop" / "views.py"
    assert reply.body == path.read_bytes()
    assert reply.header("Content-Length") == str(path.stat().st_size)


def test_django_answers_its_own_404_and_redirects(browser):
    reply = browser.get("/django/nothing")
    assert (reply.status, b"Not Found" in reply.body) == (404, True)
    reply = browser.get("/django/go")
    assert (reply.status, reply.header("Location")) == (302, "/elsewhere")


def test_flask_template(browser):
    page = browser.get("/flask/?name=Zo%C3%AB%20%3Cb%3E")
    assert page.header("Content-Type") == "text/html; charset=utf-8"
    assert "<p>Gr\u00fc\u00dfe an Zo\u00eb &lt;b&gt;</p>" in page.body.decode()


def test_flask_upload_and_json(browser):
    found = browser.post("/flask/upload", {"note": "n"}, DATA).json()
    assert found == {"name": "data.bin", "size": len(DATA), "note": "n",
                     "sha256": hashlib.sha256(DATA).hexdigest()}
    reply = browser.request("POST", "/flask/json", b'{"a": [1, 2]}',
                            {"Content-Type": "application/json"})
    assert reply.json() == {"a": [1, 2]}


def test_flask_stream_and_file(server, browser):
    assert browser.get("/flask/stream?name=x").body == b"".join(
        b"row %d of x\n" % number for number in range(1000))
    reply = browser.get("/flask/download")
    assert reply.body == (server.directory / "flask_site" / "site_views.py").read_bytes()


def test_flask_404_is_the_site_s_own(browser):
    for path in ("/flask/gone", "/flask/nothing"):
        reply = browser.get(path)
        assert reply.status == 404
        assert f"There is no {path.removeprefix('/flask')} here" in reply.body.decode()


def test_flask_redirects_below_its_mount_point(browser):
    reply = browser.get("/flask/go")
    assert (reply.status, reply.header("Location")) == (302, "/flask/?name=redirected")


@pytest.mark.parametrize("site", ["django", "flask"])
def test_head(server, site):
    with server.keep_alive() as session:
        reply = session.request("HEAD", f"/{site}/")
        assert (reply.status, reply.body) == (200, b"")
        assert session.get(f"/{site}/").status == 200


def test_both_at_once(server):
    """Two clients per site, each with its own session."""
    wrong = []

    def visit(site):
        browser = Browser(server)
        for number in range(1, 11):
            try:
                body = browser.get(f"/{site}/counter").body
            except (OSError, http.client.HTTPException) as error:
                body = error
            if body != b"%d" % number:
                wrong.append((site, number, body))

    threads = [threading.Thread(target=visit, args=(site,)) for site in ["django", "flask"] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
