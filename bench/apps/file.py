"""10 MiB of a file, through wsgi.file_wrapper where there is one."""

import os

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "file")


def application(environ, start_response):
    file = open(PATH, "rb")
    start_response("200 OK", [("Content-Type", "application/octet-stream"),
                              ("Content-Length", str(os.fstat(file.fileno()).st_size))])
    if "wsgi.file_wrapper" in environ:
        return environ["wsgi.file_wrapper"](file)
    return iter(lambda: file.read(65536), b"")
