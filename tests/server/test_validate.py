"""PEP 3333 by wsgiref.validate, in both directions: what the server gives to the application, and
what the application gives to the server, each as the validator wants it. A violation is an
AssertionError: status 500, and a traceback that the log oracle would see."""

import pytest


@pytest.fixture(scope="module")
def server(launch, mode):
    return launch(mode)


@pytest.mark.parametrize("path", [
    "hello", "hello?query", "hello/path/info", "environ", "process",
    "response/list-of-many", "response/tuple-of-one", "response/nothing", "response/empty-parts",
    "response/many?chunks=4", "response/one-big?chunks=4", "response/head-fields",
    "response/replaced", "response/too-long", "response/status?status=404%20Not%20Found",
])
def test_get(server, path):
    plain = server.get(f"/{path}")
    validated = server.get(f"/validated/{path}")
    assert validated.status == plain.status
    if not path.startswith(("environ", "process")):
        assert validated.body == plain.body


@pytest.mark.compat("ENV-streams")
@pytest.mark.parametrize("how", ["chunks", "bytes", "readline", "readlines", "iterate", "none"])
@pytest.mark.parametrize("body", [b"", b"one\ntwo\nthree"])
def test_post(server, how, body):
    reply = server.post(f"/validated/echo?how={how}", body)
    assert reply.status == 200
    assert reply.json()["length"] == (0 if how == "none" else len(body))


def test_head(server):
    assert server.request("HEAD", "/validated/hello").status == 200


def test_file_wrapper(server):
    path = server.directory / "apps" / "hello.py"
    assert server.get(f"/validated/files?file={path}").body == path.read_bytes()


@pytest.mark.compat("ERRORS-lines")
def test_errors_stream(server):
    server.expect_output("said to wsgi.errors", count=1)
    server.expect_output("^.*(one|two|three)$", count=3)
    url = server.script("says.py", '''
from wsgiref.validate import validator

def application(environ, start_response):
    errors = environ["wsgi.errors"]
    errors.write("said to ")
    errors.write("wsgi.errors\\n")
    errors.writelines(["one\\n", "two\\n", "three"])
    errors.flush()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"said"]

application = validator(application)
''')
    assert server.get(url).body == b"said"
