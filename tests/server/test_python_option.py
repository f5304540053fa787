"""python= of WSGIDaemonProcess: which Python a group runs on, and by which program.

Two builds of the program are needed. The second is a copy of the first under another name, planted
for an interpreter that is a copy too: what it is called decides. With WSGI_OTHER_MODULE (mod_wsgi.so
of another Python, its wsgi-daemon-X.Y beside it) and WSGI_OTHER_PYTHON (that interpreter, readable
by httpd's user) a real second Python is tested as well.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import env
import processes
import pytest
from processes import wait_until

OURS = "{}.{}".format(*sys.version_info)
PYTHON = os.path.realpath("/usr/bin/python3")
OTHER_MODULE = os.environ.get("WSGI_OTHER_MODULE")
OTHER_PYTHON = os.environ.get("WSGI_OTHER_PYTHON")


def plant(server, version):
    """An interpreter and a program of that version by name."""
    (server.directory / "python").mkdir(exist_ok=True)
    (server.directory / "python" / "bin").mkdir(exist_ok=True)
    shutil.copy(PYTHON, server.directory / "python" / "bin" / f"python{version}")
    program = server.directory / "module" / f"wsgi-daemon-{OURS}"
    shutil.copy(program, program.with_name(f"wsgi-daemon-{version}"))


def make_environment(path):
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(path)], check=True)


def ask(server, path):
    return server.get(path).json()


@pytest.fixture(scope="module")
def server(launch):
    server = launch("daemon", start=False, own_module=True, config="""
WSGIPythonHome "${root}/global-environment"
WSGIDaemonProcess ours
WSGIDaemonProcess plain python=/usr/bin/python3
WSGIDaemonProcess environment python="${root}/environment" display-name=%{GROUP}
WSGIDaemonProcess by-interpreter python="${root}/environment/bin/python"
WSGIDaemonProcess planted python="${root}/python/bin/python3.98"
""" + "".join(f'WSGIScriptAlias /{name} "${{apps}}/process.py" process-group={name}\n'
              f'WSGIScriptAlias /facts-{name} "${{apps}}/facts.py" process-group={name}\n'
              for name in ("ours", "plain", "environment", "by-interpreter", "planted")))
    make_environment(server.directory / "environment")
    make_environment(server.directory / "global-environment")
    plant(server, "3.98")
    return server.start()


def test_an_interpreter(server):
    """Not WSGIPythonHome, which is for those who say nothing."""
    assert ask(server, "/plain")["prefix"] == "/usr"
    assert ask(server, "/facts-plain")["executable"] == "/usr/bin/python3"
    assert ask(server, "/ours")["prefix"] == f"{server.directory}/global-environment"


@pytest.mark.parametrize("group", ["environment", "by-interpreter"])
def test_a_virtual_environment(server, group):
    found = ask(server, f"/{group}")
    assert found["prefix"] == f"{server.directory}/environment"
    assert f"{server.directory}/environment/lib/python{OURS}/site-packages" in found["path"]


def test_the_program_is_of_that_version(server):
    for group, version in (("ours", OURS), ("environment", OURS), ("planted", "3.98")):
        pid = ask(server, f"/{group}")["pid"]
        assert processes.program(pid) == f"wsgi-daemon-{version}"
        assert processes.program(processes.parent_of(pid)) == f"wsgi-daemon-{version}"
    assert ask(server, "/facts-planted")["executable"] == \
        f"{server.directory}/python/bin/python3.98"


def configtest(launch_once, python, prepare=None):
    server = launch_once("daemon", start=False, own_module=True,
                         config=f"WSGIDaemonProcess example python=\"{python}\"")
    if prepare:
        prepare(server)
    return server.configtest()


def test_a_version_without_a_program_names_the_command(launch_once):
    def prepare(server):
        plant(server, "3.97")
        (server.directory / "module" / "wsgi-daemon-3.97").unlink()
    status, output = configtest(launch_once, "${root}/python/bin/python3.97", prepare)
    assert status == 1
    assert "WSGI1518" in output and "'example'" in output
    assert re.search(r"`\./configure --with-python=\S+/python3\.97 && make install-daemon`", output)
    assert "module/wsgi-daemon-3.97 (No such file or directory)" in output


def test_an_environment_of_such_a_version(launch_once):
    def prepare(server):
        make_environment(server.directory / "environment")
        config = server.directory / "environment" / "pyvenv.cfg"
        config.write_text(re.sub(r"^version = .*$", "version = 3.96.1", config.read_text(),
                                 flags=re.M))
    status, output = configtest(launch_once, "${root}/environment", prepare)
    assert status == 1
    assert "WSGI1518" in output and "wsgi-daemon-3.96" in output


@pytest.mark.parametrize("python, words", [
    ("${root}/nowhere", "No such file or directory"),
    ("${root}", "is a directory without a pyvenv.cfg"),
    ("/bin/sh", "is no Python interpreter"),
    ("${root}/httpd.conf", "is no Python interpreter"),
    pytest.param("/nowhere/" + "x" * 250,
                 "cannot be used (No such file or directory): name an interpreter", id="long"),
])
def test_what_is_no_python(launch_once, python, words):
    status, output = configtest(launch_once, python)
    assert status == 1
    assert "WSGI1517" in output and words in output


def test_another_program_of_an_environment(launch_once):
    def prepare(server):
        make_environment(server.directory / "environment")
        (server.directory / "environment" / "bin" / "pip").write_text("#!/bin/sh\n")
    status, output = configtest(launch_once, "${root}/environment/bin/pip", prepare)
    assert status == 1
    assert "WSGI1517" in output and "/bin/pip is no Python interpreter" in output


def test_an_environment_that_cannot_be_read_to_its_end(launch_once):
    """httpd's parent does not wait for its owner."""
    def prepare(server):
        (server.directory / "environment").mkdir()
        os.mkfifo(server.directory / "environment" / "pyvenv.cfg")
    status, output = configtest(launch_once, "${root}/environment", prepare)
    assert status == 1
    assert "WSGI1517" in output and "pyvenv.cfg cannot be read" in output


