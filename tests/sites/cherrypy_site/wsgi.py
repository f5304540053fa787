"""CherryPy: a tree with an application in it, sessions in files, tools for JSON, gzip, Basic
authentication and static files with ETags, a method dispatcher, error pages, streams, its log in
wsgi.errors, and its engine that starts and stops with the interpreter."""

import atexit
import hashlib
import os

import cherrypy
from cherrypy.lib import auth_basic, sessions

HERE = os.path.dirname(os.path.abspath(__file__))
SESSIONS = os.path.join(HERE, "sessions")


class Item:
    """One method per HTTP method."""

    exposed = True

    @cherrypy.tools.json_out()
    def GET(self, number, size="none"):
        return {"number": number, "size": size, "at": cherrypy.url()}

    @cherrypy.tools.json_in()
    @cherrypy.tools.json_out()
    def PUT(self, number):
        cherrypy.response.status = 201
        return {"number": number, "was": cherrypy.request.json}


class Root:
    item = Item()

    @cherrypy.expose
    def counter(self):
        cherrypy.session["count"] = cherrypy.session.get("count", 0) + 1
        return str(cherrypy.session["count"])

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def upload(self, note, file):
        data = file.file.read()
        return {"name": file.filename, "size": len(data), "note": note,
                "sha256": hashlib.sha256(data).hexdigest()}

    @cherrypy.expose
    def stream(self):
        cherrypy.response.headers["Content-Type"] = "text/plain"
        return (f"row {number}\n" for number in range(1000))
    stream._cp_config = {"response.stream": True}

    @cherrypy.expose
    @cherrypy.tools.gzip(mime_types=["text/*"])
    def packed(self):
        return "often " * 10000

    @cherrypy.expose
    def download(self):
        return cherrypy.lib.static.serve_file(os.path.abspath(__file__), "text/plain")

    @cherrypy.expose
    def private(self):
        return f"only for {cherrypy.request.login}"

    @cherrypy.expose
    def go(self):
        raise cherrypy.HTTPRedirect(cherrypy.url("/counter"))

    @cherrypy.expose
    def error(self):
        raise ZeroDivisionError("on purpose")


def not_found(status, message, traceback, version):
    cherrypy.response.headers["Content-Type"] = "text/plain"
    return f"the site says: {message}"


os.makedirs(SESSIONS, exist_ok=True)
cherrypy.config.update({"environment": "embedded"})
cherrypy.log.wsgi = True
cherrypy.engine.listeners["log"].clear()  # it would tell each thread that it starts
cherrypy.server.unsubscribe()
cherrypy.tree.mount(Root(), "/cherrypy", {
    "/": {
        "tools.sessions.on": True,
        "tools.sessions.storage_class": sessions.FileSession,
        "tools.sessions.storage_path": SESSIONS,
        "error_page.404": not_found,
    },
    "/item": {"request.dispatch": cherrypy.dispatch.MethodDispatcher()},
    "/private": {
        "tools.auth_basic.on": True,
        "tools.auth_basic.realm": "CherryPy",
        "tools.auth_basic.checkpassword": auth_basic.checkpassword_dict({"user": "secret"}),
    },
    "/static": {
        "tools.staticdir.on": True,
        "tools.staticdir.dir": os.path.join(HERE, "static"),
        "tools.etags.on": True,
        "tools.etags.autotags": True,
        "tools.sessions.on": False,
    },
})
cherrypy.engine.start()
atexit.register(cherrypy.engine.exit)
application = cherrypy.tree
