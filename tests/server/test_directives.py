"""Every directive: the places where it may stand, and where it may not. Its bad values are here too
(BAD); test_bad_configuration.py tries them."""

import re

import env
import pytest

TABLE = (env.ROOT / "src" / "server" / "directives.def").read_text()
DIRECTIVES = {
    name: (context, default)
    for name, context, default in re.findall(
        r'^DIRECTIVE\((<?\w+), (\w+), \w+, \w+,\s*[^"]*"([^"]*)"', TABLE, re.MULTILINE)}

ON_OR_OFF = ["yes", "1", "''", "maybe"]
BAD = {
    "WSGIScriptAlias": ["", "/x", "x /y", "/x /y a=b", "/x /y word",
                        "/x /y pass-authorization=perhaps", "/x /y callable-object="],
    "WSGIScriptAliasMatch": ["", "^/x", "( /y"],
    "WSGIHandlerScript": ["", "name", "name /x callable-object=a", "name /x pass-authorization=1"],
    "WSGIImportScript": ["", "/x", "/x process-group=%{GLOBAL}",
                         "/x process-group=%{GLOBAL} application-group=%{HOST}"],
    "WSGIDispatchScript": ["", "/x word", "/x process-group=a", "/x callable-object=a",
                           "/x application-group='a"],
    "WSGIAccessScript": ["", "/x word", "/x process-group=a", "/x application-group"],
    "WSGIAuthUserScript": ["", "/x /y", "/x pass-authorization=On"],
    "WSGIAuthGroupScript": ["", "/x /y", "/x Application-Group=a"],
    "WSGIGroupAuthoritative": ON_OR_OFF,
    "WSGIProcessGroup": ["", "nowhere", "a b"],
    "WSGIApplicationGroup": ["", "a b"],
    "WSGICallableObject": ["", "''", "a b"],
    "WSGIRestrictEmbedded": ON_OR_OFF,
    "WSGIScriptReloading": ON_OR_OFF,
    "WSGICaseSensitivity": ON_OR_OFF,
    "WSGIPassAuthorization": ON_OR_OFF,
    "WSGIPassApacheRequest": ON_OR_OFF,
    "WSGIChunkedRequest": [*ON_OR_OFF, "Auto"],
    "WSGIMapHEADToGET": [*ON_OR_OFF, "Buffer"],
    "WSGIErrorOverride": ON_OR_OFF,
    "WSGIEnableSendfile": ON_OR_OFF,
    "WSGIIgnoreActivity": ON_OR_OFF,
    "WSGITrustedProxyHeaders": [""],
    "WSGITrustedProxies": ["", "proxy.example", "10.0.0.1 10.0.0.0/33"],
    "WSGIDaemonProcess": ["", "%{GLOBAL}", "a=b"],
    "WSGISocketPrefix": ["", "a b"],
    "WSGISocketRotation": ON_OR_OFF,
    "WSGIAcceptMutex": ["", "semaphore"],
    "WSGIPythonHome": ["", "a b"],
    "WSGIPythonPath": ["", "a b"],
    "WSGIPythonEggs": ["", "a b"],
    "WSGIPythonOptimize": ["", "much", "-", "99999999999"],
    "WSGIPythonWarnings": ["", "a b"],
    "WSGIPythonHashSeed": ["", "4294967296", "-1", "seed", "1x"],
    "WSGIDontWriteBytecode": ON_OR_OFF,
    "WSGISwitchInterval": ["", "0", "-1", "often", "1e99", "nan", "inf"],
    "WSGIDestroyInterpreter": ON_OR_OFF,
    "WSGIPerInterpreterGIL": ON_OR_OFF,
    "WSGIFreeThreading": ON_OR_OFF,
    "WSGIRestrictStdin": ON_OR_OFF,
    "WSGIRestrictStdout": ON_OR_OFF,
    "WSGIRestrictSignal": ON_OR_OFF,
    "<WSGIInterpreterOptions": ["process=a", "process-group", "process-group=a Process-Group=b"],
    "WSGIServerMetrics": ON_OR_OFF,
    "WSGIVerboseDebugging": ON_OR_OFF,
}
# Whatever follows is accepted, or any list of names.
WITHOUT_BAD = {name for name in DIRECTIVES if "accept_obsolete" in
               TABLE[TABLE.index(f"DIRECTIVE({name},"):].split("DIRECTIVE(", 2)[1]}
WITHOUT_BAD.add("WSGIRestrictProcess")

