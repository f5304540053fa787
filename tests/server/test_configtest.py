"""`apache2 -t` finds what would not work: exit status 1 and one sentence, before any start."""

import re

import env
import pytest
from conftest import needs_root

GROUP = "WSGIDaemonProcess example "


def configtest(launch_once, config):
    return launch_once("embedded", start=False, config=config).configtest()


@pytest.mark.compat("GROUP-place", "DIR-daemonprocess", "NAME-global")
@pytest.mark.parametrize("config", [
    "",
    "WSGIDaemonProcess example",
    "WSGIDaemonProcess example processes=2 threads=5 display-name=%{GROUP} home=/tmp",
    'WSGIDaemonProcess example "display-name=some words"',
    f"WSGIDaemonProcess example user={env.USER}",
    "WSGIDaemonProcess a\nWSGIDaemonProcess b\nWSGIProcessGroup b",
    "WSGIProcessGroup %{GLOBAL}\nWSGIApplicationGroup %{GLOBAL}",
    "WSGIScriptAlias /x /somewhere/x.py process-group=later\nWSGIDaemonProcess later",
])
def test_right(launch_once, config):
    status, output = configtest(launch_once, config)
    assert (status, output) == (0, "Syntax OK\n")


def test_more_than_a_group_can_be_given(launch_once):
    names = "".join(f"WSGIImportScript /x.py process-group=example application-group={letter * 99_999}\n"
                    for letter in "abcdefghijk")
    status, output = configtest(launch_once, GROUP + "\n" + names)
    assert status == 1
    assert re.search(r"WSGI1607.* 'example' are 11\d{5} bytes.*fewer scripts", output), output[-999:]


@pytest.mark.compat("GROUP-name", "CONF-number-range", "CONF-server", "CONF-misplaced",
                    "CONF-options", "GROUP-unknown")
@pytest.mark.parametrize("config, words", [
    ("WSGIDaemonProcess", ["WSGIDaemonProcess"]),
    (GROUP + "\n" + GROUP, ["example", "twice|already|more than once"]),
    (GROUP + "processes=0", ["processes", "0"]),
    (GROUP + "processes=-1", ["processes", "-1"]),
    (GROUP + "processes=many", ["processes", "many"]),
    (GROUP + "processes=", ["processes"]),
    (GROUP + "threads=65534", ["threads", "65533"]),
    (GROUP + "threads=-1", ["threads", "-1"]),
    (GROUP + "threads=99999999999999999999", ["threads", "65533"]),
    (GROUP + "thread=5", ["thread"]),
    (GROUP + "threads", ["threads"]),
    (GROUP + "home=relative/path", ["home", "absolute"]),
    ("WSGIProcessGroup nowhere", ["nowhere"]),
    ("<Location /x>\nWSGIProcessGroup nowhere\n</Location>", ["nowhere"]),
    ("WSGIScriptAlias /x /somewhere/x.py process-group=nowhere", ["nowhere"]),
    ("WSGIScriptAlias /x /somewhere/x.py proces-group=a", ["proces-group"]),
    ("WSGIScriptAlias /x", ["WSGIScriptAlias"]),
    ("<Location /x>\nWSGIDaemonProcess inside\n</Location>", ["WSGIDaemonProcess", "not allowed"]),
    ("<Location /x>\nWSGIScriptAlias /y /z\n</Location>", ["WSGIScriptAlias", "not allowed"]),
    ("<VirtualHost *:1>\nWSGIPythonHome /usr\n</VirtualHost>", ["WSGIPythonHome"]),
])
def test_wrong(launch_once, config, words):
    status, output = configtest(launch_once, config)
    assert status == 1
    assert "Syntax OK" not in output
    for word in words:
        assert any(each in output for each in word.split("|")), output


def test_unknown_user(launch_once):
    status, output = configtest(launch_once, GROUP + "user=nobody-of-this-name")
    assert (status, "nobody-of-this-name" in output) == (1, True)


def test_unknown_group(launch_once):
    status, output = configtest(launch_once, GROUP + "group=no-group-of-this-name")
    assert (status, "no-group-of-this-name" in output) == (1, True)


@pytest.mark.compat("OPT-user-root")
@needs_root
@pytest.mark.parametrize("user", ["root", "#0"])
def test_root_is_refused(launch_once, user):
    status, output = configtest(launch_once, GROUP + f"user={user}")
    assert (status, "user" in output) == (1, True)


def test_a_wrong_configuration_does_not_start(launch_once):
    server = launch_once("embedded", start=False, config="WSGIProcessGroup nowhere")
    with pytest.raises(env.StartFailed, match="nowhere"):
        server.start()


@pytest.mark.compat("CONF-number-junk")
@pytest.mark.parametrize("config, words", [
    ("WSGIDaemonProcess a home=/nowhere/at/all", "WSGI1524"),
    ("WSGIDaemonProcess a chroot=/nowhere/at/all", "WSGI1524"),
    ("WSGIDaemonProcess a home=/etc/passwd", "WSGI1525"),
    ("WSGIImportScript /nowhere/x.py process-group=%{GLOBAL} application-group=a", "WSGI1524"),
    ("WSGIImportScript /etc process-group=%{GLOBAL} application-group=a", "WSGI1525"),
])
def test_paths_that_lead_nowhere_are_warned_of(launch_once, config, words):
    """The machine may have them when httpd starts, so httpd starts."""
    status, output = configtest(launch_once, config)
    assert status == 0
    assert words in output


def test_trailing_junk_is_a_warning(launch_once):
    """Configurations that start today go on starting."""
    status, output = configtest(launch_once, GROUP + "threads=10s")
    assert status == 0
    assert "threads" in output and "10s" in output
