"""PHP in the same httpd: by php-fpm behind mod_proxy_fcgi, and as mod_php in httpd's children."""

import os
import signal
import subprocess

import env
import processes
import pytest
import unpacked
from processes import wait_until

APPLICATION = '''
import os

def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REQUEST_METHOD']} {environ['SCRIPT_NAME']} {environ['PATH_INFO']} "
            f"{environ['QUERY_STRING']} {len(body)}".encode()]
'''

SITE = {
    "app.wsgi": APPLICATION,
    "page.php": "<?php echo 'php ', PHP_SAPI, ' ', $_SERVER['REQUEST_METHOD'], ' ', "
                "strlen(file_get_contents('php://input'));",
    "missing.php": "<?php echo 'missing: ', $_SERVER['REDIRECT_URL'];",
    "virtual.php": "<?php echo 'begin|'; virtual('/app.wsgi/one?a=b'); echo '|'; "
                   "virtual('/mount/two'); echo '|end';",
    "locale.php": "<?php setlocale(LC_ALL, 'C'); putenv('TZ=UTC'); echo 'set';",
}

CONFIG = """
DocumentRoot "${root}/site"
<Directory "${root}/site">
    Options +ExecCGI
    AddHandler wsgi-script .wsgi
</Directory>
TypesConfig /dev/null
WSGIScriptAlias /mount "${root}/site/app.wsgi"
WSGIScriptAlias /environ "${apps}/environ.py"
<Location /response>
    WSGIErrorOverride On
    ErrorDocument 404 /missing.php
</Location>
"""


# ---- php-fpm

class Fpm:
    """One php-fpm with a socket of its own."""

    def __init__(self, directory):
        self.socket = directory / "php.socket"
        configuration = directory / "php-fpm.conf"
        user = f"user = {env.USER}\ngroup = {env.USER}\nlisten.owner = {env.USER}\n"
        configuration.write_text(
            f"[global]\nerror_log = {directory}/php-fpm.log\ndaemonize = no\n"
            f"[tests]\nlisten = {self.socket}\n{user if env.IS_ROOT else ''}"
            "pm = static\npm.max_children = 2\n")
        self.process = subprocess.Popen(
            [unpacked.find("php-fpm", "usr/sbin/php-fpm*"), "-n", "-F", "-y", configuration],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=processes.end_with_parent)
        wait_until(lambda: self.socket.exists() or self.process.poll() is not None, "php-fpm")
        assert self.process.poll() is None, "php-fpm did not start"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10 * env.PATIENCE) == 0


def prepare_fpm(server):
    server.modules += ["proxy", "proxy_fcgi"]
    server.config += """
<FilesMatch "\\.php$">
    SetHandler "proxy:unix:${root}/php.socket|fcgi://localhost"
</FilesMatch>
"""
    return Fpm(server.directory)


# ---- mod_php

def prepare_mod_php(server):
    server.config += f"""
LoadModule php_module "{unpacked.find("libapache2-mod-php", "usr/lib/apache2/modules/libphp*.so")}"
PHPINIDir "{server.directory}"
<FilesMatch "\\.php$">
    SetHandler application/x-httpd-php
</FilesMatch>
"""


# ----

# By the name that PHP gives itself. mod_php is not for threads.
KINDS = {"fpm-fcgi": prepare_fpm}
if env.MPM == "prefork" and not env.IS_SANITIZED:
    KINDS["apache2handler"] = prepare_mod_php


@pytest.fixture(scope="module", params=KINDS)
def server(request, launch, mode):
    server = launch(mode, config=CONFIG, modules=["dir", "mime"], start=False)
    for name, text in SITE.items():
        path = server.directory / "site" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    server.php = request.param
    fpm = KINDS[server.php](server)
    server.write_configuration()
    yield server.start()
    if fpm:
        fpm.stop()


def test_both_by_one_connection(server):
    body = os.urandom(100_000)
    with server.keep_alive() as session:
        for _ in range(5):
            assert session.get("/page.php").body == f"php {server.php} GET 0".encode()
            assert session.get("/app.wsgi/a?b").body == b"GET /app.wsgi /a b 0"
            assert session.request("POST", "/page.php", body).body.endswith(b"POST 100000")
            assert session.request("POST", "/mount", body).body == b"POST /mount   100000"


def test_an_applications_error_document_in_php(server, mode):
    reply = server.get("/response/status?status=404%20Nothing")
    assert reply.body == (b"missing: /response/status" if mode == "daemon"
                          else b"the application's own body\n")


def test_php_leaves_the_environ_alone(server):
    """It keeps variables of its own in the request."""
    server.get("/locale.php")
    found = server.get("/environ").json()
    assert not [key for key in found if "php" in key.lower() or key.startswith("FCGI")]


def test_restarts(server):
    for kind in ("graceful", "restart"):
        server.restart(kind)
        assert server.get("/page.php").body == f"php {server.php} GET 0".encode()
        assert server.get("/app.wsgi").body == b"GET /app.wsgi   0"


# ---- in one process

@pytest.fixture
def inside(server):
    if server.php != "apache2handler":
        pytest.skip("PHP is in another process")
    return server


def test_a_page_includes_applications(inside):
    """virtual() makes a sub-request."""
    assert inside.get("/virtual.php").body == (
        b"begin|GET /app.wsgi /one a=b 0|GET /mount /two  0|end")


def test_python_after_phps_locale(inside):
    """One process has one locale; the application's texts do not depend on it."""
    url = inside.script("names.py", '''
import os

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\\u00e4 ".encode(), os.fsencode(environ["SCRIPT_FILENAME"])]
''')
    before = inside.get(url).body
    with inside.keep_alive() as session:
        assert session.get("/locale.php").body == b"set"
        assert session.get(url).body == before
