"""Applications behind mod_http2 and mod_ssl: streams of one connection, asked by curl."""

import json
import os
import re
import subprocess
import time

import env
import pytest
from processes import wait_until

pytestmark = pytest.mark.skipif(env.MPM == "prefork", reason="mod_http2 refuses mpm_prefork")

CONFIG = """
Protocols h2c http/1.1
WSGIScriptAlias /chunked "${apps}/echo.py"
WSGIScriptAlias /collected "${apps}/echo.py"
WSGIScriptAlias /with-variables "${apps}/environ.py"
<Location /chunked>
    WSGIChunkedRequest On
</Location>
<Location /collected>
    WSGIChunkedRequest Buffer
</Location>
"""

TOGETHER = '''
import os, time

def application(environ, start_response):
    """Answers when as many of its kind as told are here."""
    directory, count = environ["QUERY_STRING"].split("&")
    name = f"{directory}/together-{environ['PATH_INFO'][1:]}"
    open(name, "w").close()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        here = [each for each in os.listdir(directory) if each.startswith("together-")]
        if len(here) >= int(count):
            break
        time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{len(here)} together\\n".encode()]
'''


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, config=CONFIG, modules=["http2", "socache_shmcb", "ssl"],
                    single_child=True, start=False)
    server.tls_port = server.run.ports.reserve()
    server.config += f"""
Listen 127.0.0.1:{server.tls_port}
<VirtualHost *:{server.tls_port}>
    ServerName localhost
    Protocols h2 http/1.1
    {server.make_certificate()}
    <Location /with-variables>
        SSLOptions +StdEnvVars +ExportCertData
    </Location>
</VirtualHost>
"""
    server.write_configuration()
    return server.start()


def command(server, *arguments):
    """URL stands for the plain port; TLS for the other, where curl 7.88 can use a connection for
    more than one request."""
    return ["curl", "-sS", "--http2-prior-knowledge", "--insecure", "-N",
            "--max-time", str(20 * env.PATIENCE),
            *(argument.replace("URL", f"http://127.0.0.1:{server.port}").replace(
                "TLS", f"https://127.0.0.1:{server.tls_port}") for argument in arguments)]


def curl(server, *arguments, data=None):
    """(exit status, what it printed, its complaint)"""
    done = subprocess.run(command(server, *arguments), input=data, capture_output=True,
                          timeout=30 * env.PATIENCE)
    return done.returncode, done.stdout, done.stderr.decode()


def ask(server, *arguments, data=None):
    status, output, complaint = curl(server, *arguments, data=data)
    assert status == 0, complaint
    return output


# ---- requests

def test_environ(server):
    output = ask(server, "URL/environ/path?a=b", "-H", "X-Field: value",
                 "-w", "\n%{http_version} %{http_code}")
    text, _, told = output.rpartition(b"\n")
    found = {key: value for key, (_, value) in json.loads(text).items()}
    assert told == b"2 200"
    assert found["SERVER_PROTOCOL"] == "HTTP/2.0"
    assert (found["wsgi.url_scheme"], found["REMOTE_ADDR"]) == ("http", "127.0.0.1")
    assert found["HTTP_HOST"] == f"127.0.0.1:{server.port}"
    assert found["mod_wsgi.listener_port"] == str(server.port)
    assert (found["SCRIPT_NAME"], found["PATH_INFO"], found["QUERY_STRING"]) == (
        "/environ", "/path", "a=b")
    assert found["HTTP_X_FIELD"] == "value"
    assert found["mod_wsgi.request_id"] and found["mod_wsgi.connection_id"]


@pytest.mark.parametrize("path, variables", [("/environ", False), ("/with-variables", True)])
def test_tls(server, path, variables):
    output = ask(server, "TLS" + path)
    found = {key: value for key, (_, value) in json.loads(output).items()}
    assert (found["SERVER_PROTOCOL"], found["wsgi.url_scheme"]) == ("HTTP/2.0", "https")
    assert found["SERVER_PORT"] == str(server.tls_port)
    assert "HTTPS" not in found
    assert bool(re.match(r"TLSv1\.[23]$", found.get("SSL_PROTOCOL", ""))) == variables
    lines = found.get("SSL_SERVER_CERT", "").splitlines()
    assert (lines[:1] == ["-----BEGIN CERTIFICATE-----"] and len(lines) > 5) == variables


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_a_body(server, size):
    body = os.urandom(size)
    assert ask(server, "URL/echo?how=return", "--data-binary", "@-", data=body) == body


