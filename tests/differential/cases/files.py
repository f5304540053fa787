"""The file wrapper: whole files, parts of them, what is no file; ranges; httpd's own conditions.

SPDX-License-Identifier: Apache-2.0
"""

from model import Setup, ask, case

SETUP = Setup("files", text="""\
WSGIScriptAlias /sendfile "${apps}/files.py"
<Location /sendfile>
    EnableSendfile On
    WSGIEnableSendfile On
</Location>
WSGIScriptAlias /wrapper "${scripts}/wrapper.py"
DocumentRoot "${scripts}"
""")

FILES = {"file.bin": "0123456789" * 500}

FILE = "${scripts}/file.bin"  # the runner puts the server's directory in


def file(query="", *fields, mount="/files", **options):
    return ask(f"{mount}?file={FILE}{query}", *fields, **options)


CASES = [
    case("file-whole", file()),
    case("file-length", file("&length=5000")),
    case("file-length-short", file("&length=50")),
    case("file-length-long", file("&length=6000")),
    case("file-length-zero", file("&length=0")),
    case("file-position", file("&seek=4990")),
    case("file-position-length", file("&seek=4000&length=10")),
    case("file-position-end", file("&seek=5000")),
    case("file-position-beyond", file("&seek=6000")),
    case("file-after-write", file("&before=before")),
    case("file-pipe", ask("/files?pipe=1")),
    case("file-memory", ask("/files?memory=1")),
    case("file-head", file(method="HEAD")),
    case("file-head-length", file("&length=5000", method="HEAD")),
    case("file-http-1.0", file(version="HTTP/1.0")),
    case("file-sendfile", file(mount="/sendfile")),
    case("file-sendfile-part", file("&seek=10&length=20", mount="/sendfile")),
    *[case(f"file-range{name}", file("&length=5000", f"Range: bytes={text}"))
      for name, text in {"": "0-9", "-middle": "100-199", "-end": "-10", "-open": "4990-",
                         "-beyond": "5000-", "-two": "0-1,4-5", "-odd": "x-y",
                         "-over": "4990-9999"}.items()],
    case("file-range-no-length", file("", "Range: bytes=0-9")),
    case("file-range-position", file("&seek=4000&length=1000", "Range: bytes=0-9")),
    case("file-range-sendfile", file("&length=5000", "Range: bytes=10-19", mount="/sendfile")),
    case("file-range-memory", ask("/files?memory=1", "Range: bytes=0-3")),
    case("file-if-modified", file("", "If-Modified-Since: Sun, 06 Nov 2094 08:49:37 GMT")),
    *[case(f"wrapper-{how}", ask(f"/wrapper/{how}"))
      for how in ("shape", "default", "text-file", "no-close", "close-raises", "closed",
                  "no-arguments", "keywords", "block-zero", "twice")],
]
