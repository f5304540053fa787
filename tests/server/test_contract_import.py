"""Scripts loaded ahead of requests: failures, changes, options."""

import time

import env
import pytest
from processes import wait_until

SCRIPT = '''
with open("NOTE", "a") as note:
    note.write("loaded\\n")

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"VERSION"]
'''


@pytest.fixture
def start(launch_once, mode):
    """start(source): a server that has loaded ahead.py, with an alias of all four options."""
    def run(source):
        group = "tests" if mode == "daemon" else "%{GLOBAL}"
        server = launch_once(mode, single_child=True, start=False, config=f"""
WSGIScriptAlias /ahead "${{scripts}}/ahead.py" process-group={group} \\
    application-group=%{{GLOBAL}} callable-object=application pass-authorization=On
""")
        write(server, source)
        return server
    return run


def write(server, source, version="first", mtime=1_700_000_000):
    server.script("ahead.py", source.replace("NOTE", str(server.note("loads")))
                  .replace("VERSION", version), mtime=mtime)


def loads(server):
    path = server.note("loads")
    return path.read_text().count("loaded\n") if path.exists() else 0


@pytest.mark.compat("IMPORT-other-options", "IMPORT-alias")
def test_other_options_do_not_matter(start):
    server = start(SCRIPT).start()
    wait_until(lambda: loads(server) == 1, "the load", 15 * env.PATIENCE)


@pytest.mark.compat("IMPORT-unwatched", "IMPORT-same-module")
def test_a_change_waits_for_a_request(start):
    server = start(SCRIPT).start()
    wait_until(lambda: loads(server) == 1, "the load", 15 * env.PATIENCE)
    assert server.get("/ahead").body == b"first"
    write(server, SCRIPT, "second", mtime=1_700_000_100)
    assert server.get("/hello").status == 200
    time.sleep(0.5)
    assert loads(server) == 1
    assert server.get("/ahead").body == b"second"
    assert loads(server) == 2


@pytest.mark.compat("IMPORT-failure", "IMPORT-failure-again")
def test_a_request_after_a_failure(start):
    server = start(SCRIPT + "1 / 0\n")
    server.expect("WSGI0174", "ahead.py", count=None)
    server.expect_output("ZeroDivisionError")
    server.expect("WSGI1512|WSGI1411", "ahead.py", count=None)
    server.start()
    wait_until(lambda: loads(server) >= 1, "the load", 15 * env.PATIENCE)
    write(server, SCRIPT, "mended", mtime=1_700_000_100)
    assert server.get("/ahead").body == b"mended"
