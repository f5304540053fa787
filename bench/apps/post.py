"""Reads the whole body and answers its length."""

PIECE = 64 << 10


def application(environ, start_response):
    read = environ["wsgi.input"].read
    length = 0
    left = int(environ["CONTENT_LENGTH"])
    while left > 0:
        data = read(min(left, PIECE))
        if not data:
            break
        length += len(data)
        left -= len(data)
    body = b"%d\n" % length
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
