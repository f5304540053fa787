"""Answers with the file wrapper. The file is ?file=, opened and positioned as told."""

import io
import os
from urllib.parse import parse_qs


class Counting(io.FileIO):
    """Tells by a note whether close() was called."""

    note = None

    def close(self):
        if self.note and not self.closed:
            with open(self.note, "w") as file:
                file.write("closed")
        super().close()


def application(environ, start_response):
    query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    if "pipe" in query:
        reader, writer = os.pipe()
        os.write(writer, b"through a pipe")
        os.close(writer)
        file = os.fdopen(reader, "rb")
    elif "memory" in query:
        file = io.BytesIO(b"from memory" * 1000)
    else:
        file = Counting(query["file"])
        file.note = query.get("note")
    if "seek" in query:
        file.seek(int(query["seek"]))
    fields = [("Content-Type", "application/octet-stream")]
    if "length" in query:
        fields.append(("Content-Length", query["length"]))
    write = start_response("200 OK", fields)
    if "before" in query:
        write(query["before"].encode())
    return environ["wsgi.file_wrapper"](file, 4096)
