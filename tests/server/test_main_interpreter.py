"""The place of an application: where the configuration shows that a process group serves one only,
under its default name, the main interpreter serves it and reports that name."""

import re

import pytest

SCRIPT = '''
import json, threading
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import mod_wsgi

current = interpreters.get_current()
number = int(current[0] if isinstance(current, tuple) else current)

def answer(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps({
        "number": number,
        "group": mod_wsgi.process_group,
        "name": mod_wsgi.application_group,
        "environ": environ["mod_wsgi.application_group"],
        "main thread": threading.main_thread().ident,
    }).encode()]

application = handle_request = answer
'''

def start(launch, config, edit=None):
    server = launch("embedded", config=config, start=False)
    for name in ("app", "other"):
        server.script(f"{name}.py", SCRIPT)
    if edit:
        path = server.directory / "httpd.conf"
        path.write_text(edit(path.read_text()))
    return server.start()


def ask(server, path, host=None):
    return server.get(path, {"Host": host} if host else {}).json()


def is_main(server, path, host=None):
    return ask(server, path, host)["number"] == 0


@pytest.fixture(scope="module")
def server(launch):
    return start(launch, """
WSGIDaemonProcess sole
WSGIScriptAlias /sole "${scripts}/app.py" process-group=sole
WSGIDaemonProcess explicit
WSGIScriptAlias /a//explicit "${scripts}/app.py" process-group=explicit \\
    application-group=%{RESOURCE}
WSGIDaemonProcess imports
WSGIScriptAlias /imports "${scripts}/app.py" process-group=imports
WSGIImportScript "${scripts}/other.py" process-group=imports application-group=more

WSGIDaemonProcess two
WSGIScriptAlias /two/one "${scripts}/app.py" process-group=two
WSGIScriptAlias /two/other "${scripts}/other.py" process-group=two
WSGIDaemonProcess same
WSGIScriptAlias /same/one "${scripts}/app.py" process-group=same
WSGIScriptAlias /same/other "${scripts}/app.py" process-group=same
WSGIDaemonProcess also-global
WSGIScriptAlias /also-global/one "${scripts}/app.py" process-group=also-global
WSGIScriptAlias /also-global/other "${scripts}/other.py" process-group=also-global \\
    application-group=%{GLOBAL}
WSGIDaemonProcess global-import
WSGIScriptAlias /global-import "${scripts}/app.py" process-group=global-import
WSGIImportScript "${scripts}/other.py" process-group=global-import application-group=%{GLOBAL}
WSGIDaemonProcess named
WSGIScriptAlias /named "${scripts}/app.py" process-group=named application-group=a-name
WSGIDaemonProcess regex
WSGIScriptAliasMatch ^/regex "${scripts}/app.py" process-group=regex
WSGIDaemonProcess directory
WSGIScriptAlias /directory/ "${scripts}/" process-group=directory
WSGIDaemonProcess bare-directory
WSGIScriptAlias /bare-directory "${root}/scripts" process-group=bare-directory
WSGIDaemonProcess handler
WSGIScriptAlias /handler "${scripts}/app.py" process-group=handler
WSGIHandlerScript mine "${scripts}/other.py" process-group=handler
WSGIDaemonProcess section
WSGIScriptAlias /section/one "${scripts}/app.py" process-group=section
<Location /section/other>
    WSGIProcessGroup section
</Location>
""")


@pytest.mark.compat("INTERP-only-application")
@pytest.mark.parametrize("path, script_name", [
    ("/sole", "/sole"), ("/sole/path/info", "/sole"), ("//sole", "/sole"),
    ("/a/explicit", "/a/explicit"), ("/imports", "/imports")])
def test_one_application_is_in_the_main_interpreter_under_its_name(server, path, script_name):
    found = ask(server, path)
    assert found["number"] == 0
    assert found["name"] == found["environ"] == f"localhost:{server.port}|{script_name}"


@pytest.mark.parametrize("path", [
    "/two/one", "/two/other", "/same/one", "/also-global/one", "/global-import", "/named",
    "/regex", "/directory/app.py", "/bare-directory/app.py", "/handler", "/section/one"])
def test_what_switches_it_off(server, path):
    found = ask(server, path)
    assert found["number"] != 0
    assert found["name"] == found["environ"] != ""


def test_global_is_the_main_one_as_ever(server):
    found = ask(server, "/also-global/other")
    assert (found["number"], found["name"], found["environ"]) == (0, "", "")


