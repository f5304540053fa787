"""WSGIDaemonProcess, its options as the application and the system see them, and WSGIProcessGroup."""

import pwd
import subprocess

import env
import processes
import pytest
from conftest import needs_root
from processes import wait_until

CONFIG = """
WSGIDaemonProcess plain
WSGIDaemonProcess named display-name=%{GROUP} threads=3 processes=2
WSGIDaemonProcess titled "display-name=a title of its own" processes=1
WSGIDaemonProcess placed home="${root}/notes" python-path="${root}/one:${root}/two"
WSGIDaemonProcess environment python-home="${root}/environment"
WSGIDaemonProcess one-thread threads=1
WSGIDaemonProcess unused

WSGIScriptAlias /plain "${apps}/process.py" process-group=plain
WSGIScriptAlias /named "${apps}/process.py" process-group=named
WSGIScriptAlias /titled "${apps}/process.py" process-group=titled
WSGIScriptAlias /placed "${apps}/process.py" process-group=placed
WSGIScriptAlias /environment "${apps}/process.py" process-group=environment
WSGIScriptAlias /one-thread "${apps}/process.py" process-group=one-thread
WSGIScriptAlias /embedded "${apps}/process.py" process-group=%{GLOBAL}
WSGIScriptAlias /six "${apps}/waiting.py" process-group=named
WSGIScriptAlias /by-location "${apps}/process.py"
<Location /by-location>
    WSGIProcessGroup named
</Location>
"""


def make_environment(path, python="/usr/bin/python3"):
    subprocess.run([python, "-m", "venv", "--without-pip", str(path)], check=True)


@pytest.fixture(scope="module")
def server(launch):
    server = launch("daemon", config=CONFIG, start=False)
    make_environment(server.directory / "environment")
    for name in ("one", "two"):
        (server.directory / name).mkdir()
        (server.directory / name / "where.py").write_text(f"name = {name!r}\n")
    (server.directory / "two" / "extra.pth").write_text(f"{server.directory}/scripts\n")
    return server.start()


def ask(server, path):
    return server.get(path).json()


@pytest.mark.compat("DIR-processgroup", "DIR-daemonprocess", "NAME-global", "MAP-options",
                    "MOD-groups")
def test_each_request_goes_to_its_group(server):
    for path, group in (("/plain", "plain"), ("/named", "named"), ("/process", "tests"),
                        ("/by-location", "named"), ("/embedded", "")):
        assert ask(server, path)["process_group"] == group


def test_groups_are_processes_of_their_own(server):
    pids = {ask(server, path)["pid"] for path in ("/plain", "/titled", "/placed", "/one-thread")}
    assert len(pids) == 4
    assert ask(server, "/embedded")["pid"] in server.httpd_children()


def test_family(server):
    """One supervisor per group, also where nobody uses it; the workers are its children."""
    supervisors = server.supervisors()
    assert len(supervisors) == 8
    assert sorted(len(processes.children(pid)) for pid in supervisors) == [1] * 7 + [2]
    assert ask(server, "/plain")["ppid"] in supervisors


@pytest.mark.compat("OPT-threads", "MOD-shape", "OPT-processes")
def test_defaults(server):
    found = ask(server, "/plain")
    assert (found["maximum_processes"], found["threads_per_process"]) == (1, 15)
    assert (found["multiprocess"], found["multithread"]) == (False, True)


@pytest.mark.compat("OPT-processes", "OPT-threads", "MOD-shape")
def test_processes_and_threads(server):
    found = ask(server, "/named")
    assert (found["maximum_processes"], found["threads_per_process"]) == (2, 3)
    assert (found["multiprocess"], found["multithread"]) == (True, True)


@pytest.mark.compat("ENV-multiprocess", "OPT-processes")
def test_processes_1_is_multiprocess_and_its_absence_is_not(server):
    assert ask(server, "/titled")["multiprocess"] is True
    assert ask(server, "/plain")["multiprocess"] is False


