"""Processes of httpd and of groups: what tells of them, who starts Python, whose log is whose."""

import env
import pytest

NOTE_STARTS = '''
import os
with open({notes!r} + f"/start-{{os.getpid()}}", "w"):
    pass
'''


@pytest.mark.compat("LIFE-banner")
def test_banner(launch_once, mode):
    server = launch_once(mode)
    words = server.get("/hello").header("Server").split()
    assert "mod_wsgi/6.0.5" in words
    assert any(word.startswith("Quetzal/") for word in words)
    assert "Python/3.11" in words


@pytest.mark.compat("LIFE-parent", "LIFE-children")
def test_who_starts_python(launch_once, mode):
    """Each start leaves a note, by sitecustomize."""
    server = launch_once(mode, single_child=True, start=False)
    library = server.directory / "library"
    library.mkdir()
    (library / "sitecustomize.py").write_text(
        NOTE_STARTS.format(notes=str(server.directory / "notes")))
    server.extra_environment["PYTHONPATH"] = str(library)
    server.start()
    assert server.get("/hello").status == 200
    started = {int(path.name.removeprefix("start-"))
               for path in (server.directory / "notes").iterdir()}
    assert started == set(server.httpd_children() if mode == "embedded" else server.workers())


@pytest.mark.compat("LIFE-prefork", "ENV-multithread")
@pytest.mark.skipif(env.MPM != "prefork", reason="is about prefork")
def test_prefork_has_no_threads(launch_once):
    server = launch_once("embedded")
    found = {key: value for key, (_, value) in server.get("/environ").json().items()}
    assert (found["wsgi.multithread"], found["wsgi.multiprocess"]) == (False, True)


@pytest.mark.compat("FAIL-silent")
def test_a_worker_that_does_not_answer_in_time(launch_once):
    server = launch_once("daemon", timeout_s=1)
    url = server.script("slow.py", '''
import time

def application(environ, start_response):
    time.sleep(3)
    start_response("200 OK", [])
    return []
''')
    server.expect("WSGI0145", "silent for 1 s; .* or raise Timeout$")
    assert server.get(url).status == 504
    assert server.get("/hello").status == 200


# ---- levels

@pytest.mark.compat("LOG-levels")
def test_what_is_logged_at_debug_and_at_trace1(launch_once, mode):
    server = launch_once(mode, daemon="threads=3 request-timeout=77", single_child=True, config="""
LogLevel wsgi:debug
WSGIScriptAlias /traced "${apps}/hello.py"
<Location /traced>
    LogLevel wsgi:trace1
</Location>
""")
    assert server.get("/hello").status == server.get("/traced?q").status == 200

    def lines(level, words):
        return [line for line in server.log.text().splitlines()
                if f"[wsgi:{level}]" in line and words in line]

    assert lines("debug", "threads_per_process=")
    if mode == "daemon":
        assert lines("debug", " threads=3 ") and lines("debug", " request_timeout_s=77 ")
    begin, end = (lines("trace1", words) for words in ("'application' is called", "status 200"))
    assert len(begin) == len(end) == 1, "of the one that is traced"
    assert "hello.py] it answered" in end[0] and "gave 12" in end[0]


# ---- logs of virtual hosts

HOSTS = """
ErrorLogFormat "[%t] [%-m:%l] [pid %P] [%v|%L] %M"
WSGIScriptAlias /says "${scripts}/says.py"
<VirtualHost *:${port}>
    ServerName one.example
    ErrorLog "${root}/one.log"
    WSGIDaemonProcess of-one
    WSGIScriptAlias /own "${scripts}/says.py" process-group=of-one
</VirtualHost>
<VirtualHost *:${port}>
    ServerName two.example
    ErrorLog "${root}/two.log"
</VirtualHost>
"""

SAYS = '''
import sys, threading

def application(environ, start_response):
    print("said in a request", environ["QUERY_STRING"])
    thread = threading.Thread(target=lambda: print("said by a thread", environ["QUERY_STRING"]))
    thread.start()
    thread.join()
    start_response("200 OK", [("X-Id", environ["mod_wsgi.request_id"])])
    return []
'''


@pytest.fixture(scope="module")
def hosts(launch, mode):
    server = launch(mode, config=HOSTS)
    server.script("says.py", SAYS)
    return server


def lines_of(server, host, words):
    path = server.directory / f"{host}.log"
    return [line for line in path.read_text().splitlines() if words in line]


@pytest.mark.compat("LIFE-vhost-log", "LOG-request", "ENV-ids")
def test_lines_of_a_request_go_to_its_virtual_host(hosts):
    """In the format and with the id that httpd gives them."""
    hosts.expect_output("said by a thread")
    for host, other in (("one", "two"), ("two", "one")):
        identity = hosts.get(f"/says?{host}", {"Host": f"{host}.example"}).header("X-Id")
        (line,) = lines_of(hosts, host, f"said in a request {host}")
        assert "[wsgi:error]" in line
        assert f"[{host}.example|{identity}] " in line
        assert lines_of(hosts, other, f"said in a request {host}") == []


@pytest.mark.compat("GROUP-log")
def test_lines_of_a_group_go_to_the_virtual_host_that_has_it(hosts):
    assert hosts.get("/own?group", {"Host": "one.example"}).status == 200
    env.wait_until(lambda: lines_of(hosts, "one", "said by a thread group"), "the thread's line",
                   5 * env.PATIENCE)
    assert lines_of(hosts, "two", "said by a thread group") == []
