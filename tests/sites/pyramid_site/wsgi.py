"""Pyramid: routes, views chosen by predicates, signed sessions, CSRF, a security policy, a tween,
exception views and static files."""

import hashlib
import os

from pyramid.authentication import SessionAuthenticationHelper
from pyramid.authorization import ACLHelper, Allow, Authenticated
from pyramid.config import Configurator
from pyramid.csrf import get_csrf_token
from pyramid.httpexceptions import HTTPFound, HTTPSeeOther
from pyramid.response import FileResponse, Response
from pyramid.session import SignedCookieSessionFactory
from pyramid.view import exception_view_config, forbidden_view_config, view_config


class Shortage(Exception):
    """Has a view of its own."""


class Policy:
    """Who is logged in stands in the session."""

    def __init__(self):
        self.sessions = SessionAuthenticationHelper()

    def authenticated_userid(self, request):
        return self.sessions.authenticated_userid(request)

    identity = authenticated_userid

    def permits(self, request, context, permission):
        user = self.authenticated_userid(request)
        principals = [user, Authenticated] if user else []
        return ACLHelper().permits(context, principals, permission)

    def remember(self, request, userid, **kw):
        return self.sessions.remember(request, userid, **kw)

    def forget(self, request, **kw):
        return self.sessions.forget(request, **kw)


class Members:
    """The context of what only members see."""

    __acl__ = [(Allow, Authenticated, "view")]

    def __init__(self, request):
        pass


@view_config(route_name="counter", renderer="json")
def counter(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return {"count": request.session["count"], "at": request.route_url("counter")}


@view_config(route_name="item", request_method="GET", renderer="string")
def item(request):
    return f"{request.matchdict['name']} and {'/'.join(request.matchdict['rest'])}"


@view_config(route_name="item", request_method="GET", request_param="json", renderer="json")
def item_as_json(request):
    return dict(request.matchdict)


@view_config(route_name="login", request_method="GET", renderer="string", require_csrf=False)
def login_form(request):
    return get_csrf_token(request)


@view_config(route_name="login", request_method="POST")
def login(request):
    headers = request.registry.policy.remember(request, request.POST["user"])
    return HTTPSeeOther(request.GET["next"], headers=headers)


@view_config(route_name="members", permission="view", renderer="string")
def members(request):
    return f"only for {request.authenticated_userid}"


@forbidden_view_config()
def forbidden(request):
    return HTTPFound(request.route_path("login", _query={"next": request.path}))


@view_config(route_name="upload", request_method="POST", require_csrf=False, renderer="json")
def upload(request):
    file = request.POST["file"]
    data = file.file.read()
    return {"name": file.filename, "size": len(data), "note": request.POST["note"],
            "sha256": hashlib.sha256(data).hexdigest()}


@view_config(route_name="stream")
def stream(request):
    return Response(app_iter=(b"row %d\n" % number for number in range(1000)),
                    content_type="text/plain")


@view_config(route_name="download")
def download(request):
    response = FileResponse(__file__, request, content_type="text/plain")
    response.conditional_response = True
    return response


@view_config(route_name="order")
def order(request):
    raise Shortage(request.matchdict["name"])


@exception_view_config(Shortage, renderer="json")
def no_more(error, request):
    request.response.status_int = 409
    return {"missing": str(error)}


@view_config(route_name="error")
def error(request):
    raise ZeroDivisionError("on purpose")


def stamp(handler, registry):
    """A tween: it sees each answer."""
    def tween(request):
        response = handler(request)
        response.headers["X-Tween"] = request.path
        return response
    return tween


def make_application():
    with Configurator() as config:
        config.set_session_factory(SignedCookieSessionFactory("only for tests"))
        config.set_default_csrf_options(require_csrf=True)
        config.registry.policy = Policy()
        config.set_security_policy(config.registry.policy)
        config.add_tween(f"{__name__}.stamp")
        for name in ("counter", "login", "upload", "stream", "download", "error"):
            config.add_route(name, f"/{name}")
        config.add_route("members", "/members", factory=Members)
        config.add_route("item", "/items/{name}/*rest")
        config.add_route("order", "/order/{name}")
        config.add_static_view("static", os.path.join(os.path.dirname(__file__), "static"))
        config.scan(__name__)
    return config.make_wsgi_app()


application = make_application()