@pytest.mark.compat("ENV-multithread", "OPT-threads")
def test_one_thread(server):
    assert ask(server, "/one-thread")["multithread"] is False


@pytest.mark.compat("OPT-display-name")
def test_display_name(server):
    assert processes.title(ask(server, "/named")["pid"]) == "(wsgi:named)"
    assert processes.title(ask(server, "/titled")["pid"]) == "a title of its own"
    assert processes.title(ask(server, "/plain")["pid"]) == "(wsgi:plain)", "without the option"


@pytest.mark.compat("OPT-home")
def test_home_is_the_working_directory_and_first_on_the_path(server):
    found = ask(server, "/placed")
    assert found["cwd"] == found["path"][0] == f"{server.directory}/notes"


@pytest.mark.compat("OPT-python-path")
def test_python_path(server):
    """As a site directory: .pth files are read; in front of the default path, in order."""
    found = ask(server, "/placed")["path"]
    expected = [f"{server.directory}/{name}" for name in ("one", "two", "scripts")]
    assert [path for path in found if path in expected] == expected
    assert found.index(expected[-1]) < min(
        found.index(path) for path in found if path.endswith("/python3.11"))


@pytest.mark.compat("OPT-python-home")
def test_python_home(server):
    found = ask(server, "/environment")
    assert found["prefix"] == f"{server.directory}/environment"
    assert f"{server.directory}/environment/lib/python3.11/site-packages" in found["path"]
    assert ask(server, "/plain")["prefix"] == "/usr"


@pytest.mark.compat("PROC-home")
def test_user_database_tells_home(server):
    assert ask(server, "/plain")["home"] == pwd.getpwuid(ask(server, "/plain")["uids"][0]).pw_dir


def test_threads_and_processes_serve_at_the_same_time(server):
    """Two processes of three threads: six clients are served at once."""
    gates = server.directory / "notes" / "six"
    gates.mkdir()
    clients = [server.raw() for _ in range(6)]
    for client in clients:
        client.request(f"GET /six?directory={gates}")
        client.read_head()
        assert client.read_chunk() == b"part 0\n"
    for number in range(4):
        (gates / str(number)).touch()
    for client in clients:
        assert [client.read_chunk() for _ in range(4)][-1] == b""
        client.close()


@pytest.mark.compat("OPT-user")
@needs_root
def test_user_and_group(launch_once):
    server = launch_once("daemon", config="""
WSGIDaemonProcess other user=nobody group=nogroup
WSGIDaemonProcess numbers user=#65534 group=#65534
WSGIDaemonProcess inherited
WSGIScriptAlias /other "${apps}/process.py" process-group=other
WSGIScriptAlias /numbers "${apps}/process.py" process-group=numbers
WSGIScriptAlias /inherited "${apps}/process.py" process-group=inherited
""")
    nobody, www_data = pwd.getpwnam("nobody"), pwd.getpwnam("www-data")
    for path, user in (("/other", nobody), ("/numbers", nobody), ("/inherited", www_data)):
        found = ask(server, path)
        assert found["uids"] == [user.pw_uid] * 3
        assert found["gids"] == [user.pw_gid] * 3
        assert 0 not in found["groups"]
        assert processes.uids(found["ppid"]) == (user.pw_uid,) * 4, "the supervisor too"
    assert ask(server, "/other")["home"] == nobody.pw_dir


@needs_root
def test_all_of_the_family_but_the_parent_has_left_root(launch_once):
    server = launch_once("daemon")
    assert ask(server, "/process")["pid"] in server.workers()
    assert [pid for pid in server.family() if 0 in processes.uids(pid)] == []


