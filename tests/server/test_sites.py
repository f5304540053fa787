"""Two real sites, Django and Flask as Debian has them, side by side in one httpd."""

import hashlib
import http.client
import re
import subprocess
import threading

import env
import pytest
from browser import Browser

DATA = bytes(range(256)) * 1024
MORE_DATA = DATA * 12  # 3 MiB: Django and Flask put it into a temporary file
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
    page = browser.get("/django/admin/shop/item/add/")
    assert name.encode() in page.body
    reply = browser.post("/django/admin/shop/item/add/", {
        "csrfmiddlewaretoken": csrf_token(page), "name": f"of {name}"})
    assert (reply.status, reply.header("Location")) == (302, "/django/admin/shop/item/")
    page = browser.get("/django/admin/shop/item/")
    assert f"of {name}</a>" in page.body.decode()
    browser.get("/django/admin/logout/")
    assert browser.get("/django/admin/shop/item/").status == 302


@pytest.mark.parametrize("accepts, language, title", [
    ("de-AT, en;q=0.5", "de", "Anmelden"), ("xx, fr;q=0.1", "fr", "Connexion"),
    ("xx", "en", "Log in"), ("ja;q=0.2, ru", "ru", "\u0412\u043e\u0439\u0442\u0438")])
def test_django_speaks_the_client_s_language(browser, accepts, language, title):
    page = browser.get("/django/admin/login/", {"Accept-Language": accepts})
    assert page.header("Content-Language") == language
    assert f"<title>{title} |" in page.body.decode()


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
    token = csrf_token(browser.get("/django/items"))
    forged = token[::-1]
    assert browser.post("/django/items", {"csrfmiddlewaretoken": forged,
                                          "name": "forged"}).status == 403


@pytest.mark.parametrize("data, is_on_disk", [(DATA, False), (MORE_DATA, True)],
                         ids=["small", "beyond-2.5MiB"])
def test_django_upload(browser, data, is_on_disk):
    token = csrf_token(browser.get("/django/upload"))
    found = browser.post("/django/upload", {"csrfmiddlewaretoken": token, "note": "n"}, data).json()
    assert found == {"name": "data.bin", "size": len(data), "note": "n",
                     "sha256": hashlib.sha256(data).hexdigest(),
                     "on disk": len(data) if is_on_disk else None}


def test_django_stream_and_file(server, browser):
    assert browser.get("/django/stream").body == b"".join(b"row %d\n" % n for n in range(1000))
    reply = browser.get("/django/download")
    path = server.directory / "django_site" / "shop" / "views.py"
    assert reply.body == path.read_bytes()
    assert reply.header("Content-Length") == str(path.stat().st_size)


@pytest.mark.parametrize("site, lines", [
    ("django", [b"first\n", b"second\n"]), ("flask", [b"first of 1\n", b"second of 1\n"])])
def test_lines_come_as_they_are_made(server, browser, site, lines):
    browser.get(f"/{site}/counter")
    note = server.note(f"{site}-has-read")
    with server.keep_alive() as session:
        session.connection.request("GET", f"/{site}/live?wait={note}", headers=browser.cookie())
        response = session.connection.getresponse()
        assert response.readline() == lines[0]
        note.touch()
        assert response.read() == lines[1]


def test_django_answers_its_own_404_and_redirects(browser):
    reply = browser.get("/django/nothing")
    assert (reply.status, b"Not Found" in reply.body) == (404, True)
    reply = browser.get("/django/go")
    assert (reply.status, reply.header("Location")) == (302, "/elsewhere")


def test_flask_template(browser):
    page = browser.get("/flask/?name=Zo%C3%AB%20%3Cb%3E")
    assert page.header("Content-Type") == "text/html; charset=utf-8"
    assert "<p>Gr\u00fc\u00dfe an Zo\u00eb &lt;b&gt;</p>" in page.body.decode()


@pytest.mark.parametrize("data", [DATA, MORE_DATA], ids=["small", "3MiB"])
def test_flask_upload(browser, data):
    found = browser.post("/flask/upload", {"note": "n"}, data).json()
    assert found == {"name": "data.bin", "size": len(data), "note": "n",
                     "sha256": hashlib.sha256(data).hexdigest()}


def test_flask_refuses_what_is_too_much(browser):
    assert browser.post("/flask/upload", {"note": "n"}, MORE_DATA * 2).status == 413


def test_flask_json(browser):
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


def test_flask_error_handler(browser):
    reply = browser.get("/flask/order/%E2%82%AC")
    assert (reply.status, reply.header("Retry-After")) == (409, "60")
    assert reply.json() == {"missing": "\u20ac"}


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
