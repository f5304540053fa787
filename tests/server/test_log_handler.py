"""mod_wsgi.LogHandler: records of Python's logging in httpd's log."""

import pytest
from processes import wait_until

CONFIG = """
ErrorLogFormat "[%t] [%-m:%l] [pid %P] <%F> [%v|%L] %M"
WSGIScriptAlias /logging "${scripts}/logging_app.py" application-group=%{GLOBAL}
WSGIScriptAlias /debugged "${scripts}/logging_app.py" application-group=%{GLOBAL}
<Location /debugged>
    LogLevel wsgi:debug
</Location>
<VirtualHost *:${port}>
    ServerName quiet.example
    LogLevel wsgi:error
</VirtualHost>
<VirtualHost *:${port}>
    ServerName localhost
</VirtualHost>
"""

# Evaluates what the test sends, and answers with its request's id.
APP = '''
import logging, sys, threading
import mod_wsgi

class Counting(logging.Formatter):
    count = 0
    def format(self, record):
        Counting.count += 1
        return super().format(record)

handler = mod_wsgi.LogHandler()
handler.setFormatter(Counting("%(name)s: %(message)s"))
logger = logging.getLogger("mine")
logger.addHandler(handler)
logger.setLevel(1)
logger.propagate = False

def here():
    return sys._getframe(1).f_lineno

def say_where():
    logger.error("from here"); return here()

def in_thread(*args):
    thread = threading.Thread(target=logger.error, args=args)
    thread.start()
    thread.join()

def application(environ, start_response):
    result = eval(environ["wsgi.input"].read().decode())
    start_response("200 OK", [("X-Id", environ["mod_wsgi.request_id"])])
    return [repr(result).encode()]
'''


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, single_child=True, config=CONFIG)
    server.script("logging_app.py", APP)
    return server


def ask(server, source, path="/logging", host="localhost"):
    reply = server.post(path, source.encode(), {"Host": host})
    assert reply.status == 200, reply
    return reply


def lines(server, words):
    return [line for line in server.log.text().splitlines() if words in line]


@pytest.mark.compat("LOGGING-levels")
def test_levels(server):
    levels = {99: "crit", 50: "crit", 49: "error", 40: "error", 39: "warn", 30: "warn", 29: "info",
              20: "info", 19: "debug", 10: "debug", 1: "debug"}
    server.expect_output("level-")
    for number, name in levels.items():
        ask(server, f"logger.log({number}, 'level-%d.', {number})", "/debugged")
        (line,) = lines(server, f"mine: level-{number}.")
        assert f"[wsgi:{name}]" in line


@pytest.mark.compat("LOGGING-filter")
@pytest.mark.parametrize("place, number, is_written", [
    (("/logging", "localhost"), 20, True),
    (("/logging", "localhost"), 19, False),
    (("/debugged", "localhost"), 10, True),
    (("/logging", "quiet.example"), 40, True),
    (("/logging", "quiet.example"), 39, False),
])
def test_what_is_left_out_is_not_formatted(server, place, number, is_written):
    """By the LogLevel of the place and of the virtual host."""
    text = f"filtered {place} {number}"
    if is_written and number >= 30:
        server.expect_output("filtered")
    before = int(ask(server, "Counting.count").body)
    ask(server, f"logger.log({number}, {text!r})", *place)
    assert int(ask(server, "Counting.count").body) - before == is_written
    assert len(lines(server, f"mine: {text}")) == is_written


@pytest.mark.compat("LOGGING-lines")
def test_lines(server):
    server.expect_output("a line")
    ask(server, "logger.error('first\\n\\na line\\n')")
    first, second = lines(server, "mine: first"), lines(server, "] a line")
    assert len(first) == len(second) == 1 and "first" not in second[0]


@pytest.mark.compat("LOGGING-lines")
def test_place_of_the_caller(server):
    server.expect_output("from here")
    number = ask(server, "say_where()").body.decode()
    (line,) = lines(server, "mine: from here")
    assert f"<logging_app.py({number})>" in line


def test_a_place_of_several_lines(server):
    """It must not pass for a line of the log."""
    server.expect_output("forged")
    ask(server, "logger.handle(logger.makeRecord('mine', 40, '/x\\n[forged]', 7, 'forged', (), None))")
    (line,) = lines(server, "mine: forged")
    assert lines(server, "[forged]") == []


@pytest.mark.compat("LOGGING-request")
def test_lines_of_a_request(server):
    server.expect_output("whose", count=2)
    identity = ask(server, "logger.error('whose 1'), in_thread('whose 2')").header("X-Id")
    (line,) = lines(server, "mine: whose 1")
    assert f"[localhost|{identity}] [" in line and "/logging_app.py] mine: whose 1" in line
    wait_until(lambda: lines(server, "mine: whose 2"), "the line of a thread")
    (line,) = lines(server, "mine: whose 2")
    assert identity not in line, "a thread that serves no request has none"


def test_a_record_that_cannot_be_formatted(server):
    """As in Python's own handlers: told, and no error of the request."""
    server.expect_output("Logging error")
    ask(server, "logger.error('two %d', 'words')")
    ask(server, "logger.error('odd \\udc80')")
    server.expect_output("odd")
    assert lines(server, "mine: odd \\\\udc80")
