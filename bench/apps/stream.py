"""100 pieces of 1 KB, each yielded; with ?N so many pieces of 10 bytes."""

PIECE = b"x" * 1024
SMALL = b"0123456789"


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    count = environ["QUERY_STRING"]
    if count:
        return (SMALL for _ in range(int(count)))
    return (PIECE for _ in range(100))
