"""1 MiB in one piece; with ?N so many bytes, in pieces of 1 MiB."""

MEBIBYTE = b"x" * (1 << 20)


def pieces(length):
    while length > 0:
        yield MEBIBYTE[:length]
        length -= len(MEBIBYTE)


def application(environ, start_response):
    length = int(environ["QUERY_STRING"] or len(MEBIBYTE))
    start_response("200 OK", [("Content-Type", "application/octet-stream"),
                              ("Content-Length", str(length))])
    return [MEBIBYTE] if length == len(MEBIBYTE) else pieces(length)
