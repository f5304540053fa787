"""Tells by a field which method it was shown."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"),
                              ("X-Method", environ["REQUEST_METHOD"])])
    return [b"method\n" * 100]
