"""threads=0: a group that serves no requests and runs scripts of its own instead."""

import os
import signal

import env
import processes
import pytest
from processes import wait_until

CONFIG = """
WSGIDaemonProcess service threads=0 display-name=%{GROUP}
WSGIImportScript "${scripts}/first.py" process-group=service application-group=%{GLOBAL}
WSGIImportScript "${scripts}/second.py" process-group=service application-group=%{GLOBAL}
WSGIScriptAlias /asked "${apps}/hello.py" process-group=service
"""

NOTE = """
import os
def note(text):
    with open("NOTES/told", "a") as file:
        file.write(f"{os.getpid()} {text}\\n")
"""


def write(server, name, source):
    server.script(f"{name}.py", NOTE.replace("NOTES", str(server.directory / "notes")) + source)


def told(server):
    path = server.note("told")
    return [line.split(" ", 1) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(server, text, count=1):
    return wait_until(lambda: [pid for pid, words in told(server) if words == text][count - 1:],
                      f"{count} times {text!r}", 20 * env.PATIENCE)[0]


FIRST = """
import signal, threading, mod_wsgi
main = threading.current_thread() is threading.main_thread()
note(f"first {main} {mod_wsgi.process_group!r} {mod_wsgi.application_group!r} "
     f"{mod_wsgi.threads_per_process}")
"""

FOREVER = """
import atexit, time
atexit.register(note, "atexit")
note("second")
try:
    while True:
        time.sleep(100)
except BaseException as error:
    note(type(error).__name__)
    raise
"""


@pytest.fixture
def server(launch_once):
    server = launch_once("daemon", config=CONFIG, start=False)
    write(server, "first", FIRST)
    write(server, "second", FOREVER)
    return server


@pytest.mark.compat("SERVICE-run")
def test_scripts_run_in_order_on_the_main_thread_of_the_main_interpreter(server):
    server.start()
    pid = wait_for(server, "second")
    assert told(server) == [[pid, "first True 'service' '' 0"], [pid, "second"]]
    assert processes.title(pid) == "(wsgi:service)"


@pytest.mark.compat("SERVICE-end")
def test_sigterm_raises_system_exit_and_it_is_replaced(server):
    """Also on behalf of httpd: nothing but the script's own word goes to the log."""
    server.start()
    pid = wait_for(server, "second")
    os.kill(int(pid), signal.SIGTERM)
    wait_for(server, "second", 2)
    assert [words for who, words in told(server) if who == pid][2:] == ["SystemExit", "atexit"]
    server.stop()
    assert [words for _, words in told(server)][-2:] == ["SystemExit", "atexit"]
    assert "WSGI0175" not in server.log.text()


@pytest.mark.compat("SERVICE-end")
def test_signals_are_the_scripts(server):
    write(server, "first", """
import signal
signal.signal(signal.SIGUSR1, lambda *args: note("usr1"))
signal.signal(signal.SIGTERM, lambda *args: note("term"))
""")
    server.start()
    pid = int(wait_for(server, "second"))
    os.kill(pid, signal.SIGUSR1)
    wait_for(server, "usr1")
    os.kill(pid, signal.SIGTERM)
    wait_for(server, "term")
    assert processes.is_alive(pid), "its own handler has replaced ours"
    server.tolerate("WSGI1402")  # it does not end when httpd does
    server.tolerate("WSGI1603")


@pytest.mark.compat("SERVICE-requests")
def test_requests_get_503_at_once(server):
    server.start()
    wait_for(server, "second")
    server.expect("WSGI1533", r"\[service\] threads=0", count=2)
    for _ in range(2):
        answer = server.get("/asked", timeout=2 * env.PATIENCE)
        assert answer.status == 503
    assert server.get("/hello").status == 200


@pytest.mark.compat("SERVICE-run", "SERVICE-end")
@pytest.mark.parametrize("end", ["pass", "import sys; sys.exit()", "import sys; sys.exit(3)"])
def test_a_script_that_ends_is_started_again_with_back_off(server, end):
    write(server, "first", "note('begins')\n" + end)
    write(server, "second", "note('follows')")
    server.start()
    wait_for(server, "begins", 3)
    pids = [pid for pid, words in told(server) if words == "begins"]
    assert len(set(pids)) == len(pids)
    assert ("follows" in [words for _, words in told(server)]) is (end == "pass"), \
        "SystemExit ends the process, not only the script"
    count = len(pids)
    assert count <= 4, "at once, after a second, after two more"
    assert "WSGI0175" not in server.log.text()


def test_an_exception_is_logged_and_the_next_script_runs(server):
    write(server, "first", "1 / 0")
    server.expect("WSGI0174", "first.py")
    server.expect_output("ZeroDivisionError")
    server.start()
    wait_for(server, "second")


def test_a_fork_of_the_service_ends_by_itself(server):
    write(server, "first", """
import os
if os.fork() == 0:
    raise SystemExit(5)
note(f"status {os.waitstatus_to_exitcode(os.wait()[1])}")
""")
    server.start()
    wait_for(server, "status 5")
    wait_for(server, "second")


def test_it_is_restarted_with_httpd(server):
    server.start()
    wait_for(server, "second")
    server.restart("graceful")
    wait_for(server, "second", 2)
    words = [words for _, words in told(server)]
    assert words.count("SystemExit") == 1


def configtest(launch_once, config):
    return launch_once("embedded", start=False, config=config).configtest()


def test_nothing_to_do_is_a_warning(launch_once):
    status, output = configtest(launch_once, """
WSGIDaemonProcess service threads=0
WSGIScriptAlias /x /x.py process-group=service application-group=%{GLOBAL}
""")
    assert status == 0
    assert "WSGI1515" in output and "'service'" in output


def test_other_application_groups_are_not_run(launch_once):
    status, output = configtest(launch_once, """
WSGIDaemonProcess service threads=0
WSGIImportScript /a.py process-group=service application-group=%{GLOBAL}
WSGIImportScript /b.py process-group=service application-group=other
""")
    assert status == 0
    assert "WSGI1516: '/b.py' is not run" in output and "WSGI1515" not in output
