"""Two DAV servers of Debian's, Xandikos and PyWebDAV, asked by litmus: each of its tests must end
here as it does where Cheroot serves the same applications."""

import re
import shutil
import subprocess

import env
import pytest
from processes import wait_until

ALL = ["basic", "copymove", "props", "locks", "http"]


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, start=False, daemon="processes=2 threads=4", config="""
WSGIScriptAlias /user "${root}/dav_site/xandikos_wsgi.py"
WSGIScriptAlias / "${root}/dav_site/pywebdav_wsgi.py"
""")
    server.site("dav_site")
    return server.start()


@pytest.fixture(scope="module")
def elsewhere(test_run, tmp_path_factory):
    """The port of a Cheroot."""
    directory = tmp_path_factory.mktemp("elsewhere") / "dav_site"
    shutil.copytree(env.SITES / "dav_site", directory)
    port = test_run.ports.reserve()
    with open(directory / "log", "wb") as log:
        process = subprocess.Popen(["/usr/bin/python3", "-B", "elsewhere.py", str(port)],
                                   cwd=directory, stdout=log, stderr=log)
    try:
        wait_until(lambda: env.is_listening(port), "Cheroot listens", 20)
        yield port
    finally:
        process.kill()
        process.wait()


def litmus(port, path, suite, directory):
    """{test: "pass", "FAIL", "SKIPPED", or None where it did not end} of one suite."""
    done = subprocess.run(
        ["litmus", "-k", f"http://127.0.0.1:{port}{path}"], cwd=directory, env={"TESTS": suite},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * env.PATIENCE)
    found, name = {}, None
    for line in re.split(r"[\r\n]+", done.stdout.decode(errors="replace")):
        begin = re.match(r" ?(\d+\. \w+)", line)
        if begin:
            name = begin[1]
            found.setdefault(name, None)
        result = re.match(r"[ .\d\w]* (pass|FAIL|SKIPPED)\b", line)
        if result:
            found[name] = result[1]
    assert name and name.endswith("finish"), done.stdout
    return found


@pytest.mark.parametrize("path, suite", [("/user/", "basic"), ("/user/", "http"),
                                         ("/", "basic"), ("/", "copymove"), ("/", "http")])
def test_suite_passes(server, tmp_path, path, suite):
    found = litmus(server.port, path, suite, tmp_path)
    assert set(found.values()) == {"pass"}, found


@pytest.mark.parametrize("suite", ALL)
def test_as_elsewhere(server, elsewhere, tmp_path, suite):
    """Of what Xandikos does not support it says the same."""
    if suite == "props":
        server.expect_output("unknown property")
    expected = litmus(elsewhere, "/user/", suite, tmp_path)
    assert litmus(server.port, "/user/", suite, tmp_path) == expected