@pytest.mark.compat("DIR-pythonhome-wrong", "FAIL-cannot-start", "LIFE-python-fails")
@pytest.mark.parametrize("home, complaint", [
    ("${root}/missing", "No such file or directory"),
    ("${root}/file", "is not a directory"),
    ("${root}/notes", "lib/python3.11"),
])
def test_a_wrong_python_home_is_503_at_once_and_one_line(launch_once, home, complaint):
    server = launch_once("daemon", start=False, config=f"""
WSGIDaemonProcess wrong python-home="{home}"
WSGIScriptAlias /wrong "${{apps}}/hello.py" process-group=wrong
""")
    (server.directory / "file").touch()
    server.start()
    path = home.replace("${root}", str(server.directory))
    server.expect("WSGI1506", f"'wrong': Python home {path}\\b.*{complaint}")
    server.expect("WSGI1404", f"\\[wrong\\] cannot start, .*{path}\\b.*{complaint}", count=None)
    server.expect("WSGI0116", "'wrong': it cannot start", count=2)
    for _ in range(2):
        assert server.get("/wrong", timeout=5 * env.PATIENCE).status == 503
    assert server.get("/hello").status == 200, "other groups serve"
    server.tolerate("WSGI1404")  # of the next try


@pytest.mark.compat("FAIL-cannot-start")
def test_a_program_that_ends_before_it_can_say_so_is_503_at_once(launch_once):
    """As one of another version does."""
    server = launch_once("daemon", start=False, own_module=True)
    (program,) = server.module.parent.glob("wsgi-daemon-*")
    program.write_text("#!/bin/sh\nexit 64\n")
    server.start()
    server.expect("WSGI1601", "exited with status 64; another is started", count=None)
    server.expect("WSGI0116", "'tests': it cannot start")
    wait_until(lambda: "WSGI1601" in server.log.text(), "its end", 10 * env.PATIENCE)
    assert server.get("/hello", timeout=5 * env.PATIENCE).status == 503
    wait_until(lambda: "another is started within 10 s" in server.log.text(),
               "it is not started ever again", 20 * env.PATIENCE)
    server.tolerate("WSGI1601")


@pytest.mark.compat("DIR-pythonhome-wrong", "CHECK-python-failed", "LIFE-child-fails")
def test_a_wrong_wsgipythonhome_is_500_embedded(launch_once):
    server = launch_once("embedded", config='WSGIPythonHome "${root}/missing"')
    server.expect("WSGI\\d+", f"{server.directory}/missing", count=None)
    server.expect("WSGI0210", count=None)
    assert server.get("/hello").status == 500
    assert server.is_listening()


@pytest.mark.compat("DIR-pythonhome", "DIR-pythonhome-venv", "DIR-pythonpath", "OPT-python-path")
def test_wsgipythonhome_and_path(launch_once, mode):
    """Embedded they hold; a daemon group takes the home where it has none of its own, and not
    the path."""
    server = launch_once(mode, start=False, config='''
WSGIPythonHome "${root}/environment"
WSGIPythonPath "${root}/one"
''')
    make_environment(server.directory / "environment")
    (server.directory / "one").mkdir()
    server.start()
    found = ask(server, "/process")
    assert found["prefix"] == f"{server.directory}/environment"
    assert (f"{server.directory}/one" in found["path"]) is (mode == "embedded")


@pytest.mark.compat("GROUP-share", "GROUP-place")
def test_a_group_of_another_server_is_refused(launch_once):
    server = launch_once("daemon", config="""
<VirtualHost 127.0.0.1:${port}>
    ServerName one.example
    WSGIDaemonProcess private
    WSGIScriptAlias /a "${apps}/process.py" process-group=private
</VirtualHost>
<VirtualHost 127.0.0.1:${port}>
    ServerName two.example
    WSGIScriptAlias /a "${apps}/process.py" process-group=tests
</VirtualHost>
""")
    one, two = ({"Host": "one.example"}, {"Host": "two.example"})
    assert server.get("/a", one).json()["process_group"] == "private"
    assert server.get("/a", two).json()["process_group"] == "tests"
