"""Applications that break the rules: a status while one can be sent, visible truncation after,
one message with the traceback in the log, and the next request is served."""

import http.client

import pytest

RAISED = "WSGI0174"  # the application raised, or broke a rule of PEP 3333; the traceback follows
EXITED = "WSGI0175"
NEVER_STARTED = "WSGI1204"


@pytest.fixture(scope="module")
def server(launch, mode):
    return launch(mode)


@pytest.mark.compat("START-500", "START-status", "START-headers", "START-name", "START-value",
                    "START-exc-info", "START-missing", "START-write", "RESP-bytes",
                    "RESP-length-bad", "RESP-exception", "FAIL-application", "LOG-traceback")
@pytest.mark.parametrize("fault, output", [
    ("raises", "ZeroDivisionError: on purpose"),
    ("raises-after-start-response", "ZeroDivisionError: on purpose"),
    ("raises-at-first-part", "ZeroDivisionError: on purpose"),
    ("interrupts", "KeyboardInterrupt: on purpose"),
    ("endless-recursion", "RecursionError: "),
    ("writes-text", "TypeError: "),
    ("status-bytes", "TypeError: "),
    ("status-number", "TypeError: "),
    ("status-none", "TypeError: "),
    ("status-empty", "ValueError: "),
    ("status-text", "ValueError: "),
    ("status-two-digits", "ValueError: "),
    ("status-four-digits", "ValueError: "),
    ("status-crlf", "ValueError: "),
    ("status-not-latin-1", "UnicodeEncodeError: |ValueError: "),
    ("fields-tuple", "TypeError: "),
    ("fields-none", "TypeError: "),
    ("fields-of-lists", "TypeError: "),
    ("fields-of-three", "ValueError: "),
    ("field-name-bytes", "TypeError: "),
    ("field-name-empty", "ValueError: "),
    ("field-name-blank", "ValueError: "),
    ("field-name-crlf", "ValueError: "),
    ("field-name-not-latin-1", "UnicodeEncodeError: "),
    ("field-value-number", "TypeError: "),
    ("field-value-cr", "ValueError: "),
    ("field-value-lf", "ValueError: "),
    ("field-value-not-latin-1", "UnicodeEncodeError: "),
    ("length-text", "ValueError: "),
    ("length-negative", "ValueError: "),
    ("exc-info-text", "RuntimeError: |TypeError: "),
    ("returns-none", "TypeError: "),
    ("returns-number", "TypeError: "),
    ("returns-text", "TypeError: "),
    ("yields-text", "TypeError: "),
    ("yields-bytearray", "TypeError: "),
    ("yields-none", "TypeError: "),
    ("never-starts", "RuntimeError: "),
    ("never-starts-lazily", "RuntimeError: "),
])
def test_500_where_nothing_was_sent(server, fault, output):
    server.expect(RAISED)
    server.expect_output(f"^(\\[[^]]*\\] )?({output})", count=1)
    with server.keep_alive() as session:
        reply = session.get(f"/faults/{fault}")
        assert (reply.status, reply.reason) == (500, "Internal Server Error")
        assert b"in spite of all" not in reply.body
        assert reply.header("X-Injected") is None
        assert session.get("/hello").body == b"Hello world\n"


@pytest.mark.compat("FAIL-application")
def test_500_without_start_response(server):
    server.expect(NEVER_STARTED, f"{server.directory}/apps/faults.py")
    assert server.get("/faults/never-starts-and-is-empty").status == 500


@pytest.mark.compat("PROC-sys-exit", "LOG-exit")
def test_sys_exit_ends_the_request_and_not_the_process(server):
    server.expect(EXITED, f"{server.directory}/apps/faults.py")
    before = server.family()
    assert server.get("/faults/exits").status == 500
    assert server.get("/hello").status == 200
    assert server.family() == before


@pytest.mark.compat("RESP-truncated", "RESP-truncated-daemon", "START-late")
@pytest.mark.parametrize("fault, output", [
    ("raises-later", "ZeroDivisionError: on purpose"),
    ("yields-text-later", "TypeError: "),
    ("restarts-later", "RuntimeError: "),
    ("restarts-later-with-exc-info", "ZeroDivisionError: on purpose"),
])
def test_truncation_is_visible_by_a_missing_last_chunk(server, fault, output):
    server.expect(RAISED)
    server.expect_output(f"^(\\[[^]]*\\] )?({output})", count=1)
    with server.raw() as raw:
        raw.request(f"GET /faults/{fault}")  # keep-alive: the server must close
        status, fields = raw.read_head()
        assert (status, fields["transfer-encoding"]) == (200, "chunked")
        assert raw.read_chunk() == b"first"
        assert raw.read_to_end() == b""