def test_no_program_at_all(launch_once):
    server = launch_once("daemon", start=False, own_module=True)
    (server.directory / "module" / f"wsgi-daemon-{OURS}").unlink()
    status, output = server.configtest()
    if Path(f"/usr/lib/apache2/modules/wsgi-daemon-{OURS}").exists():
        pytest.skip("one is installed")
    assert status == 1
    assert output.count("WSGI1504") == 1 and "make install-daemon" in output


# ---- an upgrade

def replace(server):
    """As a package manager does it: another file under the same name."""
    program = server.directory / "module" / f"wsgi-daemon-{OURS}"
    new = program.with_suffix(".new")
    new.write_bytes(program.read_bytes() + b"\0")
    new.chmod(0o755)
    before = program.stat().st_ino
    new.rename(program)
    return before, program.stat().st_ino


def inode(pid):
    return os.stat(f"/proc/{pid}/exe").st_ino


def test_a_generation_goes_on_with_the_program_it_began_with(launch_once):
    server = launch_once("daemon", own_module=True)
    worker = ask(server, "/process")["pid"]
    old, new = replace(server)
    assert inode(worker) == old
    server.expect("WSGI1409", f"worker {worker} was ended by signal 9")
    os.kill(worker, signal.SIGKILL)
    successor = ask(server, "/process")["pid"]
    assert successor != worker
    assert inode(successor) == old
    assert os.readlink(f"/proc/{successor}/exe").endswith(" (deleted)")

    supervisor = processes.parent_of(successor)
    server.expect("WSGI1601", f"supervisor {supervisor} .*signal 9")
    server.tolerate("WSGI0116|WSGI0146")
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: server.supervisors() and server.supervisors() != [supervisor]
               and server.get("/process").status == 200, "another supervisor serves",
               20 * env.PATIENCE)
    assert inode(ask(server, "/process")["pid"]) == old

    server.restart("graceful")
    assert inode(ask(server, "/process")["pid"]) == new


# ---- a real second Python

@pytest.mark.skipif(not (OTHER_MODULE and OTHER_PYTHON),
                    reason="WSGI_OTHER_MODULE and WSGI_OTHER_PYTHON name no second build")
def test_two_pythons_at_the_same_time(launch_once):
    server = launch_once("daemon", start=False, own_module=True, config=f"""
WSGIDaemonProcess other python="{OTHER_PYTHON}"
WSGIScriptAlias /other "${{apps}}/process.py" process-group=other
""")
    for program in Path(OTHER_MODULE).parent.glob("wsgi-daemon-*"):
        shutil.copy(program, server.directory / "module")
    server.start()
    found, ours = ask(server, "/other"), ask(server, "/process")
    version = "{}.{}".format(*found["version"])
    assert version != OURS == "{}.{}".format(*ours["version"])
    assert processes.program(found["pid"]) == f"wsgi-daemon-{version}"
    assert any(path.endswith(f"/python{version}") for path in found["path"])
    assert not any(f"/python{OURS}" in path for path in found["path"])
