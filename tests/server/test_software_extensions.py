"""NumPy, cryptography and Falcon (which is compiled), whose extensions are made for one interpreter
of a process: what happens by default, and that the main interpreter is the cure."""

import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

SCRIPTS = {"numpy": "extension_site/numpy_wsgi.py",
           "cryptography": "extension_site/cryptography_wsgi.py",
           "falcon": "falcon_site/wsgi.py"}
REFUSED = {"numpy": "numpy.random._pickle",
           "cryptography": "cryptography.x509.certificate_transparency",
           "falcon": "falcon"}


def start(launch, mode, config, **options):
    server = launch(mode, start=False, config=config, **options)
    server.site("extension_site")
    server.site("falcon_site")
    return server.start()


def alias(path, name, options=""):
    return f'WSGIScriptAlias {path} "${{root}}/{SCRIPTS[name]}"{options}\n'


def ask(server, place, name):
    """It answers, and rightly."""
    if name == "numpy":
        found = server.request("POST", f"{place}/numpy?80", struct.pack("<80d", *range(80))).json()
        assert found["sum"] == 3160 and found["error"] < 1e-9
    elif name == "cryptography":
        assert server.request("POST", f"{place}/cryptography", b"\0 secret").json() == {
            "same": True, "longer": True, "name": "CN=Zo\u00eb"}
    else:
        assert server.get(f"{place}/falcon/items/7").json()["number"] == 7


def is_refused(server, name, path, interpreter):
    """By an interpreter that is late; the log has one line with the cure."""
    server.check()
    server.expect("WSGI0174")
    server.expect("WSGI1103", f"module '{REFUSED[name]}' cannot be used in {interpreter}; let the "
                  "main interpreter serve each application that imports it: "
                  "WSGIApplicationGroup %{GLOBAL}$")
    server.expect_output("ImportError: ")
    return server.get(path).status == 500


@pytest.fixture(scope="module")
def default(launch, mode):
    """Two mount points of each, in the default application groups: each a sub-interpreter. In
    daemon mode each extension has its process, as one that could not load a script is replaced."""
    config = ""
    for name in SCRIPTS:
        config += f"WSGIDaemonProcess {name}\n" if mode == "daemon" else ""
        group = f" process-group={name}" if mode == "daemon" else ""
        config += alias(f"/first/{name}", name, group) + alias(f"/second/{name}", name, group)
    return start(launch, mode, config, single_child=True)


@pytest.mark.parametrize("name", SCRIPTS)
def test_default_application_group(default, name):
    """The first interpreter to import the extension has it; to another one it is refused."""
    if name == "numpy":
        default.expect_output("NumPy was imported from a Python sub-interpreter")
    ask(default, "/first", name)
    assert is_refused(default, name, f"/second/{name}",
                      f'sub-interpreter "localhost:{default.port}./second/{name}"')
    ask(default, "/first", name)


@pytest.fixture(scope="module")
def late(launch):
    """The main interpreter serves one mount point of each, but another has the extension first."""
    return start(launch, "embedded", "".join(
        alias(f"/first/{name}", name) + alias(f"/main/{name}", name, " application-group=%{GLOBAL}")
        for name in SCRIPTS), single_child=True)


@pytest.mark.parametrize("name", SCRIPTS)
def test_main_interpreter_is_late(late, name):
    if name == "numpy":
        late.expect_output("NumPy was imported from a Python sub-interpreter")
    ask(late, "/first", name)
    assert is_refused(late, name, f"/main/{name}",
                      "the main interpreter, as another one of this process has it")
    ask(late, "/first", name)


@pytest.fixture(scope="module")
def cured(launch, mode):
    """Two mount points of each in the main interpreter, and a process group for each of its own."""
    return start(launch, mode, "".join(
        alias(f"/{place}/{name}", name, " application-group=%{GLOBAL}")
        for place in ("first", "second") for name in SCRIPTS) + "".join(
        f"WSGIDaemonProcess only-{name} threads=4\n"
        + alias(f"/only/{name}", name, f" process-group=only-{name}") for name in SCRIPTS))


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("place", ["/first", "/second"])
def test_main_interpreter_by_directive(cured, place, name):
    ask(cured, place, name)


@pytest.mark.parametrize("name", SCRIPTS)
def test_main_interpreter_of_a_group_with_one_application(cured, name):
    """Nothing is configured, and nothing refused; not even NumPy warns."""
    ask(cured, "/only", name)
    assert f'main interpreter serves "localhost:{cured.port}|/only/{name}"' in cured.log.text()


def test_all_at_once(cured):
    asked = [(place, name) for place in ("/first", "/second", "/only") for name in SCRIPTS] * 4
    with ThreadPoolExecutor(8) as pool:
        for result in [pool.submit(ask, cured, place, name) for place, name in asked]:
            result.result()
