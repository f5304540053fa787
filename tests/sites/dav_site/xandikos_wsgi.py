"""Xandikos, a WSGI application for calendars and address books. It is mounted at /user, and its
only user is of that name: its paths are those of the server."""

import os

from xandikos.web import XandikosApp, XandikosBackend

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "calendars")
USER = "/user/"


def make_application():
    os.makedirs(DATA, exist_ok=True)
    backend = XandikosBackend(DATA)
    if not backend.get_resource(USER):
        backend.create_principal(USER)
    backend._mark_as_principal(USER)
    return XandikosApp(backend, USER)


application = make_application()
