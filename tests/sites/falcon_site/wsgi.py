"""Falcon: resources, media in and out, multipart forms, hooks, middleware, error handlers, a sink,
static files, streams with and without a length."""

import hashlib
import os

import falcon

HERE = os.path.dirname(os.path.abspath(__file__))


class Shortage(Exception):
    """Has a handler of its own."""


class Stamp:
    """Middleware: sees each request before and after."""

    def process_request(self, req, resp):
        req.context.user = req.get_header("X-User")

    def process_response(self, req, resp, resource, req_succeeded):
        resp.set_header("X-Middleware", f"{type(resource).__name__} {req_succeeded}")


def only_users(req, resp, resource, params):
    if req.context.user is None:
        raise falcon.HTTPUnauthorized(title="Who is there?", challenges=["Token"])


class Counter:
    def on_get(self, req, resp):
        count = int(req.cookies.get("count", 0)) + 1
        resp.set_cookie("count", str(count), secure=False)
        resp.media = {"count": count}


class Item:
    def on_get(self, req, resp, number):
        resp.media = {"number": number, "prefix": req.prefix, "path": req.path,
                      "sizes": req.get_param_as_list("size", transform=int)}

    def on_put(self, req, resp, number):
        resp.media = {"number": number, "was": req.media}
        resp.status = falcon.HTTP_201
        resp.location = req.uri

    def on_get_etag(self, req, resp, number):
        etag = resp.etag = f"item-{number}"
        resp.text = "as it was"
        if req.if_none_match and etag in req.if_none_match:
            resp.status = falcon.HTTP_304


class Private:
    @falcon.before(only_users)
    def on_get(self, req, resp):
        resp.text = f"only for {req.context.user}"


class Upload:
    def on_post(self, req, resp):
        found = {}
        for part in req.get_media():
            if part.filename:
                data = part.stream.read()
                found |= {"name": part.filename, "size": len(data),
                          "sha256": hashlib.sha256(data).hexdigest()}
            else:
                found[part.name] = part.text
        resp.media = found


class Raw:
    def on_post(self, req, resp):
        data = req.bounded_stream.read()
        resp.media = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


class Stream:
    def on_get(self, req, resp):
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = (b"row %d\n" % number for number in range(1000))

    def on_get_file(self, req, resp):
        resp.content_type = falcon.MEDIA_TEXT
        resp.set_stream(open(__file__, "rb"), os.path.getsize(__file__))


class Order:
    def on_get(self, req, resp, name):
        raise Shortage(name)


class Error:
    def on_get(self, req, resp):
        raise ZeroDivisionError("on purpose")


def no_more(req, resp, error, params):
    resp.status = falcon.HTTP_409
    resp.media = {"missing": str(error)}


def sink(req, resp, name):
    resp.text = f"down the sink: {name}"


application = falcon.App(middleware=[Stamp()])
application.add_route("/counter", Counter())
application.add_route("/items/{number:int}", Item())
application.add_route("/items/{number:int}/etag", Item(), suffix="etag")
application.add_route("/private", Private())
application.add_route("/upload", Upload())
application.add_route("/raw", Raw())
application.add_route("/stream", Stream())
application.add_route("/download", Stream(), suffix="file")
application.add_route("/order/{name}", Order())
application.add_route("/error", Error())
application.add_static_route("/static", os.path.join(HERE, "static"))
application.add_sink(sink, r"/sink/(?P<name>.+)")
application.add_error_handler(Shortage, no_more)
