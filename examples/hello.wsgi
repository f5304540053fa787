"""The page of ./bootstrap serve: where this request was served, and by what. No dependencies.

SPDX-License-Identifier: Apache-2.0
"""

import html
import os
import platform

PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>It serves</title>
<style>
    :root {{ color-scheme: light dark; --soft: color-mix(in srgb, currentColor 12%, transparent) }}
    body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 46rem; margin: 4rem auto;
           padding: 0 1.5rem }}
    h1 {{ font-size: 2.2rem; line-height: 1.2; margin: 0 }}
    h2 {{ font-size: 1.05rem; margin: 2.5rem 0 .5rem }}
    table {{ border-collapse: collapse; width: 100% }}
    th, td {{ padding: .4rem 0; border-bottom: 1px solid var(--soft); text-align: left;
             vertical-align: top; overflow-wrap: anywhere }}
    th {{ width: 15rem; padding-right: 1rem; font-weight: 500; opacity: .75 }}
    td {{ font-family: ui-monospace, monospace; font-size: .9rem }}
</style>
<h1>It serves.</h1>
<p>Python {python} answered inside Apache, in {mode} mode.</p>
<h2>Where</h2>
<table>{where}</table>
<h2>What the application was told</h2>
<table>{told}</table>
</html>
"""

TOLD = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL",
        "SERVER_SOFTWARE", "HTTP_HOST", "HTTP_USER_AGENT", "REMOTE_ADDR", "wsgi.url_scheme",
        "wsgi.multithread", "wsgi.multiprocess")


def rows(items):
    return "".join(f"<tr><th>{html.escape(name)}<td>{html.escape(str(value))}"
                   for name, value in items)


def application(environ, start_response):
    group = environ.get("mod_wsgi.process_group", "")
    where = [
        ("mode", "daemon" if group else "embedded"),
        ("process group", group or "(none: inside httpd's child)"),
        ("application group", environ.get("mod_wsgi.application_group") or "(main interpreter)"),
        ("process", os.getpid()),
        ("mod_wsgi", ".".join(map(str, environ.get("mod_wsgi.version", ("not", "there"))))),
    ]
    body = PAGE.format(
        python=platform.python_version(),
        mode=where[0][1],
        where=rows(where),
        told=rows((name, environ[name]) for name in TOLD if name in environ),
    ).encode()
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"),
                              ("Content-Length", str(len(body)))])
    return [body]