def test_a_port_of_the_clients_makes_no_difference(server):
    """Without UseCanonicalName the port of the default name is the Host field's."""
    before = ask(server, "/sole")
    for host in ("localhost", "localhost:1", "other:65535"):
        found = ask(server, "/sole", host)
        assert found["number"] == 0
        assert found["main thread"] == before["main thread"]
    assert 'interpreter "localhost:1|/sole" created' not in server.log.text()


def test_it_is_told_at_info(server):
    assert re.search(rf'main interpreter serves "localhost:{server.port}..sole"', server.log.text())


def test_embedded_keeps_the_mapping(server):
    assert not is_main(server, "/scripts/app.py")


# ---- whole servers

def without_aliases(text):
    """Of the tests' own configuration."""
    return re.sub(r"^WSGIScriptAlias /(\w+ \"[^\"]*/apps/|scripts/ ).*\n", "", text, flags=re.M)


GROUP_OF_THE_SERVER = """
WSGIDaemonProcess site
WSGIProcessGroup site
WSGIScriptAlias / "${scripts}/app.py"
"""


def test_a_group_for_the_whole_server(launch_once):
    server = start(launch_once, GROUP_OF_THE_SERVER, without_aliases)
    found = ask(server, "/any/thing")
    assert (found["number"], found["name"]) == (0, f"localhost:{server.port}|")


@pytest.mark.parametrize("more", [
    "<Directory />\nAllowOverride FileInfo\n</Directory>",
    "<Location /x>\nSetHandler wsgi-script\n</Location>",
    "WSGIHandlerScript mine /x.py",
    'WSGIScriptAlias /two "${scripts}/other.py"',
    "WSGIApplicationGroup %{SERVER}",
    "<Location /x>\nWSGIApplicationGroup %{GLOBAL}\n</Location>",
    "<Location /x>\nWSGIProcessGroup %{ENV:GROUP}\n</Location>",
    "<Location /x>\nWSGIProcessGroup site\n</Location>",
    "<VirtualHost 127.0.0.9:1>\nServerName other\n</VirtualHost>",
])
def test_what_switches_it_off_for_the_whole_server(launch_once, more):
    server = start(launch_once, GROUP_OF_THE_SERVER + more, without_aliases)
    assert not is_main(server, "/any")


def test_virtual_hosts_of_one_application_each(launch_once):
    server = start(launch_once, "".join(f"""
<VirtualHost *:${{port}}>
    ServerName {name}.example
    WSGIDaemonProcess {name}
    WSGIProcessGroup {name}
    WSGIScriptAlias / "${{scripts}}/app.py"
</VirtualHost>
""" for name in ("one", "two")), without_aliases)
    for name in ("one", "two"):
        found = ask(server, "/", f"{name}.example")
        assert (found["number"], found["group"]) == (0, name)
        assert found["environ"] == f"{name}.example|"


def test_virtual_hosts_that_share_a_group(launch_once):
    server = start(launch_once, """
WSGIDaemonProcess shared
""" + "".join(f"""
<VirtualHost *:${{port}}>
    ServerName {name}.example
    WSGIScriptAlias / "${{scripts}}/app.py" process-group=shared
</VirtualHost>
""" for name in ("one", "two")))
    for name in ("one", "two"):
        assert not is_main(server, "/", f"{name}.example")


def test_letter_case(launch_once):
    server = start(launch_once, """
WSGICaseSensitivity Off
WSGIDaemonProcess sole
WSGIScriptAlias /Sole "${scripts}/app.py" process-group=sole
""")
    found = ask(server, "/Sole")
    assert (found["number"], found["name"]) == (0, f"localhost:{server.port}|/sole")


def test_a_file_that_is_not_there_yet(launch_once):
    """It might become a directory."""
    server = start(launch_once, """
WSGIDaemonProcess sole
WSGIScriptAlias /sole "${scripts}/later.py" process-group=sole
""")
    server.script("later.py", SCRIPT)
    assert not is_main(server, "/sole")


def test_reload_stays_in_the_main_interpreter(launch_once):
    server = start(launch_once, """
WSGIDaemonProcess sole
WSGIScriptAlias /sole "${scripts}/app.py" process-group=sole
""")
    assert is_main(server, "/sole")
    server.script("app.py", SCRIPT.replace('"number": number', '"number": number, "again": 1'))
    found = ask(server, "/sole")
    assert (found["number"], found["again"]) == (0, 1)
