"""Who the processes of a group are: as /proc tells, of the supervisor and of the worker alike.

The refusals of the system, CVE-2014-0240 and CVE-2014-8583, are tests/unit/daemon/test_identity.c.
"""

import os
import pwd
import re
import shutil
from pathlib import Path

import env
import processes
import pytest
from conftest import needs_root

NOBODY, NOGROUP = 65534, 65534


def ask(server, path="/facts"):
    return server.get(path).json()


def both(server, path="/facts"):
    """Supervisor and worker."""
    worker = ask(server, path)["pid"]
    return processes.parent_of(worker), worker


@needs_root
def test_all_ids_of_supervisor_and_worker(launch_once):
    """CVE-2014-0240, CVE-2014-8583: nothing of root is left in any process."""
    server = launch_once("daemon", daemon="user=nobody group=nogroup umask=027 processes=2")
    for pid in [*both(server), *server.workers(), *server.supervisors()]:
        assert processes.uids(pid) == (NOBODY,) * 4
        assert processes.gids(pid) == (NOGROUP,) * 4
        assert processes.groups(pid) == {NOGROUP}
        assert processes.umask(pid) == 0o027


@pytest.mark.compat("OPT-supplementary-groups")
@needs_root
def test_supplementary_groups(launch_once):
    """The group itself is always among them; root's are not."""
    server = launch_once("daemon", daemon="user=nobody group=nogroup "
                                          "supplementary-groups=daemon,#4321,#4322")
    for pid in both(server):
        assert processes.groups(pid) == {NOGROUP, 1, 4321, 4322}


@pytest.mark.compat("OPT-supplementary-groups")
@needs_root
def test_groups_of_the_user_database(launch_once):
    user = pwd.getpwnam("www-data")
    server = launch_once("daemon")
    for pid in both(server):
        assert processes.groups(pid) == set(os.getgrouplist("www-data", user.pw_gid))


@pytest.mark.compat("OPT-user-order")
@needs_root
def test_user_and_group_of_httpd_that_stand_behind_the_group(launch_once):
    server = launch_once("daemon", config="User nobody\nGroup nogroup\n", start=False)
    # httpd itself runs as nobody, and so does the group that was defined before that was said
    for path in (server.directory, *server.directory.rglob("*")):
        os.chown(path, NOBODY, NOGROUP)
    server.start()
    for pid in both(server):
        assert processes.uids(pid) == (NOBODY,) * 4
        assert processes.gids(pid) == (NOGROUP,) * 4


@pytest.mark.compat("OPT-home-default")
@needs_root
def test_home_of_the_user_where_that_is_not_httpds(launch_once):
    server = launch_once("daemon", config="""
WSGIDaemonProcess other user=games group=games
WSGIDaemonProcess homeless user=nobody group=nogroup
WSGIDaemonProcess placed user=games group=games home=/usr/lib
WSGIScriptAlias /other "${apps}/facts.py" process-group=other
WSGIScriptAlias /homeless "${apps}/facts.py" process-group=homeless
WSGIScriptAlias /placed "${apps}/facts.py" process-group=placed
""")
    assert ask(server, "/other")["cwd"] == os.path.realpath(pwd.getpwnam("games").pw_dir)
    assert ask(server, "/homeless")["cwd"] == "/"
    assert re.search(r"WSGI1401: \[homeless\] uid \d+ cannot enter its home directory '/nonexistent'",
                     server.log.text())
    assert ask(server, "/placed")["cwd"] == "/usr/lib"
    assert ask(server, "/placed")["environment"]["HOME"] == pwd.getpwnam("games").pw_dir
    assert ask(server)["cwd"] == os.readlink(f"/proc/{server.pid}/cwd"), "httpd's user: inherited"


@pytest.mark.compat("LIFE-core")
@pytest.mark.parametrize("directive", ["", 'CoreDumpDirectory "${root}/notes"'],
                         ids=["unwanted", "wanted"])
@needs_root
def test_core_files_are_allowed_where_httpd_is_told_a_place_for_them(launch_once, directive):
    """What is not dumpable belongs to root in /proc."""
    server = launch_once("daemon", daemon="user=nobody group=nogroup", config=directive)
    owner = NOBODY if directive else 0
    for pid in both(server):
        assert os.stat(f"/proc/{pid}/environ").st_uid == owner


@pytest.mark.compat("OPT-home-wrong")
@needs_root
def test_a_home_that_cannot_be_entered_is_503_at_once(launch_once):
    server = launch_once("daemon", start=False, config="""
WSGIDaemonProcess shut home="${root}/shut"
WSGIScriptAlias /shut "${apps}/hello.py" process-group=shut
""")
    (server.directory / "shut").mkdir(mode=0o700)
    server.expect("WSGI1400", "cannot enter home=.*/shut as uid .*Permission denied", count=None)
    server.expect("WSGI1601", count=None)
    server.expect("WSGI0116", "it cannot start")
    server.start()
    assert server.get("/shut", timeout=5 * env.PATIENCE).status == 503
    server.tolerate("WSGI1400|WSGI1601")


# ---- chroot

LIBRARY = Path(os.__file__).parent

# Nothing that needs a shared library, which would have to be in there too.
JAILED = """
import json, os

def application(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps({
        "pid": os.getpid(), "root": os.listdir("/"), "cwd": os.getcwd(),
        "paths": {name: environ.get(name) for name in ("SCRIPT_FILENAME", "DOCUMENT_ROOT")},
    }).encode()]
"""


