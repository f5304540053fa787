"""Directives that shape requests and answers: HEAD, ErrorDocument, sendfile, the native record."""

import http.client
import subprocess

import env
import pytest
from processes import wait_until

METHOD = '''
def application(environ, start_response):
    body = environ["REQUEST_METHOD"].encode()
    start_response("200 OK", [("Content-Type", "text/plain"),
                              ("X-Method", environ["REQUEST_METHOD"])])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body * 1000]
'''

ERROR = '''
def application(environ, start_response):
    status = environ["QUERY_STRING"]
    start_response(status + " As The Application Says", [
        ("Content-Type", "text/plain"), ("X-Own", "yes"), ("WWW-Authenticate", "Basic realm=own")])
    yield b"the application's "
    yield b"own body"
'''

NATIVE = '''
def application(environ, start_response):
    native = environ.get("apache.request_rec")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{type(native).__name__} {'NULL' in repr(native)}".encode()]
'''

FILE = '''
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](open("PATH", "rb"))
'''

CONFIG = """
WSGIScriptAlias /auto "${scripts}/method.py"
WSGIScriptAlias /on "${scripts}/method.py"
WSGIScriptAlias /off "${scripts}/method.py"
WSGIScriptAlias /filtered "${scripts}/method.py"
WSGIScriptAlias /filtered-off "${scripts}/method.py"
WSGIScriptAlias /plain-error "${scripts}/error.py"
WSGIScriptAlias /override "${scripts}/error.py"
WSGIScriptAlias /native "${scripts}/native.py"
WSGIScriptAlias /no-native "${scripts}/native.py"
WSGIScriptAlias /file "${scripts}/file.py"
WSGIScriptAlias /file-sendfile "${scripts}/file.py"
<Location /on>
    WSGIMapHEADToGET On
</Location>
<Location /off>
    WSGIMapHEADToGET Off
</Location>
<LocationMatch "^/filtered">
    SetOutputFilter DEFLATE
</LocationMatch>
<Location /filtered-off>
    WSGIMapHEADToGET Off
</Location>
<Location /override>
    WSGIErrorOverride On
    ErrorDocument 404 "the document of httpd"
    ErrorDocument 401 "the challenge of httpd"
</Location>
<Location /native>
    WSGIPassApacheRequest On
</Location>
EnableSendfile On
<Location /file-sendfile>
    WSGIEnableSendfile On
</Location>
"""


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, config=CONFIG, modules=["filter", "deflate"], single_child=True)
    server.script("method.py", METHOD)
    server.script("error.py", ERROR)
    server.script("native.py", NATIVE)
    big = server.note("big")
    big.write_bytes(bytes(range(256)) * 4096)
    big.chmod(0o644)
    server.script("file.py", FILE.replace("PATH", str(big)))
    return server


@pytest.mark.compat("DIR-mapheadtoget", "HEAD-auto", "HEAD-on-off", "HEAD-no-body")
@pytest.mark.parametrize("path, headers, seen", [
    ("/auto", {}, "HEAD"),
    ("/on", {}, "GET"),
    ("/off", {}, "HEAD"),
    ("/filtered", {"Accept-Encoding": "gzip"}, "GET"),
    ("/filtered-off", {"Accept-Encoding": "gzip"}, "HEAD"),
])
def test_head(server, path, headers, seen):
    reply = server.request("HEAD", path, headers=headers)
    assert (reply.status, reply.header("X-Method"), reply.body) == (200, seen, b"")


@pytest.mark.parametrize("path", ["/auto", "/on", "/off"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS", "BREW"])
def test_other_methods_stay(server, path, method):
    assert server.request(method, path).header("X-Method") == method


@pytest.mark.compat("RESP-own-error")
def test_error_bodies_are_the_applications_own(server):
    reply = server.get("/plain-error?404")
    assert (reply.status, reply.reason) == (404, "As The Application Says")
    assert reply.body == b"the application's own body"
    assert reply.header("X-Own") == "yes"


@pytest.mark.compat("DIR-erroroverride", "DIR-erroroverride-fields", "RESP-www-authenticate")
@pytest.mark.parametrize("status, document", [(404, b"the document of httpd"),
                                              (401, b"the challenge of httpd"),
                                              (503, b"Service Unavailable")])
def test_error_override(server, mode, status, document):
    reply = server.get(f"/override?{status}")
    assert reply.status == status
    if mode == "embedded":
        assert reply.body == b"the application's own body", "daemon mode only"
        return
    assert document in reply.body and b"own body" not in reply.body
    assert reply.header("X-Own") is None
    assert reply.header("WWW-Authenticate") == "Basic realm=own"


def test_error_override_leaves_other_answers_alone(server):
    reply = server.get("/override?200")
    assert (reply.status, reply.body) == (200, b"the application's own body")
    reply = server.get("/override?302")
    assert (reply.status, reply.header("X-Own")) == (302, "yes")


@pytest.mark.compat("DIR-passapacherequest", "ENV-request-rec")
def test_native_request(server, mode):
    expected = b"PyCapsule True" if mode == "embedded" else b"NoneType False"
    assert server.get("/native").body == expected
    assert server.get("/no-native").body == b"NoneType False"


@pytest.mark.parametrize("path", ["/file", "/file-sendfile"])
def test_files(server, path):
    reply = server.get(path)
    assert reply.body == bytes(range(256)) * 4096
    assert reply.header("Content-Length") == str(1 << 20)


def test_head_of_a_file(server):
    reply = server.request("HEAD", "/file-sendfile")
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize("path", ["/file", "/file-sendfile"])
def test_ranges_of_files(server, path):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", path, headers={"Range": "bytes=100-199", "Connection": "close"})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (206, (bytes(range(256)) * 2)[100:200])
    connection.close()


@pytest.mark.parametrize("path", ["/file", "/file-sendfile"])
def test_a_range_behind_the_end_is_no_error_of_ours(server, path):
    """416 by httpd; the error log stays empty, which the oracle sees."""
    assert server.get(path, headers={"Range": "bytes=9999999-"}).status == 416


def calls_during(server, path):
    """System calls of httpd's children that send a file, while they answer one request."""
    record = server.directory / "strace"
    pids = [word for pid in server.httpd_children() for word in ("-p", str(pid))]
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=sendfile,mmap", "-o", record,
                               *pids], stderr=subprocess.PIPE)
    try:
        wait_until(lambda: tracer.poll() is not None or all(
            "TracerPid:\t0" not in open(f"/proc/{pid}/status").read()
            for pid in server.httpd_children()), "strace watches", 10 * env.PATIENCE)
        assert server.get(path).status == 200
    finally:
        tracer.terminate()
        tracer.wait()
    return record.read_text().count("sendfile(")


@pytest.mark.compat("DIR-enablesendfile", "FILE-sendfile")
@pytest.mark.skipif(env.IS_SANITIZED, reason="a sanitized process cannot be traced at its end")
def test_the_kernel_sends_files_where_it_may(server):
    assert calls_during(server, "/file-sendfile") > 0
    assert calls_during(server, "/file") == 0