@pytest.mark.compat("RESP-truncated", "RESP-truncated-daemon")
def test_http_clients_see_the_truncation(server):
    server.expect(RAISED)
    server.expect_output("ZeroDivisionError: on purpose", count=1)
    with pytest.raises(http.client.IncompleteRead):
        server.get("/faults/raises-later")


@pytest.mark.compat("RESP-truncated", "RESP-truncated-daemon")
def test_truncation_is_visible_by_the_length(server):
    server.expect(RAISED)
    server.expect_output("ZeroDivisionError: on purpose", count=1)
    with server.raw() as raw:
        raw.request("GET /faults/raises-later-announced")
        status, fields = raw.read_head()
        assert (status, fields["content-length"]) == (200, "100")
        assert raw.read_to_end() == b"first"


@pytest.mark.compat("RESP-length-short")
def test_an_answer_shorter_than_its_length_ends_the_connection(server):
    """The client must not take the next answer for the rest of this one."""
    with server.raw() as raw:
        raw.request("GET /faults/is-too-short")
        status, fields = raw.read_head()
        assert (status, fields["content-length"]) == (200, "100")
        assert raw.read_to_end() == b"short"


@pytest.mark.compat("RESP-close-raises")
def test_exception_in_close_is_logged_and_the_answer_stands(server):
    server.expect(RAISED)
    server.expect_output("ZeroDivisionError: on purpose", count=1)
    reply = server.get("/faults/close-raises")
    assert (reply.status, reply.body) == (200, b"complete")


@pytest.mark.compat("START-again")
def test_a_bad_head_can_be_replaced(server):
    reply = server.get("/faults/starts-twice-after-an-error-it-hides")
    assert (reply.status, reply.body) == (200, b"sent in spite of all")


@pytest.mark.compat("LOG-traceback", "LOG-module")
def test_message_names_the_script(server):
    server.expect(RAISED, f"{server.directory}/apps/faults.py")
    server.expect_output(r'File ".*/apps/faults.py", line \d+, in raises', count=1)
    assert server.get("/faults/raises").status == 500


@pytest.mark.compat("BODY-client-stops", "INPUT-error", "FAIL-client-body")
def test_request_body_shorter_than_announced(server):
    """The client ends its side before all was sent: read() raises, and it is no hang."""
    server.expect(RAISED)
    server.expect_output("OSError: mod_wsgi request data read error: the request body ended", count=1)
    with server.raw() as raw:
        raw.request("POST /echo?how=all", "Content-Length: 1000")
        raw.send(b"x" * 100)
        raw.finish_sending()
        assert raw.read_head()[0] == 500


@pytest.mark.compat("BODY-timeout", "FAIL-client-timeout", "INPUT-error")
def test_request_body_that_does_not_arrive(launch_once, mode):
    """The client stays and sends no more: read() raises after httpd's Timeout."""
    server = launch_once(mode, timeout_s=2)
    server.expect(RAISED)
    server.expect_output("OSError: mod_wsgi request data read error: timed out", count=1)
    with server.raw() as raw:
        raw.request("POST /echo?how=all", "Content-Length: 1000")
        raw.send(b"x" * 100)
        assert raw.read_head()[0] == 408
    assert server.get("/hello").status == 200


@pytest.mark.compat("STREAM-output", "ERRORS-lines")
def test_application_output_goes_to_the_log(server):
    url = server.script("prints.py", '''
import sys

def application(environ, start_response):
    print("by print")
    print("by stderr", file=sys.stderr)
    print("by wsgi.errors", file=environ["wsgi.errors"])
    environ["wsgi.errors"].write("an unfinished line")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"printed"]
''')
    for text in ("by print", "by stderr", "by wsgi.errors", "an unfinished line"):
        server.expect_output(f"{text}$", count=1)
    assert server.get(url).body == b"printed"