GOOD = {
    "WSGIScriptAlias": "/x /y", "WSGIScriptAliasMatch": "^/x /y", "WSGIHandlerScript": "x /y",
    "WSGIImportScript": "/x process-group=%{GLOBAL} application-group=a",
    "WSGIDispatchScript": "/x application-group=%{GLOBAL}", "WSGIAccessScript": "/x",
    "WSGIAuthUserScript": "/x application-group=%{SERVER}",
    "WSGIAuthGroupScript": "'/x y' 'application-group=a b'",
    "WSGIProcessGroup": "%{GLOBAL}", "WSGIApplicationGroup": "a", "WSGICallableObject": "a",
    "WSGIRestrictProcess": "a", "WSGIDaemonProcess": "x", "WSGISocketPrefix": "/x",
    "WSGIAcceptMutex": "Default", "WSGIPythonHome": "/usr", "WSGIPythonPath": "/x",
    "WSGIPythonEggs": "/x", "WSGIPythonOptimize": "-3", "WSGIPythonWarnings": "ignore",
    "WSGIPythonHashSeed": "4294967295", "WSGISwitchInterval": "0.01",
    "WSGITrustedProxyHeaders": "X-Host", "WSGITrustedProxies": "::1 10.0.0.0/8",
    "WSGIChunkedRequest": "buffer", "WSGIMapHEADToGET": "AUTO", "<WSGIInterpreterOptions": "",
}


def line_of(name, value):
    """The directive with the value; a section is closed in the next line."""
    return f"{name} {value}>\n</{name[1:]}>" if name.startswith("<") else f"{name} {value}"


def configtest(launch_once, config):
    return launch_once("embedded", start=False, config=config).configtest()


def test_the_table_is_read():
    assert len(DIRECTIVES) > 40
    assert set(BAD) | WITHOUT_BAD == set(DIRECTIVES)


def place(context, line):
    wrapped = {
        "vhost": f"<VirtualHost *:1>\nServerName other\n{line}\n</VirtualHost>",
        "location": f"<Location /x>\n{line}\n</Location>",
        "main": line,
    }
    return wrapped[context]


ALLOWED = {
    "GLOBAL": {"main"},
    "SERVER": {"main", "vhost"},
    "DIR": {"main", "vhost", "location"},
    "FILEINFO": {"main", "vhost", "location"},
    "AUTHCFG": {"location"},
}


@pytest.mark.compat("CONF-global", "CONF-global-more", "CONF-server", "CONF-dir-more",
                    "CONF-fileinfo-more", "CONF-authcfg", "CONF-misplaced")
@pytest.mark.parametrize("name", DIRECTIVES)
def test_places(launch_once, name):
    line = line_of(name, GOOD.get(name, "On"))
    for where in ("main", "vhost", "location"):
        status, output = configtest(launch_once, place(where, line))
        if where in ALLOWED[DIRECTIVES[name][0]] or \
                (name in ("WSGITelemetryService", "WSGITelemetryOptions", "WSGISlowRequests")
                 and where == "vhost"):
            assert status == 0, output
        else:
            assert (status, name in output, "httpd.conf" in output) == (1, True, True), (where,
                                                                                          output)


@pytest.fixture(scope="module")
def htaccess_server(launch):
    server = launch("embedded", modules=["env"], single_child=True, config="""
<Directory "${root}/scripts">
    AllowOverride FileInfo
</Directory>
""")
    server.script("hello.py", (env.APPS / "hello.py").read_text())
    return server


@pytest.mark.compat("CONF-dir", "CONF-dir-more", "CONF-fileinfo", "CONF-fileinfo-more",
                    "CONF-authcfg", "CONF-global-more")
@pytest.mark.parametrize("name", [name for name in DIRECTIVES if not
                                  name.startswith(("WSGITelemetry", "WSGISlow", "WSGIVerbose"))])
def test_htaccess(htaccess_server, name):
    """A user's .htaccess may say what FILEINFO allows and nothing else."""
    server = htaccess_server
    server.script(".htaccess", line_of(name, GOOD.get(name, "On")) + "\n")
    server.log.allow_anything()
    status = server.get("/scripts/hello.py").status
    if DIRECTIVES[name][0] == "FILEINFO":
        expected = {"WSGICallableObject": 500}.get(name, 200)
        assert status == expected
    else:
        assert status == 500
        assert f"{name} not allowed here" in server.log.text()


@pytest.mark.compat("DIR-obsolete", "DIR-telemetry")
@pytest.mark.parametrize("name", sorted(WITHOUT_BAD - {"WSGIRestrictProcess"}))
def test_obsolete_directives_are_accepted_with_a_warning(launch_once, name):
    status, output = configtest(launch_once, f"{name} some words=here")
    assert status == 0
    assert "WSGI1507" in output and name in output


@pytest.mark.compat("CONF-number-junk")
def test_trailing_junk_is_a_warning(launch_once):
    status, output = configtest(launch_once, "WSGIPythonOptimize 1x")
    assert status == 0
    assert "WSGI1508" in output


@pytest.mark.compat("AUTH-groups-failure")
def test_a_rule_without_a_group(launch_once):
    status, output = configtest(launch_once, place("location", "Require wsgi-group"))
    assert status == 1
    assert "Require wsgi-group names no group" in output and "httpd.conf" in output