@pytest.mark.parametrize("path", ["/chunked?how=return", "/collected?how=return"])
def test_a_body_without_length(server, path):
    """To httpd it is a chunked one."""
    body = os.urandom(200_000)
    assert ask(server, "URL" + path, "-X", "POST", "-T", "-", data=body) == body


def test_a_refused_body_without_length(server):
    """mod_http2 may reset the stream before curl has seen the answer."""
    server.expect("WSGI0139")
    _, output, complaint = curl(server, "URL/echo?how=return", "-X", "POST", "-T", "-", "-o",
                                "/dev/null", "-w", "%{http_code}", data=b"body")
    assert output == b"411" or "(92)" in complaint


def test_head(server):
    output = ask(server, "-I", "URL/hello").lower()
    assert output.startswith(b"http/2 200") and b"content-type: text/plain" in output
    assert b"hello" not in output


# ---- answers

def test_a_big_answer(server):
    assert ask(server, "URL/response/many?chunks=200") == b"0123456789abcdef" * 4096 * 200


def test_streams_run_together(server):
    """More requests at the same time than curl has connections."""
    server.script("together.py", TOGETHER)
    urls = [f"TLS/scripts/together.py/{number}?{server.note('')}&4" for number in range(4)]
    output = ask(server, "--parallel", "--parallel-max", "4", *urls, "-w", "%{num_connects}\n")
    lines = sorted(output.decode().splitlines())
    assert lines.count("4 together") == 4
    connects = [line for line in lines if line.isdigit()]
    assert len(connects) == 4 and sum(map(int, connects)) < 4


def test_many_requests_of_one_connection(server):
    output = ask(server, *["TLS/hello"] * 100, "-w", "%{num_connects} ")
    assert output.count(b"Hello world") == 100
    assert sum(map(int, re.findall(rb"^(\d) ", output, re.M))) <= 1


def test_an_answer_flows(server):
    directory = server.note("flow")
    directory.mkdir()
    with subprocess.Popen(command(server, f"URL/waiting?directory={directory}"),
                          stdout=subprocess.PIPE) as client:
        for number in range(4):
            assert client.stdout.readline() == b"part %d\n" % number
            (directory / str(number)).touch()
        assert client.stdout.read() == b""
    assert client.returncode == 0


@pytest.mark.parametrize("fault", ["raises-later", "raises-later-announced"])
def test_a_cut_answer_is_a_reset_stream(server, fault):
    """The reset may overtake what was sent."""
    server.expect("WSGI0174")
    server.expect_output("ZeroDivisionError")
    status, output, complaint = curl(server, f"URL/faults/{fault}")
    assert status == 92 and b"first".startswith(output)
    assert "not closed cleanly" in complaint


def test_other_streams_outlive_a_cut_one(server):
    server.expect("WSGI0174")
    server.expect_output("ZeroDivisionError")
    status, output, complaint = curl(server, "TLS/hello", "TLS/faults/raises-later", "TLS/hello",
                                     "-w", "%{num_connects}")
    assert "not closed cleanly" in complaint
    assert output.replace(b"first", b"") == b"Hello world\n10Hello world\n0"


def test_a_failure_before_the_head(server):
    server.expect("WSGI0174")
    server.expect_output("ZeroDivisionError")
    output = ask(server, "URL/faults/raises", "-w", "%{http_code}")
    assert output.endswith(b"500")


def test_the_client_goes(server):
    """The application is told: its iterable is closed in the middle."""
    note = server.note("gone")
    with subprocess.Popen(command(server, f"URL/response/closing?chunks=100000&note={note}"),
                          stdout=subprocess.PIPE) as client:
        client.stdout.read(100_000)
        client.kill()
    wait_until(note.exists, "close() was called", 10 * env.PATIENCE)
    assert 0 < int(note.read_text().rpartition(" ")[2]) < 100000
    time.sleep(0.1)
    assert ask(server, "URL/hello") == b"Hello world\n"
