"""Scripts that cannot be used: a status, and one message that names the cause."""

import time

import env
import pytest

CONFIG = """
WSGIScriptAlias /missing "${root}/nowhere/missing.py"
WSGIScriptAlias /directory "${scripts}"
WSGIScriptAlias /other-name "${scripts}/other_name.py" callable-object=other
WSGIScriptAlias /outside /etc/passwd
<Location /scripts/no-path-info.py>
    AcceptPathInfo Off
</Location>
"""

LOAD_FAILED = "WSGI0174"
LOAD_EXITED = "WSGI0175"
NO_CALLABLE = "WSGI0089"
UNREADABLE = "WSGI1202"
NOT_CALLABLE = "WSGI1203"

GOOD = '''
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"good"]
'''


@pytest.fixture(scope="module")
def server(launch, mode):
    return launch(mode, config=CONFIG)


@pytest.mark.compat("CHECK-missing")
def test_missing(server):
    server.expect("WSGI0135", f"{server.directory}/nowhere")
    assert server.get("/missing").status == 404


@pytest.mark.compat("CHECK-missing")
def test_missing_in_an_aliased_directory(server):
    server.expect("WSGI0135", f"{server.directory}/scripts/nothing.py")
    assert server.get("/scripts/nothing.py").status == 404


@pytest.mark.compat("CHECK-directory")
def test_directory(server):
    server.expect("WSGI0136", f"{server.directory}/scripts")
    assert server.get("/directory").status == 403


@pytest.mark.compat("CHECK-pathinfo", "HANDLER-pathinfo")
def test_path_info_where_it_is_not_accepted(server):
    url = server.script("no-path-info.py", GOOD)
    server.expect("WSGI0137", "no-path-info.py")
    assert server.get(url).body == b"good"
    assert server.get(f"{url}/info").status == 404


@pytest.mark.compat("MAP-access")
def test_access_to_the_file_is_needed(server):
    server.expect("AH01630", "client denied by server configuration")
    assert server.get("/outside").status == 403


def test_unreadable(server):
    url = server.script("unreadable.py", GOOD, mode=0o600 if env.IS_ROOT else 0)
    server.expect(UNREADABLE, f"{server.directory}/scripts/unreadable.py.*Permission denied")
    assert server.get(url).status == 500


@pytest.mark.compat("LOAD-exception", "FAIL-application")
@pytest.mark.parametrize("name, source, output", [
    ("syntax.py", "def application(:\n", r"SyntaxError: "),
    ("indent.py", "if True:\nx = 1\n", r"IndentationError: "),
    ("null.py", "x = 1\0\n", r"null bytes|SyntaxError: "),
    ("encoding.py", "# coding: nonsense\n", r"unknown encoding|SyntaxError: "),
    ("raises.py", "raise ZeroDivisionError('on purpose')\n", r"ZeroDivisionError: on purpose"),
    ("imports.py", "import module_that_is_not_there\n", r"ModuleNotFoundError: "),
])
def test_500_where_loading_fails(server, name, source, output):
    url = server.script(name, source)
    server.expect(LOAD_FAILED, f"{server.directory}/scripts/{name}")
    server.expect_output(output)
    assert server.get(url).status == 500
    assert server.get("/hello").body == b"Hello world\n"


@pytest.mark.compat("LOAD-exit", "LOG-exit")
def test_sys_exit_while_loading(server):
    """httpd's child goes on; a worker does too, until its successor is there."""
    url = server.script("exits.py", "import sys\nsys.exit('on purpose')\n")
    server.expect(LOAD_EXITED, f"{server.directory}/scripts/exits.py")
    before = server.httpd_children()
    assert server.get(url).status == 500
    assert server.get("/hello").body == b"Hello world\n"
    assert server.httpd_children() == before
    assert "exited with" not in server.log.text()


@pytest.mark.compat("LOAD-no-callable")
@pytest.mark.parametrize("name, source", [
    ("empty.py", ""),
    ("other.py", "def app(environ, start_response):\n    return []\n"),
])
def test_500_without_the_callable(server, name, source):
    url = server.script(name, source)
    server.expect(NO_CALLABLE, f"{server.directory}/scripts/{name}.*application")
    assert server.get(url).status == 500


@pytest.mark.compat("LOAD-no-callable")
def test_the_names_that_the_script_does_have_are_told(server):
    url = server.script("flask_like.py", "def app(): pass\ndef create_app(): pass\n")
    server.expect(NO_CALLABLE, "only these: app, create_app;")
    assert server.get(url).status == 500


@pytest.mark.compat("LOAD-not-callable")
def test_500_where_it_cannot_be_called(server):
    url = server.script("number.py", "application = 42\n")
    server.expect(NOT_CALLABLE, "number.py.*int")
    assert server.get(url).status == 500


def test_callable_with_another_name(server):
    server.script("other_name.py", GOOD.replace("application", "other"))
    assert server.get("/other-name").body == b"good"


@pytest.mark.compat("LOAD-again-changed")
def test_failed_load_is_tried_again_once_the_script_is_changed(server):
    url = server.script("repaired.py", "raise ZeroDivisionError('on purpose')\n")
    server.expect(LOAD_FAILED, "repaired.py", count=None)
    server.expect_output("ZeroDivisionError: on purpose")
    assert server.get(url).status == 500
    server.script("repaired.py", GOOD, mtime=time.time() + 2)
    reply = server.get(url)
    assert (reply.status, reply.body) == (200, b"good")


@pytest.mark.compat("LOAD-file")
def test_odd_names(server):
    for name in ("no_suffix", "two.dots.wsgi", "with blank.py", "caf\u00e9.py"):
        server.script(name, GOOD)
    for url in ("no_suffix", "two.dots.wsgi", "with%20blank.py", "caf%C3%A9.py"):
        assert server.get(f"/scripts/{url}").body == b"good"


@pytest.mark.compat("LOAD-name", "LOAD-syspath", "CONF-script-path")
def test_module_name_and_file(server):
    """__name__ is made from the path, so that two scripts of one name stay apart."""
    found = server.get("/process").json()
    assert found["module"].startswith("_mod_wsgi_")
    assert found["file"] == f"{server.directory}/apps/process.py"
    assert f"{server.directory}/apps" not in found["path"]