@pytest.fixture(scope="module")
def jail(launch):
    """A root with Python's library in it and nothing else."""
    server = launch("daemon", start=False, config="""
WSGIDaemonProcess jailed user=nobody group=nogroup chroot="${root}/jail/" home=/inner \\
    supplementary-groups=#4321
WSGIScriptAlias /jailed "${root}/jail/inner/facts.py" process-group=jailed
WSGIScriptAlias /outside "${apps}/facts.py" process-group=jailed
WSGIImportScript "${root}/jail/inner/imported.py" process-group=jailed application-group=%{GLOBAL}
DocumentRoot "${root}/jail/inner"
""")
    root = server.directory / "jail"
    shutil.copytree(LIBRARY, root / str(LIBRARY).lstrip("/"), symlinks=False,
                    ignore_dangling_symlinks=True, ignore=shutil.ignore_patterns(
                        "test", "tests", "dist-packages", "__pycache__", "idlelib", "lib2to3",
                        "config-*", "tkinter", "ensurepip", "pydoc_data"))
    (root / "inner").mkdir()
    (root / "inner" / "facts.py").write_text(JAILED)
    (root / "inner" / "imported.py").write_text("print('imported', __file__)\n")
    server.expect_output("imported /inner/imported.py")
    return server.start()


@pytest.mark.compat("OPT-chroot")
@needs_root
def test_chroot(jail):
    found = ask(jail, "/jailed")
    assert set(found["root"]) == {"usr", "inner"}
    assert found["cwd"] == "/inner"
    for pid in (found["pid"], processes.parent_of(found["pid"])):
        assert os.readlink(f"/proc/{pid}/root") == f"{jail.directory}/jail"
        assert processes.uids(pid) == (NOBODY,) * 4
        assert processes.groups(pid) == {NOGROUP, 4321}


@pytest.mark.compat("ENV-files-chroot")
@needs_root
def test_paths_are_as_seen_from_inside_a_chroot(jail):
    assert ask(jail, "/jailed")["paths"] == {"SCRIPT_FILENAME": "/inner/facts.py",
                                             "DOCUMENT_ROOT": "/inner"}


@pytest.mark.compat("FAIL-chroot")
@needs_root
def test_a_script_outside_the_chroot_is_500(jail):
    jail.expect("WSGI1537", r"\[jailed\] .*chroot=.*/jail/ .*apps/facts.py")
    assert jail.get("/outside").status == 500


@needs_root
def test_an_import_outside_the_chroot_is_a_fault(launch_once):
    status, output = launch_once("daemon", start=False, config="""
WSGIDaemonProcess jailed chroot=/srv
WSGIImportScript /srv2/x.py process-group=jailed application-group=a
""").configtest()
    assert status == 1
    assert "WSGI1514" in output and "/srv2/x.py" in output


@needs_root
def test_a_chroot_that_does_not_exist(launch_once):
    server = launch_once("daemon", start=False, config="""
WSGIDaemonProcess jailed chroot=/nowhere/at/all
WSGIScriptAlias /x "/nowhere/at/all/x.py" process-group=jailed
""")
    server.expect("WSGI1524", "chroot /nowhere/at/all does not exist", count=None)
    server.expect("WSGI1400", "cannot make chroot=/nowhere/at/all the root directory .No such",
                  count=None)
    server.expect("WSGI1601", count=None)
    server.start()
    processes.wait_until(server.log.is_complete, "the supervisor has tried")
    server.tolerate("WSGI1400|WSGI1601")


# ---- not started as root

@pytest.fixture
def as_nobody(launch_once):
    """A server that an ordinary user starts, whoever runs the tests."""
    def make(**options):
        server = launch_once("daemon", start=False, run_as=NOBODY if env.IS_ROOT else None,
                             **options)
        if env.IS_ROOT:
            for path in (server.directory, *server.directory.rglob("*")):
                os.chown(path, NOBODY, NOGROUP)
        return server
    return make


@pytest.mark.compat("OPT-user-unprivileged")
def test_without_root_identity_options_have_no_effect(as_nobody):
    server = as_nobody(daemon="user=games group=games supplementary-groups=daemon umask=027")
    server.start()
    for pid in both(server):
        assert processes.uids(pid) == processes.uids(server.pid)
        assert processes.gids(pid) == processes.gids(server.pid)
        assert processes.groups(pid) == processes.groups(server.pid)
        assert processes.umask(pid) == 0o027


def test_without_root_a_chroot_is_a_warning(as_nobody):
    server = as_nobody(daemon="chroot=/srv")
    server.tolerate("WSGI1513")
    server.start()
    assert "usr" in ask(server)["root"]
    assert "WSGI1513" in (server.directory / "output").read_text() + server.log.text()


@pytest.mark.compat("OPT-home-default")
@needs_root
def test_without_root_the_home_is_entered_where_the_user_is_not_httpds(as_nobody):
    """httpd's User names www-data, and the processes run as nobody, who has no home."""
    server = as_nobody()
    server.start()
    assert ask(server)["cwd"] == "/"
    assert re.search(r"WSGI1401: \[tests\] uid \d+ cannot enter its home directory '/nonexistent'",
                     server.log.text())
