"""WSGIPythonHome and WSGIPythonPath where they are odd."""

import subprocess

import pytest


@pytest.mark.compat("DIR-pythonhome-prefixes")
def test_prefix_and_exec_prefix(launch_once):
    server = launch_once("embedded", config="WSGIPythonHome /usr:/usr")
    assert server.get("/hello").status == 200


@pytest.mark.compat("DIR-pythonpath-failing")
def test_a_failing_entry_ends_the_path(launch_once):
    server = launch_once("embedded", start=False, single_child=True, config="""
WSGIPythonHome "${root}/environment"
WSGIPythonPath "${root}/one:${root}/failing:${root}/three"
""")
    home = server.directory / "environment"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(home)], check=True)
    (site_packages,) = (home / "lib").glob("python3*/site-packages")
    (site_packages / "patch.pth").write_text("import patch_of_site\n")
    (site_packages / "patch_of_site.py").write_text("""
import site
add = site.addsitedir
def addsitedir(path, *rest):
    if path.endswith("failing"):
        raise ValueError("no such entry, please")
    return add(path, *rest)
site.addsitedir = addsitedir
""")
    for name in ("one", "failing", "three"):
        (server.directory / name).mkdir()
    server.expect("WSGI1104", "failing.*no such entry", count=None)
    server.start()
    url = server.script("path.py", """
import sys
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\\n".join(sys.path).encode()]
""")
    path = server.get(url).body.decode().split("\n")
    assert path[0] == f"{server.directory}/one"
    assert f"{server.directory}/three" not in path
