"""As many header fields in the answer as the query string says."""


def application(environ, start_response):
    fields = [(f"X-Field-{number}", "value") for number in range(int(environ["QUERY_STRING"]))]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "12"), *fields])
    return [b"Hello world\n"]
