"""Bottle: routes with filters, signed cookies, uploads, templates, static files with ranges, error
pages, hooks, a mounted application."""

import hashlib
import os

import bottle
from bottle import abort, redirect, request, response

HERE = os.path.dirname(os.path.abspath(__file__))
SECRET = "only for tests"

application = bottle.Bottle()
inner = bottle.Bottle()


@application.hook("before_request")
def remember_path():
    request.environ["site.path"] = request.path


@application.hook("after_request")
def stamp():
    response.set_header("X-Hook", request.environ["site.path"])


@application.get("/counter")
def counter():
    count = (request.get_cookie("count", secret=SECRET) or 0) + 1
    response.set_cookie("count", count, secret=SECRET, path="/", httponly=True)
    return str(count)


@application.get("/items/<number:int>/<rest:path>")
def item(number, rest):
    return {"number": number, "rest": rest, "script": request.script_name}


@application.get("/hello/<name>")
@bottle.view("Gr\u00fc\u00dfe an {{name}}")
def hello(name):
    return {"name": request.url_args["name"]}


@application.post("/upload")
def upload():
    file = request.files["file"]
    data = file.file.read()
    return {"name": file.filename, "size": len(data), "note": request.forms["note"],
            "sha256": hashlib.sha256(data).hexdigest()}


@application.put("/json")
def echo_json():
    return request.json


@application.get("/stream")
def stream():
    for number in range(1000):
        yield f"row {number}\n"


@application.get("/static/<name:path>")
def static(name):
    return bottle.static_file(name, root=os.path.join(HERE, "static"))


@application.get("/go")
def go():
    redirect("counter")


@application.get("/private")
@bottle.auth_basic(lambda user, password: (user, password) == ("us\u00e9r", "secret"), "Bottle")
def private():
    return f"only for {request.auth[0]}"


@application.get("/gone")
def gone():
    abort(410, "It was here")


@application.error(410)
def error_410(error):
    response.content_type = "text/plain"
    return f"the site says: {error.body}"


@application.get("/error")
def error():
    raise ZeroDivisionError("on purpose")


@inner.get("/where")
def where():
    return f"{request.script_name} {request.path}"


application.mount("/inner/", inner)
