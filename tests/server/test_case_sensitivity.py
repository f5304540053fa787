"""WSGICaseSensitivity: whether names of modules and interpreters tell letter case apart."""

import hashlib

import pytest

NAMES = '''
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{__name__} {environ['mod_wsgi.application_group']}".encode()]
'''


@pytest.mark.compat("LOAD-name-case")
@pytest.mark.parametrize("setting", ["On", "Off"])
def test_names(launch_once, mode, setting):
    server = launch_once(mode, config=f"""
WSGICaseSensitivity {setting}
WSGIScriptAlias /Mixed "${{scripts}}/Mixed.PY"
""")
    server.script("Mixed.PY", NAMES)
    module, interpreter = server.get("/Mixed").body.decode().split()
    path = f"{server.directory}/scripts/Mixed.PY"
    if setting == "Off":
        path = path.lower()
    assert module == "_mod_wsgi_" + hashlib.md5(path.encode()).hexdigest()
    assert interpreter.endswith("|/mixed" if setting == "Off" else "|/Mixed")
